"""From a network to a site: descriptions, times, addresses and keys for every commanded signal."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import (
    SITE_FORMAT,
    AdapterKind,
    HubAddress,
    MemoryMode,
    Pace,
    PeerAddress,
    PlanKind,
    SiteFile,
    SiteIntersection,
)
from phasemesh.contract.timing import PROFILES, TimingProfile, stage_timings
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.seal import seal
from phasemesh.controller.access.signing import public_bytes
from phasemesh.controller.access.tokens import read_agent_token
from phasemesh.controller.peers.keys import KeyPair, generate_keypair, write_secret
from phasemesh.controller.plans.table import DEFAULT_PLAN
from phasemesh.controller.site_folder import (
    DESCRIPTIONS,
    HUB_KEY_FILE,
    KEYS,
    SITE_NAME,
    intersection_path,
    read_intersection,
    read_site,
    write_site,
)
from phasemesh.sim_harness.sumo.network import CityNetwork

LOOPBACK = "127.0.0.1"
QUIET_PORTS = range(10_000, 32_768)
"""Below those that Linux gives to whoever connects or asks for any port (net.ipv4.ip_local_port_range)."""
_BEGIN = os.getpid() * 64 % len(QUIET_PORTS)
_CANDIDATES = itertools.cycle((*QUIET_PORTS[_BEGIN:], *QUIET_PORTS[:_BEGIN]))
"""Runs on one machine begin at different ports, since no two of them share a process id."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 (inside a namespace, where loopback and one private address are all there is)


class SiteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a site needs beside its network.

    `cabinet` is the address of the service that hosts all its cabinets, `memory_hub` the endpoint at which a memory hub
    will serve, empty for none.
    """

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
    memory: MemoryMode = MemoryMode.OFF
    memory_hub: str = ""


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
    hub = generate_keypair()
    site = _site(options, keypairs, hub, ports[: len(intersections)])
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
    if site.memory_hub is not None:
        write_secret(folder / KEYS / HUB_KEY_FILE, hub.secret)
    return site


def _site(
    options: SiteOptions, keypairs: dict[IntersectionId, KeyPair], hub: KeyPair, ports: Sequence[int]
) -> SiteFile:
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
        memory=options.memory,
        memory_hub=HubAddress(options.memory_hub, hub.public) if options.memory_hub else None,
    )


def move_site(folder: Path, site_keys: tuple[str, ...], hosts: Mapping[IntersectionId, str], cabinet_host: str) -> str:
    """Give the agents of the site in `folder` the addresses `hosts`, and their cabinets `cabinet_host`; ports stay.

    The agents' own endpoints listen at all addresses, so that loopback stays open to whoever is on the same box. Keys
    and tokens are untouched. Returns the public key, in hexadecimal, by which the site is signed from then on.
    """
    site = read_site(folder, site_keys)
    entries = {name: read_intersection(folder, site, name, site_keys) for name in site.directory}
    directory = {
        name: msgspec.structs.replace(address, endpoint=f"tcp://{hosts[name]}:{urlsplit(address.endpoint).port}")
        for name, address in site.directory.items()
    }
    moved = {name: _moved(entry, cabinet_host) for name, entry in entries.items()}
    paths = {name: intersection_path(folder, address.number) for name, address in directory.items()}
    files = {paths[name]: msgspec.json.encode(entry) for name, entry in moved.items()}
    # A city of namespaces is one machine, whose networks lead nowhere.
    files[folder / SITE_NAME] = msgspec.json.encode(
        msgspec.structs.replace(site, directory=directory, allows_plain_http=True)
    )
    return seal_anew(folder, files, Ed25519PrivateKey.generate())


def _moved(entry: SiteIntersection, cabinet_host: str) -> SiteIntersection:
    operator_port = entry.operator.rpartition(":")[2]
    return msgspec.structs.replace(
        entry,
        cabinet=f"http://{cabinet_host}:{urlsplit(entry.cabinet).port}",
        operator=f"{EVERYWHERE}:{operator_port}" if entry.operator else "",
    )


def seal_anew(folder: Path, files: Mapping[Path, bytes], signer: Ed25519PrivateKey) -> str:
    """Write `files` of the site in `folder` and sign all of it by `signer`; its public key in hexadecimal."""
    for path, content in files.items():
        path.write_bytes(content)
    sealed = [folder / SITE_NAME, *(folder / DESCRIPTIONS).glob("*.json")]
    seal(folder, {path.relative_to(folder).as_posix(): path.read_bytes() for path in sealed}, signer)
    return public_bytes(signer).hex()


def agent_proofs(folder: Path, site_keys: tuple[str, ...]) -> dict[IntersectionId, dict[str, str]]:
    """The HTTP headers by which an agent of the site in `folder`, or who holds its token, may look at it.

    From another address than loopback nobody may look without.
    """
    directory = read_site(folder, site_keys).directory
    return {
        name: {"Authorization": f"Bearer {read_agent_token(folder, address.number)}"}
        for name, address in directory.items()
    }


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports that are free on this machine now.

    Not those that the system gives to whoever connects: one of these would be taken before its agent binds it. Nor
    any that was found before, as long as there are others: it may be meant for somebody who has not bound it yet.
    """
    return list(itertools.islice((port for port in _CANDIDATES if _is_free(port)), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
