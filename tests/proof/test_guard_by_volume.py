"""Guard and reference agree on 100 000 random commands; `volume.py` asks for ten million."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
from random_junctions import random_layout, random_times
from volume import COMMANDS_PER_CHUNK, Tally, judge_chunk, report, run

from phasemesh.contract.intersection import faults_of_intersection
from phasemesh.contract.timing import faults_of_crossings, faults_of_timing
from phasemesh.controller.safety.case import GuardCase, Reaction, Verdict
from phasemesh.controller.safety.guard import Guard
from phasemesh.controller.safety.rules import REQUEST_CHECKS

COMMANDS = 100_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_guard_and_reference_agree_on_a_hundred_thousand_commands() -> None:
    """Breaches, reactions, the stage in force and what is legal are the same, and every rule is breached sometimes."""
    tally = Tally(seed=2, chunk=0)

    assert run(tally, COMMANDS) is None
    assert {name.split()[0] for name in tally.breaches} == set(REQUEST_CHECKS)
    assert tally.granted > COMMANDS // 10


@pytest.mark.parametrize("chunk", range(8))
def test_guard_and_reference_agree_at_an_intersection(chunk: int) -> None:
    """All commands of one random intersection are judged alike."""
    assert judge_chunk(3, chunk, Counter()) == (COMMANDS_PER_CHUNK, None)


class _Lenient(Guard):
    """Grants whatever names a stage that exists."""

    def judge(self, case: GuardCase) -> Verdict:
        said = super().judge(case)
        return said if said.rule in {"I17", "I7", "I6"} else Verdict(said.stage, True, "", said.findings)


class _Forgetful(Guard):
    """Never holds a change because of I10."""

    def judge(self, case: GuardCase) -> Verdict:
        said = super().judge(case)
        findings = tuple(finding for finding in said.findings if finding.rule != "I10")
        return msgspec.structs.replace(said, findings=findings)


class _Mild(Guard):
    """Holds what must be rejected."""

    def judge(self, case: GuardCase) -> Verdict:
        said = super().judge(case)
        findings = tuple(msgspec.structs.replace(each, reaction=_milder(each.reaction)) for each in said.findings)
        return msgspec.structs.replace(said, findings=findings)


def _milder(reaction: Reaction) -> Reaction:
    return Reaction.HOLD if reaction is Reaction.REJECT else reaction


class _Generous(Guard):
    """Calls every stage legal."""

    def legal_stages(self, *_: object) -> tuple[bool, ...]:
        return (True,) * len(self.timings)


@pytest.mark.parametrize("make_guard", [_Lenient, _Forgetful, _Mild, _Generous])
def test_a_wrong_guard_is_found(make_guard: Callable[..., Guard]) -> None:
    """Each fault of a guard shows within a few intersections, with the case on which it shows."""
    found = (judge_chunk(1, chunk, Counter(), make_guard)[1] for chunk in range(80))
    disagreement = next(each for each in found if each is not None)

    assert "GuardCase(" in str(disagreement)


@pytest.mark.parametrize("seed", range(30))
def test_intersections_without_a_fault_are_valid(seed: int) -> None:
    """A random layout with random times would be accepted as a site of a simulation."""
    random = Random(seed)  # noqa: S311 (repeatable)
    whole = random_layout(random)
    times = random_times(random, whole)

    assert faults_of_intersection(whole) == []
    assert [faults_of_timing(each, is_simulated=True) for each in times] == [[]] * len(times)
    assert faults_of_crossings(whole, times) == []


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    """The tally of two short runs is that of one long run, so that ten million commands need no single sitting."""
    keep = tmp_path / "tally.json"
    run(Tally(seed=4, chunk=0), COMMANDS_PER_CHUNK, keep)
    resumed = msgspec.json.decode(keep.read_bytes(), type=Tally)
    run(resumed, 2 * COMMANDS_PER_CHUNK, keep)
    whole = Tally(seed=4, chunk=0)
    run(whole, 2 * COMMANDS_PER_CHUNK)

    assert (resumed.chunk, resumed.granted, resumed.breaches) == (whole.chunk, whole.granted, whole.breaches)


def test_the_report_names_every_breach_in_the_order_of_the_rules() -> None:
    """The table has one row a rule and reaction, the first rules first."""
    tally = Tally(seed=1, chunk=2, commands=4000, seconds=2.0, breaches={"I10 hold": 3, "I2 hold": 5})

    assert report(tally).splitlines()[-2:] == ["| I2 | hold | 5 |", "| I10 | hold | 3 |"]
    assert "2000 a second" in report(tally)
