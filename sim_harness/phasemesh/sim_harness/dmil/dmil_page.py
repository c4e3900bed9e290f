"""The page of `phasemesh reproduce dmil`: the paper's table and figures beside ours, and what holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.variants import VARIANTS, Variant
from phasemesh.sim_harness.dmil.cells import EXPERIMENTS, MAIN, MEASURED_AT_STEP, Cell
from phasemesh.sim_harness.dmil.growth import (
    best_case,
    classes_needed,
    measured_ratios,
    uniform_visits,
    worst_after,
    worst_before,
    worst_limit,
)
from phasemesh.sim_harness.dmil.orderings import (
    COLUMNS,
    PAPER_W,
    SIDES,
    Cells,
    Ordering,
    cell_of,
    columns_of,
    orderings,
)
from phasemesh.sim_harness.dmil.plots import Line, lines_png, ratios_png
from phasemesh.sim_harness.dmil.prior import EPISODES
from phasemesh.sim_harness.report.page import heading, page, paragraph, picture, table
from phasemesh.sim_harness.reproduce import ReproductionRequest

TITLE = "Dual-memory integrated learning, reproduced"
PERIOD, KAPPA = 20, Fraction(1, 2)
STREAM_VISITS = 1000
SHOWN_VISITS = 200
STREAM_CLASSES = (1, 5, 20, 32, 100)


def dmil_page(request: ReproductionRequest, cells: Cells, experiments: Mapping[str, Cells]) -> str:
    """The HTML of the page."""
    found = orderings(cells)
    verdicts = Counter(each.verdict for each in found)
    summary = ", ".join(f"{count} {verdict.value}" for verdict, count in sorted(verdicts.items()))
    scale = "" if request.scale == 1 else f" This is a look at {request.scale:g} of the full size."
    parts = [
        paragraph(f"{len(VARIANTS)} variants, {request.seeds} seeds, grids of 1x1, 3x3 and 5x5.{scale}", "soft"),
        paragraph(f"Of {len(found)} orderings of the paper: {summary}."),
        heading("Table II: mean waiting over vehicles arrived, at step 300"),
        table(*waiting_table(cells)),
        paragraph("Mean and standard deviation over seeds; in brackets the paper's.", "soft"),
        heading("Orderings"),
        table(("claim", "measured", "verdict"), _ordering_rows(found)),
        paragraph("Gaps are paired over seeds; an ordering is decided beyond two standard errors of its gap.", "soft"),
        *_experiment_parts(cells, experiments),
        *_figures(cells),
        *_growth_parts(),
        heading("All variants"),
        table(*variant_table(cells)),
        *_readings(),
    ]
    return page(TITLE, parts)


def waiting_table(cells: Cells) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headers and rows of table II, ours with the paper's in brackets."""
    rows = []
    for side in SIDES:
        for reward in RewardKind:
            paper = PAPER_W[side, reward]
            shown = [
                f"{_spread(cell_of(cells, column, reward, side).waiting)} ({mean:g} ± {spread:g})"
                for column, (mean, spread) in zip(columns_of(side), paper, strict=True)
            ]
            rows.append((f"{side}x{side} {reward}", *shown, *["-"] * (len(COLUMNS) - len(shown))))
    return ("grid, reward", *COLUMNS), rows


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def _ordering_rows(found: Sequence[Ordering]) -> list[tuple[str, str, str]]:
    return [(each.claim, each.measured, each.verdict.value) for each in found]


def _experiment_parts(cells: Cells, experiments: Mapping[str, Cells]) -> list[str]:
    """What changes on the 3x3 grid when one thing is read otherwise."""
    meanings = {setting.name: setting.meaning for setting in (MAIN, *EXPERIMENTS)}
    rows = []
    for name, found in {MAIN.name: cells, **experiments}.items():
        for reward in RewardKind:
            places = [cell_of(found, column, reward, 3) for column in COLUMNS]
            rows.append(
                (f"{meanings[name]}: {reward}", *(f"{_spread(each.waiting)}; {each.known:.0%}" for each in places))
            )
    return [
        heading("Why: one thing changed at a time, 3x3"),
        table(("setting, reward", *COLUMNS), rows),
        paragraph("W, and the share of decisions for which the table knew an answer; the rest were random.", "soft"),
    ]


