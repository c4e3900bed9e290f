"""`phasemesh train dmil-VARIANT`: a memory of the paper, trained on its own network, without torch or SUMO."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from phasemesh.contract.errors import InputError
from phasemesh.controller.cli import make_app
from phasemesh.controller.memory.layout import layout_of
from phasemesh.sim_harness.dmil.cells import Cell
from phasemesh.sim_harness.eight_stages import eight_stage_crossing
from phasemesh.trainer.dmil_training import CELL_NAME, MEMORY_NAME, LearnedMemory, train_dmil


@pytest.mark.parametrize("variant", ["dual-complex-entropy", "sarsa-none-default"])
def test_a_variant_is_trained_tested_and_written(tmp_path: Path, variant: str) -> None:
    """From the command line to a cell and a memory that says what it is for."""
    arguments = ["--scenarios", "queue2x2", "--out", str(tmp_path / "run"), "--iterations", "2", "--seed", "3"]
    result = CliRunner().invoke(make_app(), ["train", f"dmil-{variant}", *arguments])
    cell = msgspec.json.decode((tmp_path / "run" / CELL_NAME).read_bytes(), type=Cell)
    learned = msgspec.json.decode((tmp_path / "run" / MEMORY_NAME).read_bytes(), type=LearnedMemory)

    assert result.exit_code == 0, result.output
    assert (cell.variant, cell.side) == (variant, 2)
    assert learned.layout_digest == layout_of(eight_stage_crossing()).digest
    assert (learned.reward, learned.gamma, learned.subgroup) == (variant.rpartition("-")[2], 0.95, "C4")
    assert len(learned.entries) == cell.keys_before > 20
    assert {len(each.key) for each in learned.entries} == {12}


def test_the_same_seed_learns_the_same(tmp_path: Path) -> None:
    """Byte for byte; another seed learns something else."""
    texts = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train_dmil("dmil-dual-simple-diffusion", ["queue1x1"], tmp_path / name, seed, 1)
        texts.append((tmp_path / name / MEMORY_NAME).read_bytes())

    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("scenarios", [["cologne3"], ["queue2x3"], ["queue1x1", "queue3x3"], []])
def test_another_network_is_refused(tmp_path: Path, scenarios: list[str]) -> None:
    """These variants know the paper's crossings alone."""
    with pytest.raises(InputError, match="queue1x1"):
        train_dmil("dmil-dual-simple-default", scenarios, tmp_path, 1, 1)


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    """With the names of those that exist."""
    with pytest.raises(InputError, match="known are"):
        train_dmil("dmil-triple", ["queue1x1"], tmp_path, 1, 1)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file in the way gives one clear line."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(InputError, match="--out"):
        train_dmil("dmil-sarsa-none-entropy", ["queue1x1"], tmp_path / "file", 1, 1)
