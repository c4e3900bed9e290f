"""A process that outlives a run whose own process dies: it writes the report that nobody else can write any more.

SUMO lives inside the process of a run, so that its crash takes everything along: the bridge, the cabinets and whoever
would have written the result. The watcher is a bare interpreter that reads from a pipe what there is so far. A pipe
that ends without the word for an orderly end means that the run is dead.

python -m phasemesh.sim_harness.watcher FOLDER NET
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

ORDERLY = b"orderly\n"
WHY = "its process died: it was killed, or SUMO crashed"
WATCHER = "phasemesh.sim_harness.watcher"


class Watcher:
    """The harness's end of the pipe; the process watches from `__enter__` to an end of the block of any kind."""

    def __init__(self, folder: Path, net_file: Path) -> None:
        """Watch over the run that reports to `folder`, on the network `net_file`."""
        # A session of its own, so that neither Ctrl-C nor the end of a whole group takes the watcher along.
        self._process = subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", WATCHER, str(folder.resolve()), str(net_file.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def tell(self, encoded: bytes) -> None:
        """This is the result so far, as JSON in one line."""
        self._write(encoded + b"\n")

    def _write(self, line: bytes) -> None:
        """A run goes on without its watcher."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def __enter__(self) -> Watcher:
        """Return the watcher itself."""
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Whatever happened, somebody is left to tell it."""
        self._write(ORDERLY)
        with contextlib.suppress(OSError):
            self._process.communicate()


def last_words() -> bytes | None:
    """What a run told last, empty for nothing, when its pipe ended without an orderly end; None after one."""
    last = b""
    for line in sys.stdin.buffer:
        if line == ORDERLY:
            return None
        if line.endswith(b"\n"):
            last = line
    return last


def main(arguments: Sequence[str]) -> None:
    """Watch until the run ends, in whatever way."""
    folder, net_file = map(Path, arguments)
    if not (told := last_words()):
        return
    import msgspec  # noqa: PLC0415 (a watcher that has nothing to do is a bare interpreter)

    from phasemesh.sim_harness.early_end import bury  # noqa: PLC0415 (likewise)
    from phasemesh.sim_harness.result import RunResult  # noqa: PLC0415 (likewise)

    result = msgspec.json.decode(told, type=RunResult)
    page = bury(folder, net_file, result, WHY)
    print(f"phasemesh: the run ended after {result.seconds:.0f} s: {WHY}; report: {page}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
