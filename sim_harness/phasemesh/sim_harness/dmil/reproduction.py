"""`phasemesh reproduce dmil`: all variants on all grids, the experiments that explain, and one page."""

from __future__ import annotations

from pathlib import Path

from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.variants import VARIANTS
from phasemesh.sim_harness.dmil.cells import EXPERIMENTS, MAIN, Cell, Laboratory, Setting, shortened
from phasemesh.sim_harness.dmil.dmil_page import dmil_page
from phasemesh.sim_harness.dmil.orderings import COLUMNS, SIDES, column_variant
from phasemesh.sim_harness.reproduce import ReproductionRequest, kept_or_made

PAGE_NAME = "index.html"
EXPERIMENT_SIDE = 3

Experiments = dict[str, dict[tuple[str, int], Cell]]


def reproduce_dmil(request: ReproductionRequest) -> Path:
    """Play what `request.out` does not hold yet and write the page. Source: DMIL, section VI."""
    everything = [(name, side) for reward in RewardKind for name in _names(reward) for side in SIDES]
    cells = _played(request, MAIN, everything)
    few = [(column_variant(column, reward).name, EXPERIMENT_SIDE) for reward in RewardKind for column in COLUMNS]
    experiments = {setting.name: _played(request, setting, few) for setting in EXPERIMENTS}
    page = request.out / PAGE_NAME
    page.write_text(dmil_page(request, cells, experiments), encoding="utf-8")
    return page


def _names(reward: RewardKind) -> list[str]:
    return [name for name, variant in VARIANTS.items() if variant.reward is reward]


def _played(
    request: ReproductionRequest, setting: Setting, places: list[tuple[str, int]]
) -> dict[tuple[str, int], Cell]:
    laboratory = Laboratory(shortened(setting, request.scale), range(1, request.seeds + 1))

    def cell(name: str, side: int) -> Cell:
        return kept_or_made(
            request, f"{setting.name}-{side}x{side}-{name}", Cell, lambda: laboratory.play(VARIANTS[name], side)
        )

    return {(name, side): cell(name, side) for name, side in places}
