"""The part of the benchmarks that the trainer registers: which maps it plays, and what it promises of them."""

from __future__ import annotations

import pytest

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.bench import run_benchmarks
from phasemesh.trainer import bench_part

pytestmark = [pytest.mark.train, pytest.mark.sumo]


def test_the_harness_measures_the_named_maps_by_the_registered_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row a map: what SUMO's own step took of the time of an episode, and how many decisions a second were made."""
    monkeypatch.setattr(bench_part, "LENGTH_S", 60.0)

    rows = run_benchmarks(("rollout",), ("grid2x2", "grid1x2")).splitlines()[4:]

    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [cell[0].split(" on ")[1].split(";")[0] for cell in cells] == ["grid2x2", "grid1x2"]
    for _, measured, bound, holds in cells:
        share, decisions_per_s = measured.split("; ")
        assert 0.0 < float(share.removesuffix("%")) < 100.0
        assert int(decisions_per_s) > 0
        assert (bound, holds) == ("reported", "yes")


@pytest.mark.parametrize(("share", "holds"), [(0.699, False), (0.7, True)])
def test_the_bound_is_that_of_ingolstadt21(*, share: float, holds: bool) -> None:
    """Seven tenths of a rollout are SUMO's there."""
    figure = bench_part.figure_of("ingolstadt21", share, 1000.4)

    assert (figure.measured, figure.bound, figure.holds) == (f"{share:.1%}; 1000", ">= 70%", holds)


def test_an_unknown_map_is_told_as_elsewhere() -> None:
    """The trainer's own words come back from the process that played."""
    with pytest.raises(ScenarioError, match="unknown scenario 'atlantis'"):
        run_benchmarks(("rollout",), ("atlantis",))
