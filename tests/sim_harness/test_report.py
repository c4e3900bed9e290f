"""The pages of runs and comparisons: what they say, what they escape, and that they stand alone."""

from __future__ import annotations

import base64
import csv
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from result_factories import make_result, write_run_files

from phasemesh.contract.errors import InputError, ScenarioError
from phasemesh.sim_harness.metrics import Trip, read_trips
from phasemesh.sim_harness.report.bar_plots import intersections_png, latency_png, worst_intersections
from phasemesh.sim_harness.report.compare_report import results_csv, write_compare_report
from phasemesh.sim_harness.report.facts import FACTS, SAFETY
from phasemesh.sim_harness.report.figures import LABEL_LENGTH, plain
from phasemesh.sim_harness.report.map_plot import edge_losses, read_road_map
from phasemesh.sim_harness.report.page import table
from phasemesh.sim_harness.report.run_report import PLOTS, write_run_report
from phasemesh.sim_harness.report.strip_plot import strip_png
from phasemesh.sim_harness.report.table import summary_rows
from phasemesh.sim_harness.report.time_plots import due_bins, series_png
from phasemesh.sim_harness.result import IntersectionResult, RunResult

PNG_START = b"\x89PNG\r\n\x1a\n"
VOID = {"meta", "img"}


class Outline(HTMLParser):
    """Checks that tags are closed in order, and keeps what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        self.references += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag


def outline(html: str) -> Outline:
    """The checked outline of a page."""
    parser = Outline()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def pictures(html: str) -> list[bytes]:
    """The pictures inside a page."""
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]


def page_of(folder: Path, result: RunResult, *others: RunResult, tick_ms: tuple[float, ...] = (0.4, 8.0)) -> str:
    """The page of a run with all files, as text."""
    return write_run_report(folder, result, others, write_run_files(folder), tick_ms).read_text()


def test_a_run_page_has_every_plot_inside(tmp_path: Path) -> None:
    """All plots are PNGs inside the page, which refers to nothing else."""
    html = page_of(tmp_path, make_result(), make_result(controller="fixed", delay_s=37.63))

    found = pictures(html)

    assert len(found) == len(PLOTS)
    assert all(picture.startswith(PNG_START) for picture in found)
    assert all(reference.startswith("data:image/png;base64,") for reference in outline(html).references)
    assert "url(" not in html
    assert "<script" not in html


def test_a_run_page_shows_the_run_beside_the_others(tmp_path: Path) -> None:
    """Delays of all runs, the ratio and the best rule's name stand on the page."""
    html = page_of(tmp_path, make_result(controller="my-bundle", delay_s=18.0), make_result(controller="fixed"))

    assert '<tr class="mark"><td>my-bundle</td><td></td><td>18.00</td><td>0.900</td>' in html
    assert "<td>fixed</td><td>best rule</td><td>20.00</td><td>1.000</td>" in html
    assert "The best rule among these runs is fixed: median delay 20.00 s, runs 1." in html


def test_a_run_page_tells_how_it_ran(tmp_path: Path) -> None:
    """Every fact stands on the page, guard rejections by rule and latencies with their unit."""
    html = page_of(tmp_path, make_result(agents_mode="processes"))

    assert all(f'<th scope="row">{fact.title}</th>' in html for fact in FACTS)
    assert "15 (min_green 6, conflict 9)" in html
    assert "p50 0.45 ms, p99 8.87 ms, max 12.84 ms" in html
    assert "one process for each agent" in html
    assert "41.5 MB" in html


def safety_of(result: RunResult) -> dict[str, str]:
    """What the page says about the safety of a run, by title."""
    return {fact.title: fact.text(result) for fact in SAFETY}


