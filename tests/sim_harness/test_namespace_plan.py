"""The plan of a network of namespaces: names that fit and tell their owner, and addresses that nobody else has."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.namespace_network import NEEDED_CAPABILITIES, machine_fault
from phasemesh.sim_harness.namespaces import (
    CITY_RANGE,
    MOST_AGENTS,
    free_block,
    owner_of,
    plan_network,
)

HIGHEST_PID = 4_194_304
LONGEST_NAME = 15
"""What a device may be called: IFNAMSIZ of netdevice(7) without the final zero."""
ALL_CAPABILITIES = sum(1 << bit for bit in NEEDED_CAPABILITIES.values())


def names(count: int) -> list[IntersectionId]:
    """As many different agents."""
    return [IntersectionId(f"GS_cluster_{n}") for n in range(count)]


@pytest.mark.parametrize("count", [1, 21, MOST_AGENTS])
def test_everybody_has_a_name_and_an_address_of_their_own(count: int) -> None:
    """No two agents share one, the bridge device has another, and all lie in the block between its ends."""
    block = free_block([])
    plan = plan_network(HIGHEST_PID, names(count), block)

    devices = [plan.bridge, *(home.name for home in plan.homes.values())]
    addresses = [IPv4Address(text) for text in (plan.gateway, *(home.address for home in plan.homes.values()))]
    assert len(set(devices)) == len(set(addresses)) == count + 1
    assert set(addresses) <= set(block.hosts())
    assert max(map(len, devices)) <= LONGEST_NAME


def test_names_tell_whose_they_are() -> None:
    """The process id of the owner is in every name; what is called otherwise belongs to nobody."""
    plan = plan_network(4711, names(12), free_block([]))

    assert {owner_of(name) for name in (plan.bridge, *(home.name for home in plan.homes.values()))} == {4711}
    assert [owner_of(name) for name in ("eth0", "phm", "phmx-1", "phm1-2-3", "aphm1", "docker0")] == [None] * 6


def test_a_block_is_free_of_every_route_of_the_machine() -> None:
    """Routes within the range, beside it and across it are avoided; the default route leads nowhere in particular."""
    blocks = list(CITY_RANGE.subnets(new_prefix=22))
    taken = ["default", "192.168.0.0/16", str(blocks[0]), str(blocks[1].network_address + 5), "10.231.8.0/21"]

    assert free_block(["default", "127.0.0.0/8"]) == blocks[0]
    assert free_block(taken) == blocks[4]


@pytest.mark.parametrize("everything", ["10.0.0.0/8", "10.231.0.0/16", "0.0.0.0/0"])
def test_a_machine_with_routes_everywhere_is_refused(everything: str) -> None:
    """One line says which range is taken."""
    with pytest.raises(InputError, match=r"--namespaces: this machine has routes into all of 10\.231\.0\.0/16"):
        free_block([everything])


def test_a_city_that_is_too_large_is_refused() -> None:
    """A block of addresses has its end."""
    with pytest.raises(InputError, match="--namespaces: 1022 agents; a block of addresses holds 1021"):
        plan_network(1, names(MOST_AGENTS + 1), IPv4Network("10.231.0.0/22"))


@pytest.mark.parametrize(
    ("ip", "capabilities", "says"),
    [
        ("/sbin/ip", ALL_CAPABILITIES, ""),
        (None, ALL_CAPABILITIES, "the command ip is not on the PATH; install iproute2"),
        ("/sbin/ip", 0, "needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN); run as root"),
        ("/sbin/ip", 1 << 12, "needs root (CAP_SYS_ADMIN)"),
        ("/sbin/ip", 1 << 21, "needs root (CAP_NET_ADMIN)"),
    ],
)
def test_what_is_missing_is_named(ip: str | None, capabilities: int, says: str) -> None:
    """What, where, and what to do instead."""
    fault = machine_fault(ip, capabilities)

    assert says in fault
    assert bool(fault) == bool(says)
    assert not fault or fault.startswith("--namespaces: ")
