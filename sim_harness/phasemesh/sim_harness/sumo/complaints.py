"""What SUMO says when it gives up, as one line."""

from __future__ import annotations

import itertools
from typing import IO

_UNINFORMATIVE = ("Process Error", "Could not parse commandline options", "Could not connect")


def reason(message: str, captured: IO[bytes]) -> str:
    """One line: the exception's own text, or the first error printed where the exception says nothing."""
    if not message.startswith(_UNINFORMATIVE):
        return one_line(message)
    captured.seek(0)
    printed = captured.read().decode(errors="replace")
    _, found, first_error = printed.partition("Error:")
    return one_line(first_error if found else printed or message)


def one_line(text: str) -> str:
    """The first sentence of SUMO, whose further lines are indented."""
    first, *further = [line for line in text.splitlines() if line.strip()] or ["no reason given"]
    continued = itertools.takewhile(lambda line: line.startswith(" "), further)
    return " ".join(line.strip() for line in (first, *continued))
