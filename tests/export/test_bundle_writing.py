"""Writing a bundle: whole or not at all, and never over something else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.bundle import BundleManifest
from phasemesh.contract.errors import BundleError
from phasemesh.controller.access.signing import public_bytes
from phasemesh.controller.policy.bundle import find_bundle, load_bundle
from phasemesh.controller.policy.trust import SHIPPED_KEYS, read_keys
from phasemesh.export.bundle import bundle_files, write_bundle

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PATH = "policies/0.onnx"


@pytest.fixture
def manifest() -> BundleManifest:
    """That of the shipped rule max-pressure."""
    return load_bundle(find_bundle("max-pressure"), read_keys(SHIPPED_KEYS)).manifest


@pytest.fixture
def contents() -> dict[str, bytes]:
    """Its files."""
    return {PATH: (find_bundle("max-pressure") / PATH).read_bytes()}


def test_a_written_bundle_loads(tmp_path: Path, manifest: BundleManifest, contents: dict[str, bytes]) -> None:
    """With the manifest that was given, below folders that did not exist; nothing else is left behind."""
    folder = tmp_path / "new" / "bundle"

    write_bundle(folder, manifest, contents, KEY)

    assert load_bundle(folder, [public_bytes(KEY)]).manifest == manifest
    assert list(folder.parent.iterdir()) == [folder]


def test_an_older_bundle_is_replaced(tmp_path: Path, manifest: BundleManifest, contents: dict[str, bytes]) -> None:
    """No file of the older one survives."""
    folder = tmp_path / "bundle"
    write_bundle(folder, manifest, {**contents, "notes.txt": b"old"}, KEY)

    write_bundle(folder, msgspec.structs.replace(manifest, name="newer"), contents, KEY)

    assert load_bundle(folder, [public_bytes(KEY)]).manifest.name == "newer"
    assert not (folder / "notes.txt").exists()
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_no_bundle_is_never_overwritten(
    tmp_path: Path, manifest: BundleManifest, contents: dict[str, bytes], *, is_file: bool
) -> None:
    """Neither a file nor a folder with something else in it."""
    target = tmp_path / "precious"
    kept = target if is_file else target / "thesis.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("years of work")

    with pytest.raises(BundleError, match="is no bundle"):
        write_bundle(target, manifest, contents, KEY)

    assert kept.read_text() == "years of work"


def test_an_empty_folder_may_become_a_bundle(
    tmp_path: Path, manifest: BundleManifest, contents: dict[str, bytes]
) -> None:
    """There is nothing in it to lose."""
    write_bundle(tmp_path, manifest, contents, KEY)

    assert load_bundle(tmp_path, [public_bytes(KEY)]).manifest == manifest


def test_a_folder_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, manifest: BundleManifest, contents: dict[str, bytes]
) -> None:
    """The operating system's reason, with the folder's name."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(BundleError, match=r"bundle: the bundle cannot be written"):
        write_bundle(tmp_path / "file" / "bundle", manifest, contents, KEY)


def test_files_are_listed_with_hash_and_size() -> None:
    """SHA-256 of the empty content is known."""
    (entry,) = bundle_files({"empty": b""})

    assert entry.size_bytes == 0
    assert entry.sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
