"""The pure part of a tick: what is decided from state, snapshot, neighbours and noise."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_factories import EAST, STEPS_PER_TICK, WEST, BrokenPolicy, FixedPolicy, make_decider
from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.command import Interval, SignalState, start
from phasemesh.contract.detection import INVALID_READING, LaneReading, Snapshot
from phasemesh.contract.messages import PeerMessage, compose, vector
from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    LANE_FEATURES,
    MESSAGE_SIZE,
    SUMMARY_SIZE,
    lane_feature,
    stage_lanes,
)
from phasemesh.contract.site import PlanKind
from phasemesh.contract.tensors import PolicyFault, PolicyOutput
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.decision import RESET_AFTER_TICKS, Choice, Decider, Mind, Observed
from phasemesh.controller.ladder import CLEAN_S, FRESH, Standing, next_standing
from phasemesh.controller.ladder_table import LadderEvent, Rung
from phasemesh.controller.memory.recall import Candidate, Remembered
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.policy.noise import deterministic_noise
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.trouble import Circumstances, neighbour_events
from phasemesh.controller.unit_watch import UnitWatch
from strategies import brisk, readings

CROSSING = make_intersection(neighbours=(EAST, WEST))
NOISE = deterministic_noise(2)
NO_VIEWS = (PeerView(EAST), PeerView(WEST))
LONG_GREEN_S = 30.0
"""Long enough that every stage may be asked for, too short for any duty."""


class Scene(msgspec.Struct, frozen=True):
    """A decider that has observed one snapshot."""

    decider: Decider
    mind: Mind
    observed: Observed


def make_scene(policy: Policy | PolicyFault | None = None, snapshot: Snapshot | None = None) -> Scene:
    """A decider whose first stage has been green for half a minute."""
    decider = make_decider(CROSSING, policy or FixedPolicy(0.0, 1.0))
    seen = snapshot or make_snapshot(CROSSING, step=30, now_s=LONG_GREEN_S)
    mind = mind_at_start(decider, seen)
    return Scene(decider, mind, decider.observe(mind, seen))


def mind_at_start(decider: Decider, seen: Snapshot) -> Mind:
    """A mind that began to watch when the signal was switched on, so that nothing is unknown of its past."""
    return decider.new_mind(msgspec.structs.replace(seen, now_s=0.0))


def carried(scene: Scene, output: PolicyOutput | PolicyFault) -> Mind:
    """What is carried on when the policy said `output` and everything else was well."""
    return scene.decider.next_mind(scene.observed, output, FRESH, UnitWatch())


def wish(stage: int) -> Choice:
    """The wish of a policy for `stage`."""
    return Choice(stage, "policy")


def make_message(sender: IntersectionId, value: float = 0.5) -> PeerMessage:
    """A message in which every number is `value`."""
    return compose(
        sender,
        1,
        1,
        30,
        summary=np.full(SUMMARY_SIZE, value, dtype=np.float32),
        policy=np.full(2, value, dtype=np.float32),
        hidden=np.full(HIDDEN_SIZE, value, dtype=np.float32),
    )


def view(peer: IntersectionId, message: PeerMessage, *, is_fresh: bool) -> PeerView:
    """What is known of `peer`."""
    return PeerView(peer, 0, message.step, message.boot_id, message.seq, message, is_fresh)


def answer(logits: tuple[float, ...], hidden: float = 0.0) -> PolicyOutput:
    """What a policy may say."""
    return PolicyOutput(
        stage_logits=np.array(logits, dtype=np.float32),
        hidden_next=np.full(HIDDEN_SIZE, hidden, dtype=np.float32),
        mask_probability=NOISE,
        mask=NOISE,
        hyper_action=np.zeros(8, dtype=np.float32),
    )


def test_a_new_mind_is_empty() -> None:
    """Nobody has called, nothing is remembered, and the history begins with the snapshot."""
    mind = make_scene().mind

    assert not mind.hidden.any()
    assert not mind.policy.any()
    assert (len(mind.hidden), len(mind.policy), mind.step) == (HIDDEN_SIZE, 2, 30)
    assert mind.history.lane_call_s == (None,) * 4


def test_what_is_plausible_is_observed_as_it_is() -> None:
    """Sound readings reach the tensors unaltered."""
    seen = make_snapshot(CROSSING, now_s=LONG_GREEN_S, readings=(make_reading(4.0),) * 4)
    observed = make_scene(snapshot=seen).observed

    assert observed.snapshot == seen
    assert observed.observation.lanes[:, lane_feature("queue")].tolist() == [0.25] * 4
    assert observed.observation.lanes[:, lane_feature("is_valid")].tolist() == [1.0] * 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e9])
@pytest.mark.parametrize("name", ["queue_veh", "wait_s", "mean_speed_mps", "downstream_room_ratio"])
def test_an_impossible_reading_never_reaches_the_policy(name: str, value: float) -> None:
    """The lane is marked invalid, its call stands, and every number of the tensors is finite."""
    policy = FixedPolicy(0.0, 1.0)
    broken = msgspec.structs.replace(make_reading(2.0), **{name: value})
    seen = make_snapshot(CROSSING, now_s=LONG_GREEN_S, readings=(broken, *(make_reading(2.0),) * 3))
    scene = make_scene(policy, seen)
    scene.decider.infer(scene.decider.mask(scene.mind, scene.observed, NO_VIEWS, NOISE))
    (inputs,) = policy.inputs

    assert scene.observed.snapshot.readings[0] == INVALID_READING
    assert inputs.lanes[0, lane_feature("is_valid")] == 0.0
    assert scene.observed.history.lane_call_s[0] == LONG_GREEN_S
    assert all(np.isfinite(getattr(inputs, name)).all() for name in inputs.__struct_fields__)


@brisk
@given(seen=st.tuples(*[readings() | st.just(make_reading(math.nan))] * 4), now_s=st.floats(0.0, 1e6))
def test_the_inputs_are_always_finite(seen: tuple[LaneReading, ...], now_s: float) -> None:
    """Whatever the detectors say at whatever time, the tensors hold numbers of the right shape."""
    scene = make_scene(snapshot=make_snapshot(CROSSING, now_s=now_s, readings=seen))
    inputs = scene.decider.mask(scene.mind, scene.observed, NO_VIEWS, NOISE)

    assert inputs.lanes.shape == (4, len(LANE_FEATURES))
    assert all(np.isfinite(getattr(inputs, name)).all() for name in inputs.__struct_fields__)


def test_only_legal_stages_are_marked() -> None:
    """In a running change the stage that is being changed to is the only one that may be asked for."""
    changing = SignalState(stage=1, from_stage=0, interval=Interval.YELLOW, since_s=29.0)
    observed = make_scene(snapshot=make_snapshot(CROSSING, now_s=LONG_GREEN_S, signal=changing)).observed

    assert observed.legal == (False, True)


@pytest.mark.parametrize(("green_s", "legal"), [(0.0, (True, False)), (4.0, (True, False)), (5.0, (True, True))])
def test_the_minimum_green_narrows_what_is_legal(green_s: float, legal: tuple[bool, ...]) -> None:
    """Before it is over only the stage in force may be asked for."""
    observed = make_scene(snapshot=make_snapshot(CROSSING, now_s=green_s)).observed

    assert observed.legal == legal


def test_fresh_neighbours_are_valid_rows() -> None:
    """Their messages stand in the order of the neighbours."""
    scene = make_scene()
    east, west = make_message(EAST, 0.25), make_message(WEST, 0.75)
    inputs = scene.decider.mask(
        scene.mind, scene.observed, (view(EAST, east, is_fresh=True), view(WEST, west, is_fresh=True)), NOISE
    )

    assert inputs.neighbour_valid.tolist() == [1.0, 1.0]
    assert np.array_equal(inputs.neighbour_messages, np.stack((vector(east), vector(west))))


def test_a_stale_neighbour_is_masked() -> None:
    """What it once said is known but not used: its row is empty and not valid."""
    scene = make_scene()
    views = (view(EAST, make_message(EAST), is_fresh=False), view(WEST, make_message(WEST), is_fresh=True))
    inputs = scene.decider.mask(scene.mind, scene.observed, views, NOISE)

    assert inputs.neighbour_valid.tolist() == [0.0, 1.0]
    assert not inputs.neighbour_messages[0].any()


def test_a_missing_neighbour_is_masked() -> None:
    """A neighbour that was never heard is an empty row."""
    scene = make_scene()
    inputs = scene.decider.mask(scene.mind, scene.observed, NO_VIEWS, NOISE)

    assert inputs.neighbour_valid.tolist() == [0.0, 0.0]
    assert not inputs.neighbour_messages.any()


@pytest.mark.parametrize(("after_s", "valid"), [(5.0, 0.0), (CLEAN_S - 0.5, 0.0), (CLEAN_S, 1.0)])
def test_neighbours_that_were_all_silent_are_masked_for_as_long_as_the_agent_is_isolated(
    after_s: float, valid: float
) -> None:
    """Fresh again or not: what the rung denies is not used, and in the tick in which it climbs it is."""
    scene = make_scene()
    silent = next_standing(Standing(Rung.COORDINATED, ""), tuple(neighbour_events(NO_VIEWS)), LONG_GREEN_S - after_s)
    mind = msgspec.structs.replace(scene.mind, standing=silent)
    views = tuple(view(name, make_message(name), is_fresh=True) for name in (EAST, WEST))
    inputs = scene.decider.mask(mind, scene.observed, views, NOISE)
    standing = scene.decider.stand(mind, scene.observed, answer((0.0, 1.0)), views, Circumstances())

    assert inputs.neighbour_valid.tolist() == [valid, valid]
    assert inputs.neighbour_messages.any() == bool(valid)
    assert (LadderEvent.NEIGHBOURS_STALE in standing.in_force) is not bool(valid)


def test_an_intersection_without_neighbours_has_one_empty_row() -> None:
    """The graph never sees a dimension of zero."""
    alone = make_intersection()
    decider = make_decider(alone, FixedPolicy(0.0, 0.0))
    snapshot = make_snapshot(alone)
    mind = decider.new_mind(snapshot)
    inputs = decider.mask(mind, decider.observe(mind, snapshot), (), deterministic_noise(1))

    assert inputs.neighbour_messages.shape == (1, MESSAGE_SIZE)
    assert inputs.neighbour_valid.tolist() == [0.0]


def test_the_inputs_describe_the_site() -> None:
    """Shares of the stages, noise and the unknown embedding are what the contract says."""
    scene = make_scene()
    inputs = scene.decider.mask(scene.mind, scene.observed, NO_VIEWS, NOISE)

    assert np.array_equal(inputs.stage_lanes, stage_lanes(CROSSING))
    assert inputs.mask_noise is NOISE
    assert not inputs.site.any()


def test_the_best_legal_stage_is_wanted() -> None:
    """The policy's highest score wins."""
    scene = make_scene()
    choice = scene.decider.recall(scene.observed, answer((0.0, 1.0)), may_use_policy=True)

    assert (choice.stage, choice.source) == (1, "policy")


