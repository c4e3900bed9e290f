"""`phasemesh reproduce dmil`, as a small look: every cell is played, kept, and on the page."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.variants import VARIANTS
from phasemesh.sim_harness.dmil.cells import EXPERIMENTS, MAIN, Cell, Dummies, play_cell, shortened
from phasemesh.sim_harness.dmil.orderings import cell_of, column_variant
from phasemesh.sim_harness.reproduce import CELLS, ReproductionRequest, run_reproduction

pytestmark = pytest.mark.sumo


@pytest.mark.slow
def test_d16_d17_a_small_look_makes_the_whole_page_and_a_second_call_plays_nothing(tmp_path: Path) -> None:
    """Table, orderings, experiments, figures and bounds; cells of the first call are those of the second."""
    request = ReproductionRequest(tmp_path, seeds=1, scale=0.04)
    text = run_reproduction("dmil", request).read_text(encoding="utf-8")
    cells = sorted((tmp_path / CELLS).iterdir())
    stamps = [cell.stat().st_mtime_ns for cell in cells]

    again = run_reproduction("dmil", request).read_text(encoding="utf-8")

    assert len(cells) == len(VARIANTS) + 9 + 12 + 12 * len(EXPERIMENTS)
    assert [cell.stat().st_mtime_ns for cell in cells] == stamps
    assert again.partition("<img")[0] == text.partition("<img")[0]
    assert text.count("<img") == 3
    for part in ("Table II", "Orderings", "Why:", "Figure 4", "Figure 5", "Growth", "0.21 ± 0.1", "0.04 of the full"):
        assert part in text
    assert all(f"3x3 {name}" in text for name in VARIANTS)


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, int], Cell]:
    """Three seeds of two columns on the 3x3 grid, each trained for a tenth of the full time."""
    setting = msgspec.structs.replace(MAIN, episodes=20)
    dummies = Dummies([1, 2, 3])
    rewards = (RewardKind.DEFAULT, RewardKind.ENTROPY)
    variants = [column_variant(column, reward) for reward in rewards for column in ("No memory", "Complex")]
    return {(variant.name, 3): play_cell(dummies, setting, variant, 3) for variant in variants}


def test_d17_arrivals_never_fall_and_memory_begins_with_the_prior(cells: dict[tuple[str, int], Cell]) -> None:
    """V_c(t) is monotone, and no table forgets what the dummy knew."""
    for cell in cells.values():
        assert list(cell.series.arrived_veh) == sorted(cell.series.arrived_veh)
        assert cell.series.keys[-1] >= cell.keys_before > 0


def test_d17_a_dual_memory_grows_slower_than_the_table_of_sarsa(cells: dict[tuple[str, int], Cell]) -> None:
    """After the prior, which holds far more than 32 classes, the plain table gains more keys."""
    plain, dual = (cell_of(cells, column, RewardKind.ENTROPY, 3) for column in ("No memory", "Complex"))

    assert dual.keys_before > 32
    assert dual.series.keys[-1] - dual.keys_before < plain.series.keys[-1] - plain.keys_before
    assert dual.series.numbers[-1] < plain.series.numbers[-1]


def test_d16_complex_memory_waits_less_with_entropy_than_with_the_default_reward(
    cells: dict[tuple[str, int], Cell],
) -> None:
    """The paper's strongest claim, on the same three seeds of demand and exploration."""
    default, entropy = (cell_of(cells, "Complex", reward, 3) for reward in (RewardKind.DEFAULT, RewardKind.ENTROPY))

    assert sum(entropy.waiting) < sum(default.waiting)


def test_a_scale_shortens_plays_and_training_to_whole_intervals() -> None:
    """Never to nothing."""
    short = shortened(MAIN, 0.033)

    assert (short.rules.steps, short.episodes) == (20, 3)
    assert shortened(MAIN, 1.0) == MAIN
    assert shortened(MAIN, 1e-6).episodes == 1
