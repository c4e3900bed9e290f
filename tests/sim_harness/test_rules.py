"""The rules for comparison: what each of them prefers, on crossings whose answer is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    LANE_FEATURES,
    MESSAGE_SIZE,
    SITE_SIZE,
    STAGE_FEATURES,
    lane_feature,
    stage_feature,
)
from phasemesh.contract.tensors import PolicyInput, PolicyOutput, is_finite
from phasemesh.controller.policy.bundle import find_bundle, load_bundle
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.selection import choose_stage
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.sim_harness.rules import SCORES, ScoreRule, SelfOrganisingRule

FIRST, SECOND = 0, 1
TWO_ROADS = [[1.0, 0.0], [0.0, 1.0]]
"""Two stages that each serve one of two lanes, protected."""
TICK_S = 5.0


def make_inputs(
    lanes: dict[str, list[float]],
    protected: list[list[float]] | None = None,
    permissive: list[list[float]] | None = None,
    *,
    current: int = FIRST,
    legal: tuple[bool, ...] = (),
    counted: float = 0.0,
) -> PolicyInput:
    """Inputs with `lanes` in their own units; shares [S][L] that stages serve, by default those of two roads."""
    shares = np.array(protected or TWO_ROADS)
    yielding = np.array(permissive) if permissive else np.zeros_like(shares)
    rows = np.zeros((shares.shape[1], len(LANE_FEATURES)), dtype=np.float32)
    for name, values in lanes.items():
        rows[:, lane_feature(name)] = np.array(values) * LANE_FEATURES[lane_feature(name)].scale
    stages = np.zeros((len(shares), len(STAGE_FEATURES)), dtype=np.float32)
    stages[current, stage_feature("is_current")] = 1.0
    stages[:, stage_feature("is_legal")] = legal or (True,) * len(shares)
    hidden = np.zeros(HIDDEN_SIZE, dtype=np.float32)
    hidden[0] = counted
    return PolicyInput(
        lanes=rows,
        stage_lanes=np.stack((shares, yielding), axis=2).astype(np.float32),
        stage_state=stages,
        neighbour_messages=np.zeros((1, MESSAGE_SIZE), dtype=np.float32),
        neighbour_valid=np.zeros(1, dtype=np.float32),
        mask_noise=np.full(1, 0.5, dtype=np.float32),
        hidden=hidden,
        site=np.zeros(SITE_SIZE, dtype=np.float32),
    )


def answer_of(policy: Policy, inputs: PolicyInput) -> PolicyOutput:
    """The answer of `policy`, which must have one."""
    answer = policy.infer(inputs)
    assert isinstance(answer, PolicyOutput)
    return answer


def wanted(policy: Policy, inputs: PolicyInput) -> int:
    """The stage that `policy` gets when the guard allows all that is legal."""
    legal = tuple(bool(flag) for flag in inputs.stage_state[:, stage_feature("is_legal")])
    current = int(np.argmax(inputs.stage_state[:, stage_feature("is_current")]))
    return choose_stage(answer_of(policy, inputs).stage_logits, legal, current)


def scores(name: str, inputs: PolicyInput) -> list[float]:
    """What the rule `name` gives to every stage."""
    return [float(score) for score in SCORES[name](inputs)]


class Preference(NamedTuple):
    """What two roads look like, and which of them a rule prefers while the first is green."""

    rule: str
    lanes: dict[str, list[float]]
    wanted: int


PREFERENCES: dict[str, Preference] = {
    "the longer queue": Preference("max-pressure", {"queue": [2, 5]}, SECOND),
    "the queue with room behind it": Preference("max-pressure", {"queue": [6, 5], "downstream_queue": [4, 1]}, SECOND),
    "the less clogged of two clogged exits": Preference(
        "max-pressure", {"queue": [0, 0], "downstream_queue": [5, 3]}, SECOND
    ),
    "the green road among equals": Preference("max-pressure", {"queue": [4, 4]}, FIRST),
    "moving vehicles are no pressure": Preference("max-pressure", {"queue": [1, 0], "vehicles_150m": [1, 9]}, FIRST),
    "vehicles near the stop line": Preference("max-wave", {"vehicles_50m": [1, 2]}, SECOND),
    "nothing beyond 50 m": Preference(
        "max-wave", {"vehicles_50m": [1, 0], "vehicles_100m": [1, 9], "vehicles_150m": [1, 20]}, FIRST
    ),
    "what will arrive": Preference("approach", {"vehicles_50m": [2, 1], "vehicles_100m": [2, 3]}, SECOND),
    "nothing beyond 100 m": Preference("approach", {"vehicles_100m": [1, 0], "vehicles_150m": [1, 9]}, FIRST),
    "a green road that still flows": Preference("approach-lost-time", {"vehicles_100m": [6, 8]}, FIRST),
    "a red road that is worth the lost time": Preference("approach-lost-time", {"vehicles_100m": [4, 5]}, SECOND),
    "no more than a green can serve": Preference("approach-lost-time", {"vehicles_100m": [6, 40]}, FIRST),
}


@pytest.mark.parametrize("name", PREFERENCES)
def test_a_rule_prefers(name: str) -> None:
    """Each rule wants the road that its formula names."""
    rule, lanes, expected = PREFERENCES[name]

    assert wanted(ScoreRule(SCORES[rule]), make_inputs(lanes)) == expected


def test_h12_max_pressure_adds_up_what_a_stage_serves() -> None:
    """A stage of two short queues outweighs one of a single longer queue; a half share counts half."""
    inputs = make_inputs({"queue": [4, 3, 3]}, [[1, 0, 0], [0, 1, 0.5]])

    assert scores("max-pressure", inputs) == [4.0, 4.5]


def test_the_longest_queue_does_not_add_up() -> None:
    """The longest queue of any served lane counts in full, however small the share and however many the others."""
    inputs = make_inputs({"queue": [5, 4, 4]}, [[0.25, 0, 0], [0, 1, 1]])

    assert scores("longest-queue", inputs) == [5.0, 4.0]


def test_the_longest_queue_sees_permissive_greens_but_no_red_ones() -> None:
    """Yielding traffic is served traffic, and a lane that a stage does not serve adds nothing to it."""
    inputs = make_inputs({"queue": [5, 7]}, [[0, 0], [1, 0]], [[0, 1], [0, 0]])

    assert scores("longest-queue", inputs) == [7.0, 5.0]


@pytest.mark.parametrize("name", ["max-pressure", "max-wave", "approach"])
def test_permissive_greens_count_in_full(name: str) -> None:
    """These rules do not ask whether a served movement has to yield."""
    lanes = {"queue": [6, 6], "vehicles_50m": [6, 6], "vehicles_100m": [6, 6]}

    assert scores(name, make_inputs(lanes, [[1, 0], [0, 0]], [[0, 0], [0, 1]])) == [6.0, 6.0]


def test_permissive_greens_have_half_the_weight_under_lost_time() -> None:
    """In approach-lost-time a yielding lane is worth half a protected one, green or not."""
    inputs = make_inputs({"vehicles_100m": [4, 4, 4]}, [[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[0] * 3, [0] * 3, [0, 0, 1]])

    assert scores("approach-lost-time", inputs) == [4.0, 4.0, 2.0]


def test_a_switch_costs_what_could_have_passed_meanwhile() -> None:
    """A full lane is worth 8 vehicles to the stage that serves it already and 5 to one that has to begin."""
    lanes = {"vehicles_100m": [20, 20]}

    assert scores("approach-lost-time", make_inputs(lanes)) == [8.0, 5.0]
    assert scores("approach-lost-time", make_inputs(lanes, current=SECOND)) == [5.0, 8.0]


def sotl(inputs: PolicyInput) -> tuple[int, float]:
    """The stage that self-organising lights want, and the vehicle-seconds that they have counted since."""
    answer = answer_of(SelfOrganisingRule(TICK_S), inputs)
    return int(np.argmax(answer.stage_logits)), float(answer.hidden_next[0])


def test_self_organising_lights_count_the_vehicle_seconds_in_red() -> None:
    """Every tick adds its length for each vehicle on the last 100 m of a red lane, and none of a green one."""
    assert sotl(make_inputs({"vehicles_100m": [7, 3]}, counted=20.0)) == (FIRST, 35.0)


@pytest.mark.parametrize(("counted", "expected"), [(30.0, (FIRST, 45.0)), (35.0, (SECOND, 0.0))])
def test_self_organising_lights_switch_at_the_threshold_and_begin_anew(
    counted: float, expected: tuple[int, float]
) -> None:
    """At 50 vehicle-seconds, not below, the red road gets its green and the count goes back to zero."""
    assert sotl(make_inputs({"vehicles_100m": [0, 3]}, counted=counted)) == expected


@pytest.mark.parametrize(("near", "stage"), [(0, SECOND), (1, FIRST), (2, FIRST), (3, SECOND), (8, SECOND)])
def test_self_organising_lights_do_not_cut_a_small_platoon(near: int, stage: int) -> None:
    """One or two vehicles about to pass hold the green; none, or a platoon too long to wait for, do not."""
    chosen, counted = sotl(make_inputs({"vehicles_100m": [near, 2], "vehicles_50m": [near, 2]}, counted=50.0))

    assert chosen == stage
    assert counted == (0.0 if stage == SECOND else 60.0)


def test_self_organising_lights_go_on_counting_while_they_may_not_switch() -> None:
    """Within a minimum green nothing is asked for, and what has waited is not forgotten."""
    assert sotl(make_inputs({"vehicles_100m": [0, 4]}, counted=60.0, legal=(True, False))) == (FIRST, 80.0)


def test_self_organising_lights_switch_to_where_most_waits() -> None:
    """Of several red roads the one with the most vehicles is next, even if the green one has more."""
    roads = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]

    assert sotl(make_inputs({"vehicles_100m": [9, 2, 5]}, roads, counted=50.0)) == (2, 0.0)


@pytest.mark.parametrize("policy", [*(ScoreRule(score) for score in SCORES.values()), SelfOrganisingRule(TICK_S)])
def test_a_rule_answers_as_a_policy_does(policy: Policy) -> None:
    """All five outputs are there with their shapes, finite, and no neighbour is listened to."""
    inputs = make_inputs({"queue": [3, 1], "vehicles_100m": [5, 2]}, counted=7.0)

    answer = answer_of(policy, inputs)

    assert is_finite(answer)
    assert answer.stage_logits.shape == (2,)
    assert answer.hidden_next.shape == (HIDDEN_SIZE,)
    assert answer.mask.tolist() == answer.mask_probability.tolist() == [0.0]
    assert answer.hyper_action.sum() == pytest.approx(1.0)


@st.composite
def crossings(draw: st.DrawFn) -> PolicyInput:
    """Any number of lanes, stages and neighbours; whole counts, few enough for ties; shares of halves to quarters."""
    size = draw(st.integers(1, 24)), draw(st.integers(1, 16)), draw(st.integers(1, 8))
    return random_inputs(*size, most_veh=draw(st.sampled_from((1, 3, 12, 128))), seed=draw(st.integers(0, 2**32 - 1)))


def random_inputs(lanes: int, stages: int, neighbours: int, *, most_veh: int, seed: int) -> PolicyInput:
    """Counts of 0 to `most_veh` on every lane, shares of up to four movements a lane, and noise everywhere else."""
    generator = np.random.default_rng(seed)
    rows = generator.uniform(0.0, 1.0, (lanes, len(LANE_FEATURES)))
    for name in ("queue", "downstream_queue", "vehicles_50m", "vehicles_100m", "vehicles_150m"):
        rows[:, lane_feature(name)] = generator.integers(0, most_veh + 1, lanes) / 16
    movements = generator.integers(1, 5, lanes)
    protected = generator.integers(0, movements + 1, (stages, lanes))
    permissive = generator.integers(0, movements - protected + 1)
    state = generator.uniform(0.0, 1.0, (stages, len(STAGE_FEATURES)))
    state[:, stage_feature("is_current")] = np.arange(stages) == generator.integers(stages)
    state[:, stage_feature("is_legal")] = generator.integers(0, 2, stages)
    arrays = (
        rows,
        np.stack((protected, permissive), axis=2) / movements[None, :, None],
        state,
        generator.normal(size=(neighbours, MESSAGE_SIZE)),
        generator.integers(0, 2, neighbours),
        generator.uniform(size=neighbours),
        generator.normal(size=HIDDEN_SIZE),
        np.zeros(SITE_SIZE),
    )
    return PolicyInput(*(array.astype(np.float32) for array in arrays))


@pytest.fixture(scope="module", params=["max-pressure", "approach-lost-time"])
def pair(request: pytest.FixtureRequest) -> tuple[Policy, Policy]:
    """A shipped bundle and the plain rule of the same name."""
    bundle = load_bundle(find_bundle(request.param), trusted_keys())
    return bundle.policy(0), ScoreRule(SCORES[request.param])


@given(inputs=crossings())
@settings(max_examples=300, deadline=None)
def test_shipped_bundles_decide_as_the_plain_rules_do(pair: tuple[Policy, Policy], inputs: PolicyInput) -> None:
    """On any crossing, ties and forbidden stages included, graph and formula choose the same stage."""
    bundle, rule = pair

    assert wanted(bundle, inputs) == wanted(rule, inputs)


def test_random_crossings_have_ties() -> None:
    """The law above does meet ties: many of its crossings have two best stages."""
    crossings = [random_inputs(2, 6, 1, most_veh=1, seed=seed) for seed in range(50)]
    best = [np.sort(SCORES["max-pressure"](inputs))[-2:] for inputs in crossings]

    assert sum(first == second for first, second in best) > 10