@brisk
@given(
    logits=st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 4),
    now_s=st.floats(0.0, 400.0),
    stage=st.integers(0, 3),
    from_stage=st.integers(0, 3),
    interval=st.sampled_from(Interval),
)
def test_an_illegal_stage_is_never_wanted(
    logits: tuple[float, ...], now_s: float, stage: int, from_stage: int, interval: Interval
) -> None:
    """Whatever a policy scores, only stages that the guard would grant are asked for, and the guard grants them."""
    crossing = make_intersection(has_left_lanes=True)
    decider = make_decider(crossing, FixedPolicy(*logits))
    signal = SignalState(stage, from_stage if interval is not Interval.GREEN else stage, interval, 0.0)
    snapshot = make_snapshot(crossing, now_s=now_s, signal=signal, readings=(make_reading(3.0),) * 8)
    observed = decider.observe(decider.new_mind(snapshot), snapshot)
    choice = decider.recall(observed, answer(logits), may_use_policy=True)
    verdict = decider.guard(observed, choice, now_s)

    assert observed.legal[choice.stage]
    assert (verdict.is_accepted, verdict.stage) == (True, choice.stage)


@pytest.mark.parametrize(
    ("output", "may_use_policy"), [(PolicyFault("broken"), True), (PolicyFault("broken"), False), (None, False)]
)
def test_without_a_policy_the_plan_decides(output: PolicyFault | None, may_use_policy: bool) -> None:
    """A fault of the policy, or a rung that forbids it, leaves the choice to the local plan."""
    seen = make_snapshot(CROSSING, now_s=LONG_GREEN_S, readings=(make_reading(), make_reading(2.0)) * 2)
    scene = make_scene(snapshot=seen)
    choice = scene.decider.recall(scene.observed, output or answer((9.0, 0.0)), may_use_policy=may_use_policy)

    assert (choice.stage, choice.source) == (1, "plan")


