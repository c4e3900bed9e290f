"""A scenario that lasts longer than its demand: the same hour of traffic comes again and again."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from xml.etree import ElementTree as ET

from phasemesh.contract.errors import InputError, ScenarioError
from phasemesh.sim_harness.scenarios.scenario import Scenario

_TIMES = ("depart", "begin", "end")
_FILE_OPTIONS = frozenset({"net-file", "net", "n", "route-files", "routes", "r", "additional-files", "additional", "a"})
_ROUTE_OPTIONS = frozenset({"route-files", "routes", "r"})
_TIME_OPTIONS = {"begin": "begin", "b": "begin", "end": "end", "e": "end"}


def repeat_demand(scenario: Scenario, seconds: float, folder: Path) -> Path:
    """Write a configuration into `folder` in which the demand of `scenario` repeats for `seconds`; its path.

    Vehicles and people that are due outside the window of the scenario are left out; those of the n-th repetition
    have `.n` behind their names. Everything else is as the scenario has it.

    Raises:
        ScenarioError: A file of the scenario cannot be read.
        InputError: The folder cannot be written.
    """
    window_s = scenario.end_s - scenario.begin_s
    repeats = math.ceil(seconds / window_s)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        routes = folder / "demand.rou.xml"
        _write(routes, _repeated([_read(path) for path in scenario.route_files], scenario, repeats))
        config = folder / f"{scenario.name}.sumocfg"
        _write(config, _config(scenario, routes, seconds))
    except OSError as error:
        raise InputError(f"{folder}: the demand cannot be written: {error}") from error
    return config


def _read(path: Path) -> ET.Element:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return ET.parse(file).getroot()  # noqa: S314 (a file of a scenario that SUMO itself will read)
    except (OSError, ET.ParseError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def _write(path: Path, root: ET.Element) -> None:
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _repeated(files: list[ET.Element], scenario: Scenario, repeats: int) -> ET.Element:
    """Definitions first, then all that moves, in the order of time, as SUMO demands."""
    root = ET.Element("routes")
    children = [child for file in files for child in file]
    root.extend(child for child in children if _due_s(child) is None)
    moving = [child for child in children if _is_within(child, scenario)]
    shift_s = scenario.end_s - scenario.begin_s
    copies = [_shifted(child, number, number * shift_s, scenario) for number in range(repeats) for child in moving]
    root.extend(sorted(copies, key=lambda copy: _due_s(copy) or 0.0))
    return root


def _due_s(element: ET.Element) -> float | None:
    """When a vehicle, person or flow is first due, in seconds; None for whatever has no such time."""
    text = element.get("depart") or element.get("begin")
    return None if text is None else _seconds(text)


def _seconds(text: str) -> float | None:
    """A time of SUMO in seconds; None for a departure on an event, such as `triggered`."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        return None
    return sum(part * unit for part, unit in zip(reversed(parts), (1.0, 60.0, 3600.0, 86_400.0), strict=False))


def _is_within(element: ET.Element, scenario: Scenario) -> bool:
    due_s, end_s = _due_s(element), _seconds(element.get("end", ""))
    if due_s is None:
        return False
    return due_s < scenario.end_s and (due_s >= scenario.begin_s or (end_s is not None and end_s > scenario.begin_s))


def _shifted(element: ET.Element, number: int, shift_s: float, scenario: Scenario) -> ET.Element:
    """A copy of `element` in the repetition `number`; a flow is cut to the window."""
    copy = ET.fromstring(ET.tostring(element))  # noqa: S314 (our own text)
    if number:
        copy.set("id", f"{element.get('id', '')}.{number}")
    if copy.get("begin") and not copy.get("end"):
        copy.set("end", f"{scenario.end_s:.2f}")
    for name in _TIMES:
        at_s = _seconds(copy.get(name, ""))
        if at_s is not None:
            copy.set(name, f"{min(max(at_s, scenario.begin_s), scenario.end_s) + shift_s:.2f}")
    return copy


def _config(scenario: Scenario, routes: Path, seconds: float) -> ET.Element:
    """The configuration of `scenario` with absolute paths, the repeated demand and a later end."""
    root = _read(scenario.config)
    for section in root.iter():
        for option in list(section):
            if option.tag in _TIME_OPTIONS or option.tag in _ROUTE_OPTIONS:
                section.remove(option)
            elif option.tag in _FILE_OPTIONS:
                option.set("value", _absolute(scenario.config.parent, option.get("value", "")))
    for tag, value in (
        ("route-files", str(routes.resolve())),
        ("begin", f"{scenario.begin_s:g}"),
        ("end", f"{scenario.begin_s + seconds:g}"),
    ):
        ET.SubElement(root, tag, value=value)
    return root


def _absolute(folder: Path, value: str) -> str:
    return ",".join(str((folder / part.strip()).resolve()) for part in value.split(",") if part.strip())
