"""Runs one request in a process of its own: restarts of SUMO inside a process were seen to change a seed's results.

python -m phasemesh.sim_harness.worker REQUEST.json
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from phasemesh.contract.errors import PhasemeshError
from phasemesh.sim_harness.city import RESULT_NAME, City
from phasemesh.sim_harness.request import RunRequest, resolve
from phasemesh.sim_harness.result import RunResult

EXIT_REFUSED = 2


def run_apart(request: RunRequest) -> RunResult:
    """Run `request` in a fresh process and return its result; raises PhasemeshError with the worker's own line."""
    with tempfile.TemporaryDirectory(prefix="phasemesh-run-") as folder:
        path = Path(folder) / "request.json"
        path.write_bytes(msgspec.json.encode(request))
        command = [sys.executable, "-m", "phasemesh.sim_harness.worker", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own module)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"worker ended with exit code {done.returncode}"]
        raise PhasemeshError(f"{request.scenario}, {request.controller}, seed {request.seed}: {lines[-1]}")
    return msgspec.json.decode((Path(request.report) / RESULT_NAME).read_bytes(), type=RunResult)


def run_all(
    requests: Sequence[RunRequest], *, workers: int, on_done: Callable[[RunResult], None] = lambda _result: None
) -> list[RunResult]:
    """Run all `requests`, at most `workers` at a time; results in the order of the requests."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures: dict[Future[RunResult], int] = {
            pool.submit(run_apart, request): index for index, request in enumerate(requests)
        }
        results = dict(_as_done(futures, on_done))
    return [results[index] for index in range(len(requests))]


def _as_done(
    futures: dict[Future[RunResult], int], on_done: Callable[[RunResult], None]
) -> Iterator[tuple[int, RunResult]]:
    for future in as_completed(futures):
        try:
            result = future.result()
        except PhasemeshError:
            for other in futures:
                other.cancel()
            raise
        on_done(result)
        yield futures[future], result


def _work(path: Path) -> int:
    request = msgspec.json.decode(path.read_bytes(), type=RunRequest)
    try:
        City(resolve(request)).run()
    except PhasemeshError as error:
        print(error, file=sys.stderr)  # noqa: T201 (read by run_apart)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_work(Path(sys.argv[1])))
