"""A site: one city's intersections with their endpoints, keys, times and plans, as a folder.

    site.json                    everything shared: profile, pace, bundle, directory of peers
    intersections/<n>.json       one intersection with its times and addresses
    keys/<n>.secret              the CURVE secret of its agent, mode 0600, only on its own box

File names are numbered because ids of intersections may hold any character; the directory maps ids to numbers.
"""

from __future__ import annotations

import hashlib
import math
from enum import StrEnum

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S
from phasemesh.contract.intersection import Intersection, faults_of_intersection
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.preemption import RailPreemption, faults_of_rail
from phasemesh.contract.schedule import ScheduleRow, faults_of_schedule
from phasemesh.contract.timing import (
    PROFILES,
    StageTiming,
    UnitTiming,
    faults_of_crossings,
    faults_of_timing,
    faults_of_unit,
)
from phasemesh.contract.units import IntersectionId

SITE_FORMAT = 1


class Pace(StrEnum):
    """Whose clock a city follows: the barrier of the harness, or the wall."""

    LOCKSTEP = "lockstep"
    REALTIME = "realtime"


class MemoryMode(StrEnum):
    """Whether an agent remembers: not at all, in the shadow of its policy, or with a say where it has earned one."""

    OFF = "off"
    SHADOW = "shadow"
    LIVE = "live"


class AdapterKind(StrEnum):
    """Drivers that a site may name; the key of each adapter file."""

    HTTP = "http"
    TRACI = "traci"
    MEMORY = "memory"


class PlanKind(StrEnum):
    """Local plans of a cabinet or agent that must do without a policy."""

    FIXED = "fixed"
    ACTUATED = "actuated"
    APPROACH = "approach"


class PeerAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an agent publishes, the public CURVE key that it proves (empty if revoked), and the number of its files."""

    endpoint: str
    public_key: str
    number: int


class HubAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the memory hub serves, the public CURVE key that it proves, and how often agents turn to it, in seconds."""

    endpoint: str
    public_key: str
    every_s: float = 300.0


class SiteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shared part of a site. `speed` is simulated seconds a wall second in real-time pace.

    `step_s` is the time between two steps of a cabinet; a tick is a whole number of them. `allows_plain_http` lets
    tokens go over networks in the clear; without it plain HTTP stays on loopback.
    """

    format: int
    name: str
    spec_hash: str
    profile: str
    is_simulated: bool
    pace: Pace
    speed: float
    tick_s: float
    comm_deadline_ms: float
    bundle: str
    seed: int
    directory: dict[IntersectionId, PeerAddress]
    step_s: float = 1.0
    allows_plain_http: bool = False
    memory: MemoryMode = MemoryMode.OFF
    memory_hub: HubAddress | None = None

    @property
    def steps_per_tick(self) -> int:
        """Cabinet steps in one control interval."""
        return round(self.tick_s / self.step_s)


class SiteIntersection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One intersection of a site: its description, stage times, own plan and addresses.

    `cabinet` is what the adapter connects to (for `http` the URL of the cabinet), `operator` the host and port of the
    agent's REST endpoints, empty for none; `unit` holds the times of the controller unit as a whole. `schedule` is for
    the plan `fixed`, which gives all stages equal greens without one. `rail` is for an intersection beside tracks: what
    its cabinet shows for a train.
    """

    intersection: Intersection
    timings: tuple[StageTiming, ...]
    plan: PlanKind
    adapter: AdapterKind
    cabinet: str
    operator: str
    unit: UnitTiming = UnitTiming()
    schedule: tuple[ScheduleRow, ...] = ()
    rail: RailPreemption | None = None


def config_digest(intersection: Intersection, timings: tuple[StageTiming, ...]) -> str:
    """The name of everything that the rules of safety depend on; agent and cabinet must agree on it (I19)."""
    return hashlib.sha256(msgspec.json.encode((intersection, timings), order="sorted")).hexdigest()


