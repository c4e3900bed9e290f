"""The scenarios by name: measuring maps of the package sumo-rl, generated grids and cities, and any `.sumocfg`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec

from phasemesh.contract.errors import MissingExtraError, ScenarioError
from phasemesh.sim_harness.scenarios.city import city_scenario, parse_city
from phasemesh.sim_harness.scenarios.generated import grid_scenario, parse_grid
from phasemesh.sim_harness.scenarios.netgenerate import LICENCE, SOURCE
from phasemesh.sim_harness.scenarios.scenario import Scenario, read_config


class ScenarioEntry(msgspec.Struct, frozen=True):
    """One row of the table: what `find_scenario` knows by name, without opening any file."""

    name: str
    source: str
    licence: str


class _Benchmark(msgspec.Struct, frozen=True):
    begin_s: float
    end_s: float
    source: str
    licence: str


_COLOGNE = _Benchmark(25_200.0, 28_800.0, "RESCO (TAPASCologne), in sumo-rl", "CC BY-NC-SA 3.0")
_INGOLSTADT = _Benchmark(57_600.0, 61_200.0, "RESCO (InTAS), in sumo-rl", "GPL-3.0")
_SYNTHETIC = _Benchmark(0.0, 3600.0, "RESCO, in sumo-rl", "CC BY-NC-SA 4.0")
_BENCHMARKS = {
    "cologne1": _COLOGNE,
    "cologne3": _COLOGNE,
    "cologne8": _COLOGNE,
    "ingolstadt1": _INGOLSTADT,
    "ingolstadt7": _INGOLSTADT,
    "ingolstadt21": _INGOLSTADT,
    "grid4x4": _SYNTHETIC,
    "arterial4x4": _SYNTHETIC,
}
"""The maps of RESCO with the hour that RESCO measures; they are read where they are installed, never copied."""
_GENERATED = {
    **dict.fromkeys(("grid3x3", "grid5x5", "grid13x13"), "any gridNxM"),
    **dict.fromkeys(("walk2x2", "walk3x3"), "any walkNxM, with people on foot"),
    **dict.fromkeys(("city:1", "city:2"), "any city:SEED, drawn at random"),
    "mixed3x1": "three signals in a row, each with a demand of its own",
    "same3x1": "three signals in a row with the same demand",
}
"""The generated scenarios that are listed, each with the names of its kind, of which every size works."""


def list_scenarios() -> tuple[ScenarioEntry, ...]:
    """The known names with source and licence; any `gridNxM`, `walkNxM`, `city:SEED` and `.sumocfg` can be run too."""
    benchmarks = tuple(ScenarioEntry(name, row.source, row.licence) for name, row in _BENCHMARKS.items())
    generated = tuple(ScenarioEntry(name, f"{SOURCE}; {kind}", LICENCE) for name, kind in _GENERATED.items())
    return (*generated, *benchmarks)


def find_scenario(name_or_path: str | Path) -> Scenario:
    """The scenario of that name, or of the `.sumocfg` at that path; what is generated is made on first use.

    Raises:
        ScenarioError: There is no such scenario, or its files cannot be used.
        MissingExtraError: The package that holds the map, or SUMO, is not installed.
    """
    name = str(name_or_path)
    if name in _BENCHMARKS:
        return _benchmark(name, _BENCHMARKS[name])
    recipe = parse_grid(name)
    if recipe is not None:
        return grid_scenario(name, recipe)
    if (seed := parse_city(name)) is not None:
        return city_scenario(seed)
    path = Path(name_or_path)
    if path.suffix == ".sumocfg":
        return read_config(path, name=path.stem, source=str(path), licence="not stated")
    known = ", ".join(entry.name for entry in list_scenarios())
    raise ScenarioError(
        f"unknown scenario {name!r}; known are {known}, any gridNxM, walkNxM or city:SEED and any path to a .sumocfg"
    )


def _benchmark(name: str, row: _Benchmark) -> Scenario:
    folder = _maps_folder(name) / name
    scenario = read_config(folder / f"{name}.sumocfg", name=name, source=row.source, licence=row.licence)
    return msgspec.structs.replace(scenario, begin_s=row.begin_s, end_s=row.end_s)


def _maps_folder(name: str) -> Path:
    """The maps inside the package sumo-rl, which is located without being imported, since that needs SUMO_HOME."""
    spec = importlib.util.find_spec("sumo_rl")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        return Path(location) / "nets" / "RESCO"
    raise MissingExtraError(f"scenario {name} comes with sumo-rl, which is not installed: pip install 'phasemesh[sim]'")
