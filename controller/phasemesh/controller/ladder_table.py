"""THE LADDER TABLE: every event that costs an agent some of its means, how far down it leads, and how it ends."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from phasemesh.controller.cabinet.latches import FILE_RULE


class Rung(StrEnum):
    """How far an agent has come down the ladder; every rung is safe, the first is the best.

    From RELEASED on the agent commands nothing; FLASH is only ever read back from the cabinet.
    """

    COORDINATED = "COORDINATED"
    ISOLATED = "ISOLATED"
    LOCAL = "LOCAL"
    RELEASED = "RELEASED"
    FLASH = "FLASH"


RUNGS = tuple(Rung)
POLICY_RUNGS = frozenset({Rung.COORDINATED, Rung.ISOLATED})
"""Rungs on which the policy chooses the stages."""
COMMANDLESS_RUNGS = frozenset({Rung.RELEASED, Rung.FLASH})
"""Rungs on which the cabinet is left alone."""


class LadderEvent(StrEnum):
    """Why an agent may not use all of its means."""

    UNIT_FLASHING = "unit_flashing"
    CONFLICT_SHOWN = "conflict_shown"
    CONFIG_DIFFERS = "config_differs"
    LIFE_UNREADABLE = "life_unreadable"
    CABINET_SILENT = "cabinet_silent"
    OUTRANKED = "outranked"
    UNIT_TAKEN = "unit_taken"
    LEASE_UNSOUND = "lease_unsound"
    READBACK_BROKEN = "readback_broken"
    STARTING = "starting"
    ORDER_RELEASE = "order_release"
    ORDER_LOCAL = "order_local"
    POLICY_FAULTY = "policy_faulty"
    DECISIONS_LATE = "decisions_late"
    DETECTORS_LOST = "detectors_lost"
    NEIGHBOURS_STALE = "neighbours_stale"


class Ending(StrEnum):
    """How the effect of an event ends.

    `immediate`: with the event itself. `self_clearing`: after a clean period without it, which grows when it returns.
    `operator`: when the order of an operator is withdrawn or runs out. `latched`: when an operator resets it.
    """

    IMMEDIATE = "immediate"
    SELF_CLEARING = "self_clearing"
    OPERATOR = "operator"
    LATCHED = "latched"


class LadderRow(msgspec.Struct, frozen=True):
    """One event: the rung that it forces at least, how that ends, the rule behind it, and a sentence for people.

    `rule` is empty where no rule is behind it. What `is_usual_at_start` is no trouble for as long as a life has known
    nothing else, so that it then ends with itself.
    """

    event: LadderEvent
    rung: Rung
    ending: Ending
    rule: str
    sentence: str
    is_usual_at_start: bool = False


LADDER: tuple[LadderRow, ...] = (
    LadderRow(
        LadderEvent.UNIT_FLASHING,
        Rung.FLASH,
        Ending.IMMEDIATE,
        "I11",
        "the cabinet flashes",
    ),
    LadderRow(
        LadderEvent.CONFLICT_SHOWN,
        Rung.RELEASED,
        Ending.LATCHED,
        "I1",
        "the cabinet showed movements together that conflict",
    ),
    LadderRow(
        LadderEvent.CONFIG_DIFFERS,
        Rung.RELEASED,
        Ending.LATCHED,
        "I19",
        "agent and cabinet follow different configurations",
    ),
    LadderRow(
        LadderEvent.LIFE_UNREADABLE,
        Rung.RELEASED,
        Ending.LATCHED,
        FILE_RULE,
        "the file of what earlier lives latched cannot be trusted",
    ),
    LadderRow(
        LadderEvent.CABINET_SILENT,
        Rung.RELEASED,
        Ending.SELF_CLEARING,
        "",
        "the driver cannot observe or command the cabinet",
    ),
    LadderRow(
        LadderEvent.OUTRANKED,
        Rung.RELEASED,
        Ending.SELF_CLEARING,
        "I18",
        "the cabinet obeys a newer life of this agent",
    ),
    LadderRow(
        LadderEvent.UNIT_TAKEN,
        Rung.RELEASED,
        Ending.IMMEDIATE,
        "I11",
        "preemption, manual control, stop time or flash, or the time after it",
    ),
    LadderRow(
        LadderEvent.LEASE_UNSOUND,
        Rung.RELEASED,
        Ending.SELF_CLEARING,
        "I14",
        "the cabinet would obey a command for ever, or not for long enough",
    ),
    LadderRow(
        LadderEvent.READBACK_BROKEN,
        Rung.RELEASED,
        Ending.SELF_CLEARING,
        "I16",
        "the cabinet does not show what it accepted",
    ),
    LadderRow(
        LadderEvent.STARTING,
        Rung.RELEASED,
        Ending.IMMEDIATE,
        "I12",
        "the agent reads states before its first command",
    ),
    LadderRow(
        LadderEvent.ORDER_RELEASE,
        Rung.RELEASED,
        Ending.OPERATOR,
        "",
        "an operator gave the signal to the cabinet's own plan",
    ),
    LadderRow(
        LadderEvent.ORDER_LOCAL,
        Rung.LOCAL,
        Ending.OPERATOR,
        "",
        "an operator chose the local plan",
    ),
    LadderRow(
        LadderEvent.POLICY_FAULTY,
        Rung.LOCAL,
        Ending.SELF_CLEARING,
        "I20",
        "the policy has no usable answer",
    ),
    LadderRow(
        LadderEvent.DECISIONS_LATE,
        Rung.LOCAL,
        Ending.SELF_CLEARING,
        "I23",
        "decisions come too late",
    ),
    LadderRow(
        LadderEvent.DETECTORS_LOST,
        Rung.LOCAL,
        Ending.SELF_CLEARING,
        "I21",
        "no detector can be trusted",
    ),
    LadderRow(
        LadderEvent.NEIGHBOURS_STALE,
        Rung.ISOLATED,
        Ending.SELF_CLEARING,
        "I22",
        "no neighbour is fresh",
        is_usual_at_start=True,
    ),
)
"""Worst first: of several events on one rung the first gives the reason."""

ROWS: dict[LadderEvent, LadderRow] = {row.event: row for row in LADDER}
