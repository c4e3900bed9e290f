"""How options become SUMO's command line, and which files are refused before SUMO sees them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from phasemesh.contract.errors import InputError, MissingExtraError, ScenarioError
from phasemesh.sim_harness.sumo.connection import SIGNAL_STATES_NAME, TRIPS_NAME, SumoOptions, command_line, start
from phasemesh.sim_harness.sumo.xml_stream import elements


def values_of(line: list[str], option: str) -> list[str]:
    """What follows `option` on a command line, split at commas; fails when it does not occur once."""
    assert line.count(option) == 1
    return line[line.index(option) + 1].split(",")


def write_config(folder: Path, content: str) -> Path:
    """A .sumocfg with `content` as its input section."""
    path = folder / "city.sumocfg"
    path.write_text(f"<configuration><input>{content}</input></configuration>")
    return path


def test_the_rules_of_every_run_are_on_the_command_line(tmp_path: Path) -> None:
    """Nothing teleports, collisions are only warned of, and trips that did not end are written."""
    line = command_line(SumoOptions(output=tmp_path, net=Path("a.net.xml"), seed=7, begin_s=25200.0, step_s=0.5))

    assert values_of(line, "--time-to-teleport") == ["-1"]
    assert values_of(line, "--collision.action") == ["warn"]
    assert values_of(line, "--tripinfo-output") == [str(tmp_path / TRIPS_NAME)]
    assert {"--tripinfo-output.write-unfinished", "--tripinfo-output.write-undeparted"} < set(line)
    assert values_of(line, "--seed") == ["7"]
    assert values_of(line, "--begin") == ["25200.0"]
    assert values_of(line, "--step-length") == ["0.5"]


def test_junction_locks_are_dissolved_by_default(tmp_path: Path) -> None:
    """Vehicles that block a junction are ignored after 20 s unless that is turned off."""
    default = command_line(SumoOptions(output=tmp_path, net=Path("a.net.xml")))
    off = command_line(SumoOptions(output=tmp_path, net=Path("a.net.xml"), ignore_junction_blocker_s=-1.0))

    assert values_of(default, "--ignore-junction-blocker") == ["20.0"]
    assert values_of(off, "--ignore-junction-blocker") == ["-1.0"]


def test_extra_arguments_come_last(tmp_path: Path) -> None:
    """What the user adds to the command line stands behind everything else."""
    line = command_line(SumoOptions(output=tmp_path, net=Path("a.net.xml"), extra=("--scale", "2")))

    assert line[-2:] == ["--scale", "2"]


def test_additional_files_stand_beside_those_of_the_configuration(tmp_path: Path) -> None:
    """SUMO would drop the configuration's files for those of the command line, so both are given."""
    config = write_config(tmp_path, '<net-file value="a.net.xml"/><additional-files value="stops.xml, lots.xml"/>')

    line = command_line(SumoOptions(output=tmp_path, config=config, additional=(Path("/mine.xml"),)))

    names = ["stops.xml", "lots.xml"]
    assert values_of(line, "--additional-files") == [*(str(tmp_path / name) for name in names), "/mine.xml"]
    assert values_of(line, "--net-file") == [str(tmp_path / "a.net.xml")]
    assert "--route-files" not in line


def test_a_given_network_replaces_that_of_the_configuration(tmp_path: Path) -> None:
    """An explicit network goes before the one that the configuration names."""
    config = write_config(tmp_path, '<net-file value="a.net.xml"/>')

    line = command_line(SumoOptions(output=tmp_path, config=config, net=Path("/b.net.xml")))

    assert values_of(line, "--net-file") == ["/b.net.xml"]


def test_every_recorded_signal_has_an_event(tmp_path: Path) -> None:
    """The additional file that records lights names every signal, whatever characters its id holds."""
    signals = ("A0", 'odd "&<id>')

    line = command_line(SumoOptions(output=tmp_path, net=Path("a.net.xml"), recorded_signals=signals))

    (recorder,) = values_of(line, "--additional-files")
    events = [attributes for name, attributes in elements(Path(recorder)) if name == "timedEvent"]
    assert tuple(event["source"] for event in events) == signals
    assert {event["dest"] for event in events} == {str(tmp_path / SIGNAL_STATES_NAME)}


def test_no_signals_need_no_recorder(tmp_path: Path) -> None:
    """Without recorded signals there is no additional file."""
    line = command_line(SumoOptions(output=tmp_path, net=Path("a.net.xml")))

    assert "--additional-files" not in line


def test_options_without_a_network_are_refused(tmp_path: Path) -> None:
    """Neither a network nor a configuration that names one is a ScenarioError."""
    config = write_config(tmp_path, "")

    with pytest.raises(ScenarioError, match="names no network"):
        command_line(SumoOptions(output=tmp_path))
    with pytest.raises(ScenarioError, match=r"city\.sumocfg"):
        command_line(SumoOptions(output=tmp_path, config=config))


def test_a_window_without_a_display_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for the window on a machine without a display says so at once instead of trying for a minute."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    with pytest.raises(InputError, match="DISPLAY"):
        command_line(SumoOptions(output=tmp_path, net=Path("a.net.xml"), is_gui=True))


NETWORK = '<net version="1.20"/>'


@pytest.mark.sumo
@pytest.mark.parametrize("root", ["<net/>", NETWORK])
@pytest.mark.parametrize("kind", ["additional", "routes", "additional-files", "route-files"])
def test_a_network_in_place_of_routes_is_refused(tmp_path: Path, kind: str, root: str) -> None:
    """A network among routes or additional files, given or named by a configuration, is one line and no crash."""
    net, wrong = tmp_path / "a.net.xml", tmp_path / "wrong.xml"
    net.write_text(NETWORK)
    wrong.write_text(root)
    if kind in {"additional", "routes"}:
        options = SumoOptions(output=tmp_path, net=net, **{kind: (wrong,)})
    else:
        config = write_config(tmp_path, f'<net-file value="a.net.xml"/><{kind} value="wrong.xml"/>')
        options = SumoOptions(output=tmp_path, config=config)

    with pytest.raises(ScenarioError, match=r"wrong\.xml: is a SUMO network, where routes"):
        start(options)


def test_a_missing_simulator_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libsumo the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "libsumo", None)

    with pytest.raises(MissingExtraError, match=r"phasemesh\[sim\]"):
        start(SumoOptions(output=tmp_path, net=Path("a.net.xml")))
