"""B12: agents that only hear their neighbours act in every tick, whatever their neighbours say or do not say."""

from __future__ import annotations

import numpy as np
import pytest

from agent_factories import EAST, PAIR, STALE_AFTER_TICKS, WEST, Town
from phasemesh.contract.tensors import PolicyInput, PolicyOutput
from phasemesh.controller.telemetry.records import Source, TickRecord
from phasemesh.export.parity import torch_output
from phasemesh.export.rule_weights import random_actor
from phasemesh.trainer.networks import UniversalActor

pytestmark = pytest.mark.train
SILENT_TICKS = 6


class TorchPolicy:
    """An actor in torch as the policy of an agent, which keeps what it was asked and answered."""

    def __init__(self, actor: UniversalActor) -> None:
        """Decide with `actor`."""
        self._actor = actor
        self.asked: list[tuple[PolicyInput, PolicyOutput]] = []

    def infer(self, inputs: PolicyInput) -> PolicyOutput:
        """As in `Policy`."""
        output = torch_output(self._actor, inputs)
        self.asked.append((inputs, output))
        return output


@pytest.fixture(scope="module")
def told() -> tuple[list[TickRecord], list[tuple[PolicyInput, PolicyOutput]]]:
    """The ticks of the west while the east speaks twice and then falls silent, with what its policy was asked."""
    town = Town(PAIR, lambda: TorchPolicy(random_actor(7)), is_deterministic=False)
    records = [town.tick((1.0, 6.0, 0.0, 3.0))[WEST] for _ in range(2)]
    records += [town.tick((1.0, 6.0, 0.0, 3.0), absent=(EAST,))[WEST] for _ in range(SILENT_TICKS)]
    policy = town.residents[WEST].policy
    assert isinstance(policy, TorchPolicy)
    return records, policy.asked


def test_b12_a_silent_neighbour_counts_with_its_last_message_and_then_not_at_all(told) -> None:
    """As long as the message is fresh the policy reads the last one; afterwards mask and probability are 0."""
    _, asked = told
    last = asked[1][0].neighbour_messages
    valid = [float(inputs.neighbour_valid[0]) for inputs, _ in asked]

    assert valid == [1.0] * (2 + STALE_AFTER_TICKS) + [0.0] * (SILENT_TICKS - STALE_AFTER_TICKS)
    for inputs, output in asked[2:]:
        if inputs.neighbour_valid[0]:
            assert np.array_equal(inputs.neighbour_messages, last)
        else:
            assert output.mask.tolist() == output.mask_probability.tolist() == [0.0]
    assert 0.0 < asked[1][1].mask_probability[0] < 1.0


def test_b12_an_agent_acts_in_every_tick_without_its_neighbour(told) -> None:
    """The policy decides within the step that it looked at, and the cabinet accepts: nothing waits for a message."""
    records, asked = told

    assert len(records) == len(asked) == 2 + SILENT_TICKS
    for record in records:
        assert record.source is Source.POLICY
        assert record.is_accepted
        assert record.applied is not None
        assert record.now_s == record.snapshot.now_s
        assert record.step == record.snapshot.step


def test_b12_a_mask_of_zero_is_to_be_without_neighbours(told) -> None:
    """What a neighbour once said changes nothing as soon as it is masked."""
    _, asked = told
    inputs, output = asked[-1]
    changed = PolicyInput(
        **{name: getattr(inputs, name) for name in inputs.__struct_fields__ if name != "neighbour_messages"},
        neighbour_messages=inputs.neighbour_messages + np.float32(3.0),
    )

    assert np.array_equal(torch_output(random_actor(7), changed).stage_logits, output.stage_logits)