def faults_of_site(site: SiteFile) -> list[str]:
    """All contradictions in the shared part, each with its path."""
    faults = []
    if site.format != SITE_FORMAT:
        faults.append(f"format: is {site.format}, this phasemesh reads {SITE_FORMAT}")
    if site.spec_hash != SPEC_HASH:
        faults.append(f"spec_hash: made for observation spec {site.spec_hash}, this phasemesh has {SPEC_HASH}")
    if site.profile not in PROFILES:
        faults.append(f"profile: there is no {site.profile!r}; known are {', '.join(PROFILES)}")
    if site.pace is Pace.LOCKSTEP and not site.is_simulated:
        faults.append("pace: lockstep is for simulations; a street has its own clock")
    if not 0.5 <= site.tick_s <= 60.0:
        faults.append(f"tick_s: {site.tick_s} s is outside 0.5 to 60 s")
    if not 0.05 <= site.step_s <= site.tick_s:
        faults.append(f"step_s: {site.step_s} s is outside 0.05 s to one tick")
    elif math.isfinite(site.tick_s) and abs(site.steps_per_tick * site.step_s - site.tick_s) > TIME_EPSILON_S:
        faults.append(f"tick_s: {site.tick_s} s is not a whole number of steps of {site.step_s} s")
    if not 1.0 <= site.comm_deadline_ms <= 1000.0 * site.tick_s:
        faults.append(f"comm_deadline_ms: {site.comm_deadline_ms} ms is outside 1 ms to one tick")
    if not 0.0 < site.speed <= 1000.0:
        faults.append(f"speed: {site.speed} is outside 0 to 1000")
    return faults + _hub_faults(site.memory_hub) + _directory_faults(site.directory)


def _hub_faults(hub: HubAddress | None) -> list[str]:
    if hub is None or 1.0 <= hub.every_s <= 86_400.0:
        return []
    return [f"memory_hub.every_s: {hub.every_s} s is outside 1 s to a day"]


def _directory_faults(directory: dict[IntersectionId, PeerAddress]) -> list[str]:
    faults = []
    for what in ("endpoint", "public_key", "number"):
        seen: dict[object, IntersectionId] = {}
        for name, address in directory.items():
            value = getattr(address, what)
            other = seen.setdefault(value, name)
            # Any number of intersections may be without a key, having been revoked.
            if other != name and value != "":
                faults.append(f"directory[{name}].{what}: is also that of {other}")
    return faults


def faults_of_site_intersection(entry: SiteIntersection, site: SiteFile) -> list[str]:
    """All contradictions in one intersection of `site`, each with its path."""
    faults = [f"intersection.{fault}" for fault in faults_of_intersection(entry.intersection)]
    has_readable_stages = not faults and len(entry.timings) == len(entry.intersection.stages)
    if entry.intersection.id not in site.directory:
        faults.append(f"intersection.id: {entry.intersection.id!r} is not in the directory of the site")
    if len(entry.timings) != len(entry.intersection.stages):
        faults.append(f"timings: {len(entry.timings)} for {len(entry.intersection.stages)} stages")
    for index, timing in enumerate(entry.timings):
        faults += [f"timings[{index}].{fault}" for fault in faults_of_timing(timing, is_simulated=site.is_simulated)]
    if has_readable_stages:
        faults += faults_of_crossings(entry.intersection, entry.timings)
        faults += faults_of_schedule(entry.schedule, entry.intersection, entry.timings)
    if entry.rail is not None:
        faults += [f"rail.{fault}" for fault in faults_of_rail(entry.rail, entry.intersection)]
    faults += [f"unit.{fault}" for fault in faults_of_unit(entry.unit, is_simulated=site.is_simulated)]
    faults += [
        f"intersection.neighbours: {name!r} is not in the directory of the site"
        for name in entry.intersection.neighbours
        if name not in site.directory
    ]
    return faults
