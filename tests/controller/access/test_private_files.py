"""Files for their owner only: whole or not at all, whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from phasemesh.controller.access.private_file import create_private, is_open_to_others, write_private, write_whole


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_the_mode_is_0600_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Both ways of writing close the file to others and leave it open to its owner."""
    before = os.umask(umask)
    try:
        write_private(tmp_path / "written", b"secret")
        create_private(tmp_path / "created", b"secret")
    finally:
        os.umask(before)

    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("written", "created")} == {0o600}


def test_what_is_created_is_never_overwritten(tmp_path: Path) -> None:
    """Of two that create the same file at once, one finds that it was second."""
    path = tmp_path / "key"

    assert create_private(path, b"first")
    assert not create_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_replaces_the_old_file(tmp_path: Path) -> None:
    """Even one that others could read, and nothing else stays."""
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o666)
    write_private(path, b"new")

    assert (path.read_bytes(), is_open_to_others(path)) == (b"new", False)
    assert list(tmp_path.iterdir()) == [path]


def test_a_public_file_gets_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    """Whole files need not be secret."""
    write_whole(tmp_path / "open", b"x", 0o644)

    assert is_open_to_others(tmp_path / "open")


def test_a_file_that_cannot_be_moved_leaves_nothing_behind(tmp_path: Path) -> None:
    """No temporary copy of a secret stays when its place is taken by a folder."""
    (tmp_path / "key").mkdir()

    with pytest.raises(OSError, match="key"):
        write_private(tmp_path / "key", b"secret")
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]
