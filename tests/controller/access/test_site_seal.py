"""The seal of a site: whatever was not signed is refused, by agents, cabinets and the check alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_factories import EAST, PAIR, WEST, Site, make_site
from phasemesh.contract.errors import BundleError, SiteError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.seal import DOMAIN, MAX_SEAL_BYTES, SEAL_NAME, SIGNATURE_NAME, read_seal
from phasemesh.controller.access.signing import own_key, public_bytes
from phasemesh.controller.peers.keys import generate_keypair, write_secret
from phasemesh.controller.policy.trust import SHIPPED_KEYS, read_keys, site_signers, trusted_folder, trusted_keys
from phasemesh.controller.site_folder import (
    NO_KEY,
    change_key,
    faults_of_site_folder,
    intersection_path,
    read_intersection,
    read_keypair,
    read_site,
    secret_path,
    sign_site,
    write_site,
)

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNED = ("site.json", "intersections/0.json", "intersections/1.json", SEAL_NAME, SIGNATURE_NAME)


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A sound site, signed by the own key."""
    return make_site(tmp_path / "site")


def refusal(read: Callable[[], object]) -> str:
    """The one line with which `read` refuses."""
    with pytest.raises(SiteError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_all(folder: Path) -> None:
    """What agents and cabinets read of a site of two."""
    site = read_site(folder)
    for name in PAIR:
        read_intersection(folder, site, name)


@pytest.mark.parametrize("name", [SEAL_NAME, SIGNATURE_NAME])
def test_a_site_without_a_seal_is_refused(site: Site, name: str) -> None:
    """The line names the missing file and the command that signs."""
    (site.folder / name).unlink()
    line = refusal(lambda: read_site(site.folder))

    assert line == (
        f"{site.folder / name}: the site is not signed: No such file or directory; sign it with `phasemesh sign`"
    )
    assert faults_of_site_folder(site.folder) == [line]


@pytest.mark.parametrize("name", SIGNED)
def test_no_flipped_bit_of_a_site_is_missed(site: Site, name: str) -> None:
    """Every bit of the signature and two hundred of each other file, drawn by seed, one at a time."""
    content = (site.folder / name).read_bytes()
    count = 8 * len(content)
    bits = range(count) if name == SIGNATURE_NAME else np.random.default_rng(5).choice(count, 200, replace=False)
    missed = []
    for bit in bits:
        altered = bytearray(content)
        altered[bit // 8] ^= 1 << bit % 8
        (site.folder / name).write_bytes(bytes(altered))
        try:
            read_all(site.folder)
        except SiteError:
            continue
        missed.append(int(bit))

    assert missed == []


def test_an_altered_description_is_named(site: Site) -> None:
    """The site itself is still read, the description is not, and the check names it too."""
    path = intersection_path(site.folder, 0)
    path.write_bytes(path.read_bytes().replace(b'"yellow_s": 3', b'"yellow_s": 2'))
    line = refusal(lambda: read_intersection(site.folder, read_site(site.folder), WEST))

    assert line.startswith(f"{path}: was altered since the site was signed; ")
    assert faults_of_site_folder(site.folder) == [line]
    assert read_intersection(site.folder, site.file, EAST) == site.entries[1]


def test_a_description_that_was_put_in_later_is_a_fault(site: Site) -> None:
    """Nothing unsigned may lie beside what is signed, nor may anything be missing."""
    shutil.copy(intersection_path(site.folder, 0), intersection_path(site.folder, 7))
    (added,) = faults_of_site_folder(site.folder)
    intersection_path(site.folder, 7).unlink()
    intersection_path(site.folder, 1).unlink()
    missing = faults_of_site_folder(site.folder)

    assert added.startswith(f"{intersection_path(site.folder, 7)}: is not part of what was signed")
    assert f"{intersection_path(site.folder, 1)}: was signed and is missing" in missing


def test_parts_of_two_signed_sites_do_not_mix(site: Site, tmp_path: Path) -> None:
    """A description that the same key signed for another site is an altered one."""
    other = make_site(tmp_path / "other", bundle="approach-lost-time")
    shutil.copy(other.folder / "site.json", site.folder / "site.json")

    assert "was altered since the site was signed" in refusal(lambda: read_site(site.folder))


def test_a_site_signed_by_a_stranger_is_refused(site: Site) -> None:
    """A key that the user does not trust counts only for whoever is handed its public half."""
    write_site(site.folder, site.file, site.entries, site.keypairs, STRANGER)
    public = public_bytes(STRANGER).hex()

    assert "is not the signature of site.manifest.json by a trusted key" in refusal(lambda: read_site(site.folder))
    assert read_site(site.folder, (public,)) == site.file
    assert read_intersection(site.folder, site.file, WEST, (public,)) == site.entries[0]
    assert faults_of_site_folder(site.folder, (public,)) == []


def test_a_key_that_is_handed_over_must_be_one(site: Site) -> None:
    """A slip in a command line is told as such."""
    with pytest.raises(BundleError, match="the public key of who signed the site"):
        read_site(site.folder, ("abcd",))


def test_whoever_makes_policies_does_not_sign_sites() -> None:
    """Shipped keys count for bundles alone, the user's own for both."""
    own = public_bytes(own_key())

    assert site_signers() == (own,)
    assert set(trusted_keys()) == {own, *read_keys(SHIPPED_KEYS)}


def test_an_authority_without_a_secret_key_here_may_sign(site: Site) -> None:
    """A box by the road holds only the public half of whoever signs its site."""
    write_site(site.folder, site.file, site.entries, site.keypairs, STRANGER)
    (trusted_folder() / "agency.pub").write_text(public_bytes(STRANGER).hex())

    assert read_site(site.folder) == site.file


def test_a_signature_of_something_else_is_no_seal(site: Site) -> None:
    """The bytes of a bundle's manifest, signed as such by the same key, do not make a site."""
    manifest = (site.folder / SEAL_NAME).read_bytes()
    (site.folder / SIGNATURE_NAME).write_bytes(own_key().sign(manifest))

    assert "is not the signature" in refusal(lambda: read_site(site.folder))


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"{", "truncated"),
        (b'{"format": 1, "files": {}, "more": 1}', "unknown field `more`"),
        (b'{"format": 2, "files": {}}', "format: is 2, this phasemesh reads 1"),
        (b'{"format": 1, "files": {}}', "is not part of what was signed"),
    ],
)
def test_a_signed_seal_that_is_none_is_refused(site: Site, manifest: bytes, reason: str) -> None:
    """What a trusted key signed by mistake is refused by its content."""
    (site.folder / SEAL_NAME).write_bytes(manifest)
    (site.folder / SIGNATURE_NAME).write_bytes(own_key().sign(DOMAIN + manifest))

    assert reason in refusal(lambda: read_site(site.folder))


