"""B13: the page of a training: its figures are there, and ego rows reach no further than the neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from run_folders import evaluate_run, make_run
from trainer_towns import LAYOUT, make_episode

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.report.map_plot import RoadMap
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import Recipe
from phasemesh.trainer.report.curve_plots import delays_png
from phasemesh.trainer.report.ego_graph import EgoGraph, ego_graph_of
from phasemesh.trainer.report.ego_plots import LEAST_CONTRAST, SHOWN_EDGES, binned, heat_limits, heat_png, shown_edges
from phasemesh.trainer.report.reporting import Showing, report_on
from phasemesh.trainer.report.run_curves import band_of, grouped, read_runs
from phasemesh.trainer.report.shown_day import ShownDay, shown_scenario
from phasemesh.trainer.report.training_page import write_training_report
from phasemesh.trainer.run_folder import describe

pytestmark = pytest.mark.train
PNG_START = b"\x89PNG\r\n\x1a\n"
FIGURES = {"learning-curves", "updates", "ego-graph", "ego-map", "ego-rows", "congestion"}
IS_NEIGHBOUR = LAYOUT.hops == 1


@pytest.fixture(scope="module")
def graph() -> EgoGraph:
    """The ego graphs of an untrained actor on the line of three, with lost messages."""
    torch.manual_seed(0)
    actor = UniversalActor()
    return ego_graph_of(actor, make_episode(actor, ticks=120, message_loss=0.7))


def make_day(graph: EgoGraph) -> ShownDay:
    """A day on three signals in a line."""
    places = {name: (100.0 * index, 10.0 * index) for index, name in enumerate(graph.names)}
    return ShownDay(
        scenario="line",
        seed=1,
        graph=graph,
        road_map=RoadMap({"ab": ((0.0, 0.0), (100.0, 10.0)), "bc": ((100.0, 10.0), (200.0, 20.0))}, ((0.0, 0.0),)),
        positions_m=places,
        losses_s={"policy": {"ab": 3.0}, "approach-lost-time": {"ab": 5.0, "bc": 1.0}},
        delay_s={"policy": 20.0, "approach-lost-time": 25.0},
    )


def test_b13_every_figure_is_a_file_and_stands_in_the_page(tmp_path: Path, graph: EgoGraph) -> None:
    """Loss curves, the latent graph as heat map, on the roads and as rows, congestion; and the page needs no other."""
    run = make_run(tmp_path / "a")
    evaluate_run(run)
    path = write_training_report(tmp_path / "page", read_runs([run]), make_day(graph))

    page = path.read_text()
    files = {each.stem: each.read_bytes() for each in path.parent.glob("*.png")}
    assert set(files) == FIGURES
    assert all(content.startswith(PNG_START) for content in files.values())
    assert page.count("data:image/png;base64,") == len(FIGURES)
    assert "mask collapse" in page
    assert "0.750" in page


def test_b13_row_i_reaches_the_neighbours_of_i_alone(graph: EgoGraph) -> None:
    """And all of them: no edge is left out, none is made up, whatever was lost."""
    assert ((graph.rows > 0) == IS_NEIGHBOUR).all()
    assert {(agent, other) for agent, other in graph.edges} == set(zip(*np.nonzero(IS_NEIGHBOUR), strict=True))
    assert (graph.posterior == 0).any()


def test_the_posterior_is_that_of_the_weights_tick_by_tick() -> None:
    """Where an edge is surely open it is 1 at every tick with a message."""
    torch.manual_seed(1)
    actor = UniversalActor()
    found = ego_graph_of(actor, make_episode(actor, ticks=60))
    with torch.no_grad():
        actor.edge_score.bias.add_(100.0)
    surely = ego_graph_of(actor, make_episode(actor, ticks=60))

    assert found.posterior.shape == (60, 4)
    assert 0.1 < found.posterior.mean() < 0.9
    assert surely.posterior.min() == pytest.approx(1.0)
    assert found.times_s.tolist() == [2.0 * tick for tick in range(60)]


@pytest.mark.sumo
@pytest.mark.timeout(300)
def test_b13_a_run_is_played_for_its_page(tmp_path: Path) -> None:
    """With its weights, greedily, beside the rule; the page lies in the run's folder unless another is named."""
    run = make_run(tmp_path / "a")

    path = report_on([run], None, Showing(length_s=60.0, workers=2))

    assert path == run / "report" / "index.html"
    assert {each.stem for each in path.parent.glob("*.png")} == FIGURES
    assert "Played for this page: cologne3, seed 1" in path.read_text()


