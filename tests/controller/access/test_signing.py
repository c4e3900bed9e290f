"""The signing key: made once, readable by its owner only, trusted by its owner's runtime."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.controller.access.signing import own_key, public_bytes, read_key
from phasemesh.controller.policy.trust import config_folder, trusted_keys


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return config_folder()


def test_the_key_is_made_once(config: Path) -> None:
    """Later calls read the same key from the same file."""
    first, again = own_key(), own_key()

    assert public_bytes(first) == public_bytes(again) == public_bytes(read_key(config / "signing.key"))


def test_only_its_owner_can_read_the_key(config: Path) -> None:
    """Mode 0600 from the first byte on."""
    own_key()

    assert stat.S_IMODE((config / "signing.key").stat().st_mode) == 0o600


def test_the_owner_trusts_the_own_key() -> None:
    """Its public half lies among the trusted keys."""
    key = own_key()

    assert public_bytes(key) in trusted_keys()


def test_a_key_that_others_can_read_is_refused(config: Path) -> None:
    """The message says how to mend it."""
    own_key()
    (config / "signing.key").chmod(0o644)

    with pytest.raises(InputError, match="chmod 600"):
        own_key()


@pytest.mark.parametrize("content", [b"", b"zz" * 32, b"00" * 31, b"\xff" * 64])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """The message names the file and never its content."""
    path = tmp_path / "broken.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(InputError, match=r"broken\.key: is no signing key") as caught:
        read_key(path)
    assert "zz" not in str(caught.value)


def test_a_missing_key_file_is_refused(tmp_path: Path) -> None:
    """A key that was named is never made up."""
    with pytest.raises(InputError, match="cannot be read"):
        read_key(tmp_path / "absent.key")
