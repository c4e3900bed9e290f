"""Comparisons of agents that remember: who learns what, where it is kept, and what a measured run begins with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from result_factories import make_result
from scenario_files import write_scenario

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import MemoryMode
from phasemesh.sim_harness.compare import comparison_requests, run_comparison, run_with_comparison
from phasemesh.sim_harness.remembering import SUFFIXES, Learning, controller_and_mode, learn, plan_learning
from phasemesh.sim_harness.report.table import comparison_table, is_rule
from phasemesh.sim_harness.request import RunRequest

CONTROLLERS = ("approach", "approach+shadow", "approach+memory")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "report"


@pytest.fixture
def requests(tmp_path: Path, report: Path) -> list[RunRequest]:
    """The rule alone, with a memory in the shadow, and with one that acts; two seeds each."""
    template = RunRequest(scenario="", controller="", report=str(report), seconds=60.0)
    return comparison_requests(template, [str(write_scenario(tmp_path))], CONTROLLERS, (1, 2))


def test_a_suffix_says_how_agents_remember() -> None:
    """Whoever has none forgets; signs within a name are no suffix."""
    assert {suffix: controller_and_mode(f"best{suffix}") for suffix in SUFFIXES} == {
        "+shadow": ("best", MemoryMode.SHADOW),
        "+memory": ("best", MemoryMode.LIVE),
    }
    assert controller_and_mode("bundle:max-pressure") == ("bundle:max-pressure", MemoryMode.OFF)
    assert controller_and_mode("a+memory/b") == ("a+memory/b", MemoryMode.OFF)


def test_every_run_that_remembers_has_a_memory_of_its_own(requests: list[RunRequest], report: Path) -> None:
    """Below the report, and the controller is named without its suffix."""
    assert {request.controller for request in requests} == {"approach"}
    assert [request.memory for request in requests] == ["off", "off", "shadow", "shadow", "live", "live"]
    folders = [Path(request.memory_folder) for request in requests if request.memory_folder]
    assert len(set(folders)) == 4
    assert {folder.parent for folder in folders} == {report / "memory"}


def test_lessons_are_one_memory_after_the_other_in_the_order_of_their_seeds(
    requests: list[RunRequest], report: Path
) -> None:
    """One row of lessons for each controller that remembers; all of a row share a folder that no measured run has."""
    plans = plan_learning(requests, (7, 5), report)

    assert [[(lesson.memory, lesson.seed) for lesson in plan.lessons] for plan in plans] == [
        [("shadow", 7), ("shadow", 5)],
        [("live", 7), ("live", 5)],
    ]
    for plan in plans:
        assert {lesson.memory_folder for lesson in plan.lessons} == {str(plan.learned)}
        assert plan.learned not in plan.copies
        assert len(plan.copies) == 2
    every = [lesson.report for plan in plans for lesson in plan.lessons]
    assert len({*every, *(request.report for request in requests)}) == len(every) + len(requests)


@pytest.mark.parametrize(
    ("seeds", "says"),
    [((5, 2), "--learn-seeds: 2 is measured too"), ((5, 5), "--learn-seeds: one is named twice")],
)
def test_lessons_that_would_spoil_the_measurement_are_refused(
    requests: list[RunRequest], report: Path, seeds: tuple[int, ...], says: str
) -> None:
    """Before anything is run."""
    with pytest.raises(InputError, match=says):
        plan_learning(requests, seeds, report)


def test_lessons_for_nobody_are_refused(requests: list[RunRequest], report: Path) -> None:
    """The user has forgotten a suffix; without lessons nobody needs one."""
    with pytest.raises(InputError, match=r"no controller remembers; end its name with \+shadow or \+memory"):
        plan_learning(requests[:2], (7,), report)
    assert plan_learning(requests[:2], (), report) == []


def plan_in(folder: Path, seeds: Sequence[int]) -> Learning:
    """A row of lessons without a scenario, two measured runs after it."""
    learned = folder / "learned"
    lesson = RunRequest(scenario="row", controller="approach", report=str(folder), memory_folder=str(learned))
    lessons = tuple(msgspec.structs.replace(lesson, seed=seed) for seed in seeds)
    return Learning(lessons, learned, (folder / "1", folder / "2"))


def test_measured_runs_begin_with_copies_of_what_was_learned_in_this_comparison(tmp_path: Path) -> None:
    """What an earlier one left is gone; the first lessons of all are played before the second ones of any."""
    plans = [plan_in(tmp_path / name, (7, 8)) for name in ("a", "b")]
    for plan in plans:
        for folder in (plan.learned, *plan.copies):
            folder.mkdir(parents=True)
            (folder / "old").touch()
    played: list[int] = []

    def run(lessons: Sequence[RunRequest]) -> int:
        played.extend(lesson.seed for lesson in lessons)
        for lesson in lessons:
            folder = Path(lesson.memory_folder or "")
            folder.mkdir(exist_ok=True)
            with (folder / "store").open("a") as store:
                store.write(str(lesson.seed))
        return len(lessons)

    assert learn(plans, run)
    assert played == [7, 7, 8, 8]
    for plan in plans:
        for folder in (plan.learned, *plan.copies):
            assert [path.name for path in folder.iterdir()] == ["store"]
            assert (folder / "store").read_text() == "78"


def test_an_interrupted_lesson_is_the_last(tmp_path: Path) -> None:
    """Nothing is measured with half of the lessons."""
    calls: list[int] = []

    def run(lessons: Sequence[RunRequest]) -> int:
        calls.append(len(lessons))
        return 0

    plan = plan_in(tmp_path, (7, 8))

    assert not learn([plan], run)
    assert calls == [1]
    assert not any(folder.exists() for folder in plan.copies)


def test_a_rule_that_remembers_is_no_rule_to_compare_with() -> None:
    """It has learned, and stands in a row of its own that says how much came from its memory."""
    plain = make_result(controller="approach", agents_mode="inprocess", delay_s=20.0, sources={"policy": 10})
    live = make_result(
        controller="approach",
        agents_mode="inprocess",
        delay_s=10.0,
        memory="live",
        sources={"policy": 6, "ltm": 3, "stm": 1, "plan": 30},
    )

    headers, rows = comparison_table([plain, live])
    cells = {row[0]: dict(zip(headers, row, strict=True)) for row in rows}

    assert (is_rule(plain), is_rule(live)) == (True, False)
    assert cells["approach+memory"]["From memory"] == "40.0%"
    assert cells["approach+memory"]["Delay / best rule"] == "0.500"
    assert cells["approach"]["From memory"] == "-"
    assert "From memory" not in comparison_table([plain])[0]


@pytest.mark.sumo
@pytest.mark.slow
def test_whoever_runs_beside_a_run_that_remembers_forgets(tmp_path: Path) -> None:
    """SUMO's programs cannot remember, and rules must not write into the memory of the run."""
    request = RunRequest(
        scenario="grid2x1",
        controller="approach-lost-time",
        report=str(tmp_path / "report"),
        seconds=60.0,
        memory="live",
        memory_folder=str(tmp_path / "days"),
    )

    results = run_with_comparison(request, ("fixed", "approach"), 2)

    assert [result.memory for result in results] == ["live", "off", "off"]


@pytest.mark.sumo
@pytest.mark.slow
def test_a_comparison_learns_first_and_measures_every_seed_from_there(tmp_path: Path) -> None:
    """Stores are there for the learned memory and each measured run; the lessons are in none of the rows."""
    report = tmp_path / "report"
    template = RunRequest(scenario="", controller="", report=str(report), seconds=300.0)
    requests = comparison_requests(template, ["grid2x1"], ("approach", "approach+shadow"), (1,))

    results = run_comparison(requests, report, 2, (7,))

    assert [(result.memory, result.seed) for result in results] == [("off", 1), ("shadow", 1)]
    assert results[0].delay_s == results[1].delay_s, "a memory in the shadow decides nothing"
    assert all(sum(result.sources.values()) == result.ticks > 0 for result in results)
    stores = {path.relative_to(report / "memory").as_posix() for path in report.rglob("*.memory.sqlite")}
    assert {Path(store).parent.name for store in stores} == {
        "grid2x1_approach-shadow_learned",
        "grid2x1_approach-shadow_1",
    }
    assert len(stores) == 4
