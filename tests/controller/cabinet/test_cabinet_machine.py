"""A unit under everything at once: commands, overrides, preemptions, latches and power, in any order and at any layout.

The judge of the lights here reads only letters and times; it shares no code with sequencer, guard or read-back.
"""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from factories import make_reading
from phasemesh.contract.command import Command, CommandKind
from phasemesh.contract.detection import ControlMode, LaneReading
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.preemption import RailPreemption
from phasemesh.contract.site import PlanKind
from phasemesh.contract.timing import RED_REVERT_S, StageTiming, UnitTiming
from phasemesh.controller.cabinet.arbiter import Override, OverrideKind
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.plans.table import PLANS
from strategies import intersections, stage_times

TICK_S = 3.0
STEPS_S = (0.5, 1.0, 2.0)
STRONGEST_FIRST = ("rail", "fire", "flash", "stop_time", "manual")
MODES = {
    "rail": ControlMode.PREEMPT,
    "fire": ControlMode.PREEMPT,
    "flash": ControlMode.FLASH,
    "stop_time": ControlMode.STOP_TIME,
    "manual": ControlMode.MANUAL,
}
NEEDS_STAGE = {OverrideKind.RAIL, OverrideKind.FIRE, OverrideKind.MANUAL, OverrideKind.TRANSIT}
PREEMPTIONS = (OverrideKind.RAIL, OverrideKind.FIRE)
SLACK_S = 1e-3


class StreetJudge:
    """Watches one movement after the other and writes down every breach."""

    def __init__(self, intersection: Intersection, times: tuple[StageTiming, ...]) -> None:
        """Nothing has been shown."""
        self.intersection = intersection
        self.faults: list[str] = []
        self._times = times
        self._shown: list[tuple[float, str]] = []
        self._step_s = math.inf

    def take(self, now_s: float, letters: str) -> None:
        """Note what is shown from `now_s` on, in place of what was to be shown from the same moment."""
        if self._shown and self._shown[-1][0] == now_s:
            self._shown.pop()
        elif len(self._shown) > 1:
            self._step_s = min(self._step_s, now_s - self._shown[-1][0])
        if not self._shown or self._shown[-1][1] != letters:
            self._shown.append((now_s, letters))

    def judge(self) -> list[str]:
        """All breaches in everything that was shown."""
        found = []
        for (_, before), (now_s, letters) in zip(self._shown, self._shown[1:], strict=False):
            found += [f"{now_s}: {text}" for text in self._conflicts(letters)]
            for index, movement in enumerate(self.intersection.movements):
                old, new = before[index], letters[index]
                if old != new:
                    orders = {"Gr", "rG"} if movement.is_crossing else {"Gy", "gy", "yr", "rG", "rg", "gG", "yg"}
                    if new not in "oO" and old + new not in orders and (old not in "oO" or new != "r"):
                        found.append(f"{now_s}: movement {index} goes from {old} to {new}")
                    found += self._durations(index, now_s, old, new)
        return found

    def _conflicts(self, letters: str) -> list[str]:
        size = range(len(letters))
        moving = [index for index in size if letters[index] in "Ggy"]
        return [
            f"movements {a} and {b} conflict in {letters}"
            for a in moving
            for b in moving
            if a < b and self.intersection.conflicts[a][b] == "1" and not self._gives_way(letters, a, b)
        ]

    def _gives_way(self, letters: str, a: int, b: int) -> bool:
        yields = self.intersection.yields_to
        return (letters[a] in "gy" and yields[a][b] == "1") or (letters[b] in "gy" and yields[b][a] == "1")

    def _durations(self, index: int, now_s: float, old: str, new: str) -> list[str]:
        if new in "oO":
            return []
        mine = self._times_of(index)
        lasted_s = now_s - self._since_s(index, now_s)
        found = []
        if old == "y":
            longest_s = max(each.yellow_s for each in mine) + self._step_s
            if not min(each.yellow_s for each in mine) - SLACK_S <= lasted_s < longest_s + SLACK_S:
                found.append(f"{now_s}: movement {index} was yellow for {lasted_s} s")
        green_s = lasted_s if old != "g" and new != "g" else math.inf
        if old in "Gg" and new in "yr" and green_s < min(max(each.walk_s, each.min_green_s) for each in mine) - SLACK_S:
            found.append(f"{now_s}: the green of movement {index} lasted {lasted_s} s")
        if new in "Gg" and old == "r":
            found += [f"{now_s}: movement {index} {text}" for text in self._openings(index, now_s, new)]
        return found

    def _openings(self, index: int, now_s: float, new: str) -> list[str]:
        found = []
        for foe, conflict in enumerate(self.intersection.conflicts[index]):
            closed_s = now_s - self._last_open_s(foe, now_s)
            mine = self._times_of(foe)
            needed_s = min(each.red_clearance_s for each in mine)
            if self.intersection.movements[foe].is_crossing:
                needed_s = min(each.ped_clearance_s + each.yellow_s + each.red_clearance_s for each in mine)
            is_open = self._shown[self._position(now_s)][1][foe] in "Ggy"
            if conflict == "1" and not is_open and closed_s < needed_s - SLACK_S:
                found.append(f"opens {closed_s} s after {foe}")
        was = [letters[index] for time_s, letters in self._shown if time_s < now_s]
        red = len(was) - len("".join(was).rstrip("r"))
        colour = was[-red - 1] if red < len(was) else ""
        green = "".join(was).rstrip("r").rstrip("y")[-1:]
        red_s = now_s - self._since_s(index, now_s)
        if colour == "y" and (green, new) != ("G", "g") and red_s < RED_REVERT_S - SLACK_S:
            found.append(f"was red for {red_s} s")
        return found

    def _position(self, now_s: float) -> int:
        return next(place for place, (time_s, _) in enumerate(self._shown) if time_s == now_s)

    def _since_s(self, index: int, now_s: float) -> float:
        """When the letter before `now_s` began."""
        earlier = [(time_s, letters[index]) for time_s, letters in self._shown if time_s < now_s]
        since_s, letter = earlier[-1]
        for time_s, other in reversed(earlier):
            if other != letter:
                break
            since_s = time_s
        return since_s

    def _last_open_s(self, foe: int, now_s: float) -> float:
        """When movement `foe` was open or blinking for the last time before `now_s`."""
        times_s = [time_s for time_s, _ in self._shown]
        return max(
            (
                end_s
                for (_, letters), end_s in zip(self._shown, times_s[1:], strict=False)
                if end_s <= now_s and letters[foe] in "GgyoO"
            ),
            default=-math.inf,
        )

    def _times_of(self, index: int) -> list[StageTiming]:
        stages = zip(self.intersection.stages, self._times, strict=True)
        return [timing for stage, timing in stages if index in stage.served]


