"""Rules written as fixed weights of the actor: bundles that need no training and prove the whole pipe.

A rule is data: units of the lane layer, units of the stage layer, and the weight of each in the score. Scores are in
vehicles; caps use min(x, c) = c - relu(c - x), which for counts x >= 0 loses no precision however long the queue.
"""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from phasemesh.contract.observation import LANE_FEATURES, lane_feature, stage_feature
from phasemesh.trainer.networks import PERMISSIVE, PROTECTED, STAGE_STATE, UniversalActor

_VEH = LANE_FEATURES[lane_feature("queue")].scale
_GATE_VEH = 1024.0
"""Closes a unit for the current stage; above three vehicles on each of 300 lanes."""
_NO_EDGE = -16.0
"""Edge logit of a rule: it listens to no neighbour."""
_LISTENING_VEH = 1.0
"""What the units of a listening rule weigh, in vehicles: enough to alter many choices, too little to ruin control."""


class LaneUnit(msgspec.Struct, frozen=True):
    """relu(bias + sum of weight times feature) of one lane, in vehicles; `weights` is keyed by lane feature."""

    weights: dict[str, float]
    bias_veh: float = 0.0


class StageUnit(msgspec.Struct, frozen=True):
    """relu of weighted sums of lane units over the lanes that a stage serves, in vehicles; `score` weighs the result.

    Permissive shares count `permissive` times; `current_veh` is added for the current stage.
    """

    weights: tuple[float, ...]
    score: float
    permissive: float = 1.0
    current_veh: float = 0.0


class RuleWeights(msgspec.Struct, frozen=True):
    """A rule and the control interval that it was found for."""

    lane_units: tuple[LaneUnit, ...]
    stage_units: tuple[StageUnit, ...]
    tick_s: float


MAX_PRESSURE = RuleWeights(
    lane_units=(
        LaneUnit({"queue": 1.0, "downstream_queue": -1.0}),
        LaneUnit({"queue": -1.0, "downstream_queue": 1.0}),
    ),
    stage_units=(StageUnit((1.0, -1.0), score=1.0), StageUnit((-1.0, 1.0), score=-1.0)),
    tick_s=5.0,
)
"""Queue minus mean downstream queue, summed over the served shares (Varaiya, Transportation Research C 36, 2013)."""

APPROACH = RuleWeights(
    lane_units=(LaneUnit({"vehicles_100m": 1.0}),), stage_units=(StageUnit((1.0,), score=1.0),), tick_s=5.0
)
"""Vehicles on the last 100 m, summed over the served shares."""

APPROACH_LOST_TIME = RuleWeights(
    lane_units=(
        LaneUnit({}, bias_veh=1.0),
        LaneUnit({"vehicles_100m": -1.0}, bias_veh=8.0),
        LaneUnit({"vehicles_100m": -1.0}, bias_veh=5.0),
    ),
    stage_units=(
        StageUnit((8.0, -1.0, 0.0), score=1.0, permissive=0.5),
        StageUnit((3.0, -1.0, 1.0), score=-1.0, permissive=0.5, current_veh=-_GATE_VEH),
    ),
    tick_s=2.0,
)
"""min(vehicles on the last 100 m, 8) a lane; every stage but the current one is charged min(x, 8) - min(x, 5), the
time that a change loses. The first lane unit is one vehicle on every lane, which the caps are multiples of."""

RULE_WEIGHTS: dict[str, RuleWeights] = {
    "max-pressure": MAX_PRESSURE,
    "approach": APPROACH,
    "approach-lost-time": APPROACH_LOST_TIME,
}


def rule_actor(rule: RuleWeights) -> UniversalActor:
    """An actor whose stage logits are the scores of `rule`, in vehicles."""
    actor = UniversalActor()
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.zero_()
        actor.edge_score.bias.fill_(_NO_EDGE)
        for index, lane_unit in enumerate(rule.lane_units):
            _set_lane_unit(actor, index, lane_unit)
        for index, stage_unit in enumerate(rule.stage_units):
            _set_stage_unit(actor, index, stage_unit)
    return actor


def _set_lane_unit(actor: UniversalActor, index: int, unit: LaneUnit) -> None:
    actor.lane_layer.bias[index] = unit.bias_veh * _VEH
    for name, weight in unit.weights.items():
        actor.lane_layer.weight[index, lane_feature(name)] = weight


def _set_stage_unit(actor: UniversalActor, index: int, unit: StageUnit) -> None:
    row = actor.stage_layer.weight[index]
    size = len(unit.weights)
    row[PROTECTED][:size] = torch.tensor(unit.weights)
    row[PERMISSIVE][:size] = torch.tensor(unit.weights) * unit.permissive
    row[STAGE_STATE][stage_feature("is_current")] = unit.current_veh * _VEH
    actor.stage_score.weight[0, index] = unit.score / _VEH


def random_actor(seed: int) -> UniversalActor:
    """An actor of fixed random weights that depends on every input: neighbours, noise and recurrent state included."""
    actor = UniversalActor()
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in actor.parameters():
            values = generator.standard_normal(tuple(parameter.shape)) / np.sqrt(parameter.shape[-1])
            parameter.copy_(torch.from_numpy(values))
        # Edge logits near zero leave the choice of neighbours to the noise.
        actor.edge_score.weight.mul_(0.25)
    return actor


def listening_actor(rule: RuleWeights, seed: int) -> UniversalActor:
    """`rule` whose scores also hang on neighbours, noise and recurrent state, by fixed random weights.

    It shows what a poor network does to decisions that need it, which a rule alone would not notice.
    """
    actor, chance = rule_actor(rule), random_actor(seed)
    lanes, stages = len(rule.lane_units), len(rule.stage_units)
    with torch.no_grad():
        for own, other in zip(actor.children(), chance.children(), strict=True):
            if own not in (actor.lane_layer, actor.stage_layer, actor.stage_score):
                own.load_state_dict(other.state_dict())
        for layer, other, kept in (
            (actor.lane_layer, chance.lane_layer, lanes),
            (actor.stage_layer, chance.stage_layer, stages),
        ):
            layer.weight[kept:] = other.weight[kept:]
            layer.bias[kept:] = other.bias[kept:]
        actor.stage_score.weight[0, stages:] = chance.stage_score.weight[0, stages:] * _LISTENING_VEH
    return actor
