"""The curves of several trainings as one: runs that differ in nothing but their seed belong to one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import FloatArray
from phasemesh.trainer.run_folder import CurveRow, RunDescription, read_curves, read_run

SMOOTHED_SHARE = 20
"""A curve is smoothed over this part of its points, since episodes differ in their demand."""


class RunCurves(msgspec.Struct, frozen=True):
    """One training: where it lies, what it was asked for, and its iterations."""

    folder: Path
    description: RunDescription
    rows: tuple[CurveRow, ...]


class Group(msgspec.Struct, frozen=True):
    """Trainings that differ in nothing but their seed, under one name."""

    label: str
    runs: tuple[RunCurves, ...]


class Band(msgspec.Struct, frozen=True):
    """A figure over iterations: its mean over the runs that have it, and the range between them, [I] each."""

    iterations: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    def smoothed(self) -> Band:
        """The same, each point the mean over those around it."""
        width = max(1, len(self.iterations) // SMOOTHED_SHARE)
        return Band(self.iterations, *(_running_mean(each, width) for each in (self.mean, self.low, self.high)))


Figure = Callable[[CurveRow], float | None]
"""What a curve shows of an iteration; None where there is nothing to show."""


def read_runs(folders: Sequence[Path]) -> tuple[RunCurves, ...]:
    """The trainings in `folders`; raises InputError for one without an iteration or named twice."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("report: name every folder only once")
    runs = tuple(RunCurves(folder, read_run(folder), tuple(read_curves(folder))) for folder in folders)
    for run in runs:
        if not run.rows:
            raise InputError(f"{run.folder}: has no iteration yet; train on with --resume")
    return runs


def grouped(runs: Sequence[RunCurves]) -> tuple[Group, ...]:
    """`runs` by recipe and scenarios, in the order in which they were named."""
    groups: list[list[RunCurves]] = []
    for run in runs:
        home = next((group for group in groups if _are_alike(group[0], run)), None)
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    return tuple(Group(_label(group), tuple(group)) for group in groups)


def _are_alike(first: RunCurves, second: RunCurves) -> bool:
    one, other = first.description, second.description
    return one.recipe == other.recipe and one.scenarios == other.scenarios


def _label(group: Sequence[RunCurves]) -> str:
    names = ", ".join(run.folder.resolve().name for run in group)
    return f"{group[0].description.recipe_name} ({names})"


def band_of(group: Group, figure: Figure) -> Band | None:
    """`figure` over the iterations of `group`; None where no iteration has it."""
    found: dict[int, list[float]] = {}
    for run in group.runs:
        for row in run.rows:
            if (value := figure(row)) is not None:
                found.setdefault(row.iteration, []).append(value)
    if not found:
        return None
    iterations = sorted(found)
    means, lows, highs = zip(
        *((np.mean(found[each]), min(found[each]), max(found[each])) for each in iterations), strict=True
    )
    return Band(*(np.array(values, dtype=np.float32) for values in (iterations, means, lows, highs)))


def _running_mean(values: FloatArray, width: int) -> FloatArray:
    """The mean over `width` values around each, fewer at both ends."""
    window = np.ones(width)
    sums = np.convolve(values, window, mode="same")
    counts = np.convolve(np.ones(len(values)), window, mode="same")
    smoothed: FloatArray = (sums / counts).astype(np.float32)
    return smoothed
