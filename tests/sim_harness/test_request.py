"""A run by names: how it becomes a run that can be played, and which names are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from scenario_files import write_scenario

from phasemesh.contract.errors import PhasemeshError
from phasemesh.contract.site import Pace
from phasemesh.sim_harness.controllers import ControllerKind
from phasemesh.sim_harness.options import AgentsMode, RunOptions
from phasemesh.sim_harness.request import RunRequest, resolve


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The path of a scenario."""
    return str(write_scenario(tmp_path))


def request_of(config: str, controller: str = "bundle:approach-lost-time", **changes: Any) -> RunRequest:
    """A request for `controller` on `config` with `changes`."""
    return RunRequest(scenario=config, controller=controller, report="out", **changes)


def test_names_become_what_they_name(config: str) -> None:
    """Scenario, bundle, place of the agents and pace are looked up; all other values are passed on."""
    asked = request_of(config, agents="processes", pace="realtime", speed=2.0, seconds=30.0, signals=("a",))

    options = resolve(asked)

    assert (options.scenario.name, options.scenario.begin_s, options.scenario.end_s) == ("row", 100.0, 700.0)
    assert options.controller.kind is ControllerKind.BUNDLE
    assert (options.agents, options.pace) == (AgentsMode.PROCESSES, Pace.REALTIME)
    assert (options.speed, options.seconds, options.signals) == (2.0, 30.0, ("a",))
    assert options.report == Path("out")


def test_every_field_of_a_request_has_a_place_in_a_run() -> None:
    """The two know the same fields, so that none can be lost on the way."""
    assert set(RunRequest.__struct_fields__) == set(RunOptions.__struct_fields__)


def test_a_run_of_defaults_is_the_request_of_defaults(config: str) -> None:
    """Both name the same defaults, except that a request is for comparison: in one process and without records."""
    options = resolve(request_of(config))

    for field in msgspec.structs.fields(RunOptions):
        if field.name not in {"scenario", "controller", "report", "agents", "keeps_records"}:
            assert getattr(options, field.name) == field.default, field.name


@pytest.mark.parametrize(("noise_seed", "expected"), [(None, 7), (0, 0), (99, 99)])
def test_noise_follows_the_seed_unless_it_has_its_own(config: str, noise_seed: int | None, expected: int) -> None:
    """SUMO's seed and that of the agents' noise are one number until somebody tells them apart."""
    options = resolve(request_of(config, seed=7, noise_seed=noise_seed))

    assert (options.seed, options.noise_seed) == (7, expected)


@pytest.mark.parametrize("controller", ["sotl", "fixed"])
def test_rules_and_sumos_own_control_stay_in_this_process(config: str, controller: str) -> None:
    """They have nothing that a process of its own could load."""
    assert resolve(request_of(config, controller, agents="processes")).agents is AgentsMode.INPROCESS


def test_the_caller_may_insist_on_a_bundle(config: str) -> None:
    """Where a bundle is asked for, the rule of the same name does not come in its place."""
    asked = request_of(config, "max-pressure")

    assert resolve(asked).controller.kind is ControllerKind.RULE
    assert resolve(asked, is_bundle=True).controller.kind is ControllerKind.BUNDLE


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scenario": "nowhere"}, "unknown scenario 'nowhere'"),
        ({"scenario": "nowhere.sumocfg"}, "nowhere.sumocfg: cannot be read"),
        ({"controller": "nope"}, "nope: is no folder"),
        ({"controller": "bundle:sotl"}, "sotl: is no folder"),
        ({"agents": "threads"}, "--agents 'threads': choose one of processes, inprocess"),
        ({"pace": "fast"}, "--pace 'fast': choose one of lockstep, realtime"),
    ],
)
def test_every_unknown_name_is_refused_in_one_line(config: str, changes: dict[str, str], says: str) -> None:
    """The line says what there is to choose from."""
    with pytest.raises(PhasemeshError) as refused:
        resolve(msgspec.structs.replace(request_of(config), **changes))

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_request_reaches_another_process_unchanged(config: str) -> None:
    """It survives JSON, and a field that nobody knows is refused."""
    asked = request_of(config, signals=("a", "b"), kills=(("a", 5.0, None), ("b", 6.0, 9.0)), sumo_args=("--x",))

    encoded = msgspec.json.encode(asked)

    assert msgspec.json.decode(encoded, type=RunRequest) == asked
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(encoded[:-1] + b',"more":1}', type=RunRequest)
