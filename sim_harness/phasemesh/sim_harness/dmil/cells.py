"""One cell of the reproduction: a variant on a grid under one set of rules, over all seeds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules
from phasemesh.controller.memory.equivalence import Abstraction
from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.variants import TableKind, Variant
from phasemesh.sim_harness.dmil.play import Play, PlayRules, Sample, Table
from phasemesh.sim_harness.dmil.prior import EPISODES, Prior, copied_tables, filled_tables, train_priors
from phasemesh.sim_harness.queue_city import QueueRules

MEASURED_AT_STEP = 300
"""When the paper divides the mean waiting by the vehicles that arrived."""


class CellSeries(msgspec.Struct, frozen=True):
    """Means over seeds at the end of each interval; sizes a crossing."""

    steps: tuple[int, ...]
    arrived_veh: tuple[float, ...]
    keys: tuple[float, ...]
    numbers: tuple[float, ...]
    packed_bytes: tuple[float, ...]


class Cell(msgspec.Struct, frozen=True):
    """What was measured: a value a seed at step 300 or at the end of a shorter play, and means over time.

    `waiting` is the paper's W: mean waiting in steps over vehicles that arrived. `keys_before` is the size of the
    prior, `known` the share of decisions for which the table had an answer.
    """

    variant: str
    side: int
    waiting: tuple[float, ...]
    arrived_veh: tuple[int, ...]
    known: float
    keys_before: float
    series: CellSeries


class Setting(msgspec.Struct, frozen=True):
    """One way to read what the paper leaves open: rules of the play, and how long the dummy is trained."""

    name: str
    meaning: str
    rules: PlayRules
    episodes: int = EPISODES


MAIN = Setting("main", "the paper's numbers, arrivals a minute of 60 steps", PlayRules(steps=600))
EXPERIMENTS = (
    Setting(
        "interval",
        "arrivals an interval of 10 steps instead of a minute of 60",
        PlayRules(queues=QueueRules(arrival_window_steps=10.0)),
    ),
    Setting("greedy", "no random stages in the test", PlayRules(epsilon=0.0)),
    Setting("equal", "the same 0.4 of random stages for SARSA and for memories", PlayRules(epsilon=0.4)),
    Setting("short", "a tenth of the training of the dummy", PlayRules(), EPISODES // 10),
    Setting("frozen", "nothing is learned in the test", PlayRules(is_frozen=True)),
    Setting("random", "all stages random in the test", PlayRules(epsilon=1.0)),
    Setting(
        "eager",
        "short-term memory of 4 keys, exchange every 20 steps",
        PlayRules(exchange_steps=20, memory=DualMemoryRules(capacity=4)),
    ),
)
"""Variations of the main setting, each of one thing, on the 3x3 grid."""


def shortened(setting: Setting, scale: float) -> Setting:
    """The setting with plays and training cut to the share `scale`, in whole intervals."""
    interval = setting.rules.queues.interval_steps
    steps = max(2, round(setting.rules.steps * scale / interval)) * interval
    rules = msgspec.structs.replace(setting.rules, steps=steps)
    return msgspec.structs.replace(setting, rules=rules, episodes=max(1, round(setting.episodes * scale)))


class Dummies:
    """Trained dummies and tables filled from them, shared by all settings that train alike."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self._priors: dict[tuple[RewardKind, QueueRules, int], list[Prior]] = {}
        self._filled: dict[tuple[RewardKind, QueueRules, int, TableKind, Abstraction], list[Table]] = {}

    def tables(self, setting: Setting, variant: Variant) -> list[Table]:
        """A table of `variant` a seed, to be copied and not to be changed."""
        trained = (variant.reward, setting.rules.queues, setting.episodes)
        place = (*trained, variant.kind, variant.abstraction)
        if trained not in self._priors:
            self._priors[trained] = self._train(setting, variant.reward)
        if place not in self._filled:
            self._filled[place] = filled_tables(self._priors[trained], variant, setting.rules)
        return self._filled[place]

    def _train(self, setting: Setting, reward: RewardKind) -> list[Prior]:
        rules = msgspec.structs.replace(setting.rules, steps=MEASURED_AT_STEP, is_frozen=False)
        return train_priors(reward, self.seeds, rules, setting.episodes)


def play_cell(dummies: Dummies, setting: Setting, variant: Variant, side: int) -> Cell:
    """One cell, its dummies trained first where they are not at hand."""
    filled = dummies.tables(setting, variant)
    samples = Play(variant, side, dummies.seeds, setting.rules, copied_tables(filled, side, setting.rules)).run()
    measured = next((each for each in samples if each.step >= MEASURED_AT_STEP), samples[-1])
    arrived = np.maximum(np.array(measured.arrived_veh), 1)
    return Cell(
        variant=variant.name,
        side=side,
        waiting=tuple((np.array(measured.waited_steps) / arrived).tolist()),
        arrived_veh=measured.arrived_veh,
        known=float(np.mean(measured.known)),
        keys_before=float(np.mean([_keys(table) for table in filled])),
        series=_series(samples),
    )


def _keys(table: Table) -> int:
    return len(table.ltm) if isinstance(table, DualMemory) else len(table.rows)


def _series(samples: Sequence[Sample]) -> CellSeries:
    return CellSeries(
        steps=tuple(sample.step for sample in samples),
        arrived_veh=tuple(float(np.mean(sample.arrived_veh)) for sample in samples),
        keys=tuple(float(np.mean(sample.keys)) for sample in samples),
        numbers=tuple(float(np.mean(sample.numbers)) for sample in samples),
        packed_bytes=tuple(float(np.mean(sample.packed_bytes)) for sample in samples),
    )
