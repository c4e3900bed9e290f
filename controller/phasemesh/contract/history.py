"""Who has waited how long: the pure bookkeeping behind maximum waits and the features of the past."""

from __future__ import annotations

import functools

import msgspec

from phasemesh.contract.command import Interval, SignalState, lights
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.intersection import GREEN_LETTERS, Intersection

remembered_lights = functools.lru_cache(maxsize=1024)(lights)
"""`lights`, for those who ask for the same letters at every step of an interval; enough for some hundred signals."""


class ServiceHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When each movement and stage was last green and since when each lane calls, in cabinet time.

    `movement_green_s` and `stage_green_s` hold the last time at which green was seen, `lane_call_s` the time at
    which the present call of the lane began, or None without one.
    """

    movement_green_s: tuple[float, ...]
    stage_green_s: tuple[float, ...]
    lane_call_s: tuple[float | None, ...]


def empty_history(intersection: Intersection, now_s: float) -> ServiceHistory:
    """A history that begins at `now_s` without any call."""
    return ServiceHistory(
        movement_green_s=(now_s,) * len(intersection.movements),
        stage_green_s=(now_s,) * len(intersection.stages),
        lane_call_s=(None,) * len(intersection.lanes),
    )


def note_signal(
    history: ServiceHistory, intersection: Intersection, signal: SignalState, now_s: float
) -> ServiceHistory:
    """`history` after `signal` was seen at `now_s`."""
    letters = remembered_lights(intersection, signal)
    movement_green_s = [
        now_s if letter in GREEN_LETTERS else before
        for letter, before in zip(letters, history.movement_green_s, strict=True)
    ]
    stage_green_s = history.stage_green_s
    if signal.interval is Interval.GREEN:
        stage_green_s = tuple([now_s if index == signal.stage else old for index, old in enumerate(stage_green_s)])
    return ServiceHistory(tuple(movement_green_s), stage_green_s, history.lane_call_s)


def note_calls(history: ServiceHistory, snapshot: Snapshot) -> ServiceHistory:
    """`history` after the detectors of `snapshot`: an invalid detector calls constantly (NTCIP 1202 detector fault)."""
    calls = [
        (before if before is not None else snapshot.now_s)
        if reading.vehicles_50m_veh > 0 or not reading.is_valid
        else None
        for reading, before in zip(snapshot.readings, history.lane_call_s, strict=True)
    ]
    return ServiceHistory(history.movement_green_s, history.stage_green_s, tuple(calls))


def movement_waits_s(history: ServiceHistory, intersection: Intersection, now_s: float) -> tuple[float, ...]:
    """For each movement, how long a call has waited for it in red: since its green and since its lane's call."""
    called_s = {lane.id: since for lane, since in zip(intersection.lanes, history.lane_call_s, strict=True)}
    return tuple(
        _wait_s([called_s[lane] for lane in movement.lanes], green_s, now_s)
        for movement, green_s in zip(intersection.movements, history.movement_green_s, strict=True)
    )


def _wait_s(calls_s: list[float | None], green_s: float, now_s: float) -> float:
    since = [max(call_s, green_s) for call_s in calls_s if call_s is not None]
    return now_s - min(since) if since else 0.0
