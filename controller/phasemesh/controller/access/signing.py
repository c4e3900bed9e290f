"""Ed25519 signatures: the user's own key, kept outside every repository, and how it signs bundles and sites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from phasemesh.contract.errors import InputError
from phasemesh.controller.access.private_file import create_private, is_open_to_others
from phasemesh.controller.policy.trust import config_folder, trusted_folder

PRIVATE_NAME = "signing.key"
PUBLIC_NAME = "signing.pub"

_WITHOUT_SIGN = 2**255 - 1
_FIELD = 2**255 - 19
_WEAK_KEYS = frozenset(
    (
        0,
        1,
        _FIELD - 1,
        _FIELD,
        _FIELD + 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    )
)
"""Points of small order, their sign left out: nobody has their private half, and one signature in eight of zeros is
theirs. Verifiers need not refuse them (RFC 8032, 5.1.7), so that we do."""


def own_key() -> Ed25519PrivateKey:
    """The user's signing key, created on first use; from then on this user's runtime trusts it.

    Raises:
        InputError: The key file is broken, or others may read it, or it cannot be written.
    """
    path = config_folder() / PRIVATE_NAME
    return read_key(path) if path.exists() else _create_key(path)


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key in the file at `path`, 32 bytes in hexadecimal; raises InputError for anything else."""
    try:
        is_open, text = is_open_to_others(path), path.read_text(encoding="ascii")
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.strip()))
    except OSError as error:
        raise InputError(f"{path}: the signing key cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: is no signing key of 32 bytes in hexadecimal") from error
    if is_open:
        raise InputError(f"{path}: others may read the signing key; run chmod 600 {path}")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The raw public half of `key`, 32 bytes."""
    return key.public_key().public_bytes_raw()


def is_signed_by_any(keys: Sequence[bytes], signature: bytes, signed: bytes) -> bool:
    """Whether `signature` is that of `signed` by one of the raw public `keys`."""
    return any(_is_signed_by(key, signature, signed) for key in keys)


def _is_signed_by(key: bytes, signature: bytes, signed: bytes) -> bool:
    if int.from_bytes(key, "little") & _WITHOUT_SIGN in _WEAK_KEYS:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _create_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not create_private(path, f"{key.private_bytes_raw().hex()}\n".encode("ascii")):
            return read_key(path)
        trusted_folder().mkdir(parents=True, exist_ok=True)
        line = f"{public_bytes(key).hex()}  # own signing key\n"
        (trusted_folder() / PUBLIC_NAME).write_text(line, encoding="ascii")
    except OSError as error:
        raise InputError(f"{path}: the signing key cannot be written: {error.strerror}") from error
    return key
