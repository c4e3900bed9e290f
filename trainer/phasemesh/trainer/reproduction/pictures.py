"""Pictures of a reproduction: curves with spread, sizes, and the hyper-actions of sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from phasemesh.sim_harness.report.figures import BLUE, OTHERS, VERMILION, new_figure, plain, png, tidy
from phasemesh.trainer.reproduction.trial import TrialResult

COLOURS = (BLUE, VERMILION, *OTHERS)
WIDTH_IN, HEIGHT_IN = 9.5, 3.6


def curves_png(results: Sequence[TrialResult], *, of_rewards: bool = False) -> bytes:
    """The learning curves of every method on one map: the mean over seeds, and their range as shade."""
    figure = new_figure(WIDTH_IN, HEIGHT_IN)
    axes = figure.subplots()
    for index, method in enumerate(dict.fromkeys(each.method for each in results)):
        series = [each.rewards if of_rewards else each.curve_s for each in results if each.method == method]
        rows = np.array([each[: min(map(len, series))] for each in series])
        iterations, colour = np.arange(1, rows.shape[1] + 1), COLOURS[index % len(COLOURS)]
        style = "-" if index < len(COLOURS) else "--"
        axes.fill_between(iterations, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        # One iteration makes no line.
        dot = "o" if len(iterations) == 1 else ""
        means = rows.mean(axis=0)
        axes.plot(iterations, means, color=colour, marker=dot, linestyle=style, linewidth=1.8, label=plain(method))
    axes.locator_params(axis="x", integer=True)
    tidy(axes, x="Iteration", y="mean reward" if of_rewards else "mean delay, s")
    axes.legend(frameon=False, fontsize=8, ncols=3)
    return png(figure)


def sizes_png(found: Mapping[int, Sequence[float]]) -> bytes:
    """The delay at the end by the number of heads: every seed as a dot, their means as a line."""
    figure = new_figure(WIDTH_IN, HEIGHT_IN)
    axes = figure.subplots()
    sizes = sorted(found)
    for place, size in enumerate(sizes):
        axes.plot([place] * len(found[size]), list(found[size]), "o", color=BLUE, alpha=0.5)
    axes.plot(range(len(sizes)), [float(np.mean(found[size])) for size in sizes], color=BLUE, linewidth=1.8)
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    tidy(axes, x="Value heads", y="mean delay at the end, s")
    return png(figure)


def hyper_png(hyper: Mapping[str, Sequence[Sequence[float]]]) -> bytes:
    """The hyper-actions of the first and the last intersection over an episode, side by side: areas that fill up 1."""
    names = list(hyper)
    figure = new_figure(WIDTH_IN, HEIGHT_IN)
    for axes, name in zip(figure.subplots(1, 2, sharey=True), (names[0], names[-1]), strict=True):
        weights = np.array(hyper[name]).T
        axes.stackplot(np.linspace(0.0, 1.0, weights.shape[1]), weights, colors=COLOURS, alpha=0.8)
        axes.set_title(plain(name), fontsize=10)
        axes.margins(0.0)
        tidy(axes, x="Share of the episode", y="weight")
    return png(figure)


def diversity_png(points: Mapping[str, Sequence[float]]) -> bytes:
    """How far sites weigh apart, by map: every seed a dot."""
    figure = new_figure(WIDTH_IN, HEIGHT_IN)
    axes = figure.subplots()
    for place, values in enumerate(points.values()):
        axes.plot([place] * len(values), list(values), "o", color=BLUE)
    axes.set_xticks(range(len(points)), [plain(name) for name in points])
    axes.margins(x=0.3)
    tidy(axes, x="", y="Jensen-Shannon distance of two sites")
    return png(figure)
