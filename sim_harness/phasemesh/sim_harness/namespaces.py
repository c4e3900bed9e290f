"""Network namespaces for agents, as a plan: names, addresses and the lines for `ip` that make and remove them.

Every agent gets a namespace with loopback and one device, whose other end hangs on one bridge device of the machine.
The bridge device bears the address at which the cabinets are served. Nothing leads out of the city. All names carry
the process id of the harness that owns them, so that what a dead harness left behind can be told from what is in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId

FLAG = "--namespaces"
CITY_RANGE = IPv4Network("10.231.0.0/16")
"""Private addresses (RFC 1918) of which every harness takes a block that the machine has no route to."""
BLOCK_PREFIX = 22
MOST_AGENTS = 2 ** (32 - BLOCK_PREFIX) - 3
"""A block holds network, broadcast and bridge device beside the agents."""
INNER_DEVICE = "eth0"
_OWNED = re.compile(r"phm(\d+)(?:-\d+)?")
"""A namespace or device of ours; with the highest process id of Linux and all agents it has 15 characters at most."""


class Home(msgspec.Struct, frozen=True):
    """Where one agent lives: `name` is that of its namespace and of the device outside; `address` is its own."""

    name: str
    address: str


class NetworkPlan(msgspec.Struct, frozen=True):
    """The network of one harness; `gateway` is the address of the `bridge` device, `prefix` the length of the block."""

    bridge: str
    gateway: str
    prefix: int
    homes: dict[IntersectionId, Home]


def free_block(routed: Iterable[str]) -> IPv4Network:
    """The first block of the range that overlaps none of the destinations in `routed` (`10.0.0.0/8`, `10.1.2.3`).

    Raises:
        InputError: All are taken.
    """
    taken = [IPv4Network(text, strict=False) for text in routed if text != "default"]
    for block in CITY_RANGE.subnets(new_prefix=BLOCK_PREFIX):
        if not any(block.overlaps(other) for other in taken):
            return block
    raise InputError(f"{FLAG}: this machine has routes into all of {CITY_RANGE}; leave {FLAG} out or free a part of it")


def plan_network(owner: int, names: Sequence[IntersectionId], block: IPv4Network) -> NetworkPlan:
    """Names and addresses for the agents `names` of the harness with the process id `owner`.

    Raises:
        InputError: There are more than `MOST_AGENTS`.
    """
    if len(names) > MOST_AGENTS:
        raise InputError(f"{FLAG}: {len(names)} agents; a block of addresses holds {MOST_AGENTS}; leave {FLAG} out")
    first = int(block.network_address) + 1
    homes = {name: Home(f"phm{owner}-{n}", str(IPv4Address(first + 1 + n))) for n, name in enumerate(names)}
    return NetworkPlan(f"phm{owner}", str(IPv4Address(first)), block.prefixlen, homes)


def owner_of(name: str) -> int | None:
    """The process id in the `name` of a namespace or device; None for one that is not ours."""
    found = _OWNED.fullmatch(name)
    return None if found is None else int(found[1])


def outer_lines(plan: NetworkPlan) -> list[str]:
    """What `ip` has to do outside: the bridge device, all namespaces, and a pair of devices for each."""
    lines = [
        f"link add {plan.bridge} type bridge",
        f"addr add {plan.gateway}/{plan.prefix} dev {plan.bridge}",
        f"link set {plan.bridge} up",
    ]
    for home in plan.homes.values():
        lines += [
            f"netns add {home.name}",
            f"link add {home.name} type veth peer name {INNER_DEVICE} netns {home.name}",
            f"link set {home.name} master {plan.bridge} up",
        ]
    return lines


def inner_lines(plan: NetworkPlan, home: Home) -> list[str]:
    """What `ip` has to do inside `home`: loopback, without which no health check of the box works, and its address."""
    return [
        "link set lo up",
        f"addr add {home.address}/{plan.prefix} dev {INNER_DEVICE}",
        f"link set {INNER_DEVICE} up",
    ]


def removal_lines(devices: Iterable[str], namespaces: Iterable[str]) -> list[str]:
    """What `ip` has to do to remove `devices`, whose other ends go with them, and `namespaces`."""
    return [*(f"link del {name}" for name in devices), *(f"netns del {name}" for name in namespaces)]


def power_line(home: Home, *, is_up: bool) -> str:
    """What `ip` has to do outside to unplug `home` from the network, or to plug it in again."""
    return f"link set {home.name} {'up' if is_up else 'down'}"


def silence_line(reader: Home, port: int, *, is_silent: bool) -> str:
    """What `ip` has to do inside the home of a peer that publishes at `port`, so that `reader` hears nothing of it.

    A rule for routes by source port: what leaves by that port for the reader is dropped, all else passes. Nothing is
    closed and nobody is told, as with a dead radio.
    """
    return f"rule {'add' if is_silent else 'del'} to {reader.address} ipproto tcp sport {port} blackhole"
