"""What a fault must be seen by, beside a lower rung: for each means the trace that the required reaction leaves.

A fault that leaves no such trace failed: either it never happened, or the reaction that the table asks for is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import msgspec

from phasemesh.contract.detection import COMMANDABLE_MODES, ControlMode
from phasemesh.contract.messages import ECHOLESS_VERSION
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.safety.detectors import DetectorFaultKind
from phasemesh.sim_harness.faults.driver import UNAPPROVED
from phasemesh.sim_harness.faults.messages import OLD_VERSION
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.table import UNPLUGGED
from phasemesh.sim_harness.faults.wall_clock import WALL_JUMP
from phasemesh.sim_harness.torture.timeline import Moment, Timeline

APPROVAL_RULE = "I25"
CLOCK_SLACK_S = 5.0
"""By how much a jump may be noticed as another one: the tick took that long, or the true clock was put right."""
BELIEF_S = 30.0
"""Clean time after which a detector is believed again (I21)."""
RECORDER_PAUSE_TICKS = 30
"""A recorder whose disk was full tries again after so many ticks."""
TAKEN_MODES = frozenset(ControlMode) - COMMANDABLE_MODES


class Scene(msgspec.Struct, frozen=True):
    """One fault with all that may tell of it: it was over at `over_s`, its targets had to be well at `well_s`."""

    planned: PlannedFault
    over_s: float
    well_s: float
    tick_s: float
    timelines: Mapping[IntersectionId, Timeline]

    def targets(self) -> Iterator[tuple[IntersectionId, Timeline]]:
        """The targets, by name."""
        return ((name, self.timelines[name]) for name in self.planned.targets)

    def moments(self, timeline: Timeline) -> list[Moment]:
        """The ticks of a target from the beginning of the fault until it had to be well."""
        return timeline.moments(self.planned.start_s, self.well_s)


Witness = Callable[[Scene], Iterator[str]]
"""What is missing of the traces of a fault, a line each."""


def stood_by(*events: LadderEvent) -> Witness:
    """Every target says in its records that one of `events` kept it down."""

    def witness(scene: Scene) -> Iterator[str]:
        for name, timeline in scene.targets():
            if not any(moment.in_force & set(events) for moment in scene.moments(timeline)):
                yield f"{name} never told of {' or '.join(events)}"

    return witness


def refused_by(rule: str) -> Witness:
    """The cabinet of every target refused a command by `rule`."""

    def witness(scene: Scene) -> Iterator[str]:
        for name, timeline in scene.targets():
            if not any(moment.rule == rule for moment in scene.moments(timeline)):
                yield f"no command of {name} was refused by {rule}"

    return witness


def jumps_told(scene: Scene) -> Iterator[str]:
    """F8: a target notices the jump of its wall clock when it comes and when it is taken back."""
    planned = scene.planned
    turns = (("jump", planned.start_s, planned.end_s, 1.0), ("jump back", planned.end_s, scene.well_s, -1.0))
    for name, timeline in scene.targets():
        for what, from_s, to_s, sign in turns:
            expected_s = sign * planned.strength
            moments = timeline.moments(from_s, to_s)
            if not any(abs(moment.clock_step_s - expected_s) <= CLOCK_SLACK_S for moment in moments):
                yield f"{name} did not notice the {what} of its wall clock by {expected_s:.0f} s"


def disbelieved(kind: DetectorFaultKind, within_s: float, heals_s: float | None) -> Witness:
    """F9, F10: the first lane is found `kind` within a time, calls until the fault ends, and is then believed again.

    `heals_s` is how long after its end, None where that depends on who comes by.
    """

    def witness(scene: Scene) -> Iterator[str]:
        slack_s = 2 * scene.tick_s
        found_s, end_s = scene.planned.start_s + within_s + slack_s, scene.planned.end_s
        for name, timeline in scene.targets():
            during = [moment for moment in timeline.moments(found_s, end_s) if moment.at_s < end_s]
            if not during or any(moment.first_lane is not kind for moment in during):
                yield f"{name} did not hold {kind} against its detector"
            called = [moment.is_called for moment in during if moment.at_s > found_s + slack_s]
            if not all(called):
                yield f"the lane of {name} did not call constantly"
            if heals_s is None:
                continue
            healed_s = end_s + heals_s + slack_s
            if any(moment.first_lane is kind for moment in timeline.moments(healed_s, healed_s + slack_s)):
                yield f"{name} still held {kind} against its detector after {heals_s:.0f} s"

    return witness


def stayed_away(scene: Scene) -> Iterator[str]:
    """F25: while others have the cabinet, and for the time after, no target commands; it says why."""
    yield from stood_by(LadderEvent.UNIT_TAKEN, LadderEvent.UNIT_FLASHING)(scene)
    planned = scene.planned
    for name, timeline in scene.targets():
        spans = timeline.spans(TAKEN_MODES, planned.start_s - scene.tick_s, planned.end_s)
        if not spans:
            yield f"nobody took the cabinet of {name}"
            continue
        taken_s, free_s = spans[0][0], spans[-1][1]
        resume_s = max((moment.resume_s for moment in timeline.moments(taken_s, free_s)), default=0.0)
        away = timeline.moments(taken_s + scene.tick_s, free_s + resume_s - 0.5 * scene.tick_s)
        if not away or any(moment.is_command for moment in away):
            yield f"{name} commanded a cabinet that others had, or had had until {resume_s:.0f} s before"


def lived_anew(scene: Scene) -> Iterator[str]:
    """F24: after the kill every target has another life, which begins with a tick of its own."""
    for name, timeline in scene.targets():
        if not any(moment.tick == 0 for moment in scene.moments(timeline)):
            yield f"no new life of {name} left a record"


def owed_records(scene: Scene) -> Iterator[str]:
    """F17: records of every target are missing, so that its disk was full; that they are declared is judged of all."""
    until_s = scene.well_s + RECORDER_PAUSE_TICKS * scene.tick_s
    for name, timeline in scene.targets():
        moments = timeline.moments(scene.planned.start_s - scene.tick_s, until_s)
        owed = sum(
            after.tick - before.tick - 1 for before, after in pairwise(moments) if before.boot_id == after.boot_id
        )
        if owed <= 0:
            yield f"no record of {name} is missing: its disk was not full"


def told_deaf(scene: Scene) -> Iterator[str]:
    """F21: the peers tell that a target does not hear them; their own inputs are sound all the while."""
    for peer in scene.planned.peers:
        unheard = scene.timelines[peer].unheard_by(scene.planned.start_s, scene.well_s)
        for name in sorted(frozenset(scene.planned.targets) - unheard):
            yield f"{peer} did not tell that {name} does not hear it"


def used_before(scene: Scene) -> Iterator[str]:
    """F30: targets use messages of the version before, which is all that they get."""
    for name, timeline in scene.targets():
        if ECHOLESS_VERSION not in timeline.versions(scene.planned.start_s, scene.well_s):
            yield f"{name} used no message of version {ECHOLESS_VERSION}"


_SILENT_CABINET = stood_by(LadderEvent.CABINET_SILENT)
_NO_POLICY = stood_by(LadderEvent.POLICY_FAULTY)
_OUT_OF_RANGE = disbelieved(DetectorFaultKind.OUT_OF_RANGE, 0.0, BELIEF_S)

WITNESSES: dict[str, Witness] = {
    UNAPPROVED: refused_by(APPROVAL_RULE),
    WALL_JUMP: jumps_told,
    "detector-nan": _OUT_OF_RANGE,
    "detector-infinite": _OUT_OF_RANGE,
    "detector-negative": _OUT_OF_RANGE,
    "detector-code": _OUT_OF_RANGE,
    "detector-silent": disbelieved(DetectorFaultKind.SILENT, 0.0, BELIEF_S),
    # Five minutes without a change, and green enough to move in.
    "detector-stuck-on": disbelieved(DetectorFaultKind.STUCK_ON, 360.0, BELIEF_S),
    # A minute is counted to its end; the one after it counts as erratic throughout.
    "detector-flutter": disbelieved(DetectorFaultKind.FLUTTER, 120.0, 120.0 + BELIEF_S),
    # An hour without anybody; the first vehicle mends it.
    "detector-stuck-off": disbelieved(DetectorFaultKind.STUCK_OFF, 3660.0, None),
    "cabinet-error": _SILENT_CABINET,
    "cabinet-hang": _SILENT_CABINET,
    "cabinet-torn": _SILENT_CABINET,
    UNPLUGGED: _SILENT_CABINET,
    "cabinet-lie": stood_by(LadderEvent.READBACK_BROKEN),
    "bundle-missing": _NO_POLICY,
    "bundle-truncated": _NO_POLICY,
    "bundle-altered": _NO_POLICY,
    "policy-nan": _NO_POLICY,
    "policy-slow": stood_by(LadderEvent.DECISIONS_LATE),
    "disk-full": owed_records,
    "kill": lived_anew,
    "power-cut": lived_anew,
    "kill-mid-change": lived_anew,
    "links-cut": told_deaf,
    "key-rotated": stood_by(LadderEvent.NEIGHBOURS_STALE),
    "override-fire": stayed_away,
    "override-rail": stayed_away,
    "override-manual": stayed_away,
    "override-stop-time": stayed_away,
    "override-flash": stayed_away,
    OLD_VERSION: used_before,
}
"""By means; for all others a rung or the fault's own findings tell."""
