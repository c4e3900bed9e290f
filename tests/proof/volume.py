"""Proof by volume: random commands are judged by the guard and by the reference, and both must say the same.

    python tests/proof/volume.py --commands 10000000 [--seed 1] [--keep FILE]

A chunk is one random intersection with its times and 500 commands; it depends on the seed and its number
alone, so that `--first N --commands 1` shows chunk N again. With `--keep` the tally is written after every few chunks,
and a later call with the same file goes on from there. Ends with 1 at the first disagreement and prints the case.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

import folder_of_tests  # noqa: F401 (for the factories)
import msgspec
from random_cases import CASES_PER_STATE, Drive
from random_junctions import random_plan
from reference_guard import Judgement, ReferenceGuard

from phasemesh.controller.safety.case import GuardCase, Verdict
from phasemesh.controller.safety.guard import Guard

COMMANDS_PER_CHUNK = 500
CHUNKS_PER_REPORT = 400
EXIT_DISAGREEMENT = 1


class Tally(msgspec.Struct):
    """What has been judged so far: of which seed, up to which chunk, how often each breach, and how long it took."""

    seed: int
    chunk: int
    commands: int = 0
    granted: int = 0
    seconds: float = 0.0
    breaches: dict[str, int] = {}


class Disagreement(NamedTuple):
    """A case on which guard and reference differ, in their verdict or in what they call legal."""

    chunk: int
    case: GuardCase
    said: Verdict | tuple[bool, ...]
    expected: Judgement | tuple[bool, ...]

    def __str__(self) -> str:
        """The case as Python, so that it can be pasted into a test."""
        return f"chunk {self.chunk}\n  case: {self.case!r}\n  guard: {self.said!r}\n  reference: {self.expected!r}"


def judge_chunk(
    seed: int, chunk: int, counts: Counter[str], make_guard: type[Guard] = Guard
) -> tuple[int, Disagreement | None]:
    """Judge the commands of one chunk and count what they breach; how many there were, and the first disagreement."""
    random = Random(f"{seed}:{chunk}")  # noqa: S311 (repeatable)
    plan = random_plan(random)
    guard, reference = make_guard(*plan), ReferenceGuard(*plan)
    drive = Drive(random, plan)
    judged = 0
    for case in drive.cases(COMMANDS_PER_CHUNK):
        verdict, expected = guard.judge(case), reference.judge(case)
        if not agree(verdict, expected):
            return judged, Disagreement(chunk, case, verdict, expected)
        if judged % CASES_PER_STATE == 0:
            legal = guard.legal_stages(case.signal, case.history, case.now_s)
            if legal != (expected_legal := reference.legal_stages(case)):
                return judged, Disagreement(chunk, case, legal, expected_legal)
        judged += 1
        counts.update(f"{rule} {follows}" for rule, follows in expected.breaches)
        counts["granted"] += expected.is_accepted
        if judged % CASES_PER_STATE == 0:
            drive.obey(verdict.stage)
    return judged, None


def agree(verdict: Verdict, expected: Judgement) -> bool:
    """Whether the guard found the same breaches, with the same reactions, and put the same stage in force."""
    found = {(finding.rule, str(finding.reaction)) for finding in verdict.findings}
    return (
        found == expected.breaches
        and len(found) == len(verdict.findings)
        and verdict.stage == expected.stage
        and verdict.is_accepted == expected.is_accepted
        and (verdict.rule == "") == verdict.is_accepted
        and (verdict.is_accepted or verdict.rule in {rule for rule, _ in found})
    )


def run(tally: Tally, commands: int, keep: Path | None = None) -> Disagreement | None:
    """Judge chunk after chunk until `tally` holds `commands`; it is printed, and kept, from time to time."""
    counts = Counter(tally.breaches)
    counts["granted"] = tally.granted
    begun_s = time.perf_counter() - tally.seconds
    disagreement = None
    while tally.commands < commands and disagreement is None:
        judged, disagreement = judge_chunk(tally.seed, tally.chunk, counts)
        tally.commands += judged
        tally.chunk += disagreement is None
        tally.seconds = time.perf_counter() - begun_s
        tally.granted = counts["granted"]
        tally.breaches = {name: counts[name] for name in sorted(counts) if name != "granted"}
        if tally.chunk % CHUNKS_PER_REPORT == 0:
            _keep(tally, keep)
    _keep(tally, keep)
    return disagreement


def _keep(tally: Tally, keep: Path | None) -> None:
    sys.stderr.write(f"{tally.commands} commands, {tally.chunk} chunks, {tally.seconds:.0f} s\n")
    if keep is not None:
        keep.write_bytes(msgspec.json.encode(tally))


def main() -> int:
    """Judge as many commands as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first chunk")
    parser.add_argument("--keep", type=Path, help="file of the tally, from which a later call goes on")
    arguments = parser.parse_args()
    tally = Tally(seed=arguments.seed, chunk=arguments.first)
    if arguments.keep is not None and arguments.keep.exists():
        tally = msgspec.json.decode(arguments.keep.read_bytes(), type=Tally)
    disagreement = run(tally, arguments.commands, arguments.keep)
    sys.stdout.write(f"{report(tally)}\n")
    if disagreement is not None:
        sys.stdout.write(f"{disagreement}\n")
        return EXIT_DISAGREEMENT
    return 0


def report(tally: Tally) -> str:
    """The tally as a table in Markdown."""
    rate = tally.commands / max(tally.seconds, 1e-9)
    rows = [
        f"seed {tally.seed}: {tally.commands} commands at {tally.chunk} intersections in {tally.seconds:.0f} s,"
        f" {rate:.0f} a second; {tally.granted} granted",
        "",
        "| rule | reaction | commands |",
        "|---|---|---|",
    ]
    names = sorted(tally.breaches, key=lambda name: (int(name.split()[0][1:]), name))
    return "\n".join(rows + [f"| {' | '.join(name.split())} | {tally.breaches[name]} |" for name in names])


if __name__ == "__main__":
    sys.exit(main())
