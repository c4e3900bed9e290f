"""Random cases for the guard: a signal driven by the real sequencer as it was granted, and states from nowhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import msgspec
from random_junctions import NO_NUMBERS, Plan

from phasemesh.contract.command import CommandKind, Interval, SignalState, advance, request_stage, start
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.history import ServiceHistory, empty_history, note_signal
from phasemesh.controller.safety.case import GuardCase

CASES_PER_STATE = 5
_INTERVALS = tuple(Interval)
_OTHER_MODES = (ControlMode.STARTUP, ControlMode.PREEMPT, ControlMode.MANUAL, ControlMode.STOP_TIME, ControlMode.FLASH)
_ODD_STAGES = (-1, 64, 2**63, -(2**70), 0.0, 1.0, 0.5, 1e300, -1e300, True, False, *NO_NUMBERS)
_ODD_KINDS = ("", "STAGE", "stage ", "flash", "dark", "releas\N{LATIN SMALL LETTER E WITH ACUTE}", "0" * 4096)
_LATE_S = (0.25, 1.0, 1.25, 2.0, 5.0, 60.0, -0.25, -1.0, -60.0, 1e300, -1e300, *NO_NUMBERS)
_ODD_AGES_S = (0.0, 0.25, 2.0, 5.0, 1e300, -1.0, *NO_NUMBERS)
_STEPS_S = (0.25, 0.5, 1.0, 1.0, 1.0, 2.0, 5.0)


class Drive:
    """One signal, one history and one clock; times are multiples of a quarter second, which sums exactly."""

    def __init__(self, random: Random, plan: Plan) -> None:
        self._random = random
        self._intersection, self._timings = plan
        self._now_s = float(random.choice((0, 0, 1000, 86_400, 10**7)))
        self._signal = start(random.randrange(len(self._timings)), self._now_s)
        self._history = empty_history(self._intersection, self._now_s)
        self._step_s = random.choice(_STEPS_S)
        self._wish = 0

    def cases(self, count: int) -> Iterator[GuardCase]:
        """At least `count` cases; the street shows what the sender of the verdict has granted by `obey`."""
        for _ in range(0, count, CASES_PER_STATE):
            self._go_on()
            state = self._state() if self._random.random() < 0.85 else self._state_from_nowhere()
            for _ in range(CASES_PER_STATE):
                yield self._case(*state)

    def obey(self, stage: int) -> None:
        """Ask the sequencer for `stage`, as a cabinet does after the verdict."""
        if 0 <= stage < len(self._timings):
            self._signal = request_stage(self._intersection, self._signal, stage, self._now_s)

    def _go_on(self) -> None:
        random = self._random
        self._now_s += self._step_s if random.random() < 0.9 else random.choice(_STEPS_S)
        if random.random() < 0.02:
            self._step_s = random.choice(_STEPS_S)
        self._signal = advance(self._signal, self._timings, self._now_s)
        seen = note_signal(self._history, self._intersection, self._signal, self._now_s)
        calls = list(seen.lane_call_s)
        lane = random.randrange(len(calls))
        if random.random() < 0.3:
            calls[lane] = None if random.random() < 0.4 else calls[lane] or self._now_s
        self._history = msgspec.structs.replace(seen, lane_call_s=tuple(calls))
        if random.random() < 0.1:
            self._wish = random.randrange(len(self._timings))

    def _state(self) -> tuple[SignalState, ServiceHistory, float]:
        return self._signal, self._history, self._now_s

    def _state_from_nowhere(self) -> tuple[SignalState, ServiceHistory, float]:
        random = self._random
        signal, history, now_s = self._state()
        if random.random() < 0.7:
            signal = self._any_signal()
        if random.random() < 0.7:
            history = self._any_history()
        return signal, history, random.choice(NO_NUMBERS) if random.random() < 0.02 else now_s

    def _any_signal(self) -> SignalState:
        random, size = self._random, len(self._timings)
        since_s = self._before_s(300)
        if random.random() < 0.05:
            since_s = random.choice((*NO_NUMBERS, 1e300, -1e300, self._now_s + 5.0))
        stage, origin = random.randrange(size), random.randrange(size)
        if random.random() < 0.05:
            stage, origin = random.choice(((-1, origin), (size, origin), (stage, size), (stage, -1), (10**9, 0)))
        return SignalState(stage, origin, random.choice(_INTERVALS), since_s)

    def _any_history(self) -> ServiceHistory:
        intersection, random = self._intersection, self._random
        return ServiceHistory(
            movement_green_s=tuple(self._before_s(random.choice((6, 60, 600))) for _ in intersection.movements),
            stage_green_s=tuple(self._before_s(600) for _ in intersection.stages),
            lane_call_s=tuple(None if random.random() < 0.5 else self._before_s(400) for _ in intersection.lanes),
        )

    def _before_s(self, most_s: int) -> float:
        return self._now_s - self._random.randrange(4 * most_s) / 4

    def _case(self, signal: SignalState, history: ServiceHistory, now_s: float) -> GuardCase:
        random = self._random
        return GuardCase(
            intersection=self._intersection,
            timings=self._timings,
            signal=signal,
            history=history,
            now_s=now_s,
            max_age_s=1.0 if random.random() < 0.97 else random.choice(_ODD_AGES_S),
            kind=self._kind(),
            stage=self._stage(signal),
            decided_s=now_s if random.random() < 0.9 else self._late_s(now_s),
            mode=self._mode(),
        )

    def _kind(self) -> CommandKind | str:
        draw = self._random.random()
        if draw < 0.9:
            return CommandKind.STAGE if draw < 0.6 else "stage"
        if draw < 0.97:
            return CommandKind.RELEASE if draw < 0.94 else "release"
        return self._random.choice(_ODD_KINDS)

    def _stage(self, signal: SignalState) -> int | float:
        draw = self._random.random()
        if draw < 0.3:
            return self._wish
        if draw < 0.4:
            return signal.stage
        if draw < 0.95:
            return self._random.randrange(len(self._timings))
        return len(self._timings) if draw < 0.96 else self._random.choice(_ODD_STAGES)

    def _late_s(self, now_s: float) -> float:
        late_s = self._random.choice(_LATE_S)
        return now_s - late_s if math.isfinite(late_s) else late_s

    def _mode(self) -> ControlMode:
        draw = self._random.random()
        if draw < 0.93:
            return ControlMode.AGENT if draw < 0.6 else ControlMode.OWN_PLAN
        return self._random.choice(_OTHER_MODES)
