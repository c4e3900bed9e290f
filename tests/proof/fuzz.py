"""Fuzzing of every decoder with atheris (dependency group `proof`): nothing but declared errors may come out, in time.

    python tests/proof/fuzz.py --target command --seconds 600
    python tests/proof/fuzz.py --all --seconds 600 [--report FILE] [--keep FOLDER]

Each target of `fuzz_targets.py` runs in a process of its own, begins with seeds made from valid objects, and ends with
the first input that lets another exception out, gives a wrong answer or takes longer than ten seconds; the input is
kept in the folder. `--report` writes the table of docs/proof.md. Ends with 1 when anything was found.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

import folder_of_tests  # noqa: F401 (for the factories)

LONGEST_RUN_S = 10
MAX_BYTES = 16_384
MAX_MEMORY_MB = 2048
EXIT_FOUND = 1
SUMMARY = re.compile(r"stat::number_of_executed_units: +(\d+)")


class Outcome(NamedTuple):
    """What became of one target: executions, seconds of wall time, and what was found, if anything."""

    name: str
    expected: str
    executions: int
    seconds: float
    found: str


def main() -> int:
    """Fuzz one target in this process, or every target in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--target", help="name of one target")
    which.add_argument("--all", action="store_true")
    parser.add_argument("--seconds", type=int, default=60, help="wall time of each target")
    parser.add_argument("--report", type=Path, help="file for the table")
    parser.add_argument("--keep", type=Path, help="folder of corpora and findings, from which a later call goes on")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phasemesh-fuzz-") as temporary:
        folder = arguments.keep or Path(temporary)
        if arguments.here is not None:
            fuzz_here(arguments.target, arguments.seconds, folder, arguments.here)
        # Not at the top, since atheris instruments what is imported after it.
        from fuzz_targets import TARGETS

        names = list(TARGETS) if arguments.all else [arguments.target]
        outcomes = [_fuzzed(TARGETS[name].expected, name, arguments.seconds, folder) for name in names]
    table = _table(outcomes)
    sys.stdout.write(table)
    if arguments.report is not None:
        arguments.report.write_text(table, encoding="utf-8")
    return EXIT_FOUND if any(outcome.found for outcome in outcomes) else 0


def _fuzzed(expected: str, name: str, seconds: int, folder: Path) -> Outcome:
    place = folder / name
    (place / "corpus").mkdir(parents=True, exist_ok=True)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="phasemesh-fuzz-", dir=_memory()) as scratch:
        options = ["--target", name, "--seconds", str(seconds), "--keep", str(folder), "--here", scratch]
        ended = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), *options],
            env=os.environ | {"XDG_CONFIG_HOME": str(Path(scratch) / "settings")},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    spent_s = time.monotonic() - begun_s
    (place / "log.txt").write_text(ended.stderr + ended.stdout, encoding="utf-8")
    count = SUMMARY.search(ended.stderr)
    found = "" if ended.returncode == 0 and count else _finding(ended.stderr + ended.stdout, place)
    outcome = Outcome(name, expected, int(count[1]) if count else 0, spent_s, found)
    sys.stderr.write(f"{name}: {outcome.executions} in {spent_s:.0f} s {found}\n")
    return outcome


def _memory() -> Path | None:
    """Where files are quick, as some targets write and flush a thousand a second; None where there is no such place."""
    folder = Path("/dev/shm")  # noqa: S108 (only its existence is asked for; the name in it is random)
    return folder if folder.is_dir() else None


def _finding(log: str, place: Path) -> str:
    lines = [
        line for line in log.splitlines() if re.match(r"\w+(Error|Exception|Warning)\b|ALARM|ERROR: libFuzzer", line)
    ]
    kept = ", ".join(sorted(path.name for path in place.glob("*-*") if path.is_file()))
    return f"{lines[0] if lines else 'ended early'} ({kept})"


def _table(outcomes: list[Outcome]) -> str:
    rows = [
        f"| `{outcome.name}` | {outcome.expected} | {outcome.executions} | {outcome.seconds / 3600:.3f} |"
        f" {outcome.found or 'none'} |"
        for outcome in outcomes
    ]
    head = ["| target | what may come out | executions | hours | findings |", "|---|---|---|---|---|"]
    total = sum(outcome.executions for outcome in outcomes), sum(outcome.seconds for outcome in outcomes) / 3600
    return "\n".join([*head, *rows, f"| all | | {total[0]} | {total[1]:.2f} | |", ""])


def fuzz_here(name: str, seconds: int, folder: Path, scratch: Path) -> None:
    """Fuzz target `name` in this process, which ends with the fuzzing; its decoder reads files in `scratch`."""
    import atheris
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with atheris.instrument_imports(include=["phasemesh"]):
        from fuzz_targets import TARGETS
    from mutations import mutated

    target = TARGETS[name]
    (scratch / "bench").mkdir()
    bench = target.set_up(scratch / "bench")
    place = folder / name
    for seed in bench.seeds:
        (place / "corpus" / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)  # noqa: S311 (repeatable)
        if random.random() < 0.3:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(random, data or random.choice(bench.seeds), target.form)[:max_size]

    options = [
        *(sys.argv[0], str(place / "corpus"), f"-artifact_prefix={place}/", "-print_final_stats=1"),
        *(f"-timeout={LONGEST_RUN_S}", f"-rss_limit_mb={MAX_MEMORY_MB}", f"-max_len={MAX_BYTES}"),
        f"-max_total_time={seconds}",
    ]
    atheris.Setup(options, bench.judge, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