def test_a_run_page_tells_whether_it_was_safe(tmp_path: Path) -> None:
    """Trips by check, collisions, stops, and what guard and cabinets refused stand in a table of their own."""
    result = make_result(
        guard_rejections={"I5": 1234, "I6": 1, "cabinet I13": 2},
        monitor_trips=3,
        monitor_trips_by_check={"conflict": 1, "short yellow": 2},
        latched_faults=("a: I1, I3", "b: I1"),
    )

    html = page_of(tmp_path, result)

    assert all(f'<th scope="row">{fact.title}</th><td>{fact.text(result)}</td>' in html for fact in SAFETY)
    assert safety_of(result) == {
        "Monitor trips, by check": "3 (conflict 1, short yellow 2)",
        "Collisions": "3",
        "Emergency stops": "4",
        "Decisions replaced by the guard, by rule": "1,235 (I5 1,234, I6 1)",
        "Commands refused by cabinets, by rule": "2 (I13 2)",
        "Faults latched at the end": "a: I1, I3; b: I1",
    }


def test_a_safe_run_says_so() -> None:
    """Nothing is said by a word and not by a gap."""
    said = safety_of(make_result(guard_rejections={}, collisions=0, emergency_stops=0))

    assert list(said.values()) == ["none", "0", "0", "none", "none", "none"]


def test_findings_in_programs_of_sumo_are_only_reported(tmp_path: Path) -> None:
    """A program that is not ours is counted apart, and no banner calls the run unsafe."""
    result = make_result(
        agents_mode="none", sumo_program_findings=2, monitor_trips_by_check={"wrong order": 2}, monitor_findings=("x",)
    )

    html = page_of(tmp_path, result)

    assert "conflicts and order only, of programs that are not ours: 2 (wrong order 2)" in html
    assert 'role="alert"' not in html


def test_an_unsafe_run_cannot_be_overlooked(tmp_path: Path) -> None:
    """A banner tells the trips and the first of them; the others can be opened."""
    result = make_result(monitor_trips=31, monitor_findings=("a at 3 s: it conflicts", "b at 4 s: it is dark"))

    html = page_of(tmp_path, result)

    told = "max-pressure on cologne3, seed 1: trips of the monitor: 31; the first is a at 3 s: it conflicts"
    assert f'role="alert">{told}</p>' in html
    assert "First findings of the monitor: 2</summary>\n<ul><li>a at 3 s: it conflicts</li>" in html


def test_what_was_not_measured_is_not_shown_as_zero(tmp_path: Path) -> None:
    """A run without memory measurements says so."""
    html = page_of(tmp_path, make_result(pss_mb_per_agent=0.0))

    assert "not measured" in html
    assert "0.0 MB" not in html


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    """Names of controllers, signals and program changes cannot bring in markup."""
    evil = "<img src=x onerror=alert(1)>&\"'"
    result = make_result(
        controller=evil,
        scenario=evil,
        lost_agents=(evil,),
        program_changes=(evil,),
        watched_signals=(evil,),
        versions={evil: evil},
        guard_rejections={evil: 1, f"cabinet {evil}": 1},
        monitor_trips=1,
        monitor_findings=(evil,),
        monitor_trips_by_check={evil: 1},
        latched_faults=(evil,),
        intersections={evil: IntersectionResult(1.0, 1.0, 0.0, "")},
    )

    html = page_of(tmp_path, result, msgspec.structs.replace(result, seed=2))

    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#x27;" in html
    outline(html)


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    """The banner of an interrupted run names how far it came; a complete one has no banner."""
    interrupted = page_of(tmp_path, make_result(is_complete=False, seconds=1234.0))
    complete = page_of(tmp_path, make_result())

    assert 'role="alert">This run was interrupted after 1,234 simulated seconds' in interrupted
    assert 'role="alert"' not in complete


def test_a_locked_run_is_marked(tmp_path: Path) -> None:
    """A delay over 500 s gets a banner and a mark in the table; exactly 500 s does not."""
    locked = page_of(tmp_path, make_result(delay_s=612.0))
    slow = page_of(tmp_path, make_result(delay_s=500.0))

    assert "The network locked up: the mean delay of 612 s is over 500 s." in locked
    assert "<td>locked, best rule</td>" in locked
    assert "locked" not in slow


