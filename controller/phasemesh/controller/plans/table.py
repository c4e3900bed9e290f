"""THE PLAN TABLE: what a site may name as the plan of an intersection."""

from __future__ import annotations

from collections.abc import Callable

from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import PlanKind
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.plans.actuated import ActuatedPlan
from phasemesh.controller.plans.fixed import FixedPlan
from phasemesh.controller.plans.plan import LocalPlan

PlanFactory = Callable[[Intersection, tuple[StageTiming, ...]], LocalPlan]

PLANS: dict[PlanKind, PlanFactory] = {
    PlanKind.FIXED: FixedPlan,
    PlanKind.ACTUATED: ActuatedPlan,
}
