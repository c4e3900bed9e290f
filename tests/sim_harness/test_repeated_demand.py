"""The demand of a scenario again and again: the same traffic, later, under other names."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.scenarios.scenario import Scenario, read_config
from phasemesh.sim_harness.torture.demand import repeat_demand

ROUTES = """<routes>
  <vType id="car"/>
  <route id="way" edges="a b"/>
  <vehicle id="early" depart="50" route="way"/>
  <vehicle id="first" depart="100.00" route="way"/>
  <flow id="stream" begin="0" end="1000" vehsPerHour="60" route="way"/>
  <flow id="open" begin="150" period="exp(0.1)" route="way"/>
  <person id="walker" depart="199.5"><walk edges="a b"/></person>
  <vehicle id="late" depart="200" route="way"/>
</routes>
"""
CONFIG = """<configuration>
  <input><net-file value="town.net.xml"/><route-files value="town.rou.xml"/></input>
  <time><begin value="0:00:01:40"/><end value="200"/></time>
  <processing><lateral-resolution value="0.4"/></processing>
</configuration>
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """A town with a window of 100 s, from 100 s on."""
    (tmp_path / "town.net.xml").write_text("<net/>")
    (tmp_path / "town.rou.xml").write_text(ROUTES)
    config = tmp_path / "town.sumocfg"
    config.write_text(CONFIG)
    return read_config(config, name="town", source="here", licence="none")


def _children(config: Path) -> list[ET.Element]:
    return list(ET.parse(config.with_name("demand.rou.xml")).getroot())  # noqa: S314 (our own file)


def test_each_vehicle_comes_again_a_window_later(scenario: Scenario, tmp_path: Path) -> None:
    """What is due within the window repeats, the rest is left out; people on foot repeat as well."""
    children = _children(repeat_demand(scenario, 250.0, tmp_path / "out"))

    departs = {child.get("id"): child.get("depart") for child in children if child.get("depart")}
    assert departs == {
        "first": "100.00",
        "walker": "199.50",
        "first.1": "200.00",
        "walker.1": "299.50",
        "first.2": "300.00",
        "walker.2": "399.50",
    }
    assert all(len(child) == 1 for child in children if child.tag == "person")


def test_a_flow_is_cut_to_the_window(scenario: Scenario, tmp_path: Path) -> None:
    """Otherwise one repetition would add to the next; a flow without an end ends with its window."""
    children = _children(repeat_demand(scenario, 200.0, tmp_path / "out"))

    spans = {child.get("id"): (child.get("begin"), child.get("end")) for child in children if child.tag == "flow"}
    assert spans == {
        "stream": ("100.00", "200.00"),
        "open": ("150.00", "200.00"),
        "stream.1": ("200.00", "300.00"),
        "open.1": ("250.00", "300.00"),
    }


def test_definitions_come_once_and_first_and_the_rest_in_time(scenario: Scenario, tmp_path: Path) -> None:
    """SUMO reads in order and takes no vehicle that is late in the file."""
    children = _children(repeat_demand(scenario, 300.0, tmp_path / "out"))

    due_s = [float(child.get("depart") or child.get("begin") or "-1") for child in children]
    assert [child.get("id") for child in children[:2]] == ["car", "way"]
    assert due_s == sorted(due_s)


def test_the_configuration_keeps_everything_else(scenario: Scenario, tmp_path: Path) -> None:
    """Network and options stay; begin, end and routes are those of the longer run."""
    config = repeat_demand(scenario, 250.0, tmp_path / "out")

    longer = read_config(config, name="town", source="", licence="")
    assert (longer.begin_s, longer.end_s) == (100.0, 350.0)
    assert longer.net_file.samefile(scenario.net_file)
    assert [path.name for path in longer.route_files] == ["demand.rou.xml"]
    assert "lateral-resolution" in config.read_text()


def test_what_cannot_be_read_is_refused_in_one_line(scenario: Scenario, tmp_path: Path) -> None:
    """A broken route file is named."""
    (tmp_path / "town.rou.xml").write_text("<routes>")

    with pytest.raises(ScenarioError, match=r"town\.rou\.xml: cannot be read"):
        repeat_demand(msgspec.structs.replace(scenario), 200.0, tmp_path / "out")