def test_lost_agents_are_named(tmp_path: Path) -> None:
    """Agents that were lost stand in a banner."""
    html = page_of(tmp_path, make_result(lost_agents=("n1", "n2")))

    assert "Agents lost during the run: n1, n2." in html


def test_lists_are_folded_with_their_length(tmp_path: Path) -> None:
    """Program changes and watched signals can be opened; without any there is no list."""
    with_lists = page_of(tmp_path, make_result(program_changes=("one", "two"), watched_signals=("w",)))
    without = page_of(tmp_path, make_result())

    assert "signal programs: 2</summary>\n<ul><li>one</li>\n<li>two</li></ul></details>" in with_lists
    assert "own programs: 1</summary>\n<ul><li>w</li></ul></details>" in with_lists
    assert "<details>" not in without


def test_a_run_that_left_nothing_still_has_a_page(tmp_path: Path) -> None:
    """Each missing picture is replaced by the reason."""
    result = make_result(series=(), intersections={}, is_complete=False)

    html = write_run_report(tmp_path, result, (), tmp_path / "no.net.xml").read_text()

    assert pictures(html) == []
    assert all(plot.absence in html for plot in PLOTS)


def test_a_broken_file_costs_one_picture(tmp_path: Path) -> None:
    """A truncated edge file is named on the page, and all other pictures are there."""
    net_file = write_run_files(tmp_path)
    (tmp_path / "edges.xml").write_text("<meandata><interval>")

    html = write_run_report(tmp_path, make_result(), (), net_file, (1.0,)).read_text()

    assert len(pictures(html)) == len(PLOTS) - 1
    assert "Not drawn:" in html
    assert "edges.xml: is not valid XML" in html


