"""SUMO's own adaptive programs: the network's steps, bounded greens, and SUMO really runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from crossing_nets import write_corner
from net_files import write_row

from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.binaries import sumo_program
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.sim_harness.sumo.programs import ProgramKind, write_programs
from phasemesh.sim_harness.sumo.xml_stream import elements


@pytest.mark.parametrize("kind", list(ProgramKind))
def test_greens_are_bounded_and_changes_are_kept(tmp_path: Path, kind: ProgramKind) -> None:
    """Each commanded signal gets a program of the kind with its own steps; only greens may vary."""
    path = tmp_path / "programs.add.xml"

    write_programs(read_network(write_row(tmp_path / "row.net.xml")), kind, path)

    logics = [attributes for name, attributes in elements(path) if name == "tlLogic"]
    steps = [attributes for name, attributes in elements(path) if name == "phase"]
    assert [(logic["id"], logic["type"]) for logic in logics] == [(name, kind.value) for name in "abc"]
    assert steps[:4] == [
        {"duration": "10", "state": "Gr", "minDur": "5", "maxDur": "50"},
        {"duration": "10", "state": "yr"},
        {"duration": "10", "state": "rG", "minDur": "5", "maxDur": "50"},
        {"duration": "10", "state": "ry"},
    ]


def test_the_clearance_of_people_keeps_its_time(tmp_path: Path) -> None:
    """A step in which people only finish their way across lasts as long as in the network, as netconvert has it."""
    path = tmp_path / "programs.add.xml"

    write_programs(read_network(write_corner(tmp_path / "x.net.xml")), ProgramKind.ACTUATED, path)

    steps = {attributes["state"]: attributes for name, attributes in elements(path) if name == "phase"}
    assert {state for state, step in steps.items() if "minDur" in step} == {"GgrG", "rrGr"}
    assert steps["Ggrr"] == {"duration": "10", "state": "Ggrr"}


def test_ids_with_markup_are_quoted(tmp_path: Path) -> None:
    """A signal whose id holds markup characters keeps its id."""
    path = write_row(tmp_path / "row.net.xml")
    text = (
        path.read_text(encoding="utf-8").replace("id='a' type", "id='a&amp;1' type").replace("tl='a'", "tl='a&amp;1'")
    )
    path.write_text(text, encoding="utf-8")

    write_programs(read_network(path), ProgramKind.ACTUATED, tmp_path / "programs.add.xml")

    assert ("tlLogic", "a&1") in [(tag, found.get("id")) for tag, found in elements(tmp_path / "programs.add.xml")]


@pytest.mark.sumo
@pytest.mark.parametrize("kind", list(ProgramKind))
def test_sumo_runs_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: ProgramKind) -> None:
    """The loaded program is the one in force, as SUMO's own record of signal states shows."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    scenario = find_scenario("grid1x2")
    network = read_network(scenario.net_file)
    write_programs(network, kind, tmp_path / "programs.add.xml")
    record = tmp_path / "record.add.xml"
    signal = network.controlled[0].tls_id
    record.write_text(
        f'<additional><timedEvent type="SaveTLSStates" source="{signal}" dest="{tmp_path}/states.xml"/></additional>',
        encoding="utf-8",
    )
    files = f"{tmp_path}/programs.add.xml,{record}"
    options = ["-c", str(scenario.config), "-a", files, "--end", "120", "--no-step-log", "--duration-log.disable"]

    subprocess.run([str(sumo_program("sumo")), *options], check=True, capture_output=True, timeout=60)

    states = [attributes for name, attributes in elements(tmp_path / "states.xml") if name == "tlsState"]
    assert {state["programID"] for state in states} == {f"phasemesh_{kind.value}"}
    assert len({state["state"] for state in states}) > 2
