"""The command `reproduce`: what it knows, what it refuses, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from phasemesh.contract.errors import InputError
from phasemesh.controller.cli import make_app
from phasemesh.sim_harness import reproduce
from phasemesh.sim_harness.reproduce import CELLS, ReproductionRequest, kept_or_made, run_reproduction

pytestmark = pytest.mark.sumo


class Cell(msgspec.Struct, frozen=True):
    """What an experiment found."""

    value: int


def _add_one(request: ReproductionRequest) -> Path:
    page = request.out / "index.html"
    page.write_text(str(kept_or_made(request, "one", Cell, lambda: Cell(request.seeds)).value), encoding="utf-8")
    return page


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reproduce.REPRODUCTIONS, "adding", lambda: _add_one)


def test_the_command_runs_an_experiment_and_names_its_page(tmp_path: Path) -> None:
    """From the command line to the page."""
    result = CliRunner().invoke(make_app(), ["reproduce", "adding", "--out", str(tmp_path / "new"), "--seeds", "3"])

    assert result.exit_code == 0
    assert f"report: {tmp_path / 'new' / 'index.html'}" in result.output
    assert (tmp_path / "new" / "index.html").read_text(encoding="utf-8") == "3"


def test_an_unknown_paper_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """One line that says what there is."""
    with pytest.raises(InputError, match=r"known are .*adding"):
        run_reproduction("subtracting", ReproductionRequest(tmp_path, 1))


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan")])
def test_a_scale_that_makes_no_sense_is_refused(tmp_path: Path, scale: float) -> None:
    """Nothing and more than all cannot be played."""
    with pytest.raises(InputError, match="--scale"):
        run_reproduction("adding", ReproductionRequest(tmp_path, 1, scale))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file in the way gives one clear line."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(InputError, match="--out"):
        run_reproduction("adding", ReproductionRequest(tmp_path / "file", 1))


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    """A cell is kept for its seeds and scale; one that is torn is made anew."""
    (tmp_path / CELLS).mkdir()
    request = ReproductionRequest(tmp_path, 2)

    def make(value: int) -> int:
        return kept_or_made(request, "cell", Cell, lambda: Cell(value)).value

    assert [make(1), make(2)] == [1, 1]
    (file,) = (tmp_path / CELLS).iterdir()
    file.write_bytes(file.read_bytes()[:5])
    assert make(3) == 3
    assert kept_or_made(ReproductionRequest(tmp_path, 4), "cell", Cell, lambda: Cell(7)).value == 7
