"""CURVE keys of agents: made once at provisioning, the secret kept in a file that only its owner may read."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import msgspec
import zmq
from zmq.utils import z85

from phasemesh.contract.errors import SiteError
from phasemesh.controller.access.private_file import OTHERS, write_private

KEY_CHARACTERS = 40
"""Length of a CURVE key in Z85, the printable form of its 32 bytes (ZeroMQ RFC 32)."""


class KeyPair(msgspec.Struct, frozen=True):
    """A CURVE key pair in Z85; `secret` never leaves its own box and is not shown by `repr`."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"


def generate_keypair() -> KeyPair:
    """A new key pair from the operating system's randomness."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public=public.decode("ascii"), secret=secret.decode("ascii"))


def keypair_of(secret: str) -> KeyPair:
    """The pair to which `secret` belongs; SiteError if it is not a key."""
    decode_key(secret, "the secret key")
    return KeyPair(public=zmq.curve_public(secret.encode("ascii")).decode("ascii"), secret=secret)


def decode_key(key: str, what: str) -> bytes:
    """The 32 bytes of the Z85 `key`; SiteError names `what` and never the key itself."""
    try:
        if len(key) != KEY_CHARACTERS:
            raise ValueError
        return bytes(z85.decode(key.encode("ascii")))
    except (ValueError, KeyError, struct.error):
        raise SiteError(f"{what} is not a CURVE key of {KEY_CHARACTERS} Z85 characters; provision it again") from None


def write_secret(path: Path, secret: str) -> None:
    """Put `secret` in `path`, mode 0600 whatever the umask; an interrupted write leaves the old file as it was.

    Raises:
        SiteError: `secret` is not a key, or the folder cannot be written.
    """
    decode_key(secret, f"the secret for {path}")
    try:
        write_private(path, f"{secret}\n".encode("ascii"))
    except OSError as error:
        raise SiteError(f"cannot write the secret {path}: {error.strerror}; check the folder") from error


def read_secret(path: Path) -> str:
    """The secret key in `path`.

    Raises:
        SiteError: the file is missing, open to group or others, or does not hold a key.
    """
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & OTHERS:
                raise SiteError(f"the secret {path} is open to other users; run: chmod 600 {path}")
            content = file.read(4 * KEY_CHARACTERS)
    except OSError as error:
        raise SiteError(f"cannot read the secret {path}: {error.strerror}; provision this box again") from error
    secret = content.decode("ascii", "replace").strip()
    decode_key(secret, f"the content of {path}")
    return secret
