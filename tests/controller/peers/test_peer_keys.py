"""Key pairs and the files that hold their secrets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from phasemesh.contract.errors import SiteError
from phasemesh.controller.peers.keys import decode_key, generate_keypair, keypair_of, read_secret, write_secret


def test_every_pair_is_new() -> None:
    """Two intersections never get the same key, and public and secret differ."""
    first, second = generate_keypair(), generate_keypair()

    assert len({first.public, first.secret, second.public, second.secret}) == 4


def test_the_public_key_follows_from_the_secret() -> None:
    """An agent that was given its secret alone knows its pair."""
    keypair = generate_keypair()

    assert keypair_of(keypair.secret) == keypair


def test_a_pair_does_not_show_its_secret() -> None:
    """A pair that ends up in a log or traceback betrays nothing."""
    keypair = generate_keypair()

    assert keypair.secret not in f"{keypair} {keypair!r}"


def test_a_written_secret_is_read_back(tmp_path: Path) -> None:
    """What was written is what is read, and nothing else is left in the folder."""
    secret = generate_keypair().secret
    write_secret(tmp_path / "0.secret", secret)

    assert read_secret(tmp_path / "0.secret") == secret
    assert [path.name for path in tmp_path.iterdir()] == ["0.secret"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_secret_belongs_to_its_owner_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """The file has mode 0600 under a careless and under a strict umask."""
    path = tmp_path / "0.secret"
    before = os.umask(umask)
    try:
        write_secret(path, generate_keypair().secret)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_secret_replaces_the_old_one(tmp_path: Path) -> None:
    """Provisioning again replaces a secret, even one that others could read."""
    path = tmp_path / "0.secret"
    path.write_text("old", encoding="ascii")
    path.chmod(0o644)
    secret = generate_keypair().secret
    write_secret(path, secret)

    assert read_secret(path) == secret


def test_what_is_no_key_is_not_written(tmp_path: Path) -> None:
    """A malformed secret leaves the old file as it was."""
    path = tmp_path / "0.secret"
    secret = generate_keypair().secret
    write_secret(path, secret)

    with pytest.raises(SiteError, match=r"0\.secret"):
        write_secret(path, "not a key")
    assert read_secret(path) == secret


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the file cannot be put in its place, no temporary copy of the secret stays."""
    obstacle = tmp_path / "0.secret"
    obstacle.mkdir()

    with pytest.raises(SiteError, match=r"cannot write the secret .*0\.secret"):
        write_secret(obstacle, generate_keypair().secret)
    assert list(tmp_path.iterdir()) == [obstacle]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Writing into a folder that is not there is a fault of the site."""
    with pytest.raises(SiteError, match="keys"):
        write_secret(tmp_path / "keys" / "0.secret", generate_keypair().secret)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_secret_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """The error names the file and the command that closes it."""
    path = tmp_path / "0.secret"
    write_secret(path, generate_keypair().secret)
    path.chmod(mode)

    with pytest.raises(SiteError, match=rf"chmod 600 {path}"):
        read_secret(path)


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    """A box without its secret says which file it looked for."""
    with pytest.raises(SiteError, match=r"cannot read the secret .*0\.secret"):
        read_secret(tmp_path / "0.secret")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 41, b" " * 40, b"\xff" * 40, b"~" * 40, b"#" * 40])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """Truncated, over-long, foreign and overflowing contents are faults that name the file, not the content."""
    path = tmp_path / "0.secret"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(SiteError, match=r"0\.secret is not a CURVE key") as caught:
        read_secret(path)
    assert len(content) < 40 or content.decode("ascii", "replace") not in str(caught.value)


@given(raw=st.binary(min_size=32, max_size=32))
def test_every_key_survives_its_printable_form(raw: bytes) -> None:
    """Decoding undoes Z85 for any 32 bytes."""
    assert decode_key(z85.encode(raw).decode("ascii"), "a key") == raw


@given(text=st.text(max_size=60))
def test_any_text_is_a_key_or_a_site_error(text: str) -> None:
    """No content of a site file makes the decoder fail in another way."""
    try:
        raw = decode_key(text, "a key")
    except SiteError:
        return

    assert z85.encode(raw).decode("ascii") == text
