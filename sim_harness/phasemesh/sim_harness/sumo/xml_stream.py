"""The elements of an XML file of SUMO in document order, plain or gzipped, without holding the tree in memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast
from xml.parsers import expat

from phasemesh.contract.errors import ScenarioError

Element = tuple[str, dict[str, str]]
"""Name and attributes of one start tag."""

_CHUNK_BYTES = 1 << 18


def elements(path: Path) -> Iterator[Element]:
    """The start tags of `path`; raises ScenarioError with one line when it is missing or not XML."""
    try:
        with _opened(path) as file:
            yield from _start_tags(file)
    except expat.ExpatError as error:
        raise ScenarioError(f"{path}: is not valid XML: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _start_tags(file: BinaryIO) -> Iterator[Element]:
    parser = expat.ParserCreate()
    seen: list[Element] = []
    parser.StartElementHandler = lambda name, attributes: seen.append((name, attributes))
    while chunk := file.read(_CHUNK_BYTES):
        parser.Parse(chunk, False)
        yield from seen
        seen.clear()
    parser.Parse(b"", True)
