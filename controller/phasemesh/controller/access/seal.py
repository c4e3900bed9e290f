"""The seal of a site: a manifest of its files by SHA-256 and an Ed25519 signature over it.

    site.manifest.json     path and SHA-256 of site.json and of every intersections/<n>.json
    site.sig               64 bytes: Ed25519 over a fixed prefix and the bytes of site.manifest.json

Secrets are not part of it, since each lies on its own box only. docs/site-format.md is the authoritative description.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.errors import SiteError
from phasemesh.controller.access.private_file import write_whole
from phasemesh.controller.access.signing import is_signed_by_any

SEAL_FORMAT = 1
SEAL_NAME = "site.manifest.json"
SIGNATURE_NAME = "site.sig"
PUBLIC_MODE = 0o644
DOMAIN = b"phasemesh site 1\n"
"""Signed before the manifest, so that nothing else that the same key signs can pass for a site."""
MAX_SEAL_BYTES = 16_000_000
"""About a hundred thousand intersections; more is not read before its signature is known."""


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was signed: the SHA-256 of every file of the site, by its path in the folder."""

    format: int
    files: dict[str, str]


def seal(folder: Path, contents: Mapping[str, bytes], key: Ed25519PrivateKey) -> None:
    """Sign `contents`, which are the files of the site by path, with `key`; raises OSError."""
    files = {path: _digest(content) for path, content in sorted(contents.items())}
    manifest = msgspec.json.format(msgspec.json.encode(Seal(SEAL_FORMAT, files)), indent=1) + b"\n"
    write_whole(folder / SEAL_NAME, manifest, PUBLIC_MODE)
    write_whole(folder / SIGNATURE_NAME, key.sign(DOMAIN + manifest), PUBLIC_MODE)


def read_seal(folder: Path, keys: Sequence[bytes]) -> Seal:
    """The seal of `folder`, once one of the raw public `keys` has proven to have signed it.

    Raises:
        SiteError: The site is not signed, not by a trusted key, or its manifest cannot be read.
    """
    manifest, signature = _read(folder, SEAL_NAME, MAX_SEAL_BYTES), _read(folder, SIGNATURE_NAME, 64)
    if not is_signed_by_any(keys, signature, DOMAIN + manifest):
        raise SiteError(
            f"{folder / SIGNATURE_NAME}: is not the signature of {SEAL_NAME} by a trusted key; sign the site with"
            " `phasemesh sign`, or add the public key of whoever signed it to the trusted ones"
        )
    try:
        found = msgspec.json.decode(manifest, type=Seal)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{folder / SEAL_NAME}: {error}") from error
    if found.format != SEAL_FORMAT:
        raise SiteError(f"{folder / SEAL_NAME}: format: is {found.format}, this phasemesh reads {SEAL_FORMAT}")
    return found


def _read(folder: Path, name: str, max_bytes: int) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            # One byte more than allowed: a longer file is then no valid signature or manifest.
            return file.read(max_bytes + 1)
    except OSError as error:
        raise SiteError(
            f"{folder / name}: the site is not signed: {error.strerror}; sign it with `phasemesh sign`"
        ) from error


def broken_seal(found: Seal, path: str, content: bytes) -> str:
    """Why `content` is not what was signed under `path`; empty if it is."""
    if path not in found.files:
        return "is not part of what was signed; sign the site with `phasemesh sign`"
    if _digest(content) != found.files[path]:
        return "was altered since the site was signed; restore it, or check it and sign with `phasemesh sign`"
    return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
