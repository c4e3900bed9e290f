"""What findings say: a sentence for people that names the figures, readable in a log without the code beside it."""

from __future__ import annotations

import pytest

from phasemesh.controller.safety.case import (
    ClockCase,
    DeadlineCase,
    Finding,
    NeighbourCase,
    PolicyCase,
)
from phasemesh.controller.safety.input_rules import clock_steady, deadline_kept, neighbour_usable, policy_usable

INPUT_SENTENCES = (
    (policy_usable(PolicyCase(True, 3, 4)), "3 logits for 4 stages"),
    (policy_usable(PolicyCase(False, 4, 4)), "an output is not finite"),
    (neighbour_usable(NeighbourCase(0.0, 3, 5, 5, is_key_known=False)), "its key is unknown"),
    (neighbour_usable(NeighbourCase(0.0, 3, 4, 9, is_key_known=True)), "number 4 comes after 9"),
    (neighbour_usable(NeighbourCase(3.5, 3, 5, 5, is_key_known=True)), "3.5 ticks old, at most 3 are allowed"),
    (
        deadline_kept(DeadlineCase(120.0, 300.0, 700.0, misses_before=1)),
        "miss 2 in a row: inference 120 of 100 ms, receiving 300 of 250 ms, command 700 of 500 ms",
    ),
    (clock_steady(ClockCase(3600.5, 0.25)), "the wall clock jumped by 3600.250 s"),
)


@pytest.mark.parametrize(("finding", "sentence"), INPUT_SENTENCES, ids=[sentence for _, sentence in INPUT_SENTENCES])
def test_findings_about_inputs_name_the_figures(finding: Finding | None, sentence: str) -> None:
    """I20, I22, I23, I24: what was found, and what is allowed."""
    assert finding is not None
    assert finding.detail == sentence
