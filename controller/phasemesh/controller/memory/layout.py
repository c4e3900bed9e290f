"""What memory needs to know of an intersection: its size, and the rotations that map its layout to itself.

A rotation is a permutation of approaches that moves all of them and leaves everything a rule could tell apart as it
was: turns, lanes, conflicts, priorities, stages. It is found in the `Intersection`, never assumed: a T-junction has
none, a crossing of a main and a side street has at most the half turn.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import permutations

import msgspec

from phasemesh.contract.intersection import Intersection, Turn

MOST_APPROACHES = 6
"""Intersections of more approaches get no rotation: the search tries all permutations."""

Permutation = tuple[int, ...]


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True):
    """Counts of movements and stages, and the cyclic group of rotations that the layout allows.

    Element g of the group sends movement i to `movement_maps[g][i]` and stage a to `stage_maps[g][a]`; it is the g-th
    power of element 1, so that the inverse of g is -g. `digest` names all that memory relies on: entries of another
    digest describe another place.
    """

    movements: int
    stages: int
    movement_maps: tuple[Permutation, ...]
    stage_maps: tuple[Permutation, ...]
    digest: str

    @property
    def order(self) -> int:
        """How many rotations there are, the identity included."""
        return len(self.movement_maps)

    @property
    def subgroup(self) -> str:
        """The name of the group, as it is stored with a memory: C1 has the identity alone."""
        return f"C{self.order}"

    def inverse(self, element: int) -> int:
        """The element that undoes `element`."""
        return -element % self.order


def layout_of(intersection: Intersection) -> Layout:
    """The layout of `intersection` with the largest group of rotations that maps it to itself.

    Of several groups of one size the one is taken whose generator comes first in the order of the approaches.
    Source: DMIL, section IV-A, where a crossing of four equal approaches is assumed.
    """
    generator = next(_generators(intersection), None)
    movement_maps = _powers(generator[0] if generator else tuple(range(len(intersection.movements))))
    stage_maps = _powers(generator[1] if generator else tuple(range(len(intersection.stages))), len(movement_maps))
    return Layout(
        movements=len(intersection.movements),
        stages=len(intersection.stages),
        movement_maps=movement_maps,
        stage_maps=stage_maps,
        digest=_digest(intersection, movement_maps, stage_maps),
    )


def _digest(intersection: Intersection, *maps: tuple[Permutation, ...]) -> str:
    """The name of the intersection's geometry and stages, whatever it and its neighbours are called."""
    place = msgspec.structs.replace(intersection, id="", neighbours=())
    return hashlib.sha256(msgspec.json.encode((place, maps), order="sorted")).hexdigest()


def _powers(generator: Permutation, count: int | None = None) -> tuple[Permutation, ...]:
    """The powers of `generator` from the identity on: `count` of them, by default up to the next identity."""
    identity = tuple(range(len(generator)))
    powers = [identity]
    following = generator
    while (len(powers) < count) if count else following != identity:
        powers.append(following)
        following = tuple(generator[index] for index in following)
    return tuple(powers)


def _generators(intersection: Intersection) -> Iterator[tuple[Permutation, Permutation]]:
    """The rotations that the layout allows, of the largest order first: their maps of movements and of stages."""
    approaches = tuple(dict.fromkeys(movement.approach for movement in intersection.movements))
    if len(approaches) > MOST_APPROACHES:
        return
    for turned in sorted(_rotations(len(approaches)), key=lambda each: (-_order(each), each)):
        renamed = {approach: approaches[target] for approach, target in zip(approaches, turned, strict=True)}
        movement_map = _movement_map(intersection, renamed)
        if movement_map is None or not _keeps_rules(intersection, renamed, movement_map):
            continue
        stage_map = _stage_map(intersection, movement_map)
        if stage_map is not None:
            yield movement_map, stage_map


def _rotations(size: int) -> Iterator[Permutation]:
    """Permutations all of whose cycles have one length above 1: no power of them but the identity fixes a point."""
    for each in permutations(range(size)):
        if size > 1 and _order(each) > 0:
            yield each


def _order(permutation: Permutation) -> int:
    """The common length of the cycles of `permutation`; 0 where it fixes a point or lengths differ."""
    lengths = set()
    for start in range(len(permutation)):
        at, length = permutation[start], 1
        while at != start:
            at, length = permutation[at], length + 1
        lengths.add(length)
    return lengths.pop() if len(lengths) == 1 and 1 not in lengths else 0


def _movement_map(intersection: Intersection, renamed: dict[str, str]) -> Permutation | None:
    """Where each movement goes when its approach is renamed; None where its turn is missing or there twice."""
    places: dict[tuple[str, Turn], int] = {}
    for index, movement in enumerate(intersection.movements):
        if places.setdefault((movement.approach, movement.turn), index) != index:
            return None
    targets = [places.get((renamed[movement.approach], movement.turn)) for movement in intersection.movements]
    known = [target for target in targets if target is not None]
    return tuple(known) if len(known) == len(targets) else None


def _keeps_rules(intersection: Intersection, renamed: dict[str, str], moved: Permutation) -> bool:
    """Whether lanes, conflicts, priorities and concurrency look the same after the rotation."""
    lanes = _lanes_of_approaches(intersection)
    if any(lanes.get(approach, Counter()) != lanes.get(target, Counter()) for approach, target in renamed.items()):
        return False
    size = range(len(moved))
    return all(
        matrix[i][j] == matrix[moved[i]][moved[j]]
        for matrix in (intersection.conflicts, intersection.yields_to, intersection.concurrency)
        if matrix
        for i in size
        for j in size
    )


LaneLook = tuple[tuple[Turn, ...], float, tuple[int, ...]]


def _lanes_of_approaches(intersection: Intersection) -> dict[str, Counter[LaneLook]]:
    """What the lanes of each approach look like: their turns, speed limit, and whole vehicles that detectors can count.

    Length beyond the zones of detection is left out, since no count depends on it.
    """
    lanes: dict[str, Counter[LaneLook]] = {}
    for lane in intersection.lanes:
        users = [movement for movement in intersection.movements if lane.id in movement.lanes]
        look = (
            tuple(sorted(movement.turn for movement in users)),
            lane.speed_limit_mps,
            tuple(round(capacity) for capacity in lane.zone_capacity_veh),
        )
        for approach in {movement.approach for movement in users}:
            lanes.setdefault(approach, Counter())[look] += 1
    return lanes


def _stage_map(intersection: Intersection, moved: Permutation) -> Permutation | None:
    """Where each stage goes when its movements move; None where that stage is missing or there twice."""
    places: dict[tuple[frozenset[int], frozenset[int]], int] = {}
    for index, stage in enumerate(intersection.stages):
        if places.setdefault((frozenset(stage.protected), frozenset(stage.permissive)), index) != index:
            return None
    targets = [
        places.get((_moved(stage.protected, moved), _moved(stage.permissive, moved))) for stage in intersection.stages
    ]
    known = [target for target in targets if target is not None]
    return tuple(known) if len(known) == len(targets) else None


def _moved(movements: tuple[int, ...], moved: Permutation) -> frozenset[int]:
    return frozenset(moved[index] for index in movements)
