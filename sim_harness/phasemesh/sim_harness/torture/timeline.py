"""How deep each agent of a run stood at every moment: what it recorded itself and what its cabinet showed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from phasemesh.contract.command import CommandKind
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.errors import RecordError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.safety.detectors import DetectorFaultKind
from phasemesh.controller.telemetry.records import RecordHeader, Source, TickRecord, read_records
from phasemesh.sim_harness.faults.attack import Evidence, ModeChange
from phasemesh.sim_harness.faults.fault import Depth
from phasemesh.sim_harness.torture.silence import Silence

DEPTH_OF_RUNG: dict[str, Depth] = {
    "COORDINATED": Depth.COORDINATED,
    "ISOLATED": Depth.ISOLATED,
    "LOCAL": Depth.LOCAL,
    "RELEASED": Depth.RELEASED,
    "FLASH": Depth.FLASH,
}
FLASHING = frozenset({ControlMode.FLASH, ControlMode.STARTUP})


class Moment(msgspec.Struct, frozen=True):
    """One tick of an agent, in seconds since the beginning of the run, and whether a local plan decided it.

    `stale_ticks` is by how many ticks the oldest message that was held for fresh had outlived its limit, by its own
    step, which all agents count alike in lockstep. `unheard_by` are the neighbours of which the agent knew that they do
    not hear it, `versions` the wire versions of the messages that were fresh. The agent `is_alone` where it has
    neighbours and nothing fresh of any; `has_misses` where somebody who was expected did not speak in time.

    `tick` counts from 0 within the life `boot_id`. `in_force` is why the agent stood where it did, `is_command`
    whether it asked for a stage, and `rule` the one by which the cabinet refused that. `clock_step_s` is the jump of
    the wall clock that it noticed. `first_lane` is what it held against the detectors of its first lane, which faults
    of detectors hit, and `is_called` whether that lane called at the tick before; `resume_s` is how long the agent
    has to keep away from a cabinet that others took.
    """

    at_s: float
    depth: Depth
    is_fallback: bool
    stale_ticks: float = 0.0
    unheard_by: frozenset[IntersectionId] = frozenset()
    versions: frozenset[int] = frozenset()
    boot_id: int = 0
    tick: int = 1
    in_force: frozenset[LadderEvent] = frozenset()
    is_command: bool = True
    rule: str = ""
    clock_step_s: float = 0.0
    first_lane: DetectorFaultKind | None = None
    is_called: bool = False
    resume_s: float = 0.0
    is_alone: bool = False
    has_misses: bool = False


class Timeline:
    """The moments of one agent and the modes of its cabinet."""

    def __init__(
        self, moments: Iterable[Moment], modes: Sequence[ModeChange], neighbours: Iterable[IntersectionId] = ()
    ) -> None:
        """Keep `moments` in the order of their time; `modes` are the changes of its cabinet."""
        self.neighbours = frozenset(neighbours)
        self._moments = sorted(moments, key=lambda moment: moment.at_s)
        self._times_s = [moment.at_s for moment in self._moments]
        silence = Silence()
        self._apart_until_s = [
            silence.until_s(moment.at_s, moment.boot_id, is_alone=moment.is_alone) for moment in self._moments
        ]
        self._modes = modes

    def deepest(self, from_s: float, to_s: float) -> Depth:
        """The worst depth between two times, both included, by what happened in that time.

        Who only waits until a silence of before is forgiven stands as he would without it.
        """
        first, last = self._range(from_s, to_s)
        pairs = zip(self._moments[first:last], self._apart_until_s[first:last], strict=True)
        seen = [_present_depth(moment, until_s) for moment, until_s in pairs]
        return max((*seen, *self._mode_depths(from_s, to_s)), default=Depth.COORDINATED)

    def _range(self, from_s: float, to_s: float) -> tuple[int, int]:
        return bisect_left(self._times_s, from_s), bisect_right(self._times_s, to_s)

    def apart(self, from_s: float, to_s: float) -> Iterator[tuple[Moment, float]]:
        """The ticks between two times, each with the time until which the agent has to keep to itself by then."""
        first, last = self._range(from_s, to_s)
        return zip(self._moments[first:last], self._apart_until_s[first:last], strict=True)

    def fallback_ticks(self, from_s: float, to_s: float, tick_s: float) -> int:
        """Control intervals between two times that a local plan decided, the agent's or the cabinet's."""
        own_plan_s = sum(
            min(until_s, to_s) - max(change.since_s, from_s)
            for change, until_s in self._spans()
            if change.mode is ControlMode.OWN_PLAN and change.since_s < to_s and until_s > from_s
        )
        return sum(moment.is_fallback for moment in self.moments(from_s, to_s)) + round(own_plan_s / tick_s)

    def stale_ticks(self, from_s: float, to_s: float) -> float:
        """By how much messages that were fresh between two times had outlived their limit at most, in ticks."""
        return max((moment.stale_ticks for moment in self.moments(from_s, to_s)), default=0.0)

    def unheard_by(self, from_s: float, to_s: float) -> frozenset[IntersectionId]:
        """The neighbours of which the agent told between two times that they do not hear it."""
        return frozenset().union(*(moment.unheard_by for moment in self.moments(from_s, to_s)))

    def versions(self, from_s: float, to_s: float) -> frozenset[int]:
        """The wire versions of the messages that were fresh between two times."""
        return frozenset().union(*(moment.versions for moment in self.moments(from_s, to_s)))

    def recovered_s(self, from_s: float) -> float | None:
        """The first time from `from_s` on at which the agent is coordinated and its cabinet obeys it."""
        for moment in self._moments[bisect_left(self._times_s, from_s) :]:
            if moment.depth <= Depth.MISSES:
                modes = self._mode_depths(moment.at_s, moment.at_s)
                if max(modes, default=Depth.COORDINATED) <= Depth.MISSES:
                    return moment.at_s
        return None

    def moments(self, from_s: float, to_s: float) -> list[Moment]:
        """The ticks of the agent between two times, both included."""
        first, last = self._range(from_s, to_s)
        return self._moments[first:last]

    def spans(self, modes: Collection[ControlMode], from_s: float, to_s: float) -> list[tuple[float, float]]:
        """When the cabinet was in one of `modes`: beginnings and ends of those spans that began between two times."""
        spans = ((change.since_s, until_s) for change, until_s in self._spans() if change.mode in modes)
        return [span for span in spans if from_s <= span[0] <= to_s]

    def points(self) -> list[tuple[float, Depth]]:
        """Every change of depth, for a plot."""
        events = sorted({moment.at_s for moment in self._moments} | {change.since_s for change in self._modes})
        points: list[tuple[float, Depth]] = []
        for at_s in events:
            shown = [moment.depth for moment in self.moments(at_s, at_s)]
            depth = max((*shown, *self._mode_depths(at_s, at_s)), default=Depth.COORDINATED)
            if not points or points[-1][1] is not depth:
                points.append((at_s, depth))
        return points

    def _spans(self) -> Iterator[tuple[ModeChange, float]]:
        ends = [change.since_s for change in self._modes[1:]]
        return zip(self._modes, [*ends, float("inf")], strict=True)

    def _mode_depths(self, from_s: float, to_s: float) -> list[Depth]:
        return [
            _depth_of_mode(change.mode)
            for change, until_s in self._spans()
            if change.since_s <= to_s and until_s > from_s
        ]


def _present_depth(moment: Moment, apart_until_s: float) -> Depth:
    """The depth of `moment` by what it met itself."""
    if moment.depth is not Depth.ISOLATED or moment.is_alone or moment.at_s >= apart_until_s:
        return moment.depth
    return Depth.MISSES if moment.has_misses else Depth.COORDINATED


def _depth_of_mode(mode: ControlMode) -> Depth:
    if mode is ControlMode.AGENT:
        return Depth.COORDINATED
    return Depth.FLASH if mode in FLASHING else Depth.RELEASED


def read_timelines(folder: Path, evidence: Evidence) -> dict[IntersectionId, Timeline]:
    """The timelines of all agents whose records and cabinets left something in the folder of a run."""
    moments: dict[IntersectionId, list[Moment]] = {name: [] for name in evidence.modes}
    neighbours: dict[IntersectionId, tuple[IntersectionId, ...]] = {}
    for path in record_files(folder):
        for moment, record in _moments(path, evidence.begin_s):
            name = record.snapshot.intersection_id
            moments.setdefault(name, []).append(moment)
            neighbours[name] = tuple(peer.peer for peer in record.peers)
    return {
        name: Timeline(found, evidence.modes.get(name, ()), neighbours.get(name, ())) for name, found in moments.items()
    }


def record_files(folder: Path) -> list[Path]:
    """The flight records of a run, of all lives, rotated ones included."""
    return sorted((folder / "records").glob("*.rec*"))


def _moments(path: Path, begin_s: float) -> Iterator[tuple[Moment, TickRecord]]:
    """The moments of a file, each with its record; none of a file that is no record."""
    try:
        header, items = read_records(path)
    except RecordError:
        return
    for item in items:
        if isinstance(item, TickRecord):
            yield _moment(item, header, begin_s), item


def _moment(record: TickRecord, header: RecordHeader, begin_s: float) -> Moment:
    depth = DEPTH_OF_RUNG[record.rung.value]
    if depth is Depth.COORDINATED and record.comm_misses:
        depth = Depth.MISSES
    fresh = [peer.message for peer in record.peers if peer.is_fresh and peer.message is not None]
    oldest_step = min((message.step for message in fresh), default=record.step)
    oldest_ticks = (record.step - oldest_step) / header.steps_per_tick
    lane = header.intersection.lanes[0].id
    refused = record.applied is not None and not record.applied.is_accepted
    return Moment(
        at_s=record.snapshot.now_s - begin_s,
        depth=depth,
        is_fallback=record.source is Source.PLAN,
        stale_ticks=max(0.0, oldest_ticks - header.stale_after_ticks),
        unheard_by=frozenset(peer.peer for peer in record.peers if peer.hears_us is False),
        versions=frozenset(message.version for message in fresh),
        boot_id=header.boot_id,
        tick=record.tick,
        in_force=frozenset(record.in_force),
        is_command=record.kind is CommandKind.STAGE,
        rule=record.applied.rule if refused and record.applied is not None else "",
        clock_step_s=record.circumstances.clock_step_s,
        first_lane=next((fault.kind for fault in record.detector_faults if fault.lane == lane), None),
        is_called=record.history_before.lane_call_s[0] is not None,
        resume_s=header.unit.resume_s,
        is_alone=bool(record.peers) and not fresh,
        has_misses=bool(record.comm_misses),
    )
