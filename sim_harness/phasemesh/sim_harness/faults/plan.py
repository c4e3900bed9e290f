"""From a seed to a plan: every fault at least once an hour, one after another, each with time to heal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.safety.detectors import DAY_S
from phasemesh.sim_harness.faults.fault import LONG_S, Fault, Reach, Variant
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.table import ROWS

HOUR_S = 3600.0
ONE_DAY_S = 24 * HOUR_S
MORNING_S = 7 * HOUR_S
SETTLE_S = 60.0
"""Time at the beginning of a run in which agents come up undisturbed."""
LASTING_BEGIN_S = 600.0
"""When faults begin that last longer than an hour: every detector has seen somebody by then."""
MARGIN_S = 5.0
"""Beyond the time that a fault may take to heal, for processes to come up and for ticks to end."""

Neighbours = Mapping[IntersectionId, Sequence[IntersectionId]]


def chosen_kinds(text: str) -> tuple[str, ...]:
    """The rows that `--faults` names: `all`, or ids by comma; raises InputError."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    kinds = tuple(ROWS) if names == ("all",) else names
    unknown = [kind for kind in kinds if kind not in ROWS]
    if unknown or not kinds:
        raise InputError(f"--faults {text!r}: give all, or some of {', '.join(ROWS)}")
    return kinds


