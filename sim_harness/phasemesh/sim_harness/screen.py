"""What a person sees in the terminal: a progress bar while a city runs, and a table at the end."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table

from phasemesh.sim_harness.progress import Progress

MIN_WIDTH = 120
"""Characters that a table may use where the width of the terminal is unknown."""
NUMBER_WIDTH = 20
"""Characters of a cell that is not yet a sentence."""
_STATUS = "delay {delay:6.1f} s  {ticks:5.1f} ticks/s  {misses} missed deadlines  {alive} agents"


class Screen:
    """A listener with a live bar; without a terminal it prints only the lines that should stay."""

    def __init__(self, title: str) -> None:
        """Show the run `title`."""
        self.console = _console(sys.stderr)
        self._title = title
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
            TextColumn("{task.fields[status]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Screen:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop drawing and leave the last state on the screen."""
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        """As in `Listener`."""
        status = _STATUS.format(
            delay=progress.delay_s,
            ticks=progress.ticks_per_s,
            misses=progress.deadline_misses,
            alive=progress.alive,
        )
        if self._task is None:
            self._task = self._bars.add_task(self._title, total=progress.length_s, status=status)
        self._bars.update(self._task, completed=progress.elapsed_s, status=status)

    def note(self, text: str) -> None:
        """As in `Listener`."""
        self.console.print(text, soft_wrap=True)


def _console(file: TextIO, width: int | None = None) -> Console:
    """Prints letter by letter, since ids and paths may hold brackets and colons."""
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    """Print a table to standard output, numbers to the right.

    Only the first column and those with sentences give way where the width does not suffice, so that no number and
    no header is cut.
    """
    table = Table(title=title, title_justify="left")
    for index, header in enumerate(headers):
        cells = [row[index] for row in rows]
        gives_way = index == 0 or max(map(len, cells), default=0) > NUMBER_WIDTH
        table.add_column(
            _folded(header, cells), justify="left" if index == 0 else "right", no_wrap=not gives_way, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    _console(sys.stdout, max(MIN_WIDTH, Console().width)).print(table)


def _folded(header: str, cells: Sequence[str]) -> str:
    """`header` in lines no longer than its longest word or the longest of its cells."""
    width = max(len(text) for text in (*header.split(), *cells, "-"))
    return "\n".join(textwrap.wrap(header, width, break_long_words=False, break_on_hyphens=False))
