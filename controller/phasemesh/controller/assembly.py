"""Puts an agent together from its site: policy, transport, decider, header of the records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from phasemesh.contract.errors import BundleError
from phasemesh.contract.hyper_profile import HyperProfile
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import MemoryMode, Pace, SiteFile, SiteIntersection
from phasemesh.contract.tensors import PolicyFault
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import Driver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.clock import Clock, MonotonicClock, SimulatedClock
from phasemesh.controller.decision import Decider
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.life_file import wall_ms
from phasemesh.controller.memory.agent_memory import AgentMemory
from phasemesh.controller.memory.street_reward import reward_rule
from phasemesh.controller.peers.keys import KeyPair
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.transport import Transport
from phasemesh.controller.plans.table import site_plan
from phasemesh.controller.policy.bundle import LoadedBundle, find_bundle, load_bundle
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.telemetry.records import RECORD_FORMAT, RecordHeader

if TYPE_CHECKING:
    from phasemesh.controller.memory.keeper import MemoryKeeper

log = structlog.get_logger("phasemesh.agent")


class LoadedPolicy(msgspec.Struct, frozen=True):
    """The bundle of a site and the policy of one intersection; without a bundle, why there is none."""

    bundle: LoadedBundle | None
    policy: Policy | PolicyFault

    def usual_hyper(self, name: IntersectionId) -> HyperProfile | None:
        """The usual hyper-action of the intersection `name`, where the bundle knows it."""
        return self.bundle.manifest.hyper_profiles.get(name) if self.bundle else None


def load_policy(site: SiteFile, name: IntersectionId) -> LoadedPolicy:
    """The policy of the site's bundle; without one the agent runs its local plan, degraded but safe."""
    try:
        bundle = load_bundle(find_bundle(site.bundle), trusted_keys())
        return LoadedPolicy(bundle, bundle.policy_for(name))
    except BundleError as error:
        log.error("bundle refused", intersection=name, reason=str(error))
        return LoadedPolicy(None, PolicyFault(str(error)))


def make_agent(
    site: SiteFile,
    entry: SiteIntersection,
    loaded: LoadedPolicy,
    driver: Driver,
    transport: Transport,
    *,
    boot_id: int,
    latched: tuple[LadderEvent, ...] = (),
    memory: AgentMemory | None = None,
) -> Agent:
    """The agent of `entry` for its life `boot_id`; `latched` is left of earlier lives."""
    decider = Decider(
        entry.intersection,
        entry.timings,
        policy=loaded.policy,
        plan=site_plan(entry),
        tick_s=site.tick_s,
        steps_per_tick=site.steps_per_tick,
        unit=entry.unit,
    )
    settings = AgentSettings(
        intersection_id=entry.intersection.id,
        boot_id=boot_id,
        seed=site.seed,
        is_deterministic=loaded.bundle.manifest.is_deterministic if loaded.bundle else True,
        waits_for_step=site.pace is Pace.LOCKSTEP,
        is_timed=site.pace is Pace.REALTIME,
        comm_deadline_ms=site.comm_deadline_ms,
        latched=latched,
        speed=site.speed,
    )
    mailbox = Mailbox(entry.intersection.neighbours, PEER_STATE.stale_after_ticks, site.steps_per_tick)
    return Agent(settings, decider, driver, transport, mailbox, decision_clock=decision_clock(site), memory=memory)


def memory_of(
    site: SiteFile,
    entry: SiteIntersection,
    bundle: LoadedBundle | None,
    path: Path | None,
    keypair: Callable[[], KeyPair] | None = None,
) -> MemoryKeeper | None:
    """The memory of `entry`, kept in the store at `path`, as the site asks for; None where it is off.

    With the agent's own `keypair` it is shared over the memory hub of the site, where there is one.

    Raises:
        EndpointError: the endpoint of the hub is malformed.
        SiteError: a key is missing or malformed.
    """
    if site.memory is MemoryMode.OFF:
        return None
    from phasemesh.controller.memory.keeper import identity_of, open_memory  # noqa: PLC0415 (others need no database)

    reward = reward_rule(bundle.manifest if bundle else None)
    identity = identity_of(entry.intersection, entry.timings, reward, site.tick_s)
    line = None
    if site.memory_hub is not None and keypair is not None:
        from phasemesh.controller.memory.sync_client import open_line  # noqa: PLC0415 (others share with nobody)

        line = open_line(site.memory_hub, keypair(), identity, entry.intersection)
    return open_memory(
        entry.intersection,
        site.memory,
        reward,
        identity=identity,
        line=line,
        path=path,
        # Simulated streets have their own time, by which runs repeat themselves.
        clock_s=None if site.pace is Pace.LOCKSTEP else lambda: wall_ms() / 1000.0,
    )


def decision_clock(site: SiteFile) -> Clock:
    """In lockstep a decision takes no simulated time: a loaded machine must not change what is decided."""
    return SimulatedClock() if site.pace is Pace.LOCKSTEP else MonotonicClock()


def header_of(site: SiteFile, entry: SiteIntersection, bundle: LoadedBundle | None, boot_id: int) -> RecordHeader:
    """The header of the records of the life `boot_id`."""
    return RecordHeader(
        format=RECORD_FORMAT,
        spec_hash=SPEC_HASH,
        intersection=entry.intersection,
        timings=entry.timings,
        tick_s=site.tick_s,
        steps_per_tick=site.steps_per_tick,
        seed=site.seed,
        stale_after_ticks=PEER_STATE.stale_after_ticks,
        comm_deadline_ms=site.comm_deadline_ms,
        bundle=site.bundle,
        bundle_digest=bundle.digest if bundle else "",
        plan=entry.plan,
        boot_id=boot_id,
        unit=entry.unit,
        schedule=entry.schedule,
    )
