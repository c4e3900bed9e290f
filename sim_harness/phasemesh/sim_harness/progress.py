"""What a run tells while it goes on, and the fakes that tell nobody."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Progress(msgspec.Struct, frozen=True):
    """One moment of a running city."""

    elapsed_s: float
    length_s: float
    delay_s: float
    ticks_per_s: float
    deadline_misses: int
    alive: int


class Listener(Protocol):
    """Is told about a run while it goes on, a few times a second at most."""

    def show(self, progress: Progress) -> None:
        """Show `progress`."""

    def note(self, text: str) -> None:
        """Say one line that should stay on the screen."""


class Silence:
    """Tells nobody."""

    def show(self, progress: Progress) -> None:
        """As in `Listener`."""

    def note(self, text: str) -> None:
        """As in `Listener`."""
