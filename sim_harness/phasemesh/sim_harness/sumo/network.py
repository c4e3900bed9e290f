"""A SUMO network as the contract's intersections, without any configuration by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from phasemesh.contract.errors import ScenarioError
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.sumo.approaches import UpstreamLanes, incoming_lanes
from phasemesh.sim_harness.sumo.neighbours import neighbours_of
from phasemesh.sim_harness.sumo.net_file import NetFile, read_net_file
from phasemesh.sim_harness.sumo.right_of_way import (
    RightOfWay,
    SignalLinks,
    links_of_signals,
    movement_of,
    right_of_way,
)
from phasemesh.sim_harness.sumo.stages import DerivedStages, ProgramChange, Step, derive_stages, green_steps
from phasemesh.sim_harness.sumo.zones import Zone


class SignalSite(msgspec.Struct, frozen=True):
    """One commanded signal.

    `zones` are in the order of `intersection.lanes`; `stage_steps` holds for each stage the sumo step that it came
    from, or None for an added stage; `own_program` are the steps that the network brings, as state and seconds.
    """

    intersection: Intersection
    tls_id: str
    position_m: tuple[float, float]
    zones: tuple[Zone, ...]
    stage_steps: tuple[int | None, ...]
    own_program: tuple[Step, ...]


class CityNetwork(msgspec.Struct, frozen=True):
    """The signals of a network, in the order of its file.

    `watched` are the signals left to their own program: those with a single stage and those not selected. `changes`
    tells where the stages of `controlled` differ from the programs.
    """

    net_file: Path
    controlled: tuple[SignalSite, ...]
    watched: tuple[str, ...]
    changes: tuple[ProgramChange, ...]

    @property
    def intersections(self) -> tuple[Intersection, ...]:
        """The intersections of the commanded signals."""
        return tuple(site.intersection for site in self.controlled)

    @property
    def zones(self) -> dict[IntersectionId, tuple[Zone, ...]]:
        """The detection zones of every commanded intersection, in the order of its lanes."""
        return {site.intersection.id: site.zones for site in self.controlled}


class _Derived(msgspec.Struct, frozen=True):
    links: SignalLinks
    right: RightOfWay
    stages: DerivedStages


def read_network(net_file: Path, signals: Sequence[str] | None = None) -> CityNetwork:
    """The commanded and watched signals of `net_file`.

    Args:
        net_file: A `.net.xml`, also gzipped.
        signals: The signals to command, by id; all that can be commanded when None.

    Raises:
        ScenarioError: The file is broken, has no signal that can be commanded, or lacks one of `signals`.
    """
    net = read_net_file(net_file)
    able = _able(net)
    selected = _selected(net, able, signals)
    neighbours = neighbours_of(net, selected)
    upstream = UpstreamLanes(net)
    return CityNetwork(
        net_file=net_file,
        controlled=tuple(_site(net, upstream, able[signal], neighbours[signal]) for signal in selected),
        watched=tuple(signal for signal in net.programs if signal not in selected),
        changes=tuple(change for signal in selected for change in able[signal].stages.changes),
    )


def _able(net: NetFile) -> dict[str, _Derived]:
    """The signals that have a choice: at least two stages, in their own program and after its derivation.

    An index that shows vehicles and people the same light is left alone: nobody could be cleared before the other.
    """
    able = {}
    for signal, links in links_of_signals(net).items():
        program, right = net.programs[signal].steps, right_of_way(links)
        if right.vehicles & right.crossings or len(green_steps(program, right)) < 2:
            continue
        stages = derive_stages(signal, program, right)
        if len(stages.stages) > 1:
            able[signal] = _Derived(links, right, stages)
    return able


def _selected(net: NetFile, able: dict[str, _Derived], signals: Sequence[str] | None) -> tuple[str, ...]:
    unknown = sorted(set(signals or ()) - net.programs.keys())
    if unknown:
        raise ScenarioError(f"{net.path}: has no signal {unknown[0]!r}; it has {', '.join(net.programs) or 'none'}")
    single = sorted(set(signals or ()) - able.keys())
    if single:
        raise ScenarioError(
            f"{net.path}: signal {single[0]!r} has a single stage, or one index for vehicles and people;"
            " it cannot be commanded"
        )
    selected = tuple(signal for signal in able if signals is None or signal in signals)
    if not selected:
        raise ScenarioError(f"{net.path}: has no signal with two stages or more; there is nothing to command")
    return selected


def _site(net: NetFile, upstream: UpstreamLanes, derived: _Derived, neighbours: tuple[str, ...]) -> SignalSite:
    movements = tuple(movement_of(group) for group in derived.links.by_index)
    lanes, zones = incoming_lanes(net, upstream, movements)
    signal = derived.links.signal
    return SignalSite(
        intersection=Intersection(
            id=IntersectionId(signal),
            lanes=lanes,
            movements=movements,
            stages=derived.stages.stages,
            conflicts=_letters(derived.right.conflicts),
            yields_to=_letters(derived.right.yields_to),
            neighbours=tuple(IntersectionId(name) for name in neighbours),
        ),
        tls_id=signal,
        position_m=_position_m(derived.links),
        zones=zones,
        stage_steps=derived.stages.steps,
        own_program=net.programs[signal].steps,
    )


def _letters(matrix: tuple[tuple[bool, ...], ...]) -> tuple[str, ...]:
    return tuple("".join("01"[cell] for cell in row) for row in matrix)


def _position_m(links: SignalLinks) -> tuple[float, float]:
    """The middle of the junctions of a signal, in the coordinates of the network."""
    junctions = {link.junction.id: link.junction.position_m for group in links.by_index for link in group}
    x_m, y_m = (sum(values) / len(junctions) for values in zip(*junctions.values(), strict=True))
    return x_m, y_m
