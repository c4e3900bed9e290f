"""A second judge of requests, against which the guard is held: slow, plain, and without a thought in common.

It was written from `docs/safety-case.md` and from what the tests of the rules say in words, before the guard's own code
was read. Of the contract it takes the data types alone and reads stages, matrices, lights and waits for itself. It
remembers what it has found out about a pair of stages, because ten million commands are a lot; nothing else is clever.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from msgspec import structs

from phasemesh.contract.detection import ControlMode
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.safety.case import GuardCase

YELLOW_S = (2.0, 6.0)
RED_CLEARANCE_S = (0.0, 6.0)
SHORTEST_WALK_S = 4.0
LONGEST_FOR_PEOPLE_S = 60.0
WALKING_MPS = 1.07
BUFFER_S = 3.0
RED_S = 2.0
BETWEEN_CHANGES_S = 1.0
TOLD_FROM = 2 / 3
OPEN_MODES = ("agent", "own_plan")
ROUNDING_S = 5e-7


class Judgement(NamedTuple):
    """Every rule that is breached, each with what follows; the stage in force after that; whether it was granted."""

    breaches: frozenset[tuple[str, str]]
    stage: int
    is_accepted: bool


class Duty(NamedTuple):
    """The stage that must be in force, whatever is asked, and the rule that says so."""

    rule: str
    stage: int


class ReferenceGuard:
    """The judge of one intersection with one set of times."""

    def __init__(self, intersection: Intersection, timings: tuple[StageTiming, ...]) -> None:
        self._junction = intersection
        self._timings = timings
        self._movements = range(len(intersection.movements))
        self._stages = range(len(intersection.stages))
        self._known_pairs: dict[tuple[int, int], frozenset[str]] = {}
        self._known_shown: dict[tuple[int, int, str], bool] = {}
        self._served = [{*stage.protected, *stage.permissive} for stage in intersection.stages]
        place = {lane.id: index for index, lane in enumerate(intersection.lanes)}
        self._lanes = [[place[name] for name in movement.lanes] for movement in intersection.movements]
        self._max_wait_s = [self._longest_wait_s(index) for index in self._movements]
        self._back_s = [self._from_green_to_green_s(index) for index in self._movements]

    def judge(self, case: GuardCase) -> Judgement:
        """What the rules say to the request of `case`."""
        is_readable = self._is_readable(case)
        is_command = is_readable and self._is_command(case)
        is_fresh = -ROUNDING_S <= case.now_s - case.decided_s <= case.max_age_s + ROUNDING_S
        is_open = case.mode in OPEN_MODES
        wrong = set[tuple[str, str]]()
        if not is_command:
            wrong.add(("I17", "reject"))
        if not is_fresh:
            wrong.add(("I13", "reject"))
        if not is_open:
            wrong.add(("I11", "reject"))
        if not is_readable:
            return Judgement(frozenset(wrong), case.signal.stage, is_accepted=False)
        is_heard = is_command and is_fresh and is_open
        asked = int(case.stage) if is_heard and case.kind == "stage" else None
        if asked is not None:
            wrong |= self._wrong_with_the_change(case, asked)
        if ("I1", "reject") not in wrong:
            wrong |= self._wrong_with_the_street(case)
        is_let_go = is_heard and case.kind == "release"
        duty = self._duty(case) if is_open and not is_let_go else None
        if self._is_somebody_waiting_long(case) and not (
            duty is not None and duty.rule == "I7" and duty.stage != asked
        ):
            wrong.add(("I7", "log"))
        return self._answer(case, asked, wrong, duty)

    def legal_stages(self, case: GuardCase) -> tuple[bool, ...]:
        """For each stage, whether it would be granted if somebody asked for it now."""
        fresh = structs.replace(case, kind="stage", decided_s=case.now_s, max_age_s=1.0, mode=ControlMode.AGENT)
        return tuple(self.judge(structs.replace(fresh, stage=stage)).is_accepted for stage in self._stages)

    def _answer(self, case: GuardCase, asked: int | None, wrong: set[tuple[str, str]], duty: Duty | None) -> Judgement:
        if duty is not None and duty.stage != asked:
            return Judgement(frozenset({*wrong, (duty.rule, "force")}), duty.stage, is_accepted=False)
        if any(follows in {"reject", "hold", "release"} for _, follows in wrong):
            return Judgement(frozenset(wrong), case.signal.stage, is_accepted=False)
        return Judgement(frozenset(wrong), case.signal.stage if asked is None else asked, is_accepted=True)

    # What can be read at all.

    def _is_readable(self, case: GuardCase) -> bool:
        signal = case.signal
        return (
            signal.stage in self._stages
            and signal.from_stage in self._stages
            and math.isfinite(signal.since_s)
            and math.isfinite(case.now_s)
        )

    def _is_command(self, case: GuardCase) -> bool:
        return case.kind == "release" or (
            case.kind == "stage" and type(case.stage) is int and case.stage in self._stages
        )

    # What is wrong, whoever asks.

    def _wrong_with_the_street(self, case: GuardCase) -> set[tuple[str, str]]:
        signal = case.signal
        key = (signal.from_stage, signal.stage, str(signal.interval))
        if key not in self._known_shown:
            self._known_shown[key] = bool(self._clashes(self._shown(*key)))
        return {("I1", "latch")} if self._known_shown[key] else set()

    def _is_somebody_waiting_long(self, case: GuardCase) -> bool:
        waits_s = self._waits_s(case)
        return any(at_least(wait_s, TOLD_FROM * self._max_wait_s[index]) for index, wait_s in waits_s.items())

    # What is wrong with the change that is asked for.

    def _wrong_with_the_change(self, case: GuardCase, asked: int) -> set[tuple[str, str]]:
        signal = case.signal
        if asked == signal.stage:
            return set()
        wrong = {(rule, "reject") for rule in self._wrong_with_the_pair(signal.stage, asked)}
        if signal.interval != "green":
            wrong.add(("I2", "hold"))
            if signal.interval == "ped_clearance" and ("I8", "reject") not in wrong:
                wrong.add(("I8", "hold"))
            return wrong
        timing = self._timings[signal.stage]
        green_s = case.now_s - signal.since_s
        if not at_least(green_s, timing.min_green_s):
            wrong.add(("I5", "hold"))
        if not self._have_people_walked(signal.stage, green_s) and ("I8", "reject") not in wrong:
            wrong.add(("I8", "hold"))
        if not at_least(green_s, BETWEEN_CHANGES_S):
            wrong.add(("I15", "hold"))
        if self._is_too_soon(case, asked):
            wrong.add(("I10", "hold"))
        return wrong

    def _wrong_with_the_pair(self, before: int, after: int) -> frozenset[str]:
        if (before, after) not in self._known_pairs:
            self._known_pairs[before, after] = frozenset(self._look_at_the_pair(before, after))
        return self._known_pairs[before, after]

    def _look_at_the_pair(self, before: int, after: int) -> set[str]:
        wrong = set()
        both = (self._timings[before], self._timings[after])
        if any(not YELLOW_S[0] <= timing.yellow_s <= YELLOW_S[1] for timing in both):
            wrong.add("I3")
        if any(not RED_CLEARANCE_S[0] <= timing.red_clearance_s <= RED_CLEARANCE_S[1] for timing in both):
            wrong.add("I4")
        if any(self._has_no_time_for_people(stage) for stage in (before, after)):
            wrong.add("I8")
        if self._crosses_a_barrier(after):
            wrong.add("I9")
        if self._lets_conflicts_in(before, after):
            wrong.add("I1")
        return wrong

    def _has_no_time_for_people(self, stage: int) -> bool:
        walked = [index for index in self._served[stage] if self._is_crossing(index)]
        if not walked:
            return False
        timing = self._timings[stage]
        lengths_m = [self._length_m(index) for index in walked]
        if not all(math.isfinite(length_m) for length_m in lengths_m):
            return True
        across_s = max(lengths_m) / WALKING_MPS
        missing_s = max(0.0, BUFFER_S - timing.yellow_s - timing.red_clearance_s)
        needed_s = across_s + missing_s
        if needed_s == math.inf:
            return True
        whole_s = math.ceil(max(needed_s, 0.0))
        is_enough = timing.walk_s >= SHORTEST_WALK_S and timing.ped_clearance_s >= whole_s
        return not (
            is_enough and timing.walk_s <= LONGEST_FOR_PEOPLE_S and timing.ped_clearance_s <= LONGEST_FOR_PEOPLE_S
        )

    def _crosses_a_barrier(self, stage: int) -> bool:
        table = self._junction.concurrency
        served = self._served[stage]
        return bool(table) and any(table[one][other] == "0" for one in served for other in served if one < other)

    def _lets_conflicts_in(self, before: int, after: int) -> bool:
        """Whether anything on the way meets a conflict that is not on the street already and about to end."""
        there = self._clashes(self._shown(before, before, "green"))
        end = self._clashes(self._shown(after, after, "green"))
        on_the_way = [
            self._clashes(self._shown(before, after, interval))
            for interval in ("ped_clearance", "yellow", "red_clearance")
        ]
        return bool(set(end).union(*on_the_way) - (there - end))

    def letters(self, before: int, after: int, since_request_s: float) -> str:
        """What must be shown so long after `after` was asked for in the green of `before`; people have r, not p."""
        timing = self._timings[before]
        people = [self._letter_in_a_change(before, after, "ped_clearance", index) for index in self._movements]
        closed = [self._letter_in_a_change(before, after, "red_clearance", index) for index in self._movements]
        is_change = before != after and closed != self._shown(before, before, "green")
        ends_s = timing.ped_clearance_s if is_change and "p" in people else 0.0
        for interval, lasts_s in (
            ("ped_clearance", 0.0),
            ("yellow", timing.yellow_s),
            ("red_clearance", timing.red_clearance_s),
        ):
            ends_s += lasts_s if is_change else 0.0
            if not at_least(since_request_s, ends_s):
                return "".join(self._shown(before, after, interval)).replace("p", "r")
        return "".join(self._shown(after, after, "green"))

    # What the street shows: for each movement G, g, y, r, or p for people who still walk.

    def _shown(self, before: int, after: int, interval: str) -> list[str]:
        if interval == "green":
            return [self._letter(after, index) for index in self._movements]
        return [self._letter_in_a_change(before, after, interval, index) for index in self._movements]

    def _letter(self, stage: int, index: int) -> str:
        chosen = self._junction.stages[stage]
        return "g" if index in chosen.permissive else "G" if index in chosen.protected else "r"

    def _letter_in_a_change(self, before: int, after: int, interval: str, index: int) -> str:
        if before == after:
            return "r"
        first, last = self._letter(before, index), self._letter(after, index)
        is_closed = first != "r" and (last == "r" or (first == "G" and last == "g"))
        if not is_closed:
            return first
        if interval == "ped_clearance":
            return "p" if self._is_crossing(index) else first
        return "y" if interval == "yellow" and not self._is_crossing(index) else "r"

    def _clashes(self, shown: list[str]) -> set[tuple[int, int]]:
        moving = [index for index in self._movements if shown[index] != "r"]
        return {
            (one, other)
            for one in moving
            for other in moving
            if one < other
            and self._junction.conflicts[one][other] == "1"
            and not self._gives_way(shown, one, other)
            and not self._gives_way(shown, other, one)
        }

    def _gives_way(self, shown: list[str], one: int, other: int) -> bool:
        return shown[one] in "gy" and self._junction.yields_to[one][other] == "1"

    # Times.

    def _change_s(self, before: int, after: int) -> float:
        """From the request to the green of `after`."""
        timing = self._timings[before]
        steps = [self._letter_in_a_change(before, after, "ped_clearance", index) for index in self._movements]
        yellow = [self._letter_in_a_change(before, after, "red_clearance", index) for index in self._movements]
        green = [self._letter(before, index) for index in self._movements]
        if yellow == green:
            return 0.0
        people_s = timing.ped_clearance_s if "p" in steps else 0.0
        return people_s + timing.yellow_s + timing.red_clearance_s

    def _from_green_to_green_s(self, index: int) -> float:
        if self._is_crossing(index):
            return RED_S
        yellows_s = [self._timings[stage].yellow_s for stage in self._stages if index in self._served[stage]]
        return max(yellows_s, default=0.0) + RED_S

    def _is_too_soon(self, case: GuardCase, after: int) -> bool:
        before = case.signal.stage
        opens_s = case.now_s + self._change_s(before, after)
        return any(
            not at_least(opens_s - case.history.movement_green_s[index], self._back_s[index])
            for index in self._served[after] - self._served[before]
        )

    def _have_people_walked(self, stage: int, green_s: float) -> bool:
        has_people = any(self._is_crossing(index) for index in self._served[stage])
        return not has_people or at_least(green_s, self._timings[stage].walk_s)

    def _longest_wait_s(self, index: int) -> float:
        """How long a movement may wait: what the strictest of its stages says, if that is a number."""
        said_s = [self._timings[stage].max_wait_s for stage in self._stages if index in self._served[stage]]
        return min((wait_s for wait_s in said_s if not math.isnan(wait_s)), default=math.inf)

    def _is_crossing(self, index: int) -> bool:
        return self._junction.movements[index].turn == "crossing"

    def _length_m(self, index: int) -> float:
        return max((self._junction.lanes[lane].length_m for lane in self._lanes[index]), default=0.0)

    # Who waits, and what is due to them.

    def _waits_s(self, case: GuardCase) -> dict[int, float]:
        """For each called movement that the stage in force does not serve, how long it has waited."""
        red = [index for index in self._movements if index not in self._served[case.signal.stage]]
        since_s = {index: self._waits_since_s(case.history, index) for index in red}
        return {index: case.now_s - at_s for index, at_s in since_s.items() if at_s is not None and at_s < case.now_s}

    def _waits_since_s(self, history: ServiceHistory, index: int) -> float | None:
        calls = [call_s for lane in self._lanes[index] if (call_s := history.lane_call_s[lane]) is not None]
        return max(min(calls), history.movement_green_s[index]) if calls else None

    def _duty(self, case: GuardCase) -> Duty | None:
        signal = case.signal
        current, green_s = signal.stage, case.now_s - signal.since_s
        timing = self._timings[current]
        is_over = at_least(green_s, timing.min_green_s) and at_least(green_s, BETWEEN_CHANGES_S)
        if signal.interval != "green" or not is_over or not self._have_people_walked(current, green_s):
            return None
        waits_s = self._waits_s(case)
        overdue_s = {index: wait_s for index, wait_s in waits_s.items() if at_least(wait_s, self._max_wait_s[index])}
        due = self._best_for(current, overdue_s, waits_s)
        rule = "I7"
        if due is None:
            rule, due = "I6", self._after_a_long_green(case, green_s, waits_s)
        if due is None:
            return None
        return Duty(rule, current if self._is_too_soon(case, due) else due)

    def _after_a_long_green(self, case: GuardCase, green_s: float, waits_s: dict[int, float]) -> int | None:
        current = case.signal.stage
        timing = self._timings[current]
        is_long, is_longest = at_least(green_s, timing.max_green_s), at_least(green_s, timing.absolute_max_green_s)
        due = self._best_for(current, waits_s, waits_s) if is_long or is_longest else None
        if due is None and is_longest:
            others = [stage for stage in self._stages if self._may_follow(current, stage)]
            due = min(others, key=lambda stage: case.history.stage_green_s[stage], default=None)
        return due

    def _best_for(self, current: int, wanted_s: dict[int, float], waits_s: dict[int, float]) -> int | None:
        """The stage for whoever of `wanted_s` waits longest; of several the one that ends most waiting."""
        for longest_s in sorted({*wanted_s.values()}, reverse=True):
            oldest = {index for index, wait_s in wanted_s.items() if wait_s == longest_s}
            able = [
                stage for stage in self._stages if oldest & self._served[stage] and self._may_follow(current, stage)
            ]
            if able:
                return max(able, key=lambda stage: sum(waits_s.get(each, 0.0) for each in self._served[stage]))
        return None

    def _may_follow(self, current: int, stage: int) -> bool:
        return stage != current and not self._wrong_with_the_pair(current, stage)


def at_least(duration_s: float, limit_s: float) -> bool:
    """Whether `duration_s` has reached `limit_s`, a rounding error aside; nothing reaches what is no number."""
    return duration_s >= limit_s - ROUNDING_S
