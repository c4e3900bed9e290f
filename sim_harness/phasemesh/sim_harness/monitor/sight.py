"""What the monitor remembers of one signal, and how one change of its letters alters that; pure values."""

from __future__ import annotations

import msgspec

from phasemesh.sim_harness.monitor.demands import Demands, Limits
from phasemesh.sim_harness.monitor.difference import GREEN, NOBODY_SAW, UNKNOWN, YELLOW, Difference, difference

SLACK_S = 1e-3
"""Slack of every comparison of times: SUMO prints them with two decimals."""


class Run(msgspec.Struct, frozen=True, gc=False):
    """What one movement shows, since when, and whether its beginning was seen.

    `green` is the letter of its present or latest green, `after` what it showed before. `limits` are those of the green
    that has ended, None where nothing is demanded.
    """

    kind: str = UNKNOWN
    since_s: float = 0.0
    is_whole: bool = False
    green: str = ""
    after: str = UNKNOWN
    limits: Limits | None = None


class Sight(msgspec.Struct, frozen=True, gc=False):
    """One signal since its latest change; `is_known` once its letters were readable.

    `stages` are the stages that may be in force. Red clearance and pedestrian clearance may show the letters of a
    stage by chance; `clearing_s` is how long they may last after the latest change, or 0. `closed_s` is when each
    movement last ceased to let anybody in.
    """

    letters: str
    runs: tuple[Run, ...]
    closed_s: dict[int, float] = {}
    since_s: float = 0.0
    is_whole: bool = False
    is_known: bool = False
    stages: tuple[int, ...] = ()
    clearing_s: float = 0.0


class Moment(msgspec.Struct, frozen=True, gc=False):
    """One change of letters with all that a check needs: the sights before and after it, and what differs.

    `step_s` is the time since the look before.
    """

    demands: Demands
    before: Sight
    after: Sight
    differs: Difference
    step_s: float

    @property
    def letters(self) -> str:
        """What is shown from now on."""
        return self.after.letters

    @property
    def now_s(self) -> float:
        """When it began."""
        return self.after.since_s

    def lasted_s(self, movement: int) -> float:
        """For how long `movement` showed what it showed before."""
        return self.after.since_s - self.before.runs[movement].since_s


def unseen(demands: Demands) -> Sight:
    """A signal of which nothing is known, because it flashes or was not looked at."""
    size = len(demands.foes)
    return Sight(letters=NOBODY_SAW * size, runs=(Run(),) * size)


def moment_of(demands: Demands, before: Sight, letters: str, now_s: float, step_s: float) -> Moment:
    """The change from `before` to `letters`, which hold one letter a movement."""
    differs = difference(before.letters, letters)
    runs = list(before.runs)
    for index, kind in zip(differs.new, differs.kinds, strict=True):
        runs[index] = _run(demands, before, index, kind, letters[index], now_s)
    closed = [index for index in differs.greens + differs.yellows if runs[index].kind != YELLOW]
    sight = Sight(
        letters=letters,
        runs=tuple(runs),
        closed_s=before.closed_s | dict.fromkeys(closed, now_s) if closed else before.closed_s,
        since_s=now_s,
        is_whole=before.is_known,
        is_known=True,
        stages=_stages(demands, before, letters, differs),
        clearing_s=_clearing_s(demands, differs),
    )
    return Moment(demands=demands, before=before, after=sight, differs=differs, step_s=step_s)


def _run(demands: Demands, before: Sight, index: int, kind: str, letter: str, now_s: float) -> Run:
    run = before.runs[index]
    limits, green = run.limits, letter if kind == GREEN else run.green
    if kind == run.kind:
        return Run(kind, run.since_s, run.is_whole, green, run.after, limits)
    # A yellow without limits was under way when somebody first looked.
    if run.kind == GREEN or (run.kind == YELLOW and limits is None):
        limits = demands.limits(index, before.stages)
    return Run(kind, now_s, run.kind != UNKNOWN, green, run.kind, limits)


def _stages(demands: Demands, before: Sight, letters: str, differs: Difference) -> tuple[int, ...]:
    """The stages that may be in force: while people clear, the one that ends may look like another without them."""
    alike = demands.stages_of.get(letters, ())
    if not alike:
        return before.stages
    if differs.new == _walks_ended(demands, differs):
        return tuple(dict.fromkeys((*before.stages, *alike)))
    return alike


def _walks_ended(demands: Demands, differs: Difference) -> tuple[int, ...]:
    crossings = demands.crossings_m
    return tuple(index for index in differs.greens if index in crossings) if crossings else ()


def _clearing_s(demands: Demands, differs: Difference) -> float:
    if _walks_ended(demands, differs):
        return demands.longest_change_s
    return demands.longest_red_clearance_s if differs.yellows else 0.0
