"""Whatever the user gets wrong: one line that says what, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from phasemesh.contract.bundle import MANIFEST_NAME, SIGNATURE_NAME
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import SiteFile
from phasemesh.controller.policy.bundle import find_bundle
from phasemesh.controller.site_folder import intersection_path, read_site
from phasemesh.sim_harness.result import RESULT_NAME
from phasemesh.sim_harness.scenarios.registry import find_scenario
from sealed_sites import reseal

pytestmark = pytest.mark.sumo

LIMIT_S = 60.0
DARK_NET = """<net version="1.20">
<edge id="a"><lane id="a_0" index="0" speed="10.0" length="100.0" shape="0,0 100,0"/></edge>
<junction id="j" type="dead_end" x="100" y="0" incLanes="a_0" intLanes="" shape="100,0"/>
</net>"""
WITHOUT_SUMO = """
import importlib.machinery

find_spec = importlib.machinery.PathFinder.find_spec


def _find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {"libsumo", "sumo", "traci"} else find_spec(name, path, target)


importlib.machinery.PathFinder.find_spec = _find_spec
"""
"""A sitecustomize that hides the simulator from everything that looks for it."""


class Refusal(NamedTuple):
    """How a command ended, and the only line that it printed to standard error."""

    code: int
    line: str
    out: str


def refuse(folder: Path, *arguments: str, **environment: str) -> Refusal:
    """Run `phasemesh` in `folder`, with a home of its own there; asserts that it prints exactly one line."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    private = {"HOME": home, "XDG_CACHE_HOME": home / "cache", "XDG_CONFIG_HOME": home / "config"}
    done = subprocess.run(
        [sys.executable, "-m", "phasemesh.controller", *arguments],
        cwd=folder,
        env={**os.environ, **{name: str(path) for name, path in private.items()}, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return Refusal(done.returncode, done.stderr, done.stdout)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of networks and bundles, each broken in one way."""
    folder = tmp_path_factory.mktemp("spoiled")
    whole = find_scenario("cologne1").net_file.read_text(encoding="utf-8")
    for name, net in {"truncated": whole[: len(whole) // 2], "dark": DARK_NET}.items():
        (folder / f"{name}.net.xml").write_text(net, encoding="utf-8")
        _write_config(folder / f"{name}.sumocfg", f"{name}.net.xml")
    _spoil_bundles(folder)
    return folder


def _write_config(path: Path, net: str) -> None:
    path.write_text(f'<configuration><net-file value="{net}"/></configuration>', encoding="utf-8")


def _spoil_bundles(folder: Path) -> None:
    for name in ("unsigned", "altered", "other_spec", "truncated"):
        shutil.copytree(find_bundle("max-pressure"), folder / name)
    (folder / "unsigned" / SIGNATURE_NAME).unlink()
    graph = folder / "altered" / "policies" / "0.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    manifest = folder / "other_spec" / MANIFEST_NAME
    manifest.write_text(manifest.read_text().replace(SPEC_HASH, "0123456789abcdef"))
    graph = folder / "truncated" / "policies" / "0.onnx"
    graph.write_bytes(graph.read_bytes()[:100])


RUNS: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown scenario": (("nowhere",), "unknown scenario 'nowhere'; known are grid3x3"),
    "truncated network": (("{spoiled}/truncated.sumocfg",), "truncated.net.xml: is not valid XML"),
    "network without signals": (("{spoiled}/dark.sumocfg",), "dark.net.xml: has no signal with two stages"),
    "unknown bundle": (("cologne1", "--bundle", "nope"), "nope: is no folder with a manifest.json"),
    "unsigned bundle": (("cologne1", "--bundle", "{spoiled}/unsigned"), "manifest.sig: the bundle is not signed"),
    "altered bundle": (("cologne1", "--bundle", "{spoiled}/altered"), "policies/0.onnx: was altered"),
    "bundle of another spec": (("cologne1", "--bundle", "{spoiled}/other_spec"), "manifest.sig: is not the signature"),
    "truncated graph": (("cologne1", "--bundle", "{spoiled}/truncated"), "policies/0.onnx: has 100 bytes"),
    "tick of zero": (("cologne1", "--tick-s", "0"), "--tick-s 0.0: must be a whole number of seconds"),
    "tick in words": (("cologne1", "--tick-s", "two"), "Invalid value for '--tick-s'"),
    "unknown profile": (("cologne1", "--profile", "nope"), "no timing profile 'nope'; known are benchmark"),
    "unknown signal": (("cologne1", "--signals", "nope"), "has no signal 'nope'; it has GS_cluster"),
    "no time for neighbours": (("cologne1", "--comm-deadline-ms", "0"), "--comm-deadline-ms 0.0: must be from 1 ms"),
    "real time in one process": (("cologne1", "--pace", "realtime", "--agents", "inprocess"), "--pace realtime: "),
    "kill without a time": (("cologne1", "--kill", "GS_cluster"), "--kill 'GS_cluster': must look like ID@SECOND"),
    "kill of nobody": (("cologne1", "--kill", "nobody@10"), "--kill: there is no agent 'nobody'; there are GS_cluster"),
    "unknown controller beside": (("cologne1", "--compare-with", "nope"), "nope: is no folder with a manifest.json"),
    "option that SUMO refuses": (("cologne1", "--sumo-arg=--nope"), "SUMO cannot start: On processing option '--nope'"),
}


@pytest.mark.parametrize("name", RUNS)
def test_run_refuses_in_one_line_and_leaves_no_result(tmp_path: Path, spoiled: Path, name: str) -> None:
    """`run` says what is wrong with what it was given, and nothing looks like the result of a run."""
    arguments, says = RUNS[name]

    refused = refuse(tmp_path, "run", *(each.format(spoiled=spoiled) for each in arguments), "--report", "out")

    assert refused.code == 2
    assert refused.line.startswith("phasemesh: ")
    assert says in refused.line
    assert not (tmp_path / "out").exists()


def test_a_window_that_cannot_be_opened_leaves_an_earlier_report_as_it_was(tmp_path: Path) -> None:
    """Without a display nothing of the refused run stays, and what lay there before does."""
    report = tmp_path / "out"
    report.mkdir()
    (report / RESULT_NAME).write_text("an earlier run")

    refused = refuse(tmp_path, "run", "cologne1", "--gui", "--report", "out", DISPLAY="")

    assert refused.code == 2
    assert "SUMO's window needs a display" in refused.line
    assert [path.name for path in report.iterdir()] == [RESULT_NAME]
    assert (report / RESULT_NAME).read_text() == "an earlier run"


COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "report in /proc": (("run", "cologne1", "--report", "/proc/x"), "--report /proc/x: cannot be made"),
    "report with a colon": (("run", "cologne1", "--report", "a:b"), "--report a:b: SUMO takes a colon or comma"),
    "seeds in words": (("compare", "cologne1", "--controllers", "fixed", "--seeds", "x"), "--seeds 'x': must be whole"),
    "compare with an unknown": (("compare", "cologne1", "--controllers", "fixed,nope"), "nope: is no folder with a"),
    "site in a file": (("site", "cologne1", "--out", "{spoiled}/dark.net.xml"), "is not an empty folder"),
    "site in a full folder": (("site", "cologne1", "--out", "{spoiled}"), "is not an empty folder; choose a new one"),
    "site in /proc": (("site", "cologne1", "--out", "/proc/x"), "/proc/x: cannot write the site"),
    "site of an unknown bundle": (("site", "cologne1", "--out", "new", "--bundle", "nope"), "nope: is no folder"),
    "site without an address": (("site", "cologne1", "--out", "new", "--cabinet", "here"), "--cabinet here: must look"),
    "replay of no record": (("replay", "{spoiled}/dark.net.xml"), "dark.net.xml: is not a record"),
    "replay of nothing": (("replay", "nowhere.rec"), "nowhere.rec: cannot be read: No such file"),
    "check of nothing": (("check", "nowhere"), "nowhere: is no folder with a manifest.json and no installed bundle"),
    "agent of nothing": (("agent", "--site", "nowhere", "--id", "x"), "nowhere/site.json: No such file"),
    "unknown benchmark": (("bench", "--parts", "nope"), "--parts nope: known are decentralised"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_other_command_refuses_in_one_line(tmp_path: Path, spoiled: Path, name: str) -> None:
    """Nothing is written where a command cannot do what it was asked."""
    arguments, says = COMMANDS[name]
    before = sorted(spoiled.iterdir())

    refused = refuse(tmp_path, *(each.format(spoiled=spoiled) for each in arguments))

    assert refused.code == 2
    assert refused.line.startswith("phasemesh: ")
    assert says in refused.line
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert sorted(spoiled.iterdir()) == before


SUMO_COMMANDS = (("run", "cologne1", "--report", "out"), ("site", "cologne1", "--out", "out"), ("bench",))


@pytest.mark.parametrize("arguments", SUMO_COMMANDS, ids=lambda arguments: arguments[0])
def test_a_machine_without_sumo_is_told_what_to_install(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Commands that need the simulator name it and the extra that brings it, before they write anything."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_SUMO)

    refused = refuse(tmp_path, *arguments, PYTHONPATH=str(tmp_path))

    assert refused.code == 2
    assert refused.line == "phasemesh: libsumo not installed; pip install 'phasemesh[sim]'\n"
    assert not (tmp_path / "out").exists()


class Town(NamedTuple):
    """A written site, and the first of its intersections."""

    folder: Path
    site: SiteFile
    name: str

    def port(self, of: str) -> int:
        """The port of the first intersection's endpoint or operator."""
        text = self.site.directory[self.name].endpoint if of == "endpoint" else self.entry()["operator"]
        return int(text.rpartition(":")[2])

    def entry(self) -> dict[str, str]:
        """The first intersection's file."""
        return json.loads(intersection_path(self.folder, 0).read_text())


@pytest.fixture(scope="module")
def written_town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of cologne3, with the configuration of whoever signed it beside it."""
    folder = tmp_path_factory.mktemp("site") / "town"
    command = [sys.executable, "-m", "phasemesh.controller", "site", "cologne3", "--out", str(folder)]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder.parent / "config")}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return folder


@pytest.fixture
def town(tmp_path: Path, written_town: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    """A copy of the site of cologne3, in the home of whoever signed it."""
    folder, config = tmp_path / "town", tmp_path / "home" / "config"
    shutil.copytree(written_town, folder)
    shutil.copytree(written_town.parent / "config", config)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    site = read_site(folder)
    return Town(folder, site, next(iter(site.directory)))


@pytest.fixture
def holder() -> Iterator[socket.socket]:
    """A socket that may hold a port of loopback."""
    with socket.socket() as holder:
        yield holder


@pytest.mark.parametrize("port", ["endpoint", "operator"])
def test_an_agent_whose_port_is_taken_says_which(tmp_path: Path, town: Town, holder: socket.socket, port: str) -> None:
    """An agent that cannot be heard by its neighbours or its operators does not start."""
    holder.bind(("127.0.0.1", town.port(port)))
    holder.listen()

    refused = refuse(tmp_path, "agent", "--site", "town", "--id", town.name, "--state", "state", "--records", "a.rec")

    assert refused.code == 2
    assert refused.line.startswith("phasemesh: ")
    assert f"127.0.0.1:{town.port(port)}" in refused.line
    assert "Address already in use" in refused.line


def test_a_cabinet_whose_port_is_taken_says_which(tmp_path: Path, town: Town, holder: socket.socket) -> None:
    """A cabinet that nobody could command does not start."""
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    taken = holder.getsockname()[1]

    of_town = ("--site", "town", "--id", town.name, "--state", "state")
    refused = refuse(tmp_path, "cabinet", *of_town, "--port", str(taken))

    assert refused.code == 2
    assert refused.line.startswith(f"phasemesh: 127.0.0.1:{taken} cannot be bound: Address already in use")


@pytest.mark.parametrize("command", ["agent", "cabinet"])
def test_asymmetric_conflicts_are_refused_by_agent_and_cabinet(tmp_path: Path, town: Town, command: str) -> None:
    """Whoever alters and signs a site so that two movements disagree about their conflict is told where."""
    rows = town.entry()["intersection"]["conflicts"]
    first, second = next((i, j) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell == "1")
    _alter_conflict(town, first, second)

    refused = refuse(tmp_path, command, "--site", "town", "--id", town.name, "--state", "state")

    assert refused.code == 2
    assert refused.line.startswith("phasemesh: town/intersections/0.json: ")
    assert f"conflicts[{first}][{second}]: is 0 but conflicts[{second}][{first}] is 1" in refused.line


def _alter_conflict(town: Town, first: int, second: int) -> None:
    entry = town.entry()
    row = entry["intersection"]["conflicts"][first]
    entry["intersection"]["conflicts"][first] = f"{row[:second]}0{row[second + 1 :]}"
    intersection_path(town.folder, 0).write_text(json.dumps(entry))
    reseal(town.folder)