def remembered(stage: int, source: str = "ltm", **changes: Any) -> Remembered:
    """A memory that is sure of `stage`, and may act."""
    candidate = Candidate(source, stage, level=-1.0, n=50, spread=0.5, updated_at_s=0.0)
    values: dict[str, Any] = {"policy_n": 20, "policy_mean": -5.0, "may_act": True}
    return Remembered(key=b"key", at_s=0.0, candidates=(candidate,), **{**values, **changes})


@pytest.mark.parametrize("source", ["ltm", "stm"])
def test_d19_a_confident_memory_comes_before_the_policy(source: str) -> None:
    """What is surely better in this situation overrules the policy, under its own name."""
    scene = make_scene(policy=FixedPolicy(0.0, 1.0))
    output = answer((0.0, 1.0))
    choice = scene.decider.choose(scene.observed, output, Rung.COORDINATED, None, remembered(0, source))

    assert (choice.stage, choice.source) == (0, source)


@pytest.mark.parametrize(
    "found",
    [None, remembered(0, may_act=False), remembered(0, policy_mean=-1.0), remembered(0, policy_n=9)],
    ids=["nothing", "in the shadow", "no better", "policy unknown"],
)
def test_d19_without_a_confident_entry_the_policy_decides(found: Remembered | None) -> None:
    """No entry, one in the shadow, one that is no better, one with nothing to compare."""
    scene = make_scene(policy=FixedPolicy(0.0, 1.0))
    choice = scene.decider.choose(scene.observed, answer((0.0, 1.0)), Rung.COORDINATED, None, found)

    assert (choice.stage, choice.source) == (1, "policy")


