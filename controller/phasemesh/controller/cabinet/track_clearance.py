"""The two parts of a preemption by a train: the tracks are cleared, then the signal dwells.

A call that is renewed goes on where it was. One that has ended and comes again clears the tracks again, and so does one
that outlasts a flash, in which nobody knows who has stopped on them.
"""

from __future__ import annotations

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S, Interval
from phasemesh.contract.preemption import RailPreemption
from phasemesh.controller.cabinet.display import Display, Face


class TrackClearance(msgspec.Struct, frozen=True):
    """How far one call of a train has come.

    `begun_s` is the cabinet time from which on a green of the stage that clears the tracks counts; `is_over` says
    whether it had its time.
    """

    begun_s: float
    is_over: bool = False


def next_clearance(
    before: TrackClearance | None, rail: RailPreemption, display: Display, now_s: float
) -> TrackClearance | None:
    """How far a call has come at `now_s` that had come as far as `before`; None while no stages are shown."""
    if display.face is not Face.STAGES:
        return None
    clearance, signal = before or TrackClearance(now_s), display.signal
    is_clearing = signal.interval is Interval.GREEN and signal.stage == rail.track_clearance_stage
    green_s = now_s - max(signal.since_s, clearance.begun_s)
    if not is_clearing or green_s < rail.track_clearance_s - TIME_EPSILON_S:
        return clearance
    return msgspec.structs.replace(clearance, is_over=True)


def stage_for_train(clearance: TrackClearance | None, rail: RailPreemption, dwell_stage: int) -> int:
    """The stage to ask the guard for: the one that clears the tracks until that is over, then `dwell_stage`."""
    return dwell_stage if clearance is not None and clearance.is_over else rail.track_clearance_stage
