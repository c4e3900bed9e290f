"""The figures of the dual-memory paper, drawn from our plays: arrivals, memory, and ratios of memory over time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from phasemesh.sim_harness.report.figures import BLUE, DASHES, GREY, OTHERS, VERMILION, new_figure, png, tidy

COLOURS = (BLUE, VERMILION, *OTHERS)


class Line(msgspec.Struct, frozen=True):
    """One line of a plot."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def lines_png(panels: Sequence[tuple[str, Sequence[Line]]], x: str, y: str) -> bytes:
    """Panels side by side, each with its title and its own legend; y begins at 0."""
    figure = new_figure(4.8 * len(panels), 3.9)
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for index, line in enumerate(lines):
            style = DASHES[index // len(COLOURS) % len(DASHES)]
            axes.plot(line.x, line.y, style, color=COLOURS[index % len(COLOURS)], linewidth=1.6, label=line.label)
        tidy(axes, x=x, y=y)
        axes.set_title(title, fontsize=10)
        axes.set_ylim(bottom=0.0)
        axes.legend(frameon=False, fontsize=8)
    return png(figure)


def ratios_png(streams: Sequence[tuple[str, Sequence[Fraction]]], limit: Fraction) -> bytes:
    """The ratio of memory visit by visit, with the line of equality and the limit of the worst case."""
    figure = new_figure(9.5, 4.2)
    axes = figure.subplots()
    for index, (label, ratios) in enumerate(streams):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(range(len(ratios)), [float(ratio) for ratio in ratios], color=colour, linewidth=1.3, label=label)
    axes.axhline(1.0, color=GREY, linewidth=0.9)
    axes.axhline(float(limit), color=GREY, linewidth=0.9, linestyle=":", label=f"limit {float(limit):.2f}")
    tidy(axes, x="Decisions", y="Numbers in a plain table / in a dual memory")
    axes.set_ylim(bottom=0.0)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return png(figure)
