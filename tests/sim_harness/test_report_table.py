"""The rows and cells of result tables, from runs whose numbers are known."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_factories import make_result

from phasemesh.sim_harness.metrics import PeopleMetrics
from phasemesh.sim_harness.report.table import (
    COLUMNS,
    NOTHING,
    RUN_COLUMNS,
    Column,
    columns_for,
    comparison_table,
    is_rule,
    run_rows,
    run_table,
    summary_rows,
    table_text,
    terminal_table,
)
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.screen import print_table


def runs_of(controller: str, *delays_s: float) -> list[RunResult]:
    """Runs of one controller, one seed for each delay."""
    return [make_result(controller=controller, seed=seed, delay_s=delay) for seed, delay in enumerate(delays_s, 1)]


def cells_of(results: list[RunResult], label: str) -> dict[str, str]:
    """The cells of one controller by their headers."""
    headers, rows = terminal_table(results)
    (row,) = (row for row in rows if row[1] == label)
    return dict(zip(headers, row, strict=True))


def test_seeds_become_one_row() -> None:
    """The median, range and mean of delay are over the seeds of a controller."""
    cells = cells_of(runs_of("fixed", 30.0, 10.0, 50.5), "fixed")

    assert cells["Runs"] == "3"
    assert cells["Median delay, s"] == "30.00"
    assert cells["Min to max, s"] == "10.00 to 50.50"
    assert cells["Mean delay, s"] == "30.17"


def test_locked_runs_count_in_the_median_and_apart() -> None:
    """A locked run moves the median and is counted among the locked ones."""
    cells = cells_of(runs_of("fixed", 10.0, 20.0, 500.1, 900.0), "fixed")

    assert cells["Median delay, s"] == "260.05"
    assert cells["Locked"] == "2 of 4"


def test_interrupted_runs_are_left_out_of_the_means_and_told() -> None:
    """An interrupted run counts among the runs only, as long as there is a complete one."""
    runs = [*runs_of("fixed", 30.0, 40.0), make_result(controller="fixed", delay_s=1.0, is_complete=False, seconds=60)]

    cells = cells_of(runs, "fixed")

    assert cells["Median delay, s"] == "35.00"
    assert cells["Runs"] == "2 + 1 interrupted"


def test_ratio_is_to_the_best_rule() -> None:
    """The ratio has the smallest median of a rule below it, whatever a bundle reached."""
    results = [*runs_of("fixed", 40.0), *runs_of("max-wave", 20.0, 20.0), *runs_of("my-bundle", 15.0)]

    ratios = {label: cells_of(results, label)["Delay / best rule"] for label in ("fixed", "max-wave", "my-bundle")}

    assert ratios == {"fixed": "2.000", "max-wave": "1.000", "my-bundle": "0.750"}


def test_no_ratio_without_a_rule() -> None:
    """Bundles alone have nothing to be compared with."""
    cells = cells_of(runs_of("my-bundle", 15.0), "my-bundle")

    assert cells["Delay / best rule"] == NOTHING


def test_no_ratio_between_different_lengths() -> None:
    """Delay over ten minutes is not divided by delay over an hour."""
    results = [*runs_of("fixed", 40.0), make_result(controller="my-bundle", delay_s=5.0, seconds=600.0)]

    cells = cells_of(results, "my-bundle")

    assert cells["Delay / best rule"] == NOTHING


def test_an_interrupted_run_has_no_ratio() -> None:
    """An interrupted run is neither compared nor the best rule, even at full length."""
    results = [*runs_of("fixed", 40.0), make_result(controller="max-wave", delay_s=5.0, is_complete=False)]

    assert cells_of(results, "max-wave")["Delay / best rule"] == NOTHING
    assert cells_of(results, "fixed")["Delay / best rule"] == "1.000"


def test_scenarios_are_compared_apart() -> None:
    """The best rule of one scenario is no measure for another; scenarios keep their order."""
    results = [make_result(delay_s=50.0), make_result(scenario="arterial", controller="fixed", delay_s=10.0)]

    rows = summary_rows(results)

    assert [(row.scenario, row.ratio) for row in rows] == [("cologne3", 1.0), ("arterial", 1.0)]


def test_variants_of_a_controller_keep_rows_of_their_own() -> None:
    """Agents elsewhere or another tick make another row, named by what differs."""
    results = [make_result(), make_result(agents_mode="processes"), make_result(tick_s=2.0)]

    labels = {row.label for row in summary_rows(results)}

    assert labels == {
        "max-pressure (inprocess, tick 5 s)",
        "max-pressure (processes, tick 5 s)",
        "max-pressure (inprocess, tick 2 s)",
    }


def test_a_bundle_in_processes_is_no_rule() -> None:
    """A bundle may carry the name of a rule; rules never run in processes."""
    assert is_rule(make_result())
    assert is_rule(make_result(controller="actuated", agents_mode="none"))
    assert not is_rule(make_result(agents_mode="processes"))
    assert not is_rule(make_result(controller="my-bundle"))


@pytest.mark.parametrize("controller", ["local", "local-fixed", "local-actuated", "local-approach"])
def test_a_city_in_local_is_a_rule(controller: str) -> None:
    """Nobody trained its plans, so that a bundle is compared with them too."""
    rows = summary_rows([*runs_of(controller, 18.0), *runs_of("my-bundle", 27.0)])

    assert is_rule(make_result(controller=controller))
    assert [row.is_best_rule for row in rows] == [True, False]
    assert rows[1].ratio == pytest.approx(1.5)


def test_people_have_columns_where_there_are_any() -> None:
    """Means of counts are over the runs, the wait is over all people; without people there is no such column."""
    walked = [
        make_result(seed=1, people=PeopleMetrics(count=100, unfinished=4, waiting_s=10.0)),
        make_result(seed=2, people=PeopleMetrics(count=300, unfinished=6, waiting_s=20.0)),
    ]
    cells = cells_of([*walked, *runs_of("fixed", 30.0)], "max-pressure")
    driven = cells_of([*walked, *runs_of("fixed", 30.0)], "fixed")
    headers, _ = terminal_table(runs_of("fixed", 30.0))

    assert [cells[name] for name in ("People", "People waiting, s", "People under way")] == ["200", "17.5", "5.0"]
    assert [driven[name] for name in ("People", "People waiting, s")] == ["0", NOTHING]
    assert [name for name in headers if "People" in name] == []


@pytest.mark.parametrize("table", [comparison_table, lambda results: run_table(results[0], results[1:])])
def test_a_terminal_tells_how_long_people_wait(table) -> None:
    """One column fits; it is left out where nobody walks."""
    walked, _ = table([make_result(people=PeopleMetrics(10, 0, 5.0)), make_result(controller="fixed")])
    driven, _ = table([make_result(), make_result(controller="fixed")])

    assert "People waiting, s" in walked
    assert "People waiting, s" not in driven


def test_a_run_leads_its_table() -> None:
    """The run of the report stands first, the others by their delay; other scenarios are left out."""
    others = [*runs_of("fixed", 40.0), *runs_of("max-wave", 18.0), make_result(scenario="arterial")]

    rows = run_rows(make_result(delay_s=25.0), others)

    assert [row.label for row in rows] == ["max-pressure", "max-wave", "fixed"]
    assert [row.is_best_rule for row in rows] == [False, True, False]


def test_seeds_are_named_where_they_differ() -> None:
    """Two runs that differ in their seed only can be told apart."""
    rows = run_rows(make_result(seed=1), [make_result(seed=2)])

    assert [row.label for row in rows] == ["max-pressure (seed 1)", "max-pressure (seed 2)"]


def test_a_run_row_shows_every_count() -> None:
    """All traffic numbers of a run stand in its row, whole numbers without decimals."""
    (row,) = run_rows(make_result(controller="x", delay_s=612.75), [])
    headers, rows = table_text([row], columns_for([row], RUN_COLUMNS))

    cells = dict(zip(headers, rows[0], strict=True))

    assert cells == {
        "Controller": "x",
        "Mark": "locked",
        "Delay, s": "612.75",
        "Delay / best rule": NOTHING,
        "Duration, s": "57.2",
        "Waiting, s": "8.5",
        "Loaded, veh": "2,856",
        "Completed, veh": "2,826",
        "Unfinished, veh": "28",
        "Undeparted, veh": "2",
        "Collisions": "3",
        "Emergency stops": "4",
        "Teleports": "5",
        "Monitor trips": "0",
    }


@pytest.mark.parametrize("columns", [COLUMNS, RUN_COLUMNS])
def test_headers_are_unique(columns: tuple[Column, ...]) -> None:
    """No two columns of a table share a header."""
    headers, _ = table_text((), columns)

    assert len(set(headers)) == len(headers)


def test_trips_are_counted_for_controllers_of_ours_alone() -> None:
    """Over all runs of a row, interrupted ones included; SUMO's own programs have none to show."""
    ours = [make_result(monitor_trips=2), make_result(seed=2, monitor_trips=3, is_complete=False)]
    watched = make_result(controller="fixed", agents_mode="none", sumo_program_findings=9)

    assert cells_of([*ours, watched], "max-pressure")["Monitor trips, total"] == "5"
    assert cells_of([*ours, watched], "fixed")["Monitor trips, total"] == NOTHING


