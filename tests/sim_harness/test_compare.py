"""Comparisons: which runs are made of what was asked, what is refused before any of them, and what is left behind."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from result_factories import make_result
from scenario_files import write_scenario

from phasemesh.contract.errors import InputError, PhasemeshError
from phasemesh.sim_harness.compare import comparison_requests, unsafe_runs
from phasemesh.sim_harness.request import RunRequest
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.worker import run_all

CONTROLLERS = ("fixed", "max-pressure", "bundle:max-pressure")


@pytest.fixture
def template(tmp_path: Path) -> RunRequest:
    """What all runs of a comparison have in common; its report does not exist."""
    return RunRequest(scenario="", controller="", report=str(tmp_path / "report"), seconds=60.0, profile="street")


@pytest.fixture
def rows(tmp_path: Path) -> list[str]:
    """Two scenarios."""
    return [str(write_scenario(tmp_path, name)) for name in ("row", "other")]


def test_there_is_one_run_for_each_scenario_controller_and_seed(template: RunRequest, rows: list[str]) -> None:
    """In this order, so that the table of each scenario is complete before the next one."""
    requests = comparison_requests(template, rows, CONTROLLERS, (1, 7))

    asked = [(request.scenario, request.controller, request.seed) for request in requests]

    assert asked == [(row, controller, seed) for row in rows for controller in CONTROLLERS for seed in (1, 7)]


def test_runs_differ_from_their_template_in_nothing_else(template: RunRequest, rows: list[str]) -> None:
    """All other options hold for every run alike."""
    for request in comparison_requests(template, rows, CONTROLLERS, (1, 7)):
        back = msgspec.structs.replace(request, scenario="", controller="", seed=1, report=template.report)

        assert back == template


def test_every_run_has_a_folder_of_its_own_under_the_report(template: RunRequest, rows: list[str]) -> None:
    """One level below `runs`, in letters that SUMO takes for a path: no colon, no slash."""
    folders = [Path(request.report) for request in comparison_requests(template, rows, CONTROLLERS, (1, 7))]

    assert len(set(folders)) == 12
    assert {folder.parent for folder in folders} == {Path(template.report) / "runs"}
    assert all(letter.isalnum() or letter in "-._" for folder in folders for letter in folder.name)
    assert any(folder.name.endswith("_bundle-max-pressure_7") for folder in folders)


@pytest.mark.parametrize(("controllers", "seeds"), [((), (1,)), (("fixed",), ())])
def test_a_comparison_of_nothing_is_refused(
    template: RunRequest, rows: list[str], controllers: tuple[str, ...], seeds: tuple[int, ...]
) -> None:
    """Without a controller or a seed there is nothing to run."""
    with pytest.raises(InputError, match="--controllers and --seeds: give at least one of each"):
        comparison_requests(template, rows, controllers, seeds)


@pytest.mark.parametrize(
    ("scenarios", "controllers", "says"),
    [
        (["row"], ("fixed", "max-pressure", "nope"), "nope: is no folder"),
        (["row", "nowhere"], ("fixed",), "unknown scenario 'nowhere'"),
    ],
)
def test_whatever_is_unknown_is_refused_before_anything_runs(
    template: RunRequest, rows: list[str], scenarios: list[str], controllers: tuple[str, ...], says: str
) -> None:
    """The last of many controllers cannot spoil the hours of those before it."""
    paths = [rows[0] if scenario == "row" else scenario for scenario in scenarios]

    with pytest.raises(InputError, match=says):
        comparison_requests(template, paths, controllers, (1,))

    assert not Path(template.report).exists()


@pytest.mark.parametrize(
    ("controllers", "seeds"),
    [(("fixed", "fixed"), (1,)), (("fixed",), (1, 2, 1)), (("bundle:mine", "bundle/mine"), (1,))],
)
def test_no_two_runs_may_write_into_one_folder(
    template: RunRequest, rows: list[str], controllers: tuple[str, ...], seeds: tuple[int, ...]
) -> None:
    """Whoever names one thing twice would otherwise get results that two runs have written at once."""
    with pytest.raises(InputError, match="one is named twice"):
        comparison_requests(template, rows, controllers, seeds)


def test_every_seed_is_checked(template: RunRequest, rows: list[str]) -> None:
    """Not only the first one."""
    with pytest.raises(InputError, match="--seed -1"):
        comparison_requests(template, rows, CONTROLLERS, (1, -1))


def test_an_option_that_no_run_can_have_is_refused_before_anything_runs(template: RunRequest, rows: list[str]) -> None:
    """Every controller is checked with the options of the comparison."""
    bad = msgspec.structs.replace(template, tick_s=0.0)

    with pytest.raises(InputError, match=r"--tick-s 0\.0"):
        comparison_requests(bad, rows, CONTROLLERS, (1,))


def test_the_fault_of_a_worker_names_its_run(template: RunRequest, rows: list[str]) -> None:
    """A run that is refused in its own process ends the comparison with the worker's line."""
    request = msgspec.structs.replace(template, scenario=rows[0], controller="nope", seed=3)

    with pytest.raises(PhasemeshError, match=r"row\.sumocfg, nope, seed 3: nope: is no folder"):
        run_all([request], workers=1)


def test_runs_in_which_the_monitor_tripped_are_named() -> None:
    """Findings in programs of SUMO are no trips."""
    watched = make_result(controller="fixed", agents_mode="none", sumo_program_findings=9, monitor_findings=("x",))
    unsafe = make_result(seed=5, monitor_trips=1, monitor_findings=("a at 3 s: it conflicts",))

    assert unsafe_runs([make_result(), watched]) == []
    assert unsafe_runs([make_result(), watched, unsafe]) == [
        "max-pressure on cologne3, seed 5: trips of the monitor: 1; the first is a at 3 s: it conflicts"
    ]


@pytest.mark.sumo
@pytest.mark.slow
def test_a_small_comparison_leaves_all_results(tmp_path: Path) -> None:
    """Two controllers and two seeds make four runs: as JSON and CSV in their order, and on a page."""
    arguments = ("cologne1", "--controllers", "fixed,bundle:max-pressure", "--seeds", "1,2", "--seconds", "60")
    command = [sys.executable, "-m", "phasemesh.controller", "compare", *arguments, "--report", "report"]

    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)

    report = tmp_path / "report"
    results = msgspec.json.decode((report / "results.json").read_bytes(), type=list[RunResult])
    expected = [("fixed", 1), ("fixed", 2), ("bundle:max-pressure", 1), ("bundle:max-pressure", 2)]
    assert [(result.controller, result.seed) for result in results] == expected
    assert {(result.scenario, result.seconds, result.is_complete) for result in results} == {("cologne1", 60.0, True)}
    with (report / "results.csv").open(encoding="utf-8") as file:
        assert [(row["controller"], int(row["seed"])) for row in csv.DictReader(file)] == expected
    assert "bundle:max-pressure" in (report / "index.html").read_text(encoding="utf-8")
    assert "bundle:max-pressure" in done.stdout
    assert sorted(path.name for path in (report / "runs").iterdir()) == [
        "cologne1_bundle-max-pressure_1",
        "cologne1_bundle-max-pressure_2",
        "cologne1_fixed_1",
        "cologne1_fixed_2",
    ]