def test_an_illegal_memory_is_ignored() -> None:
    """Memory cannot ask for what the guard would refuse; the policy decides then."""
    decider = make_decider(CROSSING, FixedPolicy(0.0, 1.0))
    snapshot = make_snapshot(CROSSING, now_s=1.0)
    observed = decider.observe(decider.new_mind(snapshot), snapshot)
    choice = decider.recall(observed, answer((0.0, 1.0)), may_use_policy=True, remembered=remembered(1))

    assert (choice.stage, choice.source) == (0, "policy")


@pytest.mark.parametrize(
    ("rung", "late", "source"),
    [
        (Rung.LOCAL, None, "plan"),
        (Rung.RELEASED, None, "release"),
        (Rung.COORDINATED, Finding("I23", Reaction.HOLD, "late"), "hold"),
    ],
)
def test_memory_has_no_say_where_the_policy_has_none(rung: Rung, late: Finding | None, source: str) -> None:
    """The ladder and lateness come before any memory."""
    scene = make_scene()
    choice = scene.decider.choose(scene.observed, answer((0.0, 1.0)), rung, late, remembered(0))

    assert choice.source == source


def test_the_guard_has_the_last_word_on_memory() -> None:
    """A remembered stage that comes too late is refused like any other."""
    scene = make_scene()
    choice = scene.decider.choose(scene.observed, answer((0.0, 1.0)), Rung.COORDINATED, None, remembered(1))
    verdict = scene.decider.guard(scene.observed, choice, LONG_GREEN_S + 5.5)

    assert (choice.source, verdict.stage, verdict.rule) == ("ltm", 0, "I13")


def test_the_guard_judges_at_the_time_it_is_given() -> None:
    """A decision that took longer than a tick is refused by the agent's own guard."""
    scene = make_scene()
    in_time = scene.decider.guard(scene.observed, wish(1), LONG_GREEN_S + 5.0)
    too_late = scene.decider.guard(scene.observed, wish(1), LONG_GREEN_S + 5.5)

    assert (in_time.stage, in_time.is_accepted) == (1, True)
    assert (too_late.stage, too_late.is_accepted, too_late.rule) == (0, False, "I13")


@given(hyper=st.lists(st.floats(0.0, 1.0, width=32), min_size=8, max_size=8))
def test_h5_no_hyper_action_changes_what_is_wanted_guarded_or_carried_on(hyper: list[float]) -> None:
    """Whatever the weights are: they are telemetry, and nothing that decides reads them."""
    scene, plain = make_scene(), answer((0.0, 1.0), 0.5)
    other = msgspec.structs.replace(plain, hyper_action=np.array(hyper, dtype=np.float32))
    first, second = (scene.decider.choose(scene.observed, each, Rung.COORDINATED, None) for each in (plain, other))

    assert first == second
    assert scene.decider.guard(scene.observed, first, LONG_GREEN_S) == scene.decider.guard(
        scene.observed, second, LONG_GREEN_S
    )
    assert carried(scene, plain).policy.tolist() == carried(scene, other).policy.tolist()
    assert carried(scene, plain).hidden.tolist() == carried(scene, other).hidden.tolist()