@pytest.mark.parametrize("is_one_run", [True, False])
def test_no_word_of_a_table_is_cut_in_a_terminal(capsys: pytest.CaptureFixture[str], is_one_run: bool) -> None:
    """120 characters hold all headers and numbers; only a long name of a controller may take two lines."""
    runs = [
        make_result(controller=name, seed=seed, delay_s=1120.25 + seed, agents_mode=mode)
        for name, mode in (("bundle:approach-lost-time", "processes"), ("bundle:approach-lost-time", "inprocess"))
        for seed in (1, 2)
    ]
    headers, rows = run_table(runs[0], runs[1:]) if is_one_run else comparison_table(runs)

    print_table(headers, rows, "ingolstadt21")

    printed = capsys.readouterr().out
    words = {word for header in headers for word in header.split()} | {cell for row in rows for cell in row[1:]}
    assert "\u2026" not in printed
    assert [word for word in words if word not in printed] == []
    assert max(map(len, printed.splitlines())) <= 120


@given(st.lists(st.floats(0.0, 2000.0), min_size=1, max_size=20))
def test_the_best_rule_has_ratio_one_and_none_is_smaller(delays_s: list[float]) -> None:
    """Among rules the smallest ratio is 1, and the medians are those of the delays."""
    results = runs_of("fixed", *delays_s) + runs_of("max-wave", *(delay + 1.0 for delay in delays_s))

    rows = summary_rows(results)

    assert rows[0].is_best_rule
    assert rows[0].median_delay_s == statistics.median(delays_s)
    assert all(row.ratio is None or row.ratio >= 1.0 for row in rows)
