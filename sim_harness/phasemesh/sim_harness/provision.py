"""From a network to a site: descriptions, times, addresses and keys for every commanded signal."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import SITE_FORMAT, AdapterKind, Pace, PeerAddress, PlanKind, SiteFile, SiteIntersection
from phasemesh.contract.timing import PROFILES, TimingProfile, stage_timings
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import KeyPair, generate_keypair
from phasemesh.controller.plans.table import DEFAULT_PLAN
from phasemesh.controller.site_folder import write_site
from phasemesh.sim_harness.sumo.network import CityNetwork

LOOPBACK = "127.0.0.1"


class SiteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a site needs beside its network; `cabinet` is the address of the service that hosts all its cabinets."""

    name: str
    profile: str
    pace: Pace
    tick_s: float
    bundle: str
    cabinet: str
    speed: float = 1.0
    comm_deadline_ms: float = 200.0
    seed: int = 1
    step_s: float = 1.0
    plan: PlanKind = DEFAULT_PLAN
    has_operators: bool = True


def find_profile(name: str) -> TimingProfile:
    """The timing profile of that name; raises InputError naming the known ones."""
    if name not in PROFILES:
        raise InputError(f"there is no timing profile {name!r}; known are {', '.join(PROFILES)}")
    return PROFILES[name]


def provision(
    folder: Path, network: CityNetwork, options: SiteOptions, signer: Ed25519PrivateKey | None = None
) -> SiteFile:
    """Write the site of `network` into `folder`, with fresh keys, tokens and free ports of this machine; returns it.

    It is signed by `signer`, whose public half the agents of a throw-away site are handed, or by the user's own key.
    """
    intersections = network.intersections
    ports = free_ports(2 * len(intersections))
    keypairs = {intersection.id: generate_keypair() for intersection in intersections}
    site = _site(options, keypairs, ports[: len(intersections)])
    profile = find_profile(options.profile)
    entries = [
        SiteIntersection(
            intersection=intersection,
            timings=stage_timings(intersection, profile),
            plan=options.plan,
            adapter=AdapterKind.HTTP,
            cabinet=options.cabinet,
            operator=f"{LOOPBACK}:{port}" if options.has_operators else "",
            unit=profile.unit,
        )
        for intersection, port in zip(intersections, ports[len(intersections) :], strict=True)
    ]
    write_site(folder, site, entries, keypairs, signer)
    return site


def _site(options: SiteOptions, keypairs: dict[IntersectionId, KeyPair], ports: Sequence[int]) -> SiteFile:
    directory = {
        name: PeerAddress(endpoint=f"tcp://{LOOPBACK}:{port}", public_key=keypair.public, number=number)
        for number, ((name, keypair), port) in enumerate(zip(keypairs.items(), ports, strict=True))
    }
    return SiteFile(
        format=SITE_FORMAT,
        name=options.name,
        spec_hash=SPEC_HASH,
        profile=options.profile,
        is_simulated=True,
        pace=options.pace,
        speed=options.speed,
        tick_s=options.tick_s,
        comm_deadline_ms=options.comm_deadline_ms,
        bundle=options.bundle,
        seed=options.seed,
        directory=directory,
        step_s=options.step_s,
    )


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports that are free on this machine now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
