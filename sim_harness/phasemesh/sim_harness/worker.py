"""Runs one request in a process of its own: restarts of SUMO inside a process were seen to change a seed's results.

python -m phasemesh.sim_harness.worker REQUEST.json [--lifeline]

With `--lifeline` the run is interrupted at the end of the standard input.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import msgspec

from phasemesh.contract.errors import PhasemeshError
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.request import RunRequest, resolve
from phasemesh.sim_harness.result import RESULT_NAME, RunResult

EXIT_REFUSED = 2
LIFELINE = "--lifeline"


def run_apart(request: RunRequest) -> RunResult:
    """Run `request` in a fresh process and return its result; raises PhasemeshError with the worker's own line."""
    return Workers().run(request)


class Workers:
    """The processes of requests that are being run; `stop` ends them early."""

    def __init__(self) -> None:
        """Begin with none."""
        self._running: set[subprocess.Popen[str]] = set()
        self._is_stopping = False

    def run(self, request: RunRequest) -> RunResult:
        """Run `request` in a fresh process; raises PhasemeshError with the worker's own line."""
        with tempfile.TemporaryDirectory(prefix="phasemesh-run-") as folder:
            path = Path(folder) / "request.json"
            path.write_bytes(msgspec.json.encode(request))
            returncode, errors = self._wait_for(
                [sys.executable, "-m", "phasemesh.sim_harness.worker", str(path), LIFELINE]
            )
        if returncode != 0:
            lines = errors.strip().splitlines() or [f"worker ended with exit code {returncode}"]
            raise PhasemeshError(f"{request.scenario}, {request.controller}, seed {request.seed}: {lines[-1]}")
        return msgspec.json.decode((Path(request.report) / RESULT_NAME).read_bytes(), type=RunResult)

    def stop(self) -> None:
        """Interrupt all processes, which end within seconds; nothing is started any more."""
        self._is_stopping = True
        for process in tuple(self._running):
            process.send_signal(signal.SIGINT)

    def _wait_for(self, command: list[str]) -> tuple[int, str]:
        if self._is_stopping:
            return EXIT_REFUSED, "interrupted before it began"
        with (
            _lifeline() as lifeline,
            subprocess.Popen(  # noqa: S603 (our own module)
                command, stdin=lifeline, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            ) as process,
        ):
            self._running.add(process)
            errors = process.communicate()[1]
            self._running.discard(process)
        return process.returncode, errors


@contextmanager
def _lifeline() -> Iterator[int]:
    """The end to read of a pipe that nobody writes to: it is at its end when this process is, however it ended."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def run_all(
    requests: Sequence[RunRequest], *, workers: int, on_done: Callable[[RunResult], None] = lambda _result: None
) -> list[RunResult]:
    """Run all `requests`, at most `workers` at a time; results in the order of the requests.

    Ctrl-C ends the runs early; then only those that were complete come back.
    """
    crew = Workers()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(crew.run, request) for request in requests]
        try:
            for future in as_completed(futures):
                on_done(future.result())
        except PhasemeshError:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()
            raise
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()
    results = [future.result() for future in futures if not future.cancelled() and future.exception() is None]
    return [result for result in results if result.is_complete]


def _end_with_parent() -> None:
    """Interrupt this process when the one that asked for the run is gone: nobody waits for the result any more."""

    def watch() -> None:
        # Not through `sys.stdin`, whose lock must be free when the interpreter ends.
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True, name="lifeline").start()


def _work(path: Path) -> int:
    request = msgspec.json.decode(path.read_bytes(), type=RunRequest)
    try:
        City(resolve(request)).run()
    except PhasemeshError as error:
        print(error, file=sys.stderr)  # noqa: T201 (read by run_apart)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    if LIFELINE in sys.argv[2:]:
        _end_with_parent()
    sys.exit(_work(Path(sys.argv[1])))
