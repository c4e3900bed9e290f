"""The table of means: every way in which a fault can be injected, where it takes hold, and how."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from phasemesh.sim_harness.faults import abuse, cabinet_faults, disk_faults, link_faults, process_faults, start_faults
from phasemesh.sim_harness.faults.counters import DroppedMessages
from phasemesh.sim_harness.faults.driver import DEAD_LOOP, UNAPPROVED
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.messages import DROPPED_AS, MESSAGE_TROUBLES
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.policy import POLICY_MEANS
from phasemesh.sim_harness.faults.sensors import SENSOR_TROUBLES
from phasemesh.sim_harness.faults.service import SERVICE_TROUBLES
from phasemesh.sim_harness.faults.stage import Stage
from phasemesh.sim_harness.faults.table import UNPLUGGED
from phasemesh.sim_harness.faults.transport import DELAY
from phasemesh.sim_harness.faults.wall_clock import WALL_JUMP


class Place(StrEnum):
    """Where a means takes hold."""

    AGENT = "inside the agent's process"
    LINK = "relay between two agents, or route of their namespaces"
    NETWORK = "the agent's network, with namespaces only"
    CABINET = "service of the cabinet"
    PROCESS = "the agent's process"
    START = "what the agent starts from"
    OUTSIDE = "somebody outside"


class Means(msgspec.Struct, frozen=True):
    """One way to inject a fault.

    `steps_per_s` is the most simulated seconds a wall second may hold while the fault and its recovery last, for
    faults whose detection or healing takes wall time; None where simulated time is all that matters. A means that
    `has_findings` tells something at its end, good or bad.
    """

    place: Place
    make: Callable[[Stage, PlannedFault], Injection]
    steps_per_s: float | None = None

    @property
    def has_findings(self) -> bool:
        """Whether the fault itself has to tell whether the reaction was there."""
        return self.make in _TELLING


WIRE_STEPS_PER_S = 4.0
"""Sockets reconnect within 2 s, heartbeats fail after 1 s and handshakes are given up after 3 s of wall time."""
START_STEPS_PER_S = 10.0
"""A process needs about half a second of wall time until it holds its lease."""
SERVICE_STEPS_PER_S = 10.0
"""An agent asks a silent cabinet again every 0.2 s of wall time."""

INSIDE = (WALL_JUMP, UNAPPROVED, DELAY, *MESSAGE_TROUBLES, *SENSOR_TROUBLES, *POLICY_MEANS)
"""Means that act by the schedule inside the agent alone."""

_TELLING: frozenset[Callable[[Stage, PlannedFault], Injection]] = frozenset(
    {
        DroppedMessages,
        abuse.DeadCollector,
        abuse.StrangeListener,
        abuse.UnlawfulRequests,
        cabinet_faults.SecondDaemon,
        cabinet_faults.TakenOver,
        disk_faults.DiskFull,
        disk_faults.LogFlood,
        disk_faults.PowerCut,
        process_faults.DeadLoop,
        process_faults.KilledMidChange,
        process_faults.RestartStorm,
        start_faults.LopsidedConflicts,
        start_faults.ShortYellow,
    }
)

MEANS: dict[str, Means] = {
    **{name: Means(Place.AGENT, Injection) for name in INSIDE},
    **{name: Means(Place.AGENT, DroppedMessages) for name in DROPPED_AS},
    "message-flood": Means(Place.AGENT, disk_faults.LogFlood),
    DEAD_LOOP: Means(Place.AGENT, process_faults.DeadLoop, START_STEPS_PER_S),
    "links-frozen": Means(Place.LINK, link_faults.LinksFrozen, WIRE_STEPS_PER_S),
    "links-cut": Means(Place.LINK, link_faults.LinksCut, WIRE_STEPS_PER_S),
    "partition": Means(Place.LINK, link_faults.Partition, WIRE_STEPS_PER_S),
    UNPLUGGED: Means(Place.NETWORK, link_faults.Unplugged, WIRE_STEPS_PER_S),
    **{name: Means(Place.CABINET, cabinet_faults.ServiceTrouble, SERVICE_STEPS_PER_S) for name in SERVICE_TROUBLES},
    **{name: Means(Place.CABINET, cabinet_faults.TakenOver) for name in cabinet_faults.OVERRIDES},
    "second-daemon": Means(Place.PROCESS, cabinet_faults.SecondDaemon, START_STEPS_PER_S),
    "kill": Means(Place.PROCESS, process_faults.Killed, START_STEPS_PER_S),
    "stop": Means(Place.PROCESS, process_faults.Stopped, START_STEPS_PER_S),
    "restart-storm": Means(Place.PROCESS, process_faults.RestartStorm, START_STEPS_PER_S),
    "kill-mid-change": Means(Place.PROCESS, process_faults.KilledMidChange, START_STEPS_PER_S),
    "disk-full": Means(Place.PROCESS, disk_faults.DiskFull),
    "power-cut": Means(Place.PROCESS, disk_faults.PowerCut, START_STEPS_PER_S),
    "bundle-missing": Means(Place.START, start_faults.BundleMissing, START_STEPS_PER_S),
    "bundle-truncated": Means(Place.START, start_faults.BundleTruncated, START_STEPS_PER_S),
    "bundle-altered": Means(Place.START, start_faults.BundleAltered, START_STEPS_PER_S),
    "config-yellow": Means(Place.START, start_faults.ShortYellow, START_STEPS_PER_S),
    "config-conflicts": Means(Place.START, start_faults.LopsidedConflicts, START_STEPS_PER_S),
    "key-rotated": Means(Place.START, start_faults.KeyRotatedFirst, WIRE_STEPS_PER_S),
    "stranger": Means(Place.OUTSIDE, abuse.StrangeListener, WIRE_STEPS_PER_S),
    "dead-collector": Means(Place.OUTSIDE, abuse.DeadCollector),
    "unlawful-requests": Means(Place.OUTSIDE, abuse.UnlawfulRequests, SERVICE_STEPS_PER_S),
}
