"""One episode: what is played, and everything that a learner needs to know of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from phasemesh.contract.observation import FloatArray
from phasemesh.trainer.layout import BoolArray, IntArray, Layout
from phasemesh.trainer.recipe import PlannerRecipe
from phasemesh.trainer.rewards import RewardKind
from phasemesh.trainer.street_faults import StreetFaults


class EpisodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one episode plays; everything random about it follows from `seed`.

    `length_s` None is the whole window of the scenario. `message_loss` is the share of messages that do not arrive,
    `demand` scales SUMO's demand. Stages are drawn from the policy, or with `is_greedy` its best is taken. A `teacher`
    (a rule by name) says at every tick what it would want; `teacher_share` of the ticks are played by it.
    `faults` are those of the street. A `planner` looks ahead from what is played so, its base, and plays a
    `planner_share` of the decisions. SUMO measures each edge into `edges_folder` if there is one.
    """

    scenario: str
    seed: int
    tick_s: float = 2.0
    length_s: float | None = None
    profile: str = "benchmark"
    demand: float = 1.0
    message_loss: float = 0.0
    reward: RewardKind = RewardKind.DELAY
    ignore_junction_blocker_s: float = 20.0
    is_greedy: bool = False
    teacher: str | None = None
    teacher_share: float = 0.0
    planner: PlannerRecipe | None = None
    planner_share: float = 1.0
    faults: StreetFaults = StreetFaults()
    edges_folder: Path | None = None


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """T ticks of A agents, padded as in `Layout`.

    `lanes` [T, A, L, F], `stage_state` [T, A, S, G] and `legal` [T, A, S] are what the agents saw, `current` [T, A] the
    stage in force. `told` [T, A, D] is what each agent told; row k of an agent heard what its neighbour told `age` [T,
    A, K] ticks ago, or nothing that it might use where `valid` [T, A, K] is false. `noise` [T, A, K] is that of the
    mask, `hidden` [T, A, H] the recurrent state before the tick. `stage` [T, A] was wanted, with `log_probability` [T,
    A], and `hyper` [T, A, k] weighed the critic's heads; `taught` [T, A] is what the teacher wanted, `costs` [T, A, S]
    by how much each stage is worse than the best in vehicle-seconds of delay, infinite for what was not tried: by a
    rule all but its own choice, by a planner whole decisions that it did not look at. `reward` [T, A] is what followed
    the tick.

    `deviations` is the share of decisions in which a planner left its base. `mean_delay_s` is the harness's metric,
    `monitor_trips` what the monitor of the lights saw, `wall_s` the wall time of the whole episode. From the first
    decision on it took `cpu_s` of processor time, `simulation_cpu_s` of that in SUMO's own steps.
    """

    plan: EpisodePlan
    layout: Layout
    lanes: FloatArray
    stage_state: FloatArray
    legal: BoolArray
    current: IntArray
    told: FloatArray
    age: npt.NDArray[np.int8]
    valid: BoolArray
    noise: FloatArray
    hidden: FloatArray
    stage: IntArray
    log_probability: FloatArray
    hyper: FloatArray
    taught: IntArray
    costs: FloatArray
    reward: FloatArray
    mean_delay_s: float
    monitor_trips: int
    wall_s: float
    cpu_s: float
    simulation_cpu_s: float
    deviations: float = 0.0

    @property
    def ticks(self) -> int:
        """How many control intervals were played."""
        return len(self.stage)

    @property
    def decisions(self) -> int:
        """How many decisions were made by all agents."""
        return self.stage.size
