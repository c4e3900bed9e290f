"""What one run may be asked to do, and how what cannot be done is refused."""

from __future__ import annotations

import fcntl
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scenario_files import ROW, write_scenario

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import Pace
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.controllers import Controller, ControllerKind
from phasemesh.sim_harness.options import AgentsMode, RunOptions, check_options
from phasemesh.sim_harness.report_folder import LOCK_NAME
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.scenarios.scenario import Scenario

BUNDLE = Controller(name="mine", kind=ControllerKind.BUNDLE, tick_s=2.0)
RULE = Controller(name="sotl", kind=ControllerKind.RULE, tick_s=5.0)
WATCHED = Controller(name="fixed", kind=ControllerKind.SUMO, tick_s=5.0)
SCENARIO = Scenario("town", Path("t.sumocfg"), Path("t.net.xml"), (), (), 100.0, 700.0, "here", "none")
OPTIONS = RunOptions(scenario=SCENARIO, controller=BUNDLE, report=Path("report"))


def changed(**changes: Any) -> RunOptions:
    """A run of ten minutes with a bundle of ticks of 2 s, in processes, with `changes`."""
    return msgspec.structs.replace(OPTIONS, **changes)


@pytest.mark.parametrize(
    ("changes", "expected_s"),
    [
        ({}, 2.0),
        ({"controller": RULE}, 5.0),
        ({"profile": "street"}, 2.0),
        ({"profile": "paper"}, 5.0),
        ({"profile": "paper", "tick_s": 3.0}, 3.0),
        ({"tick_s": 10.0}, 10.0),
        ({"tick_s": 0.0}, 0.0),
    ],
)
def test_the_tick_is_the_one_asked_for_else_the_profiles_else_the_controllers(
    changes: dict[str, Any], expected_s: float
) -> None:
    """Even a tick that will be refused is the one that was asked for."""
    options = changed(**changes)

    assert options.effective_tick_s == expected_s
    assert options.steps_per_tick == int(expected_s)


def test_the_papers_own_tick_of_a_map_goes_before_the_profiles() -> None:
    """The profile `paper` follows each paper's experiment on its map."""
    scenario = msgspec.structs.replace(changed().scenario, name="newyork51")

    assert changed(profile="paper", scenario=scenario).effective_tick_s == 20.0
    assert changed(scenario=scenario).effective_tick_s == 2.0


@pytest.mark.parametrize(("seconds", "expected_s"), [(None, 600.0), (60.0, 60.0), (600.0, 600.0), (math.inf, 600.0)])
def test_a_run_is_no_longer_than_its_scenario(seconds: float | None, expected_s: float) -> None:
    """Without a length the whole window is run."""
    assert changed(seconds=seconds).length_s == expected_s


GOOD: tuple[dict[str, Any], ...] = (
    {},
    {"tick_s": 1.0, "seconds": 1.0},
    {"tick_s": 60.0, "comm_deadline_ms": 60_000.0},
    {"speed": 100.0, "pace": Pace.REALTIME},
    {"agents": AgentsMode.INPROCESS},
    {"seed": 0},
    {"seed": 2**31 - 1},
    {"agents": AgentsMode.INPROCESS, "controller": RULE},
    {"controller": WATCHED},
    {"kills": (("a", 0.0, None), ("b", 5.0, 6.0))},
)


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_what_can_be_run_is_not_refused(changes: dict[str, Any]) -> None:
    """The edges of every range are inside."""
    check_options(changed(**changes))


HERE = AgentsMode.INPROCESS
BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"profile": "nope"}, "no timing profile 'nope'; known are benchmark, street, paper"),
    ({"tick_s": 0.0}, "--tick-s 0.0: must be a whole number of seconds from 1 to 60"),
    ({"tick_s": -5.0}, "--tick-s -5.0"),
    ({"tick_s": 2.5}, "--tick-s 2.5"),
    ({"tick_s": 61.0}, "--tick-s 61.0"),
    ({"tick_s": math.nan}, "--tick-s nan"),
    ({"tick_s": math.inf}, "--tick-s inf"),
    ({"seconds": 1.0}, "--seconds 1.0: must be at least one tick of 2.0 s"),
    ({"seconds": -1.0}, "--seconds -1.0"),
    ({"seconds": math.nan}, "--seconds nan"),
    ({"seed": -1}, "--seed -1: must be from 0 to 2147483647"),
    ({"seed": 2**31}, "--seed 2147483648"),
    ({"speed": 0.0}, "--speed 0.0: must be from 0.1 to 100"),
    ({"speed": 101.0}, "--speed 101.0"),
    ({"speed": math.nan}, "--speed nan"),
    ({"comm_deadline_ms": 0.0}, "--comm-deadline-ms 0.0: must be from 1 ms to one tick"),
    ({"comm_deadline_ms": 2001.0}, "--comm-deadline-ms 2001.0"),
    ({"comm_deadline_ms": math.nan}, "--comm-deadline-ms nan"),
    ({"agents": HERE, "pace": Pace.REALTIME}, "--pace realtime: agents in one process"),
    ({"controller": RULE}, "sotl is a rule: rules run with --agents inprocess"),
    ({"agents": HERE, "kills": (("a", 5.0, None),)}, "--kill: only a process can be killed"),
    ({"kills": (("a", -1.0, None),)}, "--kill a@-1.0: the seconds must rise from 0"),
    ({"kills": (("a", math.nan, None),)}, "--kill a@nan"),
    ({"kills": (("a", 5.0, 5.0),)}, "--kill a@5.0"),
    ({"kills": (("a", 5.0, math.inf),)}, "--kill a@5.0"),
)


@pytest.mark.parametrize(("changes", "says"), BAD, ids=str)
def test_what_cannot_be_run_is_refused_in_one_line(changes: dict[str, Any], says: str) -> None:
    """The line names the option and what it may be."""
    with pytest.raises(InputError) as refused:
        check_options(changed(**changes))

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_only_agents_that_exist_can_be_killed(tmp_path: Path) -> None:
    """A city refuses to rehearse the death of a stranger, before anything is written."""
    options = changed(scenario=find_scenario(write_scenario(tmp_path)), report=tmp_path / "report")
    city = City(msgspec.structs.replace(options, kills=(("b", 5.0, None),)))
    assert [each.id for each in city.network.intersections] == list(ROW)

    with pytest.raises(InputError, match="--kill: there is no agent 'd'; there are a, b, c"):
        City(msgspec.structs.replace(options, kills=(("d", 5.0, None),)))

    assert not (tmp_path / "report").exists()


def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Two runs would mix their trips and remove each other's records."""
    report = tmp_path / "report"
    report.mkdir()
    (report / "result.json").write_text("of the other run")
    city = City(changed(scenario=find_scenario(write_scenario(tmp_path)), report=report))

    with (report / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another run is writing there"):
            city.run()

    assert (report / "result.json").read_text() == "of the other run"


@pytest.mark.parametrize(
    ("report", "says"),
    [("a:b", "a colon or comma"), ("a,b", "a colon or comma"), ("row.sumocfg/out", "cannot be made")],
)
def test_a_report_that_cannot_be_written_is_refused_before_sumo_starts(tmp_path: Path, report: str, says: str) -> None:
    """A path that SUMO would misread, or one within a file, leaves nothing behind."""
    scenario = find_scenario(write_scenario(tmp_path))
    city = City(changed(scenario=scenario, report=tmp_path / report))
    before = sorted(tmp_path.iterdir())

    with pytest.raises(InputError, match=f"--report .*{says}"):
        city.run()

    assert sorted(tmp_path.iterdir()) == before