def test_runs_that_differ_in_their_seed_are_one_line_with_a_range(tmp_path: Path) -> None:
    """Others have a line of their own."""
    folders = [
        make_run(tmp_path / "a", seed=1, delays_s=(30.0, 25.0)),
        make_run(tmp_path / "b", seed=2, delays_s=(40.0, 21.0, 20.0)),
        make_run(tmp_path / "c", seed=1, scenario="cologne1"),
    ]
    together, alone = grouped(read_runs(folders))
    band = band_of(together, lambda row: row.delay_s.get("cologne3"))

    assert [len(each.runs) for each in (together, alone)] == [2, 1]
    assert band is not None
    assert band.iterations.tolist() == [0, 1, 2]
    assert band.mean.tolist() == [35, 23, 20]
    assert (band.low.tolist(), band.high.tolist()) == ([30, 21, 20], [40, 25, 20])
    assert band_of(together, lambda row: row.delay_s.get("cologne1")) is None
    assert delays_png([together, alone]).startswith(PNG_START)


def test_a_long_curve_is_smoothed_over_its_points_and_keeps_its_level(tmp_path: Path) -> None:
    """Also at its ends."""
    (group,) = grouped(read_runs([make_run(tmp_path / "a", delays_s=(10.0, 20.0) * 60)]))
    band = band_of(group, lambda row: row.delay_s["cologne3"])
    assert band is not None

    smooth = band.smoothed()

    assert len(smooth.mean) == 120
    assert np.abs(smooth.mean - 15.0).max() < 2.0


@pytest.mark.parametrize("names", [("a", "a"), ("nowhere",)])
def test_folders_that_cannot_be_reported_on_are_told(tmp_path: Path, names: tuple[str, ...]) -> None:
    """In one line."""
    make_run(tmp_path / "a")

    with pytest.raises(InputError):
        report_on([tmp_path / name for name in names], None, None)


def test_a_run_without_an_iteration_is_told_and_one_that_is_not_played_has_its_curves(tmp_path: Path) -> None:
    """Nothing is drawn of nothing."""
    run = make_run(tmp_path / "a")

    path = report_on([run], tmp_path / "page", None)

    assert {each.stem for each in path.parent.glob("*.png")} == {"learning-curves", "updates"}
    (run / "curves.jsonl").write_text("")
    with pytest.raises(InputError, match="no iteration"):
        report_on([run], None, None)


def test_a_city_with_many_edges_shows_those_that_change_most() -> None:
    """In their own order, and long episodes in spans of time."""
    posterior = np.full((1000, 2 * SHOWN_EDGES), 0.5, dtype=np.float32)
    posterior[:, ::2] += np.linspace(-0.4, 0.4, 1000, dtype=np.float32)[:, None]
    edges = tuple((0, 1) for _ in range(2 * SHOWN_EDGES))
    graph = EgoGraph(names=("$a", "b"), edges=edges, times_s=np.arange(1000, dtype=np.float32), posterior=posterior)

    assert shown_edges(graph) == list(range(0, 2 * SHOWN_EDGES, 2))
    assert binned(posterior).shape == (240, 2 * SHOWN_EDGES)
    assert heat_png(graph).startswith(PNG_START)


def test_colours_show_what_occurs_but_no_noise() -> None:
    """Limits are those of the values, and never nearer than what may be told apart."""
    assert heat_limits(np.array([[0.25, 0.75]], dtype=np.float32)) == (0.25, 0.75)
    low, high = heat_limits(np.array([[0.5, 0.5]], dtype=np.float32))
    assert high - low == pytest.approx(LEAST_CONTRAST)


def test_the_largest_scenario_of_a_run_is_shown() -> None:
    """Three signals hear each other, one hears nobody."""
    run = describe("bayesg", Recipe(), ("cologne1", "cologne3"), 1)

    assert shown_scenario(run) == "cologne3"
