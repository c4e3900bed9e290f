"""Pictures of how a training went: delay by scenario, and the figures of its updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from phasemesh.sim_harness.report.figures import BLUE, OTHERS, VERMILION, new_figure, plain, png, tidy
from phasemesh.trainer.report.run_curves import Band, Figure, Group, band_of
from phasemesh.trainer.run_folder import CurveRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, *OTHERS)
COLUMNS = 3
WIDTH_IN, ROW_IN = 9.5, 2.5
LONG_LABEL = 3
"""More lines than this have their legend in one column."""


class Panel(msgspec.Struct, frozen=True):
    """One small picture: a figure of every iteration, with its unit."""

    title: str
    unit: str
    figure: Figure


def _stat(name: str, *, is_of_edges: bool = False) -> Figure:
    """A figure of the update; figures of edges only where there were edges."""

    def figure(row: CurveRow) -> float | None:
        return None if is_of_edges and not row.stats.edges else float(getattr(row.stats, name))

    return figure


PANELS: tuple[Panel, ...] = (
    Panel("Policy loss", "", _stat("policy_loss")),
    Panel("Value loss", "of normalised returns", _stat("value_loss")),
    Panel("Mask loss", "nats", _stat("mask_loss", is_of_edges=True)),
    Panel("Entropy of the policy", "nats", _stat("entropy")),
    Panel("Explained variance", "1 is all", _stat("explained_variance")),
    Panel("Norm of the gradient", "before clipping", _stat("grad_norm")),
    Panel("Policy moved by", "KL, nats", _stat("policy_kl")),
    Panel("Edge posterior, mean", "probability", _stat("mask_mean", is_of_edges=True)),
    Panel("Edge posterior, spread", "over contexts", _stat("mask_spread", is_of_edges=True)),
    Panel("Edge posterior, entropy", "nats", _stat("mask_entropy", is_of_edges=True)),
    Panel("Rate of learning", "", lambda row: row.learning_rate),
    Panel("Environment", "decisions a second", lambda row: row.steps_per_s),
)
"""In the order of the picture."""


def delays_png(groups: Sequence[Group]) -> bytes:
    """The mean delay of the episodes played, by scenario: thick smoothed, thin as it was, the range between runs."""
    names = list(dict.fromkeys(name for group in groups for run in group.runs for name in run.description.scenarios))
    return _panels_png(groups, [Panel(name, "mean delay, s", _delay(name)) for name in names], is_marked=False)


def updates_png(groups: Sequence[Group]) -> bytes:
    """What every update was like; vermilion lines are alarms."""
    return _panels_png(groups, PANELS, is_marked=True)


def _delay(name: str) -> Callable[[CurveRow], float | None]:
    return lambda row: row.delay_s.get(name)


def _panels_png(groups: Sequence[Group], panels: Sequence[Panel], *, is_marked: bool) -> bytes:
    """`panels` side by side, one line a group, under one legend."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(WIDTH_IN, 0.5 + ROW_IN * rows * (1.4 if columns == 1 else 1.0))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        for index, group in enumerate(groups):
            _draw(axes, band_of(group, panel.figure), group.label, COLOURS[index % len(COLOURS)])
        if is_marked:
            _mark_alarms(axes, groups)
        tidy(axes, x="Iteration" if axes in grid[-columns:] else "", y=panel.unit)
        axes.set_title(plain(panel.title), fontsize=10)
        axes.margins(x=0.02)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        frameon=False,
        fontsize=9,
        ncols=1 if len(labels) > LONG_LABEL else 2,
    )
    return png(figure)


def _draw(axes: Axes, band: Band | None, label: str, colour: str) -> None:
    if band is None:
        axes.plot([], [], color=colour, linewidth=2.2, label=plain(label))
        return
    smooth = band.smoothed()
    axes.fill_between(smooth.iterations, smooth.low, smooth.high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(band.iterations, band.mean, color=colour, linewidth=0.7, alpha=0.5)
    axes.plot(smooth.iterations, smooth.mean, color=colour, linewidth=2.2, label=plain(label))


def _mark_alarms(axes: Axes, groups: Sequence[Group]) -> None:
    alarmed = {row.iteration for group in groups for run in group.runs for row in run.rows if row.alarms}
    for iteration in sorted(alarmed):
        axes.axvline(iteration, color=VERMILION, linewidth=0.8, alpha=0.6)