def test_a_broken_record_file_costs_one_picture(tmp_path: Path) -> None:
    """Without times given they are read from the records, and a file that is no record is named on the page."""
    net_file = write_run_files(tmp_path)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a-1.rec").write_bytes(b"no record")

    html = write_run_report(tmp_path, make_result(), (), net_file).read_text()

    assert len(pictures(html)) == len(PLOTS) - 1
    assert "a-1.rec: is not a record" in html


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A folder that does not exist is an error in one line."""
    with pytest.raises(InputError, match="cannot be written"):
        write_run_report(tmp_path / "missing", make_result(), (), tmp_path / "no.net.xml")


def test_marked_rows_only_are_highlighted() -> None:
    """A table highlights the rows asked for."""
    html = table(["a"], [["x"], ["y"]], frozenset({1}))

    assert '<tr><td>x</td></tr>\n<tr class="mark"><td>y</td></tr>' in html


def test_edge_losses_are_for_each_vehicle_over_all_intervals(tmp_path: Path) -> None:
    """Loss is divided by vehicles that entered or departed; edges without vehicles are left out."""
    write_run_files(tmp_path)

    losses_s = edge_losses(tmp_path / "edges.xml")

    assert losses_s == {"in": pytest.approx(80.0 / 20), "out": pytest.approx(0.25)}


def test_a_road_map_has_streets_and_signals(tmp_path: Path) -> None:
    """Edges inside junctions are left out, heights are dropped, and only junctions with lights are signals."""
    road_map = read_road_map(write_run_files(tmp_path))

    assert set(road_map.edges) == {"in", "out", "unused"}
    assert road_map.edges["in"] == ((0.0, 3.0), (50.0, 3.0), (100.0, 3.0))
    assert road_map.edges["out"] == ((110.0, 0.0), (200.0, 40.0))
    assert road_map.signals == ((105.0, 0.0),)


def test_a_network_with_a_broken_shape_is_refused(tmp_path: Path) -> None:
    """A shape that is not made of numbers is an error that names the file."""
    path = tmp_path / "bad.net.xml"
    path.write_text('<net><edge id="a"><lane id="a_0" shape="0,zero"/></edge></net>')

    with pytest.raises(ScenarioError, match=r"bad\.net\.xml: is not a SUMO network"):
        read_road_map(path)


def test_delays_are_sorted_by_the_time_vehicles_were_due(tmp_path: Path) -> None:
    """Entered vehicles are due before their departure delay, others that long before the end of the run."""
    write_run_files(tmp_path)

    bins = due_bins(read_trips(tmp_path / "tripinfo.xml"), count=2)

    assert [(each.start_s, each.vehicles, each.mean_delay_s) for each in bins] == [(0.0, 1, 20.0), (25.0, 2, 45.0)]


def test_no_trips_have_no_bins() -> None:
    """A run without vehicles has nothing to draw."""
    assert due_bins([]) == ()


def test_every_trip_lands_in_a_bin() -> None:
    """Trips due at the very end are in the last bin."""
    trips = [Trip(str(due_s), due_s, None, 1.0, 0.0, 2.0, 0.0) for due_s in (0.0, 7.0, 99.0, 100.0)]

    assert sum(each.vehicles for each in due_bins(trips)) == len(trips)


def test_the_worst_intersections_come_first() -> None:
    """Of many intersections those with the longest queues are shown, sorted."""
    many = {f"n{index}": IntersectionResult(float(index % 13), float(index), 0.0, "") for index in range(169)}

    worst = worst_intersections(many)

    queues = [each.mean_queue_veh for _, each in worst]
    assert len(worst) == 40
    assert queues == sorted(queues, reverse=True)
    assert queues[0] == 12.0
    assert intersections_png(many).startswith(PNG_START)


@pytest.mark.parametrize("tick_ms", [(0.5,), (0.0, 0.0), (0.4,) * 50, (0.0, 0.01, 5.0, 900.0)])
def test_any_latencies_can_be_drawn(tick_ms: tuple[float, ...]) -> None:
    """One tick, equal ticks and ticks of no measurable length make a histogram too."""
    assert latency_png(tick_ms).startswith(PNG_START)


@pytest.mark.parametrize("delays_s", [(0.0,), (0.0, 900.0), (20.0, 21.0, 22.0), (499.0, 501.0)])
def test_any_delays_can_be_drawn(delays_s: tuple[float, ...]) -> None:
    """No delay, locked runs and single runs make a strip plot."""
    rows = summary_rows([make_result(seed=seed, delay_s=delay) for seed, delay in enumerate(delays_s)])

    assert strip_png(rows).startswith(PNG_START)


def test_many_runs_fit_one_plot_over_time() -> None:
    """Thirty controllers get lines and a legend without a warning."""
    rows = summary_rows([make_result(controller=f"controller-{index}") for index in range(30)])

    assert series_png(rows).startswith(PNG_START)


def test_equal_runs_give_equal_pictures() -> None:
    """A picture holds no time stamp."""
    assert latency_png((0.4, 0.5)) == latency_png((0.4, 0.5))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("_hidden", " _hidden"),
        ("$x^2$", r"\$x^2\$"),
        ("Straße", "Stra?e"),
        ("a" * 20 + "b" * 29, "a" * 20 + "...bbbbbbbbb"),
    ],
)
def test_labels_are_safe_for_plots(text: str, label: str) -> None:
    """A label is no formula, is not hidden, needs no rare font, and is short."""
    assert plain(text) == label
    assert len(label.replace("\\", "").strip()) <= LABEL_LENGTH


def compared() -> list[RunResult]:
    """Three controllers on one scenario with three seeds, of which one locks, and one on another."""
    return [
        make_result(controller=controller, seed=seed, delay_s=delay_s * (1.0 + 0.01 * seed))
        for controller, delay_s in (("fixed", 40.0), ("max-wave", 20.0), ("my-bundle", 600.0))
        for seed in (1, 2, 3)
    ] + [make_result(scenario="arterial<1>")]


def test_a_comparison_keeps_every_run(tmp_path: Path) -> None:
    """`results.json` gives back exactly the results."""
    write_compare_report(tmp_path / "new" / "folder", compared())

    raw = (tmp_path / "new" / "folder" / "results.json").read_bytes()

    assert msgspec.json.decode(raw, type=list[RunResult]) == compared()


def test_a_comparison_is_one_page(tmp_path: Path) -> None:
    """Each scenario has a table and a picture; the best rule is marked and locks are counted."""
    html = write_compare_report(tmp_path, compared()).read_text()

    assert len(pictures(html)) == 2
    assert '<tr class="mark"><td>max-wave</td><td>3</td><td>20.40</td><td>20.20 to 20.60</td>' in html
    assert "<td>30.000</td><td>3 of 3</td>" in html
    assert "<h2>arterial&lt;1&gt;</h2>" in html
    assert all(reference.startswith("data:") for reference in outline(html).references)


def test_a_comparison_tells_of_interrupted_runs(tmp_path: Path) -> None:
    """The banner counts interrupted runs; without any there is none."""
    whole = write_compare_report(tmp_path, compared()).read_text()
    partial = write_compare_report(tmp_path, [*compared(), make_result(is_complete=False)]).read_text()

    assert 'role="alert"' not in whole
    assert 'role="alert">1 of 11 runs were interrupted' in partial


def test_a_comparison_names_unsafe_runs(tmp_path: Path) -> None:
    """Each run of ours in which the monitor tripped has a banner and counts in its row."""
    unsafe = make_result(controller="max-wave", seed=7, delay_s=20.0, monitor_trips=2, monitor_findings=("why",))

    html = write_compare_report(tmp_path, [*compared(), unsafe]).read_text()

    assert html.count('role="alert"') == 1
    assert "max-wave on cologne3, seed 7: trips of the monitor: 2; the first is why" in html


def test_wide_tables_are_set_dense(tmp_path: Path) -> None:
    """Tables of many columns are small enough for their page, tables of few are easy to read."""
    html = page_of(tmp_path, make_result(), make_result(controller="fixed"))

    assert html.count('<div class="wide dense">') == 1
    assert '<div class="wide"><table class="facts">' in html


def test_csv_has_a_line_for_each_run() -> None:
    """Scalars, quantiles and the lock stand in columns of their own; rules that differ share one."""
    unsafe = {"monitor_trips": 3, "monitor_trips_by_check": {"conflict": 1, "short walk": 2}}
    results = [make_result(lost_agents=("a", "b"), **unsafe), make_result(guard_rejections={}, delay_s=600.0)]

    rows = list(csv.DictReader(io.StringIO(results_csv(results))))

    assert [row["is_locked"] for row in rows] == ["False", "True"]
    assert rows[0]["tick_ms_p99"] == "8.87"
    assert rows[0]["guard_rejections"] == "15"
    assert rows[0]["guard_rejections_by_rule"] == "min_green=6;conflict=9"
    assert rows[0]["lost_agents"] == "a;b"
    assert [row["monitor_trips"] for row in rows] == ["3", "0"]
    assert rows[0]["monitor_trips_by_check"] == "conflict=1;short walk=2"
    assert rows[1]["guard_rejections"] == "0"
    assert not {"series", "intersections"} & set(rows[0])


def test_nothing_cannot_be_compared(tmp_path: Path) -> None:
    """A comparison of no runs is refused."""
    with pytest.raises(InputError, match="no result"):
        write_compare_report(tmp_path, [])


def test_matplotlib_is_loaded_for_figures_only() -> None:
    """Importing the reports does not import matplotlib."""
    code = (
        "import sys, phasemesh.sim_harness.report.run_report, phasemesh.sim_harness.report.compare_report as c;"
        "sys.exit('matplotlib' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0
