"""The signing key of whoever exports bundles: Ed25519, kept outside every repository, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.errors import InputError
from phasemesh.controller.policy.trust import config_folder, trusted_folder

PUBLIC_NAME = "signing.pub"
_OTHERS = 0o077


def own_key() -> Ed25519PrivateKey:
    """The user's signing key, created on first use; from then on this user's runtime trusts it.

    Raises:
        InputError: The key file is broken or others may read it.
    """
    path = config_folder() / "signing.key"
    return read_key(path) if path.exists() else _create_key(path)


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key in the file at `path`, 32 bytes in hexadecimal; raises InputError for anything else."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii")
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.strip()))
    except OSError as error:
        raise InputError(f"{path}: the signing key cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: is no signing key of 32 bytes in hexadecimal") from error
    if mode & _OTHERS:
        raise InputError(f"{path}: others may read the signing key; run chmod 600 {path}")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The raw public half of `key`, 32 bytes."""
    return key.public_key().public_bytes_raw()


def _create_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.private_bytes_raw().hex() + "\n")
    trusted_folder().mkdir(parents=True, exist_ok=True)
    (trusted_folder() / PUBLIC_NAME).write_text(f"{public_bytes(key).hex()}  # own signing key\n", encoding="ascii")
    return key
