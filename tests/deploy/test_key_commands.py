"""`phasemesh sign`, `revoke` and `rekey`: the owner of a site changes it, and nobody else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_factories import EAST, WEST, Site, make_site
from command_line import run_phasemesh
from phasemesh.controller.access.signing import public_bytes
from phasemesh.controller.peers.keys import keypair_of, read_secret
from phasemesh.controller.site_folder import faults_of_site_folder, intersection_path, read_site, secret_path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A sound site, in a home of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return make_site(tmp_path / "site")


def refusal(*arguments: str) -> str:
    """The one line with which the command refuses."""
    done = run_phasemesh(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_an_edited_site_is_signed_again(site: Site) -> None:
    """Before it is a fault, after it is in order."""
    moved = msgspec.structs.replace(site.entries[0], cabinet="http://10.0.0.7:8600")
    intersection_path(site.folder, 0).write_bytes(msgspec.json.encode(moved))
    before = faults_of_site_folder(site.folder)
    done = run_phasemesh("sign", str(site.folder))

    assert len(before) == 1
    assert (done.returncode, done.stdout) == (0, f"{site.folder}: signed\n")
    assert faults_of_site_folder(site.folder) == []


def test_a_site_is_signed_with_a_key_that_is_named(site: Site, tmp_path: Path) -> None:
    """Such as that of an agency, whose public half the boxes hold."""
    key = Ed25519PrivateKey.generate()
    path = tmp_path / "agency.key"
    path.write_text(key.private_bytes_raw().hex())
    path.chmod(0o600)
    done = run_phasemesh("sign", str(site.folder), "--key", str(path))

    assert done.returncode == 0
    assert read_site(site.folder, (public_bytes(key).hex(),)) == site.file


def test_a_site_that_contradicts_itself_is_not_signed(site: Site) -> None:
    """The first fault is named."""
    broken = msgspec.structs.replace(site.file, speed=0.0)
    (site.folder / "site.json").write_bytes(msgspec.json.encode(broken))

    assert "speed: 0.0 is outside 0 to 1000" in refusal("sign", str(site.folder))


def test_a_key_is_revoked_and_replaced(site: Site) -> None:
    """The site is in order at every step, says what to bring to the boxes, and the new secret fits."""
    of_west = ("--site", str(site.folder), "--id", WEST)
    revoked = run_phasemesh("revoke", *of_west)
    between = read_site(site.folder), faults_of_site_folder(site.folder)
    renewed = run_phasemesh("rekey", *of_west)
    after = read_site(site.folder)

    assert "bring site.json, site.manifest.json and site.sig" in revoked.stdout
    assert (between[0].directory[WEST].public_key, between[1]) == ("", [])
    assert f"{secret_path(site.folder, 0)} to its own box" in renewed.stdout
    assert after.directory[WEST].public_key not in {"", site.file.directory[WEST].public_key}
    assert keypair_of(read_secret(secret_path(site.folder, 0))).public == after.directory[WEST].public_key
    assert after.directory[EAST] == site.file.directory[EAST]
    assert faults_of_site_folder(site.folder) == []


def test_an_unknown_intersection_is_one_line(site: Site) -> None:
    """What is there is named."""
    assert "there is no intersection 'nowhere'; the first are east, west" in refusal(
        "revoke", "--site", str(site.folder), "--id", "nowhere"
    )
