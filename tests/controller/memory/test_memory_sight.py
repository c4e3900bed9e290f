"""What memory sees of a situation, and what it is rewarded for."""

from __future__ import annotations

import msgspec
import pytest

from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.bundle import BundleManifest, TrainingProvenance
from phasemesh.contract.command import start
from phasemesh.contract.detection import INVALID_READING
from phasemesh.controller.memory.returns import CoarseReturns
from phasemesh.controller.memory.sight import GREEN, LEVELS_VEH, sight_of
from phasemesh.controller.memory.street_reward import DEFAULT_GAMMA, RewardRule, StreetReward, reward_rule
from phasemesh.controller.policy.bundle import find_bundle, load_bundle
from phasemesh.controller.policy.trust import trusted_keys

CROSSING = make_intersection()


def test_a_key_has_levels_of_queues_and_what_is_green() -> None:
    """Green movements stand apart from the same queues in red."""
    readings = tuple(make_reading(queue) for queue in (0.0, 1.0, 4.0, 500.0))
    snapshot = make_snapshot(CROSSING, readings=readings, signal=start(0, 0.0))
    counts = sight_of(CROSSING).counts(snapshot)

    assert counts is not None
    assert [count % GREEN for count in counts] == [0, 1, 3, len(LEVELS_VEH)]
    assert {index for index, count in enumerate(counts) if count >= GREEN} == CROSSING.stages[0].served


def test_nothing_is_looked_up_with_a_detector_that_is_not_trusted() -> None:
    """A neutral value in place of a count would be another situation."""
    readings = (make_reading(), make_reading(), INVALID_READING, make_reading())

    assert sight_of(CROSSING).counts(make_snapshot(CROSSING, readings=readings)) is None


def test_levels_fit_a_byte_beside_the_mark() -> None:
    """No level reaches the mark of green, and both stay in a byte."""
    assert len(LEVELS_VEH) < GREEN
    assert GREEN + len(LEVELS_VEH) + 1 < 256
    assert list(LEVELS_VEH) == sorted(set(LEVELS_VEH))


def test_rewards_are_those_of_the_trainings_names() -> None:
    """Delay counts slow vehicles by how slow they are, halting those that stand."""
    readings = (make_reading(2.0, 4.0, mean_speed_mps=13.9 / 2), make_reading(), make_reading(), make_reading(1.0, 1.0))

    assert RewardRule(StreetReward.DELAY).reward(CROSSING, readings) == pytest.approx(-2.0)
    assert RewardRule(StreetReward.HALTING).reward(CROSSING, readings) == -3.0


def test_what_is_faster_than_allowed_is_no_reward() -> None:
    """Speeding earns nothing."""
    readings = (make_reading(0.0, 3.0, mean_speed_mps=20.0),) * 4

    assert RewardRule().reward(CROSSING, readings) == 0.0


def _manifest(name: str) -> BundleManifest:
    return load_bundle(find_bundle(name), trusted_keys()).manifest


def test_reward_and_gamma_are_those_of_the_bundles_training() -> None:
    """The shipped trained policy says them; a rule has none and gets those of the house."""
    assert reward_rule(_manifest("best")) == RewardRule(StreetReward.DELAY, 0.985)
    assert reward_rule(_manifest("max-pressure")) == RewardRule() == reward_rule(None)


@pytest.mark.parametrize(
    ("recipe", "rule"),
    [
        ({"learner": {"gamma": 0.95}, "reward": {"kind": "halting"}}, RewardRule(StreetReward.HALTING, 0.95)),
        ({"learner": {"gamma": 1.5}, "reward": {"kind": "speed"}}, RewardRule(StreetReward.DELAY, DEFAULT_GAMMA)),
        ({"learner": "ppo"}, RewardRule()),
    ],
)
def test_other_recipes_are_read_as_far_as_they_make_sense(recipe: dict[str, object], rule: RewardRule) -> None:
    """A discount of one or more has no finite return; an unknown reward cannot be measured."""
    manifest = _manifest("best")
    training = manifest.provenance.training
    assert isinstance(training, TrainingProvenance)
    other = msgspec.structs.replace(training, recipe=recipe)
    provenance = msgspec.structs.replace(manifest.provenance, training=other)

    assert reward_rule(msgspec.structs.replace(manifest, provenance=provenance)) == rule


def test_unknown_situations_are_expected_to_be_like_those_of_as_many_vehicles() -> None:
    """The mean of the bin, else of the nearest; green makes no difference, and before anything there is nothing."""
    returns = CoarseReturns()
    assert returns.mean((3, 0)) == 0.0
    returns.note((1, 1), -4.0)
    returns.note((2, GREEN), -6.0)
    returns.note((9, 0), -50.0)

    assert returns.mean((GREEN + 1, 1)) == -5.0
    assert returns.mean((4, 0)) == -5.0
    assert returns.mean((8, 8)) == -50.0
