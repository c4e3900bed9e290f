"""Cases for the tests of the guard: a plain crossing with short, round times in which every rule can be reached."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from factories import make_intersection
from phasemesh.contract.command import CommandKind, Interval, SignalState, start
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.history import ServiceHistory, empty_history
from phasemesh.contract.intersection import Intersection, Stage
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.safety.case import GuardCase, Verdict
from phasemesh.controller.safety.guard import Guard

TIMING = StageTiming(
    min_green_s=5.0, max_green_s=20.0, absolute_max_green_s=40.0, yellow_s=3.0, red_clearance_s=1.0, max_wait_s=45.0
)
CROSSING = make_intersection()
"""Two stages; movements and lanes north, east, south, west, of which stage 0 serves 0 and 2, stage 1 serves 1 and 3."""
LEFTS = make_intersection(has_left_lanes=True)
"""Four stages; stages 0 and 2 serve what 1 and 3 serve, permissively, and more."""
PARTS = msgspec.structs.replace(
    CROSSING,
    stages=(
        Stage(name="north", protected=(0,)),
        Stage(name="east-west", protected=(1, 3)),
        Stage(name="south", protected=(2,)),
        Stage(name="north-south", protected=(0, 2)),
    ),
)
"""Four stages of which two are parts of the last."""
CONFLICTING = msgspec.structs.replace(
    CROSSING, stages=(*CROSSING.stages, Stage(name="wrong", protected=(0, 1)), Stage(name="west", protected=(3,)))
)
"""A crossing whose third stage lets conflicting movements in, which no check of a site would let pass."""

PEOPLE = make_intersection(has_crossings=True)
"""Two stages of a crossing whose movements 4 to 7 are people over the arms of north, east, south and west: stage 0
serves vehicles 0 and 2 and people 5 and 7, stage 1 serves vehicles 1 and 3 and people 4 and 6."""
WALK_S, PED_CLEARANCE_S = 8.0, 10.0
"""Times of people at `PEOPLE`; the walk is longer than the minimum green of `TIMING`."""


def timings_of(intersection: Intersection, **changes: float) -> tuple[StageTiming, ...]:
    """`TIMING` with `changes` for every stage, and with times for people where they walk."""
    has_people = any(movement.is_crossing for movement in intersection.movements)
    walking = {"walk_s": WALK_S, "ped_clearance_s": PED_CLEARANCE_S} if has_people else {}
    return (msgspec.structs.replace(TIMING, **{**walking, **changes}),) * len(intersection.stages)


def with_timing(timings: tuple[StageTiming, ...], stage: int, **changes: float) -> tuple[StageTiming, ...]:
    """`timings` with `changes` for one stage."""
    changed = msgspec.structs.replace(timings[stage], **changes)
    return (*timings[:stage], changed, *timings[stage + 1 :])


def history_of(
    intersection: Intersection,
    calls: dict[int, float] | None = None,
    stage_green: dict[int, float] | None = None,
    movement_green: dict[int, float] | None = None,
) -> ServiceHistory:
    """A history from 0 s; `calls` gives the start of the call of some lanes, the others the last green of some."""
    history = empty_history(intersection, 0.0)
    return msgspec.structs.replace(
        history,
        movement_green_s=tuple(
            (movement_green or {}).get(movement, 0.0) for movement in range(len(intersection.movements))
        ),
        lane_call_s=tuple((calls or {}).get(lane) for lane in range(len(intersection.lanes))),
        stage_green_s=tuple((stage_green or {}).get(stage, 0.0) for stage in range(len(intersection.stages))),
    )


def changing(from_stage: int, stage: int, interval: Interval = Interval.YELLOW, since_s: float = 0.0) -> SignalState:
    """A signal in the change from `from_stage` to `stage`."""
    return SignalState(stage=stage, from_stage=from_stage, interval=interval, since_s=since_s)


@dataclass(frozen=True)
class Scene:
    """A case in short form: stage 0 of a crossing, green since 0 s, no calls, asked for stage 1 at `now_s`."""

    intersection: Intersection = CROSSING
    timings: tuple[StageTiming, ...] | None = None
    signal: SignalState = field(default_factory=lambda: start(0, 0.0))
    history: ServiceHistory | None = None
    now_s: float = 10.0
    age_s: float = 0.0
    max_age_s: float = 1.0
    kind: str = CommandKind.STAGE
    stage: int | float = 1
    mode: ControlMode = ControlMode.AGENT

    def case(self) -> GuardCase:
        """The case itself."""
        return GuardCase(
            intersection=self.intersection,
            timings=self.timings or timings_of(self.intersection),
            signal=self.signal,
            history=self.history or history_of(self.intersection),
            now_s=self.now_s,
            max_age_s=self.max_age_s,
            kind=self.kind,
            stage=self.stage,
            decided_s=self.now_s - self.age_s,
            mode=self.mode,
        )


def judge(case: GuardCase) -> Verdict:
    """The verdict of a guard of the intersection of `case` on it."""
    return Guard(case.intersection, case.timings).judge(case)
