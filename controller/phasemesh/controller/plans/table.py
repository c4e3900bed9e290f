"""THE PLAN TABLE: what a site may name as the plan of an intersection."""

from __future__ import annotations

from typing import Protocol

from phasemesh.contract.intersection import Intersection
from phasemesh.contract.schedule import ScheduleRow
from phasemesh.contract.site import PlanKind, SiteIntersection
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.plans.actuated import ActuatedPlan
from phasemesh.controller.plans.approach import ApproachPlan
from phasemesh.controller.plans.fixed import FixedPlan
from phasemesh.controller.plans.plan import LocalPlan


class PlanFactory(Protocol):
    """Makes the plan of one intersection."""

    def __call__(
        self, intersection: Intersection, timings: tuple[StageTiming, ...], schedule: tuple[ScheduleRow, ...] = (), /
    ) -> LocalPlan:
        """A plan for `intersection`; only fixed time follows `schedule`, which must be without faults."""


def _actuated(
    intersection: Intersection, timings: tuple[StageTiming, ...], _schedule: tuple[ScheduleRow, ...] = ()
) -> LocalPlan:
    return ActuatedPlan(intersection, timings)


def _approach(
    intersection: Intersection, timings: tuple[StageTiming, ...], _schedule: tuple[ScheduleRow, ...] = ()
) -> LocalPlan:
    return ApproachPlan(intersection, timings)


PLANS: dict[PlanKind, PlanFactory] = {
    PlanKind.FIXED: FixedPlan,
    PlanKind.ACTUATED: _actuated,
    PlanKind.APPROACH: _approach,
}

DEFAULT_PLAN = PlanKind.ACTUATED
"""The plan where a site is provisioned without naming one; docs/adr says from which figures it was chosen."""


def site_plan(entry: SiteIntersection) -> LocalPlan:
    """The plan that `entry` of a site names, with its schedule."""
    return PLANS[entry.plan](entry.intersection, entry.timings, entry.schedule)