def test_the_recurrent_state_is_carried_on() -> None:
    """The next tick begins with the state that this one left, and neighbours are told the probabilities."""
    scene = make_scene()
    mind = carried(scene, answer((0.0, 0.0), hidden=3.0))

    assert set(mind.hidden.tolist()) == {3.0}
    assert mind.policy.tolist() == [0.5, 0.5]
    assert (mind.step, mind.history) == (30, scene.observed.history)


def test_illegal_stages_have_no_probability() -> None:
    """Neighbours hear only of what could be asked for."""
    scene = make_scene(snapshot=make_snapshot(CROSSING, now_s=1.0))
    mind = carried(scene, answer((0.0, 9.0)))

    assert mind.policy.tolist() == [1.0, 0.0]


def test_a_failed_policy_leaves_an_empty_state() -> None:
    """What was remembered before a fault does not describe the present after it."""
    scene = make_scene()
    mind = carried(scene, PolicyFault("broken"))

    assert not mind.hidden.any()
    assert not mind.policy.any()


@pytest.mark.parametrize(
    ("ticks", "is_kept"), [(1, True), (RESET_AFTER_TICKS, True), (RESET_AFTER_TICKS + 1, False), (100, False)]
)
def test_a_long_gap_resets_the_recurrent_state(ticks: int, is_kept: bool) -> None:
    """More than three missed ticks and the state no longer describes the present."""
    scene = make_scene()
    mind = carried(scene, answer((0.0, 0.0), hidden=3.0))
    step = 30 + ticks * STEPS_PER_TICK
    observed = scene.decider.observe(mind, make_snapshot(CROSSING, step=step, now_s=float(step)))

    assert bool(observed.hidden.any()) == is_kept


def test_waits_go_on_from_tick_to_tick() -> None:
    """A call that began earlier keeps its time."""
    scene = make_scene(snapshot=make_snapshot(CROSSING, step=30, now_s=30.0, readings=(make_reading(2.0),) * 4))
    mind = carried(scene, answer((0.0, 0.0)))
    later = make_snapshot(CROSSING, step=35, now_s=35.0, readings=(make_reading(2.0),) * 4)

    assert scene.decider.observe(mind, later).history.lane_call_s == (30.0,) * 4


def test_deciding_alters_nothing() -> None:
    """Every method is a pure function: asked again, it answers the same, and its inputs are as they were."""
    decider = make_decider(CROSSING, FixedPolicy(0.0, 1.0), plan=PlanKind.FIXED)
    snapshot = make_snapshot(CROSSING, now_s=LONG_GREEN_S, signal=start(0, 0.0), readings=(make_reading(2.0),) * 4)
    mind = decider.new_mind(snapshot)
    before = msgspec.to_builtins(mind.history)
    first, second = decider.observe(mind, snapshot), decider.observe(mind, snapshot)
    outputs = [decider.infer(decider.mask(mind, observed, NO_VIEWS, NOISE)) for observed in (first, second)]

    assert msgspec.to_builtins(mind.history) == before
    assert not mind.hidden.any()
    assert first.history == second.history
    assert np.array_equal(first.observation.lanes, second.observation.lanes)
    assert all(isinstance(output, PolicyOutput) for output in outputs)


def test_a_policy_that_could_not_be_loaded_is_a_fault_of_every_tick() -> None:
    """The reason is the answer of each inference."""
    scene = make_scene(PolicyFault("bundle refused"))

    assert scene.decider.infer(scene.decider.mask(scene.mind, scene.observed, NO_VIEWS, NOISE)) == PolicyFault(
        "bundle refused"
    )


def test_a_policy_that_breaks_is_a_fault_of_its_tick() -> None:
    """What the policy says of itself is passed on."""
    scene = make_scene(BrokenPolicy())
    output = scene.decider.infer(scene.decider.mask(scene.mind, scene.observed, NO_VIEWS, NOISE))

    assert output == PolicyFault("this policy is broken")
