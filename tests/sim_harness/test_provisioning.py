"""From a network to a site: what is written can be read, is faultless, and keeps its secrets."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from net_files import write_row

from phasemesh.contract.errors import InputError, SiteError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import AdapterKind, Pace, PlanKind, SiteFile
from phasemesh.contract.timing import PROFILES, stage_timings
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.signing import public_bytes
from phasemesh.controller.access.tokens import find_token, known_tokens, read_agent_token, read_tokens, tokens_path
from phasemesh.controller.site_folder import faults_of_site_folder, read_intersection, read_keypair, read_site
from phasemesh.sim_harness.provision import (
    SiteOptions,
    agent_proofs,
    find_profile,
    free_ports,
    move_site,
    provision,
)
from phasemesh.sim_harness.sumo.network import CityNetwork, read_network

OPTIONS = SiteOptions(
    name="row", profile="street", pace=Pace.REALTIME, tick_s=2.0, bundle="max-pressure", cabinet="http://127.0.0.1:8600"
)


class Written(NamedTuple):
    """A site and where it stands."""

    folder: Path
    site: SiteFile
    network: CityNetwork


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The site of a row of three signals."""
    network = read_network(write_row(tmp_path / "row.net.xml"))
    return Written(tmp_path / "site", provision(tmp_path / "site", network, OPTIONS), network)


def test_a_written_site_has_no_faults(written: Written) -> None:
    """`phasemesh check` finds nothing, and what is read is what was returned."""
    assert faults_of_site_folder(written.folder) == []
    assert read_site(written.folder) == written.site


def test_a_site_says_what_was_asked_for(written: Written) -> None:
    """Name, pace, tick, bundle, seed and the observation spec stand in the shared part."""
    site = written.site

    assert (site.name, site.profile, site.pace, site.tick_s) == ("row", "street", Pace.REALTIME, 2.0)
    assert (site.bundle, site.seed, site.spec_hash) == ("max-pressure", 1, SPEC_HASH)
    assert site.is_simulated


def test_every_commanded_signal_is_described_with_the_times_of_the_profile(written: Written) -> None:
    """The description is that of the network, the driver speaks HTTP, and the own plan is the actuated one."""
    for intersection in written.network.intersections:
        entry = read_intersection(written.folder, written.site, intersection.id)
        assert entry.intersection == intersection
        assert entry.timings == stage_timings(intersection, PROFILES["street"])
        assert (entry.adapter, entry.cabinet, entry.plan) == (AdapterKind.HTTP, OPTIONS.cabinet, PlanKind.ACTUATED)

    assert list(written.site.directory) == ["a", "b", "c"]


def test_no_two_services_share_a_port(written: Written) -> None:
    """Every agent publishes and serves its operators at an address of its own, on loopback."""
    endpoints = [address.endpoint.removeprefix("tcp://") for address in written.site.directory.values()]
    operators = [read_intersection(written.folder, written.site, name).operator for name in written.site.directory]

    every = [*endpoints, *operators]

    assert len(set(every)) == len(every) == 6
    assert all(address.startswith("127.0.0.1:") for address in every)


def test_secrets_are_for_their_owner_only(written: Written) -> None:
    """Key files have mode 0600 in a folder of mode 0700, and each fits the public key of the directory."""
    keys = written.folder / "keys"

    modes = {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()}

    assert modes == {0o600}
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    for name, address in written.site.directory.items():
        assert read_keypair(written.folder, written.site, name).public == address.public_key


def test_every_agent_has_a_token_for_its_own_cabinet(written: Written) -> None:
    """The token that it sends is known, by its hash, as an agent's at that intersection and nowhere else."""
    for name, address in written.site.directory.items():
        token = read_agent_token(written.folder, address.number)
        files = {
            other: read_tokens(tokens_path(written.folder, each.number))
            for other, each in written.site.directory.items()
        }
        found = find_token(known_tokens(files), token.encode())
        assert found is not None
        assert found.principal.roles == {name: Role.AGENT}


