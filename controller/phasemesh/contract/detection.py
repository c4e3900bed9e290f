"""What detectors and cabinet report: one reading a lane, one snapshot a step."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from phasemesh.contract.command import SignalState
from phasemesh.contract.units import Int64, IntersectionId


class LaneReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the detectors of one incoming lane saw at one step; raw, unnormalised.

    The zones are those of `ZONES_M`; queue, arrivals and wait are of the longest. `arrivals_veh` counts vehicles that
    entered the zone since the previous reading. The downstream values are means over the exits of the lane.
    """

    queue_veh: float
    vehicles_50m_veh: float
    vehicles_100m_veh: float
    vehicles_150m_veh: float
    arrivals_veh: float
    wait_s: float
    mean_speed_mps: float
    downstream_queue_veh: float
    downstream_vehicles_veh: float
    downstream_room_ratio: float
    is_valid: bool = True


READING_LIMITS: dict[str, tuple[float, float]] = {
    "queue_veh": (0.0, 400.0),
    "vehicles_50m_veh": (0.0, 400.0),
    "vehicles_100m_veh": (0.0, 400.0),
    "vehicles_150m_veh": (0.0, 400.0),
    "arrivals_veh": (0.0, 400.0),
    "wait_s": (0.0, 86_400.0),
    "mean_speed_mps": (0.0, 100.0),
    "downstream_queue_veh": (0.0, 400.0),
    "downstream_vehicles_veh": (0.0, 400.0),
    "downstream_room_ratio": (0.0, 1.0),
}
"""Plausible values of every reading; anything else marks the lane's detectors invalid (invariant I21)."""

INVALID_READING = LaneReading(
    queue_veh=0.0,
    vehicles_50m_veh=0.0,
    vehicles_100m_veh=0.0,
    vehicles_150m_veh=0.0,
    arrivals_veh=0.0,
    wait_s=0.0,
    mean_speed_mps=0.0,
    downstream_queue_veh=0.0,
    downstream_vehicles_veh=0.0,
    downstream_room_ratio=1.0,
    is_valid=False,
)
"""Neutral values in place of an implausible reading; its validity flag keeps anyone from trusting them."""


class ControlMode(StrEnum):
    """Who chooses the stages of a cabinet; all but the first two keep every agent away (invariant I11).

    `startup` is the flash after power has come, `flash` that of a latched fault or of an operator, `stop_time` freezes
    the interval that is shown.
    """

    AGENT = "agent"
    OWN_PLAN = "own_plan"
    STARTUP = "startup"
    PREEMPT = "preempt"
    MANUAL = "manual"
    STOP_TIME = "stop_time"
    FLASH = "flash"


COMMANDABLE_MODES = frozenset({ControlMode.AGENT, ControlMode.OWN_PLAN})
"""Modes in which a cabinet takes commands of an agent."""


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signal and detectors of one intersection at one cabinet step.

    `now_s` is cabinet time (simulated or monotonic seconds) and `day_s` the local time of day, in seconds since
    midnight, which no interval is ever timed by; `lease_boot_id` names the agent that holds the lease,
    or is None. `readings` are in the order of `Intersection.lanes`. `lease_s` is how long one command is obeyed, 0
    where the unit has no such time (invariant I14); `config_digest` names the intersection, times and conflicts that
    the cabinet was given (I19), and `latched` the rules whose breach keeps it in flash until an operator resets them.
    Neither lease nor digest has a default: whoever does not tell them is not understood, rather than believed.
    """

    intersection_id: IntersectionId
    step: Int64
    now_s: float
    signal: SignalState
    mode: ControlMode
    lease_until_s: float
    lease_boot_id: Int64 | None
    readings: tuple[LaneReading, ...]
    lease_s: float
    config_digest: str
    latched: tuple[str, ...] = ()
    day_s: float = 0.0


def plausible(reading: LaneReading) -> LaneReading:
    """`reading` itself, or `INVALID_READING` when a value is not finite or outside `READING_LIMITS` (I21).

    The table is written out, because this is asked for each lane at every step and a loop takes three times as long.
    """
    # Every comparison with NaN is false, so that the range alone also refuses what is not finite.
    is_plausible = (
        reading.is_valid
        and 0.0 <= reading.queue_veh <= 400.0
        and 0.0 <= reading.vehicles_50m_veh <= 400.0
        and 0.0 <= reading.vehicles_100m_veh <= 400.0
        and 0.0 <= reading.vehicles_150m_veh <= 400.0
        and 0.0 <= reading.arrivals_veh <= 400.0
        and 0.0 <= reading.wait_s <= 86_400.0
        and 0.0 <= reading.mean_speed_mps <= 100.0
        and 0.0 <= reading.downstream_queue_veh <= 400.0
        and 0.0 <= reading.downstream_vehicles_veh <= 400.0
        and 0.0 <= reading.downstream_room_ratio <= 1.0
    )
    return reading if is_plausible else INVALID_READING