def plan_faults(
    seed: int,
    neighbours: Neighbours,
    length_s: float,
    kinds: Sequence[str],
    *,
    has_namespaces: bool = False,
    begin_s: float = MORNING_S,
) -> tuple[PlannedFault, ...]:
    """A plan in which each of `kinds` occurs once in every full hour of `length_s`, or once in a shorter run.

    Faults follow each other with time to heal between them; those that last very long run beside the others, on an
    agent that is spared meanwhile. The variants of a row take turns from hour to hour and from seed to seed; those
    that need namespaces are among them only with `has_namespaces`. Those that last longer than an hour come once, in
    a run that is long enough, on an agent that is spared throughout. `begin_s` is the time of day at which the run
    begins. Equal arguments give equal plans.

    Raises:
        InputError: The time is too short, or the city has no links for a fault of links.
    """
    hours = max(1, int(length_s // HOUR_S))
    block_s = min(length_s, HOUR_S)
    city = _City(seed, neighbours, has_namespaces)
    rows = [ROWS[kind] for kind in kinds]
    planned = [*_plan_lasting(city, rows, length_s, begin_s)]
    for hour in range(hours):
        planned += _plan_hour(city, rows, seed + hour, hour * HOUR_S, block_s)
    ordered = sorted(planned, key=lambda fault: (fault.start_s, fault.fault))
    return tuple(msgspec.structs.replace(each, seed=seed * 1000 + index) for index, each in enumerate(ordered))


class _City:
    """Who can be hit, in an order that keeps hits on the same agent far apart."""

    def __init__(self, seed: int, neighbours: Neighbours, has_namespaces: bool) -> None:
        self.has_namespaces = has_namespaces
        self.draws = Random(seed)  # noqa: S311 (a plan must be repeatable, not secret)
        self.neighbours = neighbours
        self.reserved: set[IntersectionId] = set()
        self._queue = sorted(neighbours)
        self.draws.shuffle(self._queue)

    def pick(self, *, linked: bool, spared: IntersectionId | None) -> IntersectionId:
        """Whoever was hit longest ago, and goes to the end of the queue; nobody who is reserved."""
        for name in self._queue:
            if name != spared and name not in self.reserved and (self.neighbours[name] or not linked):
                self._queue.remove(name)
                self._queue.append(name)
                return name
        raise InputError("--faults: this city has no neighbours for a fault of links; leave such faults out")


def _plan_lasting(city: _City, rows: Sequence[Fault], length_s: float, begin_s: float) -> Iterator[PlannedFault]:
    """What lasts longer than an hour, as far as the run does and somebody is left for all other faults."""
    for row in rows:
        for variant in row.variants:
            fits = variant.length_s is not None and LASTING_BEGIN_S + variant.length_s + row.clean_s <= length_s
            fits = fits and not (variant.needs_day and _is_partly_night(begin_s + LASTING_BEGIN_S, variant.length_s))
            if fits and len(city.neighbours) > len(city.reserved) + 2:
                name = city.pick(linked=False, spared=None)
                city.reserved.add(name)
                yield _planned(row, variant, (name,), (), LASTING_BEGIN_S)


def _is_partly_night(from_s: float, length_s: float | None) -> bool:
    """Whether detectors expect an empty street at some time of `length_s` from the time of day `from_s` on."""
    dawn_s, dusk_s = DAY_S
    return not dawn_s <= from_s % ONE_DAY_S <= dusk_s - (length_s or 0.0)


def _planned(
    row: Fault,
    variant: Variant,
    targets: tuple[IntersectionId, ...],
    peers: tuple[IntersectionId, ...],
    start_s: float,
) -> PlannedFault:
    return PlannedFault(
        fault=row.id,
        means=variant.means,
        targets=targets,
        start_s=float(round(start_s)),
        length_s=row.length_s if variant.length_s is None else variant.length_s,
        peers=peers,
        strength=variant.strength,
    )


def _plan_hour(city: _City, rows: Sequence[Fault], turn: int, begin_s: float, block_s: float) -> Iterator[PlannedFault]:
    long = [row for row in rows if row.length_s > LONG_S]
    short = [row for row in rows if row.length_s <= LONG_S]
    city.draws.shuffle(short)
    settle_s = SETTLE_S if begin_s == 0.0 else 0.0
    needed_s = settle_s + max(sum(map(_room_s, short)), sum(map(_room_s, long)))
    if needed_s > block_s:
        raise InputError(f"--seconds: these faults need at least {needed_s:.0f} s, and time to heal is part of it")
    can_spare = len(city.neighbours) > len(city.reserved) + 1
    spared = city.pick(linked=False, spared=None) if long and can_spare else None
    yield from _in_turn(city, long, turn, begin_s + settle_s, block_s - settle_s, on=spared)
    yield from _in_turn(city, short, turn, begin_s + settle_s, block_s - settle_s, spared=spared)


def _room_s(row: Fault) -> float:
    return row.length_s + row.clean_s + MARGIN_S


def _in_turn(
    city: _City,
    rows: Sequence[Fault],
    turn: int,
    begin_s: float,
    length_s: float,
    *,
    on: IntersectionId | None = None,
    spared: IntersectionId | None = None,
) -> Iterator[PlannedFault]:
    """`rows` one after another over `length_s`, with the spare time drawn between them."""
    spare_s = length_s - sum(map(_room_s, rows))
    pauses = [city.draws.random() for _ in range(len(rows) + 1)]
    now_s = begin_s
    for row, pause in zip(rows, pauses, strict=False):
        now_s += spare_s * pause / sum(pauses)
        variants = [
            each
            for each in row.variants
            if each.length_s is None and (city.has_namespaces or not each.needs_namespaces)
        ]
        variant = variants[turn % len(variants)]
        targets, peers = _REACHES[row.reach](city, on, spared)
        yield _planned(row, variant, targets, peers, now_s)
        now_s += _room_s(row)


Hit = tuple[tuple[IntersectionId, ...], tuple[IntersectionId, ...]]
"""Targets and peers of a fault."""


def _one(city: _City, on: IntersectionId | None, spared: IntersectionId | None) -> Hit:
    return (on or city.pick(linked=False, spared=spared),), ()


def _linked(city: _City, _on: IntersectionId | None, spared: IntersectionId | None) -> Hit:
    return (city.pick(linked=True, spared=spared),), ()


def _readers(city: _City, _on: IntersectionId | None, spared: IntersectionId | None) -> Hit:
    peer = city.pick(linked=True, spared=spared)
    return tuple(city.neighbours[peer]), (peer,)


def _direction(city: _City, _on: IntersectionId | None, spared: IntersectionId | None) -> Hit:
    reader = city.pick(linked=True, spared=spared)
    return (reader,), (city.draws.choice(city.neighbours[reader]),)


def _halves(city: _City, _on: IntersectionId | None, _spared: IntersectionId | None) -> Hit:
    """Both sides of a border; only agents with a link across it are hit."""
    names = sorted(city.neighbours)
    linked = [name for name in names if city.neighbours[name]]
    if not linked:
        raise InputError("--faults: this city has no neighbours for a fault of links; leave such faults out")
    half = tuple(sorted(city.draws.sample(names, len(names) // 2)))
    hit = [name for name in linked if any((name in half) != (peer in half) for peer in city.neighbours[name])]
    return (tuple(hit), half) if hit else ((linked[0],), (city.neighbours[linked[0]][0],))


_REACHES = {
    Reach.ONE: _one,
    Reach.LINKED: _linked,
    Reach.READERS: _readers,
    Reach.DIRECTION: _direction,
    Reach.HALVES: _halves,
}
