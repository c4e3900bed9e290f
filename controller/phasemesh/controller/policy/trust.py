"""Whose signature counts: for bundles the keys that ship with phasemesh too, for sites only those that the user adds.

A key file holds one Ed25519 public key a line, in hexadecimal or base64, with an optional comment after `#`.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from phasemesh.contract.errors import BundleError

SHIPPED_KEYS = Path(__file__).with_name("trusted_keys.txt")
PUBLIC_KEY_BYTES = 32


def config_folder() -> Path:
    """The user's folder of settings and keys, `${XDG_CONFIG_HOME:-~/.config}/phasemesh`; it need not exist."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "phasemesh"


def trusted_folder() -> Path:
    """The folder whose `*.pub` files hold the keys that the user trusts."""
    return config_folder() / "trusted"


def trusted_keys() -> tuple[bytes, ...]:
    """Public keys that may sign bundles, 32 bytes each, shipped ones first; BundleError for a broken key file."""
    return tuple(dict.fromkeys((*read_keys(SHIPPED_KEYS), *site_signers())))


def site_signers() -> tuple[bytes, ...]:
    """Public keys that may sign sites: whoever makes policies has no say over whose streets they run on."""
    files = sorted(trusted_folder().glob("*.pub"))
    return tuple(dict.fromkeys(key for path in files for key in read_keys(path)))


def parse_key(text: str, where: str) -> bytes:
    """The public key that `text` holds in hexadecimal or base64; raises BundleError, naming `where`, if it is none."""
    try:
        key = bytes.fromhex(text) if len(text) == 2 * PUBLIC_KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BundleError(f"{where}: is neither hexadecimal nor base64: {error}") from error
    if len(key) != PUBLIC_KEY_BYTES:
        raise BundleError(f"{where}: a public key has {PUBLIC_KEY_BYTES} bytes, this has {len(key)}")
    return key


def read_keys(path: Path) -> list[bytes]:
    """The public keys in the key file at `path`; raises BundleError, naming the line, for anything else."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read as a file of public keys: {error}") from error
    texts = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, start=1))
    return [parse_key(text, f"{path}:{number}") for number, text in texts if text]
