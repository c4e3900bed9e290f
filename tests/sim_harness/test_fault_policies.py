"""Faults F13 to F15: policies that are missing, altered, without numbers, or slow."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from fault_cabinets import NAME, at_once

from phasemesh.contract.errors import BundleError
from phasemesh.contract.tensors import INPUTS, PolicyInput, PolicyOutput, is_finite
from phasemesh.controller.clock import SimulatedClock
from phasemesh.controller.policy.bundle import find_bundle, load_bundle
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.safety.case import DeadlineCase, PolicyCase, Reaction
from phasemesh.controller.safety.input_rules import deadline_kept, policy_usable
from phasemesh.sim_harness.faults.policy import FaultyPolicy, SlowClock
from phasemesh.sim_harness.faults.schedule import Schedule

FLIPS = 64


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of a bundle that ships."""
    return Path(shutil.copytree(find_bundle("approach-lost-time"), tmp_path / "bundle"))


def _graph(bundle: Path) -> Path:
    return next(bundle.rglob("*.onnx"))


def _is_refused(bundle: Path) -> bool:
    try:
        load_bundle(bundle, trusted_keys())
    except BundleError:
        return True
    return False


def test_f13_a_bundle_without_its_graph_is_refused(bundle: Path) -> None:
    """Missing is found at the start, in one kind of error."""
    _graph(bundle).unlink()

    assert _is_refused(bundle)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_f13_a_truncated_graph_is_refused(bundle: Path, kept: float) -> None:
    """Empty, half and all but the last bytes."""
    content = _graph(bundle).read_bytes()
    _graph(bundle).write_bytes(content[: int(kept * len(content))])

    assert _is_refused(bundle)


def test_f14_every_flipped_bit_is_found(bundle: Path) -> None:
    """A graph with one flipped bit mostly loads and sometimes decides differently; its hash does not agree."""
    draws, content = random.Random(14), _graph(bundle).read_bytes()  # noqa: S311 (repeatable)
    found = 0
    for _ in range(FLIPS):
        altered = bytearray(content)
        altered[draws.randrange(len(altered))] ^= 1 << draws.randrange(8)
        _graph(bundle).write_bytes(altered)
        found += _is_refused(bundle)

    assert found == FLIPS


def _policy(means: str, clock: SlowClock, strength: float = 0.0) -> FaultyPolicy:
    schedule = Schedule(NAME, (at_once(means, strength=strength),))
    schedule.tell(1.0)
    bundle = load_bundle(find_bundle("approach-lost-time"), trusted_keys())
    return FaultyPolicy(bundle.policy_for(NAME), schedule, clock)


def _inputs() -> PolicyInput:
    sizes = {"L": 4, "S": 2, "K": 1}
    shapes = [tuple(size if isinstance(size, int) else sizes[size] for size in spec.shape) for spec in INPUTS]
    return PolicyInput(*(np.full(shape, 0.5, dtype=np.float32) for shape in shapes))


def test_f13_an_answer_without_numbers_never_reaches_the_guard() -> None:
    """Rule I20 finds it, whatever the shape says."""
    output = _policy("policy-nan", SlowClock(SimulatedClock())).infer(_inputs())

    assert isinstance(output, PolicyOutput)
    finding = policy_usable(PolicyCase(is_finite(output), len(output.stage_logits), 2))
    assert finding is not None
    assert finding.reaction is Reaction.REPLACE


def test_f15_a_slow_answer_is_held_twice_and_then_replaced() -> None:
    """150 ms of the clock that judges are too late; the third time in a row the local plan decides."""
    clock = SlowClock(SimulatedClock())
    policy = _policy("policy-slow", clock, strength=0.15)
    reactions = []
    for misses in range(3):
        before_ns = clock.mono_ns()
        policy.infer(_inputs())
        spent_ms = (clock.mono_ns() - before_ns) / 1e6
        late = deadline_kept(DeadlineCase(spent_ms, 0.0, spent_ms, misses))
        reactions.append(late.reaction if late else None)

    assert reactions == [Reaction.HOLD, Reaction.HOLD, Reaction.REPLACE]
