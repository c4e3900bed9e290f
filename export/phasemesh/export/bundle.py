"""Writing bundles: manifest, signature and files appear together or not at all."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.bundle import MANIFEST_NAME, SIGNATURE_NAME, BundleFile, BundleManifest
from phasemesh.contract.errors import BundleError


def bundle_files(contents: dict[str, bytes]) -> tuple[BundleFile, ...]:
    """The entries of a manifest for files of those paths and contents."""
    return tuple(
        BundleFile(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for path, content in contents.items()
    )


def write_bundle(folder: Path, manifest: BundleManifest, contents: dict[str, bytes], key: Ed25519PrivateKey) -> None:
    """Write a signed bundle to `folder`; an older bundle there is replaced.

    Raises:
        BundleError: `folder` is something else than a bundle, or cannot be written.
    """
    if folder.exists() and not _may_replace(folder):
        raise BundleError(f"{folder}: exists and is no bundle; choose another --out or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            fresh = Path(scratch) / "new"
            _fill(fresh, manifest, contents, key)
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            fresh.rename(folder)
    except OSError as error:
        raise BundleError(f"{folder}: the bundle cannot be written: {error.strerror}") from error


def _may_replace(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return not any(folder.iterdir()) or all((folder / name).is_file() for name in (MANIFEST_NAME, SIGNATURE_NAME))


def _fill(folder: Path, manifest: BundleManifest, contents: dict[str, bytes], key: Ed25519PrivateKey) -> None:
    signed = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    for path, content in {MANIFEST_NAME: signed, SIGNATURE_NAME: key.sign(signed), **contents}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
