"""`phasemesh reproduce dmil`: all variants on all grids, the experiments that explain, and one page."""

from __future__ import annotations

from pathlib import Path

from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.variants import VARIANTS
from phasemesh.sim_harness.dmil.cells import EXPERIMENTS, MAIN, Cell, Dummies, Setting, play_cell, shortened
from phasemesh.sim_harness.dmil.dmil_page import dmil_page
from phasemesh.sim_harness.dmil.orderings import SIDES, column_variant, columns_of
from phasemesh.sim_harness.reproduce import ReproductionRequest, kept_or_made

PAGE_NAME = "index.html"
EXPERIMENT_SIDE = 3
ALL_VARIANTS_SIDE = 3
"""The grid on which variants are played that table II leaves out."""


def reproduce_dmil(request: ReproductionRequest) -> Path:
    """Play what `request.out` does not hold yet and write the page. Source: DMIL, section VI."""
    cells: dict[str, dict[tuple[str, int], Cell]] = {setting.name: {} for setting in (MAIN, *EXPERIMENTS)}
    for reward in RewardKind:
        # Dummies of a reward are large and of use to no other.
        dummies = Dummies(range(1, request.seeds + 1))
        for setting in (MAIN, *EXPERIMENTS):
            for name, side in _places(setting, reward):
                cells[setting.name][name, side] = _cell(request, dummies, setting, name, side)
    page = request.out / PAGE_NAME
    page.write_text(
        dmil_page(request, cells[MAIN.name], {each.name: cells[each.name] for each in EXPERIMENTS}), "utf-8"
    )
    return page


def _places(setting: Setting, reward: RewardKind) -> list[tuple[str, int]]:
    """Names of variants and sides of grids that are played in `setting`: all variants on one grid, table II on all."""
    columns = {side: [column_variant(column, reward).name for column in columns_of(side)] for side in SIDES}
    if setting is MAIN:
        columns[ALL_VARIANTS_SIDE] = [name for name, variant in VARIANTS.items() if variant.reward is reward]
        return [(name, side) for side in SIDES for name in columns[side]]
    return [(name, EXPERIMENT_SIDE) for name in columns[EXPERIMENT_SIDE]]


def _cell(request: ReproductionRequest, dummies: Dummies, setting: Setting, name: str, side: int) -> Cell:
    played = shortened(setting, request.scale)
    return kept_or_made(
        request,
        f"{setting.name}-{side}x{side}-{name}",
        Cell,
        lambda: play_cell(dummies, played, VARIANTS[name], side),
    )
