"""The pipe loses nothing: wire, guard, adapters and processes change not a single trip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from city_runs import digest, run_city

from phasemesh.contract.timing import BENCHMARK, PROFILES, TimingProfile, stage_timings
from phasemesh.sim_harness.monitor.city_monitor import Trip
from phasemesh.sim_harness.monitor.demands import LEAST_YELLOW_S
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.signal_check import check_signal_states
from phasemesh.sim_harness.sumo.connection import SIGNAL_STATES_NAME
from phasemesh.sim_harness.sumo.network import read_network

pytestmark = [pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(600)]

DEADLINE_MS = 1000.0
"""What is compared are decisions, not speed: a busy machine must not make a message late."""
APART = {"agents": "processes", "comm_deadline_ms": DEADLINE_MS}
SCENARIOS = {"cologne3": 1200.0, "ingolstadt7": 900.0, "grid5x5": 450.0}
"""Scenarios with the simulated seconds that are compared."""


@pytest.mark.parametrize(("scenario", "seconds"), SCENARIOS.items())
def test_max_pressure_gives_the_same_trips_in_processes_in_one_process_and_in_numpy(
    tmp_path: Path, scenario: str, seconds: float
) -> None:
    """The max-pressure bundle over HTTP and CURVE, the same bundle in one process, and the plain rule agree."""
    runs = {
        "processes": run_city(
            tmp_path / "p",
            scenario,
            "bundle:max-pressure",
            seconds=seconds,
            agents="processes",
            comm_deadline_ms=DEADLINE_MS,
            keeps_records=True,
        ),
        "bundle": run_city(tmp_path / "b", scenario, "bundle:max-pressure", seconds=seconds),
        "rule": run_city(tmp_path / "r", scenario, "max-pressure", seconds=seconds),
    }

    assert (runs["processes"].deadline_misses, runs["processes"].fallback_ticks) == (0, 0)
    assert digest(tmp_path / "p") == digest(tmp_path / "b") == digest(tmp_path / "r")
    assert runs["processes"].ticks == runs["bundle"].ticks == runs["rule"].ticks > 0
    for result in runs.values():
        assert (result.collisions, result.emergency_stops, result.fallback_ticks) == (0, 0, 0)


@pytest.fixture(scope="module")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of fixed random weights that reads messages, mask and hidden state, signed with your own key."""
    pytest.importorskip("torch", reason="needs the extra `train`")
    out = tmp_path_factory.mktemp("bundles") / "random-7"
    command = [sys.executable, "-m", "phasemesh.controller", "export", "random:7", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.mark.train
@pytest.mark.parametrize(("scenario", "seconds"), SCENARIOS.items())
def test_random_weights_that_read_messages_mask_and_hidden_state_give_the_same_trips(
    tmp_path: Path, random_bundle: Path, scenario: str, seconds: float
) -> None:
    """A bundle whose choices hang on every message and every noise decides alike in N processes and in one."""
    apart = run_city(tmp_path / "p", scenario, str(random_bundle), seconds=seconds, **APART)
    run_city(tmp_path / "b", scenario, str(random_bundle), seconds=seconds)

    assert (apart.deadline_misses, apart.fallback_ticks) == (0, 0)
    assert digest(tmp_path / "p") == digest(tmp_path / "b")


@pytest.mark.train
def test_other_noise_gives_other_trips(tmp_path: Path, random_bundle: Path) -> None:
    """The random bundle's choices really hang on its noise, and through it on mask and messages."""
    for seed in (1, 99):
        run_city(tmp_path / str(seed), "ingolstadt7", str(random_bundle), seconds=600.0, noise_seed=seed)

    assert digest(tmp_path / "1") != digest(tmp_path / "99")


def recorded_trips(folder: Path, scenario: str, profile: TimingProfile) -> list[Trip]:
    """What the monitor says about SUMO's own record of the lights of a run."""
    chosen = find_scenario(scenario)
    network = read_network(chosen.net_file)
    timings = {each.id: stage_timings(each, profile) for each in network.intersections}
    least_yellow_s = min(LEAST_YELLOW_S, profile.timing.yellow_s)
    path = folder / SIGNAL_STATES_NAME
    return check_signal_states(path, network.intersections, timings, chosen.begin_s, least_yellow_s=least_yellow_s)


@pytest.mark.parametrize(("scenario", "seconds"), SCENARIOS.items())
def test_nothing_unsafe_is_shown_in_sumos_own_record_of_the_lights(
    tmp_path: Path, scenario: str, seconds: float
) -> None:
    """Neither the monitor of the run nor SUMO's record has seen a conflict or an interval out of order or too short."""
    result = run_city(tmp_path, scenario, "bundle:approach-lost-time", seconds=seconds)

    assert (result.monitor_trips, result.monitor_findings) == (0, ())
    assert recorded_trips(tmp_path, scenario, BENCHMARK) == []


@pytest.mark.parametrize("profile", ["benchmark", "street", "paper"])
@pytest.mark.parametrize("controller", ["sotl", "approach", "bundle:max-pressure"])
def test_nothing_unsafe_is_shown_under_any_profile(tmp_path: Path, controller: str, profile: str) -> None:
    """Rules and bundles, in one process and in several, keep every interval of the profile that is in force."""
    mode = APART if controller.startswith("bundle:") else {}
    result = run_city(tmp_path, "cologne3", controller, seconds=400.0, profile=profile, **mode)

    assert (result.monitor_trips, result.monitor_findings) == (0, ())
    assert recorded_trips(tmp_path, "cologne3", PROFILES[profile]) == []


@pytest.mark.parametrize(("controller", "seed", "seconds"), [("sotl", 2001, 360.0), ("longest-queue", 2003, 360.0)])
def test_a_left_turn_yields_during_the_yellow_too(tmp_path: Path, controller: str, seed: int, seconds: float) -> None:
    """Hours of `cologne1` in which a left turn met a late crosser at 331 s, on the lane that both turn into."""
    result = run_city(tmp_path, "cologne1", controller, seconds=seconds, seed=seed)

    assert (result.collisions, result.emergency_stops, result.monitor_trips) == (0, 0, 0)
