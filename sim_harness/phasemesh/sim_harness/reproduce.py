"""Reproductions of papers by name: what they are asked, where they are found, and how they go on after a stop."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

import msgspec
import typer

from phasemesh.contract.errors import InputError

REPRODUCTIONS_GROUP = "phasemesh.reproductions"
"""Entry points of rooms above this one: a name and a `Reproduction`."""
CELLS = "cells"

Kept = TypeVar("Kept", bound=msgspec.Struct)


class ReproductionRequest(msgspec.Struct, frozen=True):
    """What one reproduction is asked: its folder, how many seeds, and the share of the paper's size to play.

    `scale` 1 is the full experiment; below, lengths shrink in proportion, for a first look.
    """

    out: Path
    seeds: int
    scale: float = 1.0


Reproduction = Callable[[ReproductionRequest], Path]
"""Runs the experiments that `out` does not hold yet and returns the report's page."""


def run_reproduction(name: str, request: ReproductionRequest) -> Path:
    """Run the reproduction `name`; the path of its page is returned.

    Raises:
        InputError: There is no such reproduction, the request makes no sense, or its folder cannot be made.
    """
    registered = {point.name: point.load for point in entry_points(group=REPRODUCTIONS_GROUP)}
    known: dict[str, Callable[[], Reproduction]] = REPRODUCTIONS | registered
    if name not in known:
        raise InputError(f"reproduction {name!r}: known are {', '.join(sorted(known)) or 'none'}")
    if not 0 < request.scale <= 1:
        raise InputError(f"--scale {request.scale:g}: must be above 0 and at most 1")
    try:
        (request.out / CELLS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {request.out}: cannot be made: {error.strerror}") from error
    return known[name]()(request)


def kept_or_made(request: ReproductionRequest, name: str, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
    """The cell `name` of an earlier run with the same seeds and scale, or a new one, which is kept.

    A cell that cannot be read is made anew; a cell is written whole or not at all.
    """
    path = request.out / CELLS / f"{name}-{request.seeds}-{request.scale:g}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        made = make()
    beside = path.with_suffix(".part")
    beside.write_bytes(msgspec.json.encode(made))
    beside.replace(path)
    typer.echo(f"{name}: done")
    return made


def _dmil() -> Reproduction:
    from phasemesh.sim_harness.dmil.reproduction import reproduce_dmil  # noqa: PLC0415 (it imports this module)

    return reproduce_dmil


REPRODUCTIONS: dict[str, Callable[[], Reproduction]] = {"dmil": _dmil}
"""The reproductions of this room by name; each is loaded when it is asked for."""
