"""The benchmarks themselves: what they compare with, and how they refuse; their figures are for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.bench import FIXED_TIME_DELAY_S, machine, run_benchmarks, with_commented_steps
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network

pytestmark = pytest.mark.sumo


def test_the_machine_is_described_in_one_line() -> None:
    """Figures without a machine mean nothing."""
    text = machine()

    assert "\n" not in text
    assert "GB" in text
    assert "Python" in text


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    """Nothing is measured before the parts are known."""
    with pytest.raises(
        InputError,
        match="known are decentralised, alone, costs, pace, monitor, many, fixed-time, memory, queue-city, rollout",
    ):
        run_benchmarks(("speed",))


@pytest.mark.parametrize("name", FIXED_TIME_DELAY_S)
def test_steps_that_were_commented_out_are_put_back(tmp_path: Path, name: str) -> None:
    """Two maps lost steps in their package; the others are measured as they are."""
    scenario = find_scenario(name)
    config, is_restored = with_commented_steps(scenario, tmp_path)
    steps = _steps(scenario.net_file)

    assert is_restored == (name in {"ingolstadt7", "ingolstadt21"})
    if is_restored:
        copy = find_scenario(config)
        assert _steps(copy.net_file) == steps + (1 if name == "ingolstadt7" else 2)
        assert (copy.begin_s, copy.end_s) == (scenario.begin_s, scenario.end_s)
    else:
        assert config == name


def _steps(net_file: Path) -> int:
    return sum(len(site.own_program) for site in read_network(net_file).controlled)
