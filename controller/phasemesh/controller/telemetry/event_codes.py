"""THE EVENT TABLE: codes of the high-resolution event log.

Below 1000 they are the Indiana enumerations for traffic signals (Purdue University, JTRP, 2020), from 1001 on our
own. A phase of those enumerations is the number of a stage counted from 1, a detector that of a lane.
"""

from __future__ import annotations

from enum import IntEnum

MAX_PARAMETER = 32_767
"""Largest parameter that readers of such logs accept."""


class EventCode(IntEnum):
    """What happened; docs/records.md says what each parameter means."""

    PHASE_ON = 0
    GREEN_BEGIN = 1
    MAX_OUT = 5
    FORCE_OFF = 6
    GREEN_TERMINATION = 7
    YELLOW_BEGIN = 8
    YELLOW_END = 9
    RED_CLEARANCE_BEGIN = 10
    RED_CLEARANCE_END = 11
    PHASE_INACTIVE = 12
    WALK_BEGIN = 21
    PED_CLEARANCE_BEGIN = 22
    DONT_WALK_BEGIN = 23
    DETECTOR_OFF = 81
    DETECTOR_ON = 82
    DETECTOR_RESTORED = 83
    DETECTOR_FAULT_OTHER = 84
    DETECTOR_FAULT_WATCHDOG = 85
    DETECTOR_FAULT_CHANGES = 88
    PREEMPT_ON = 102
    PREEMPT_OFF = 104
    FLASH_STATUS = 173
    MANUAL_CONTROL = 178
    STOP_TIME = 180
    CLOCK_UPDATED = 181
    ALARM_ON = 200
    ALARM_OFF = 201
    LIFE_BEGIN = 1001
    RUNG = 1002
    TROUBLE_BEGIN = 1003
    TROUBLE_END = 1004
    GUARD_FORCE = 1005
    GUARD_REFUSAL = 1006
    CABINET_REFUSAL = 1007
    READBACK_MISMATCH = 1008
    LATE_DECISION = 1009
    NEIGHBOUR_STALE = 1010
    NEIGHBOUR_FRESH = 1011
    COMMAND_LOST = 1012
    UNHEARD_BEGIN = 1013
    UNHEARD_END = 1014


ANNOUNCED = frozenset(
    {
        EventCode.DETECTOR_RESTORED,
        EventCode.DETECTOR_FAULT_OTHER,
        EventCode.DETECTOR_FAULT_WATCHDOG,
        EventCode.DETECTOR_FAULT_CHANGES,
        EventCode.PREEMPT_ON,
        EventCode.PREEMPT_OFF,
        EventCode.FLASH_STATUS,
        EventCode.MANUAL_CONTROL,
        EventCode.STOP_TIME,
        EventCode.CLOCK_UPDATED,
        EventCode.ALARM_ON,
        EventCode.ALARM_OFF,
        EventCode.RUNG,
        EventCode.TROUBLE_BEGIN,
        EventCode.TROUBLE_END,
        EventCode.READBACK_MISMATCH,
        EventCode.UNHEARD_BEGIN,
        EventCode.UNHEARD_END,
    }
)
"""Events that also stand in the log of the process: they are rare, and somebody may have to act."""
