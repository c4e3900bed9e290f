"""The guard: judges every request for a stage and says which stages may be asked for. Nothing passes around it.

Order of strength: a running change (I2) with its clearance for people (I8), the minimum green (I5), the walk (I8) and
the red after a yellow (I10) are never cut short by anything; then the duties of the intersection (I7, I6); then the
request. A duty stands even when the request itself is refused, so that a policy that only talks nonsense cannot starve
a movement.
"""

from __future__ import annotations

from phasemesh.contract.command import SignalState
from phasemesh.contract.errors import SiteError
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import SIMULATED_UNIT, StageTiming, UnitTiming
from phasemesh.controller.safety.case import Finding, GuardCase, Reaction, Verdict
from phasemesh.controller.safety.duty import duty_of, may_leave_green, reverting_movement, waits_of_concern_s
from phasemesh.controller.safety.junction import survey
from phasemesh.controller.safety.request_rules import Situation, is_readable, shown_conflict, situate
from phasemesh.controller.safety.rules import PRECEDENCE, REQUEST_CHECKS

_CHECKS = tuple(REQUEST_CHECKS[rule] for rule in PRECEDENCE)


class Guard:
    """The guard of one intersection; it holds only what never changes, so that its methods are pure functions."""

    def __init__(
        self, intersection: Intersection, timings: tuple[StageTiming, ...], unit: UnitTiming = SIMULATED_UNIT
    ) -> None:
        """Precompute the tables; raises SiteError unless there is exactly one timing a stage.

        The times of `unit` tell whether the ranges of a street or those of a simulation hold for the stages.
        """
        if len(timings) != len(intersection.stages):
            raise SiteError(f"timings: {len(timings)} for {len(intersection.stages)} stages")
        self.intersection = intersection
        self.timings = timings
        self._junction = survey(intersection, timings, unit)

    def judge(self, case: GuardCase) -> Verdict:
        """The verdict on the request of `case`; raises ValueError for a case of another intersection."""
        if not self._is_of_here(case):
            raise ValueError(f"the guard of {self.intersection.id} got a case of {case.intersection.id}")
        return _decide(situate(self._junction, case))

    def shown_conflict(self, signal: SignalState, now_s: float) -> Finding | None:
        """What rule I1 says of `signal`, which is shown at `now_s`; None where it cannot be read, as I17 tells."""
        if not is_readable(self.intersection, signal, now_s):
            return None
        return shown_conflict(self._junction, signal)

    def _is_of_here(self, case: GuardCase) -> bool:
        has_same_shape = case.intersection is self.intersection or case.intersection == self.intersection
        return has_same_shape and (case.timings is self.timings or case.timings == self.timings)

    def legal_stages(self, signal: SignalState, history: ServiceHistory, now_s: float) -> tuple[bool, ...]:
        """For each stage, whether a fresh request for it would be granted as asked while commands are taken at all.

        At least one is, as long as `signal` names stages of the intersection and its times are finite.
        """
        junction = self._junction
        if not is_readable(self.intersection, signal, now_s):
            return (False,) * len(self.timings)
        if not may_leave_green(junction, signal, now_s):
            return tuple(stage == signal.stage for stage in range(len(self.timings)))
        waiting = waits_of_concern_s(junction, signal, history, now_s)
        duty = duty_of(junction, signal, history, now_s, waiting)
        if duty is not None:
            return tuple(stage == duty.stage for stage in range(len(self.timings)))
        return tuple(
            stage == signal.stage
            or (may_change and reverting_movement(junction, signal, history, stage, now_s) is None)
            for stage, may_change in enumerate(junction.may_change[signal.stage])
        )


def _decide(situation: Situation) -> Verdict:
    findings = tuple(finding for check in _CHECKS if (finding := check(situation)) is not None)
    kept = situation.case.signal.stage
    decisive = _first(findings, Reaction.FORCE) or _first(findings, Reaction.REJECT, Reaction.HOLD)
    if decisive is not None:
        stage = kept if decisive.stage is None else decisive.stage
        return Verdict(stage, is_accepted=False, rule=decisive.rule, findings=findings)
    asked = situation.asked
    return Verdict(kept if asked is None else asked, is_accepted=True, rule="", findings=findings)


def _first(findings: tuple[Finding, ...], *reactions: Reaction) -> Finding | None:
    return next((finding for finding in findings if finding.reaction in reactions), None)