class Machine(RuleBasedStateMachine):
    """One unit and everybody who may want something of it."""

    def __init__(self) -> None:
        """There is no unit yet."""
        super().__init__()
        self.folder = TemporaryDirectory()
        self.judges: list[StreetJudge] = []
        self.expected: dict[str, float] = {}
        self.latched: set[str] = set()
        self.boot_id = self.seq = self.step_number = 0

    @initialize(
        drawn=intersections().flatmap(lambda each: st.tuples(st.just(each), stage_times(each))),
        step_s=st.sampled_from(STEPS_S),
        flash_s=st.sampled_from((0.0, 6.0)),
        plan=st.sampled_from(PlanKind),
        track_clearance_s=st.sampled_from((None, 1.0, 20.0)),
    )
    def begin(
        self,
        drawn: tuple[Intersection, tuple[StageTiming, ...]],
        step_s: float,
        flash_s: float,
        plan: PlanKind,
        track_clearance_s: float | None,
    ) -> None:
        """Power comes for the first time, beside tracks or far from any."""
        self.intersection, self.times = drawn
        self.step_s, self.flash_s, self.plan = step_s, flash_s, plan
        others = tuple(range(1, len(self.intersection.stages)))
        has_tracks = track_clearance_s is not None and others
        self.rail = RailPreemption(0, track_clearance_s or 0.0, others) if has_tracks else None
        self.switch_on()

    def switch_on(self) -> None:
        """A unit that knows nothing but its file."""
        self.now_s = 0.0
        self.step_number = 0
        self.expected = {}
        self.cabinet = Cabinet(
            self.intersection,
            self.times,
            PLANS[self.plan](self.intersection, self.times),
            tick_s=TICK_S,
            now_s=0.0,
            unit=UnitTiming(startup_flash_s=self.flash_s),
            state_path=Path(self.folder.name) / "0.json",
            rail=self.rail,
        )
        self.judges.append(StreetJudge(self.intersection, self.times))
        self.look()

    def look(self) -> None:
        """Show the judge the lights."""
        self.judges[-1].take(self.now_s, self.cabinet.lights)

    @rule(steps=st.sampled_from((1, 1, 2, 3, 5, 10)), queue_veh=st.sampled_from((0.0, 3.0)))
    def let_time_pass(self, steps: int, queue_veh: float) -> None:
        """Some steps, with or without traffic."""
        readings: tuple[LaneReading, ...] = (make_reading(queue_veh),) * len(self.intersection.lanes)
        for _ in range(steps):
            self.step_number += 1
            self.now_s = self.step_number * self.step_s
            self.cabinet.step(self.step_number, self.now_s, readings)
            self.expected = {kind: end for kind, end in self.expected.items() if self.now_s < end - 1e-6}
            self.look()

    @rule(
        stage=st.integers(-1, 6),
        kind=st.sampled_from((CommandKind.STAGE, CommandKind.STAGE, CommandKind.RELEASE)),
        age_s=st.sampled_from((0.0, 0.0, 4.0, math.nan)),
        approved_s=st.sampled_from((0.0, 0.0, 0.0, 4.0, None)),
        is_new_life=st.booleans(),
    )
    def command(
        self, stage: int, kind: CommandKind, age_s: float, approved_s: float | None, *, is_new_life: bool
    ) -> None:
        """An agent asks for anything; while others are in charge, nothing is granted."""
        self.seq += 1
        self.boot_id += is_new_life
        before = self.cabinet.mode
        approved_at_s = None if approved_s is None else self.now_s - approved_s
        applied = self.cabinet.command(
            Command(
                self.intersection.id,
                self.boot_id,
                self.seq,
                self.step_number,
                self.now_s - age_s,
                kind,
                stage,
                approved_s=approved_at_s,
            )
        )
        self.look()
        if kind is CommandKind.STAGE and (before not in {ControlMode.AGENT, ControlMode.OWN_PLAN} or approved_s != 0.0):
            assert not applied.is_accepted
            assert applied.rule in {"I11", "I25"}

    @rule(
        kind=st.sampled_from((*OverrideKind, *PREEMPTIONS, *PREEMPTIONS, *PREEMPTIONS)),
        stage=st.integers(0, 6),
        ttl_s=st.sampled_from((1.0, 10.0, 60.0, 600.0)),
    )
    def override(self, kind: OverrideKind, stage: int, ttl_s: float) -> None:
        """Somebody wants something else."""
        wanted = stage % len(self.intersection.stages) if kind in NEEDS_STAGE else None
        if kind is OverrideKind.RAIL and self.rail is not None:
            wanted = self.rail.dwell_stages[stage % len(self.rail.dwell_stages)]
        assert isinstance(self.cabinet.override(kind, wanted, ttl_s, reason="", who=""), Override)
        self.expected[kind.value] = self.now_s + ttl_s
        self.look()

    @rule(kind=st.sampled_from(OverrideKind))
    def cancel(self, kind: OverrideKind) -> None:
        """Somebody has changed his mind."""
        assert self.cabinet.cancel(kind) is (kind.value in self.expected)
        self.expected.pop(kind.value, None)
        self.look()

    @rule(name=st.sampled_from((*[""] * 9, "I1", "I3", "outside")))
    def latch(self, name: str) -> None:
        """A monitor sees something, which is rare."""
        if not name:
            return
        self.cabinet.latch(name, "seen by a test")
        self.latched.add(name)
        self.look()
        assert set(self.cabinet.lights) <= set("oO")

    @precondition(lambda self: self.latched)
    @rule()
    def reset(self) -> None:
        """An operator clears everything that may be cleared."""
        for name in sorted(self.latched):
            if self.cabinet.reset(name, "tester") == "":
                self.latched.discard(name)

    @rule(is_gone=st.sampled_from((*[False] * 9, True)))
    def cut_power(self, *, is_gone: bool) -> None:
        """Rarely, the unit forgets everything but its file."""
        if is_gone:
            self.switch_on()

    @invariant()
    def latches_are_cleared_by_resets_only(self) -> None:
        """Neither time, power cuts, commands nor overrides clear one, and no other appears."""
        assert set(self.cabinet.snapshot().latched) == self.latched

    @invariant()
    def a_latched_unit_flashes(self) -> None:
        """With whatever letters it came."""
        if self.latched:
            assert set(self.cabinet.lights) <= set("oO")
            assert self.cabinet.mode is ControlMode.FLASH

    @invariant()
    def the_order_of_strength_is_kept(self) -> None:
        """While stages are shown, the mode is that of the strongest override in force."""
        if self.latched:
            return
        mode = self.cabinet.mode
        wanted = next((MODES[kind] for kind in STRONGEST_FIRST if kind in self.expected), None)
        is_on_the_way = mode in {ControlMode.STARTUP, ControlMode.FLASH}
        assert mode is wanted or is_on_the_way or (wanted is None and mode in {ControlMode.AGENT, ControlMode.OWN_PLAN})

    def teardown(self) -> None:
        """All that was shown is judged at the end, and the read-back of the unit never had to step in."""
        self.folder.cleanup()
        assert [fault for judge in self.judges for fault in judge.judge()] == []


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    # Shrinking a run of a whole unit would outlast the time limit of a test.
    max_examples=80,
    stateful_step_count=50,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