def test_a_throw_away_site_is_signed_by_a_key_that_is_handed_over(tmp_path: Path, written: Written) -> None:
    """Nobody trusts it but those who were given the public half, and no key of the user is touched."""
    signer = Ed25519PrivateKey.generate()
    site = provision(tmp_path / "thrown", written.network, OPTIONS, signer)

    assert read_site(tmp_path / "thrown", (public_bytes(signer).hex(),)) == site
    with pytest.raises(SiteError, match="by a trusted key"):
        read_site(tmp_path / "thrown")


def test_keys_are_fresh_every_time(tmp_path: Path, written: Written) -> None:
    """Two sites of one network share no key."""
    again = provision(tmp_path / "again", written.network, OPTIONS)

    keys = [address.public_key for site in (written.site, again) for address in site.directory.values()]

    assert len(set(keys)) == 6


def test_agents_may_do_without_endpoints_for_operators(tmp_path: Path, written: Written) -> None:
    """A site without them is in order too."""
    options = SiteOptions(
        name="quiet",
        profile="paper",
        pace=Pace.LOCKSTEP,
        tick_s=5.0,
        bundle="max-pressure",
        cabinet="http://127.0.0.1:1",
        has_operators=False,
    )

    site = provision(tmp_path / "quiet", written.network, options)

    assert faults_of_site_folder(tmp_path / "quiet") == []
    assert {read_intersection(tmp_path / "quiet", site, name).operator for name in site.directory} == {""}


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    """One line."""
    with pytest.raises(InputError, match="no timing profile 'nope'; known are benchmark, street, paper"):
        find_profile("nope")


def test_free_ports_are_different_and_free() -> None:
    """Each of them can be bound at once."""
    ports = [*free_ports(1), *free_ports(19)]

    assert len(set(ports)) == 20
    for port in ports[:3]:
        with socket.socket() as held:
            held.bind(("127.0.0.1", port))


def test_a_site_moves_to_other_addresses_and_stays_sound(tmp_path: Path, written: Written) -> None:
    """Hosts change and ports stay; keys and tokens are those of before; only the key that is returned signs it."""
    signer = Ed25519PrivateKey.generate()
    folder = tmp_path / "moved"
    before = provision(folder, written.network, OPTIONS, signer)
    secrets = {path.name: path.read_bytes() for path in (folder / "keys").iterdir()}
    hosts = {name: f"10.231.0.{number}" for number, name in enumerate(before.directory, start=2)}

    key = move_site(folder, (public_bytes(signer).hex(),), hosts, "10.231.0.1")

    site = read_site(folder, (key,))
    assert faults_of_site_folder(folder, (key,)) == []
    assert {path.name: path.read_bytes() for path in (folder / "keys").iterdir()} == secrets
    for name, address in site.directory.items():
        port = before.directory[name].endpoint.rpartition(":")[2]
        entry = read_intersection(folder, site, name, (key,))
        assert address == msgspec.structs.replace(before.directory[name], endpoint=f"tcp://{hosts[name]}:{port}")
        assert entry.cabinet == "http://10.231.0.1:8600"
        assert entry.operator.startswith("0.0.0.0:")
    with pytest.raises(SiteError, match="by a trusted key"):
        read_site(folder, (public_bytes(signer).hex(),))


def test_agents_without_endpoints_have_none_after_moving_either(tmp_path: Path, written: Written) -> None:
    """Nothing is opened that was not asked for."""
    signer = Ed25519PrivateKey.generate()
    options = msgspec.structs.replace(OPTIONS, has_operators=False)
    site = provision(tmp_path / "moved", written.network, options, signer)

    key = move_site(
        tmp_path / "moved", (public_bytes(signer).hex(),), dict.fromkeys(site.directory, "10.231.0.2"), "10.231.0.1"
    )

    assert {read_intersection(tmp_path / "moved", site, name, (key,)).operator for name in site.directory} == {""}


def test_an_agents_proof_is_its_own_token(written: Written) -> None:
    """Whoever looks at an agent from elsewhere sends what the agent sends to its cabinet."""
    proofs = agent_proofs(written.folder, ())

    for name, address in written.site.directory.items():
        assert proofs[name] == {"Authorization": f"Bearer {read_agent_token(written.folder, address.number)}"}
