"""One scenario: a network with its demand and the hour that is measured; and how SUMO's configurations become one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.sumo.xml_stream import elements

DEFAULT_LENGTH_S = 3600.0
"""How long a scenario lasts whose configuration names no end."""

_OPTIONS = {
    "net-file": "net",
    "net": "net",
    "n": "net",
    "route-files": "routes",
    "routes": "routes",
    "r": "routes",
    "additional-files": "additional",
    "additional": "additional",
    "a": "additional",
    "begin": "begin",
    "b": "begin",
    "end": "end",
    "e": "end",
}
"""SUMO's names and abbreviations of the options that are read here."""


class Scenario(msgspec.Struct, frozen=True):
    """A network, its demand, and the window from `begin_s` to `end_s` of simulated time.

    `config` is the configuration that names the files, for SUMO's other options. `source` and `licence` say where the
    data come from and under which terms.
    """

    name: str
    config: Path
    net_file: Path
    route_files: tuple[Path, ...]
    additional_files: tuple[Path, ...]
    begin_s: float
    end_s: float
    source: str
    licence: str


def read_config(config: Path, *, name: str, source: str, licence: str) -> Scenario:
    """The scenario that a `.sumocfg` describes; raises ScenarioError with one line when it cannot be run."""
    values = {
        _OPTIONS[option]: attributes["value"]
        for option, attributes in elements(config)
        if option in _OPTIONS and attributes.get("value")
    }
    net_files = _files(config, values.get("net", ""))
    if not net_files:
        raise ScenarioError(f"{config}: names no net-file")
    begin_s = _seconds(config, values.get("begin", "0"))
    end_s = _seconds(config, values.get("end", "-1"))
    return Scenario(
        name=name,
        config=config,
        net_file=net_files[0],
        route_files=_files(config, values.get("routes", "")),
        additional_files=_files(config, values.get("additional", "")),
        begin_s=begin_s,
        end_s=end_s if end_s > begin_s else begin_s + DEFAULT_LENGTH_S,
        source=source,
        licence=licence,
    )


def _files(config: Path, value: str) -> tuple[Path, ...]:
    files = tuple(config.parent / part.strip() for part in value.split(",") if part.strip())
    for file in files:
        if not file.is_file():
            raise ScenarioError(f"{config}: names {file}, which does not exist")
    return files


def _seconds(config: Path, value: str) -> float:
    """A time of SUMO: seconds, or days:hours:minutes:seconds with the days left out at will."""
    try:
        parts = [float(part) for part in value.split(":")]
    except ValueError as error:
        raise ScenarioError(f"{config}: {value!r} is no time") from error
    return sum(part * unit for part, unit in zip(reversed(parts), (1.0, 60.0, 3600.0, 86_400.0), strict=False))
