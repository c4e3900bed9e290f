"""What each fault must be seen by: with the reaction nothing is missing, without it the fault has failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from phasemesh.contract.detection import ControlMode
from phasemesh.contract.messages import ECHOLESS_VERSION
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.safety.detectors import DetectorFaultKind
from phasemesh.sim_harness.faults.attack import ModeChange
from phasemesh.sim_harness.faults.fault import Depth
from phasemesh.sim_harness.faults.means import MEANS
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.table import FAULTS
from phasemesh.sim_harness.torture.timeline import Moment, Timeline
from phasemesh.sim_harness.torture.witnesses import WITNESSES, Scene

VICTIM, PEER = IntersectionId("victim"), IntersectionId("peer")
TICK_S, START_S, RESUME_S, JUMP_S = 2.0, 1000.0, 60.0, 3600.0
LENGTHS_S = {"detector-stuck-on": 420.0, "detector-flutter": 420.0, "detector-stuck-off": 3900.0}

Reaction = Callable[[float, float], dict[str, Any]]
"""From the time of a tick and that of the end of the fault to what the tick shows; None of a tick that is missing."""


def _while(**shown: Any) -> Reaction:
    """Shown while the fault lasts."""
    return lambda at_s, end_s: shown if START_S <= at_s < end_s else {}


def _told(*events: LadderEvent) -> Reaction:
    return _while(in_force=frozenset(events))


def _detected(kind: DetectorFaultKind, after_s: float = 0.0, for_s: float = 30.0) -> Reaction:
    """Held against the detector from so long after the beginning until so long after the end."""

    def reaction(at_s: float, end_s: float) -> dict[str, Any]:
        is_held = START_S + after_s <= at_s < end_s + for_s
        return {"first_lane": kind, "is_called": True} if is_held else {}

    return reaction


def _jumped(at_s: float, end_s: float) -> dict[str, Any]:
    return {"clock_step_s": {START_S: JUMP_S, end_s: -JUMP_S}.get(at_s, 0.0)}


def _away(at_s: float, end_s: float) -> dict[str, Any]:
    is_away = START_S <= at_s < end_s + RESUME_S
    return {
        "resume_s": RESUME_S,
        "is_command": not is_away,
        "in_force": frozenset({LadderEvent.UNIT_TAKEN}) if is_away else frozenset(),
    }


def _reborn(at_s: float, end_s: float) -> dict[str, Any]:
    return {"tick": int((at_s - end_s) / TICK_S), "boot_id": 2} if at_s >= end_s else {}


def _unrecorded(at_s: float, end_s: float) -> dict[str, Any]:
    """A tick of the fault that left no record."""
    return {"at_s": None} if START_S <= at_s < end_s else {}


REACTIONS: dict[str, Reaction] = {
    "guard-dead": _while(rule="I25"),
    "clock-jump": _jumped,
    **dict.fromkeys(
        ("detector-nan", "detector-infinite", "detector-negative", "detector-code"),
        _detected(DetectorFaultKind.OUT_OF_RANGE),
    ),
    "detector-silent": _detected(DetectorFaultKind.SILENT),
    "detector-stuck-on": _detected(DetectorFaultKind.STUCK_ON, after_s=302.0),
    "detector-flutter": _detected(DetectorFaultKind.FLUTTER, after_s=58.0, for_s=148.0),
    "detector-stuck-off": _detected(DetectorFaultKind.STUCK_OFF, after_s=3602.0, for_s=500.0),
    **dict.fromkeys(
        ("cabinet-error", "cabinet-hang", "cabinet-torn", "network-gone"), _told(LadderEvent.CABINET_SILENT)
    ),
    "cabinet-lie": _told(LadderEvent.READBACK_BROKEN),
    **dict.fromkeys(
        ("bundle-missing", "bundle-truncated", "bundle-altered", "policy-nan"), _told(LadderEvent.POLICY_FAULTY)
    ),
    "policy-slow": _told(LadderEvent.DECISIONS_LATE),
    "disk-full": _unrecorded,
    **dict.fromkeys(("kill", "power-cut", "kill-mid-change"), _reborn),
    "links-cut": _while(unheard_by=frozenset({VICTIM})),
    "key-rotated": _told(LadderEvent.NEIGHBOURS_STALE),
    **dict.fromkeys((means for means in WITNESSES if means.startswith("override-")), _away),
    "message-version-before": _while(versions=frozenset({ECHOLESS_VERSION})),
}


def _scene(means: str, reaction: Reaction) -> Scene:
    """A fault of `means` at VICTIM, and what two agents recorded from long before to long after it."""
    length_s = LENGTHS_S.get(means, 30.0)
    end_s = START_S + length_s
    planned = PlannedFault("F0", means, (VICTIM,), START_S, length_s, peers=(PEER,), strength=JUMP_S)
    ticks = range(int((end_s + 400.0) / TICK_S))
    shown = [{"tick": tick, "at_s": tick * TICK_S, "boot_id": 1} | reaction(tick * TICK_S, end_s) for tick in ticks]
    moments = [Moment(depth=Depth.COORDINATED, is_fallback=False, **each) for each in shown if each["at_s"] is not None]
    modes = [ModeChange(0.0, ControlMode.AGENT)]
    if means.startswith("override-"):
        modes += [ModeChange(START_S, ControlMode.PREEMPT), ModeChange(end_s, ControlMode.OWN_PLAN)]
    timelines = {VICTIM: Timeline(moments, modes), PEER: Timeline(moments, [])}
    return Scene(planned, end_s, end_s + 32.0, TICK_S, timelines)


def _nothing(_at_s: float, _end_s: float) -> dict[str, Any]:
    return {}


def _missing(means: str, reaction: Reaction) -> list[str]:
    return list(WITNESSES[means](_scene(means, reaction)))


@pytest.mark.parametrize("means", sorted(WITNESSES))
def test_a_fault_whose_reaction_is_there_is_as_required(means: str) -> None:
    """Its trace is found."""
    assert _missing(means, REACTIONS[means]) == []


@pytest.mark.parametrize("means", sorted(WITNESSES))
def test_a_fault_whose_reaction_is_gone_fails(means: str) -> None:
    """An agent that goes on as if nothing were is not taken for one that survived."""
    assert _missing(means, _nothing) != []


@pytest.mark.parametrize("means", sorted({variant.means for fault in FAULTS for variant in fault.variants}))
def test_every_fault_has_something_that_it_must_be_seen_by(means: str) -> None:
    """A rung that was lost, a trace in the records, or what the fault itself has to find."""
    least = [variant.least for fault in FAULTS for variant in fault.variants if variant.means == means]

    assert means in WITNESSES or MEANS[means].has_findings or min(least) > Depth.COORDINATED


@pytest.mark.parametrize(
    ("means", "reaction", "says"),
    [
        ("detector-nan", _while(first_lane=DetectorFaultKind.OUT_OF_RANGE), "did not call constantly"),
        ("detector-nan", _while(first_lane=DetectorFaultKind.SILENT, is_called=True), "did not hold out_of_range"),
        ("detector-nan", _detected(DetectorFaultKind.OUT_OF_RANGE, after_s=20.0), "did not hold out_of_range"),
        ("detector-nan", _detected(DetectorFaultKind.OUT_OF_RANGE, for_s=200.0), "still held out_of_range"),
        ("detector-stuck-on", _detected(DetectorFaultKind.STUCK_ON, after_s=400.0), "did not hold stuck_on"),
        ("clock-jump", _while(clock_step_s=JUMP_S), "did not notice the jump back"),
        ("clock-jump", _while(clock_step_s=30.0), "did not notice the jump of"),
        ("guard-dead", _while(rule="I18"), "was refused by I25"),
        ("cabinet-lie", _told(LadderEvent.CABINET_SILENT), "never told of readback_broken"),
        ("override-fire", lambda at_s, end_s: _away(at_s, end_s - RESUME_S), "commanded a cabinet that others"),
        ("links-cut", _while(unheard_by=frozenset({PEER})), "did not tell that victim"),
    ],
)
def test_half_a_reaction_is_none(means: str, reaction: Reaction, says: str) -> None:
    """Too late, too long, for another reason, or only at the beginning."""
    assert any(says in line for line in _missing(means, reaction))


def test_a_cabinet_that_nobody_took_proves_nothing() -> None:
    """An agent that stays away from a cabinet which was never taken did so for another reason."""
    scene = _scene("override-fire", _away)
    free = Timeline(scene.timelines[VICTIM].moments(0.0, 1e6), [ModeChange(0.0, ControlMode.AGENT)])
    scene = Scene(scene.planned, scene.over_s, scene.well_s, TICK_S, {VICTIM: free})

    assert any("nobody took" in line for line in WITNESSES["override-fire"](scene))
