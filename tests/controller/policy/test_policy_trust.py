"""Trusted keys: the shipped ones, the user's own, and files that hold no keys."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from phasemesh.contract.errors import BundleError
from phasemesh.controller.policy.bundle import faults_of_bundle, installed_bundles
from phasemesh.controller.policy.trust import SHIPPED_KEYS, config_folder, read_keys, trusted_folder, trusted_keys

KEY = bytes(range(32))
OTHER = bytes(range(32, 64))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def test_the_configuration_folder_follows_the_desktop_standard(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CONFIG_HOME where it is set, else .config below the home folder."""
    assert config_folder() == home / ".config" / "phasemesh"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    assert trusted_folder() == Path("/elsewhere/phasemesh/trusted")


def test_shipped_bundles_are_signed_by_a_shipped_key() -> None:
    """Without any setting of the user every bundle of the zoo is sound and runs."""
    keys = trusted_keys()

    assert keys == tuple(read_keys(SHIPPED_KEYS))
    assert {name: faults_of_bundle(folder, keys) for name, folder in installed_bundles().items()} == {
        name: [] for name in installed_bundles()
    }


def test_the_user_may_add_keys() -> None:
    """Every .pub file of the trusted folder counts, once, after the shipped ones; other files do not."""
    trusted_folder().mkdir(parents=True)
    (trusted_folder() / "a.pub").write_text(KEY.hex())
    (trusted_folder() / "b.pub").write_text(f"{KEY.hex()}\n{OTHER.hex()}\n")
    (trusted_folder() / "notes.txt").write_text("no key")

    assert trusted_keys() == (*read_keys(SHIPPED_KEYS), KEY, OTHER)


def test_keys_are_read_in_hexadecimal_and_base64_with_comments(tmp_path: Path) -> None:
    """One key a line, whatever stands after a hash."""
    path = tmp_path / "keys.pub"
    path.write_text(f"# ours\n\n{KEY.hex().upper()}  # first\n{base64.b64encode(OTHER).decode()} # second\n")

    assert read_keys(path) == [KEY, OTHER]


@pytest.mark.parametrize("line", ["abcd", "zz" * 32, "ä" * 64, "not base64!", KEY.hex()[:-2], "A" * 44])
def test_a_line_that_is_no_key_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    """A broken key file is never skipped in silence."""
    path = tmp_path / "keys.pub"
    path.write_text(f"{KEY.hex()}\n{line}\n", encoding="utf-8")

    with pytest.raises(BundleError, match=r"keys\.pub:2: "):
        read_keys(path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Missing files and files that are no text are named."""
    path = tmp_path / "keys.pub"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BundleError, match=r"keys\.pub: cannot be read"):
        read_keys(path)
