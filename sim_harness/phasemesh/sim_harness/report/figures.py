"""What all plots share: figures without a display, colours that colour-blind readers tell apart, PNG bytes.

Matplotlib is imported when the first figure is made, so that runs without a report need none.
"""

from __future__ import annotations

import importlib
import io
import math
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from phasemesh.contract.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREY = "#8C8C8C"
PALE = "#D0D0D0"
OTHERS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#7F6A00", "#000000")
"""The remaining colours of Okabe and Ito (2008), yellow darkened for white paper."""
DASHES = ("-", "--", ":", "-.")

DPI = 110
LABEL_LENGTH = 32

Points = tuple[tuple[float, float], ...]


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that draws itself with Agg; raises MissingExtraError without matplotlib."""
    figure: Figure = _load("matplotlib.figure").Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    return figure


def line_collection(lines: list[Points], **style: object) -> LineCollection:
    """Many lines as one artist."""
    lines_drawn: LineCollection = _load("matplotlib.collections").LineCollection(lines, **style)
    return lines_drawn


def tidy(axes: Axes, *, x: str, y: str = "", grid: Literal["both", "x", "y"] = "both") -> None:
    """Label the axes with their units and take off what carries no data."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(color=PALE, linewidth=0.6, axis=grid)


def log_axis(axes: Axes, low: float, high: float) -> None:
    """Make x logarithmic from `low` to `high`, with plain numbers below it."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()


def plain(text: str) -> str:
    """`text` as a label: short, without formulas, and not hidden by a leading underscore."""
    short = text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 12]}...{text[-9:]}"
    printable = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in short)
    return (" " if printable.startswith("_") else "") + printable.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"plots need {name} ({error}); install phasemesh[sim]") from error