def test_a_monstrous_seal_is_not_read_whole(site: Site) -> None:
    """A file that is too long has no valid signature, and its end is never looked at."""
    with (site.folder / SEAL_NAME).open("ab") as file:
        file.truncate(10 * MAX_SEAL_BYTES)

    assert "is not the signature" in refusal(lambda: read_seal(site.folder, site_signers()))


def test_secrets_are_not_part_of_the_seal(site: Site) -> None:
    """A box that holds its own secret alone reads a site that is in order."""
    secret_path(site.folder, 1).unlink()

    assert faults_of_site_folder(site.folder) == []
    assert not any("keys" in path for path in read_seal(site.folder, site_signers()).files)


def test_a_site_is_signed_again_after_it_was_edited(site: Site) -> None:
    """What was mended by hand counts once it is signed."""
    moved = msgspec.structs.replace(site.entries[0], cabinet="http://10.0.0.7:8600")
    intersection_path(site.folder, 0).write_bytes(msgspec.json.encode(moved))
    refusal(lambda: read_intersection(site.folder, site.file, WEST))
    sign_site(site.folder, own_key())

    assert read_intersection(site.folder, site.file, WEST) == moved


def test_a_site_that_contradicts_itself_is_not_signed(site: Site) -> None:
    """The signature stands for a site that was checked."""
    (site.folder / "site.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(site.file, speed=0.0)))

    assert "1 faults must be mended before the site is signed" in refusal(lambda: sign_site(site.folder, own_key()))


def test_an_altered_site_is_not_signed_by_changing_a_key(site: Site) -> None:
    """Revoking a key must not bless whatever else was changed in the folder."""
    altered = msgspec.structs.replace(site.file, seed=8)
    (site.folder / "site.json").write_bytes(msgspec.json.encode(altered))

    assert "was altered" in refusal(lambda: change_key(site.folder, WEST, NO_KEY, own_key()))


def test_a_revoked_intersection_stays_in_the_directory_without_a_key(site: Site) -> None:
    """The layout of the streets does not change, so that agent and cabinet still agree; its own agent cannot start."""
    change_key(site.folder, WEST, NO_KEY, own_key())
    change_key(site.folder, EAST, NO_KEY, own_key())
    found = read_site(site.folder)

    assert {name: found.directory[name].public_key for name in PAIR} == {WEST: "", EAST: ""}
    assert faults_of_site_folder(site.folder) == []
    assert read_intersection(site.folder, found, WEST) == site.entries[0]
    assert "the key of 'west' was revoked" in refusal(lambda: read_keypair(site.folder, found, WEST))


def test_a_revoked_intersection_may_be_given_a_key_again(site: Site) -> None:
    """With a new secret it is whole again; the old one is gone from the folder."""
    change_key(site.folder, WEST, NO_KEY, own_key())
    assert not secret_path(site.folder, 0).exists()
    keypair = generate_keypair()
    number = change_key(site.folder, WEST, keypair.public, own_key())
    write_secret(secret_path(site.folder, number), keypair.secret)

    assert read_keypair(site.folder, read_site(site.folder), WEST) == keypair
    assert faults_of_site_folder(site.folder) == []


def test_the_key_of_an_unknown_intersection_cannot_be_changed(site: Site) -> None:
    """What is there is named."""
    line = refusal(lambda: change_key(site.folder, IntersectionId("nowhere"), NO_KEY, own_key()))

    assert "there is no intersection 'nowhere'" in line