def _figures(cells: Cells) -> list[str]:
    """Figures 4 and 5 of the paper."""
    by_reward = [_arrivals(cell_of(cells, "Complex", reward, 5), reward) for reward in RewardKind]
    by_column = [_arrivals(cell_of(cells, column, RewardKind.ENTROPY, 5), column) for column in COLUMNS]
    panels = [("complex, by reward", by_reward), ("entropy, by architecture", by_column)]
    sizes = [(f"{side}x{side}", [_keys(cells, column, side) for column in columns_of(side)]) for side in SIDES]
    return [
        heading("Figure 4: arrivals on 5x5"),
        picture(
            lines_png(panels, "Step", "Vehicles arrived"), "Vehicles that reached their destination, mean of seeds."
        ),
        heading("Figure 5: growth of memory, entropy"),
        picture(
            lines_png(sizes, "Step", "Keys beyond the prior"),
            "Long-term keys, or those of the plain table, a crossing.",
        ),
    ]


def _arrivals(cell: Cell, label: str) -> Line:
    return Line(label, tuple(map(float, cell.series.steps)), cell.series.arrived_veh)


def _keys(cells: Cells, column: str, side: int) -> Line:
    cell = cell_of(cells, column, RewardKind.ENTROPY, side)
    grown = tuple(keys - cell.keys_before for keys in cell.series.keys)
    return Line(column, (0.0, *map(float, cell.series.steps)), (0.0, *grown))


def _growth_parts() -> list[str]:
    """Ratios of memory over streams with known answers, beside the exact bounds."""
    worst = measured_ratios(range(STREAM_VISITS + 1), PERIOD, float(KAPPA))
    streams = [("no situation recurs", worst)]
    rows = []
    for n in (1, 2, 5, 10, 20):
        after, before = worst_after(n, PERIOD, KAPPA), worst_before(n, KAPPA)
        is_exact = worst[n * PERIOD] == after and worst[n * PERIOD - 1] == before
        exact = "yes" if is_exact else "no"
        rows.append((f"staging {n}, nothing recurs", f"{float(before):.3f}, then {float(after):.3f}", exact))
    for classes in STREAM_CLASSES:
        ratios = measured_ratios(uniform_visits(classes, STREAM_VISITS, classes), PERIOD, float(KAPPA))
        streams.append((f"{classes} {'class' if classes == 1 else 'classes'}", ratios))
        bound = f"full short term {float(best_case(classes, min(classes, PERIOD))):.2f}"
        rows.append((f"{classes} classes, uniform: least ratio", bound, f"{float(min(ratios)):.2f}"))
    needed = f"From {float(classes_needed(PERIOD)):g} classes on a dual memory is never larger (period {PERIOD})."
    return [
        heading("Growth against the exact bounds"),
        picture(
            ratios_png([(label, ratios[:SHOWN_VISITS]) for label, ratios in streams], worst_limit(KAPPA)),
            "Numbers in a plain table over numbers in a dual memory.",
        ),
        table(("stream", "exact", "measured (exactly so)"), rows),
        paragraph(needed + " With fewer it may be: the paper's lemma V.4 leaves this condition out."),
    ]


def variant_table(cells: Cells) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """All variants on all grids: W, arrivals, answers known, and memory a crossing at the end."""
    rows: list[tuple[str, ...]] = []
    for (name, side), cell in sorted(cells.items(), key=lambda each: (each[0][1], _order(VARIANTS[each[0][0]]))):
        series = cell.series
        rows.append(
            (
                f"{side}x{side} {name}",
                _spread(cell.waiting),
                f"{np.mean(cell.arrived_veh):.0f}",
                f"{cell.known:.0%}",
                f"{cell.keys_before:.0f} + {series.keys[-1] - cell.keys_before:.1f}",
                f"{series.numbers[-1]:,.0f}",
                f"{series.packed_bytes[-1]:,.0f}",
            )
        )
    return ("grid, variant", "W", "arrived", "known", "keys: prior + new", "numbers", "bytes"), rows


def _order(variant: Variant) -> int:
    return tuple(VARIANTS.values()).index(variant)


def _readings() -> list[str]:
    notes = (
        "Open in the paper, chosen here: discharge 1 vehicle a step and lane, travel 10 steps, learning rate 0.1, "
        "short-term memory of 20 keys, half of it staged, exchange every 100 steps, margin of 5 %.",
        "The paper's random stages are kept: 0.4 for memories, 0.6 for SARSA, and everywhere where nothing is known.",
        f"The dummy learns {EPISODES} episodes of {MEASURED_AT_STEP} steps at a single crossing; every agent begins "
        "with its values, a dual memory with the best stage of each situation.",
        "Bytes are those of packed rows: 12 for a key, 1 for a stage, 8 for a value.",
    )
    return [heading("Readings"), *(paragraph(note, "soft") for note in notes)]
