"""Bearer tokens: shown once when made, kept only as SHA-256, compared in constant time.

    keys/<n>.tokens.json   who may use the endpoints of intersection n and of its cabinet, mode 0600
    keys/<n>.agent         the token with which the agent of n drives its cabinet, mode 0600, on its own box

A token is 32 bytes of the operating system's randomness, so that a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from phasemesh.contract.errors import SiteError
from phasemesh.controller.access.private_file import is_open_to_others, write_private
from phasemesh.controller.access.roles import Principal, Role

TOKENS_FORMAT = 1
TOKEN_BYTES = 32
MARK = "phasemesh-"
"""Begins every token, so that one which is published by mistake can be searched for."""
AGENT_NAME = "agent"
MAX_TOKEN_CHARACTERS = 200
MAX_NAME_CHARACTERS = 64


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token by its SHA-256; `expires_s` is seconds since 1970 UTC, None for a token that does not expire."""

    name: str
    role: Role
    sha256: str
    expires_s: float | None = None


class TokenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everybody who may use the endpoints of one intersection."""

    format: int = TOKENS_FORMAT
    tokens: tuple[TokenEntry, ...] = ()


class KnownToken(msgspec.Struct, frozen=True):
    """A token as it is compared: its digest, whose it is, and until when."""

    digest: bytes
    principal: Principal
    expires_s: float | None


def tokens_path(folder: Path, number: int) -> Path:
    """Where the tokens of intersection `number` stand in the site `folder`."""
    return folder / "keys" / f"{number}.tokens.json"


def agent_token_path(folder: Path, number: int) -> Path:
    """Where the agent's own token of intersection `number` stands in the site `folder`."""
    return folder / "keys" / f"{number}.agent"


def new_token() -> str:
    """A token that nobody can guess."""
    return MARK + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: bytes) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token).digest()


def read_tokens(path: Path) -> TokenFile:
    """The tokens in `path`, none if there is no such file.

    Raises:
        SiteError: The file is open to others or is no file of tokens.
    """
    try:
        if is_open_to_others(path):
            raise SiteError(f"the tokens {path} are open to other users; run: chmod 600 {path}")
        found = msgspec.json.decode(path.read_bytes(), type=TokenFile)
    except FileNotFoundError:
        return TokenFile()
    except OSError as error:
        raise SiteError(f"cannot read the tokens {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{path}: {error}; make the tokens again with `phasemesh token`") from error
    faults = faults_of_tokens(found)
    if faults:
        raise SiteError(f"{path}: {faults[0]}")
    return found


def faults_of_tokens(file: TokenFile) -> list[str]:
    """All contradictions in a file of tokens, each with its path."""
    faults = [] if file.format == TOKENS_FORMAT else [f"format: is {file.format}, this phasemesh reads {TOKENS_FORMAT}"]
    names = [entry.name for entry in file.tokens]
    faults += [f"tokens: {name!r} is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for index, entry in enumerate(file.tokens):
        if not 0 < len(entry.name) <= MAX_NAME_CHARACTERS or not entry.name.isprintable():
            faults.append(f"tokens[{index}].name: must have 1 to {MAX_NAME_CHARACTERS} printable characters")
        if len(entry.sha256) != 64 or set(entry.sha256) - set("0123456789abcdef"):
            faults.append(f"tokens[{index}].sha256: is no SHA-256 in lower-case hexadecimal")
    return faults


def add_token(path: Path, token: str, name: str, role: Role, expires_s: float | None = None) -> None:
    """Let `token` in by its hash, as that of `name`, in place of an older one of that name.

    Raises:
        SiteError: The file cannot be read or written, or `name` is no name.
    """
    entry = TokenEntry(name, role, digest_of(token.encode("ascii")).hex(), expires_s)
    _write_tokens(path, (*_without(read_tokens(path), name), entry))


def remove_token(path: Path, name: str) -> None:
    """Take the token of `name` out of `path`; raises SiteError when there is none."""
    found = read_tokens(path)
    rest = _without(found, name)
    if len(rest) == len(found.tokens):
        known = ", ".join(entry.name for entry in found.tokens) or "nobody"
        raise SiteError(f"{path}: there is no token of {name!r}; known is {known}")
    _write_tokens(path, rest)


def _without(file: TokenFile, name: str) -> tuple[TokenEntry, ...]:
    return tuple(entry for entry in file.tokens if entry.name != name)


def _write_tokens(path: Path, entries: tuple[TokenEntry, ...]) -> None:
    file = TokenFile(tokens=entries)
    faults = faults_of_tokens(file)
    if faults:
        raise SiteError(f"{path}: {faults[0]}")
    try:
        write_private(path, msgspec.json.format(msgspec.json.encode(file), indent=1))
    except OSError as error:
        raise SiteError(f"cannot write the tokens {path}: {error.strerror}") from error


def give_agent_token(folder: Path, number: int) -> None:
    """Make the token with which agent `number` drives its cabinet, in place of an older one; raises SiteError."""
    token = new_token()
    add_token(tokens_path(folder, number), token, AGENT_NAME, Role.AGENT)
    try:
        write_private(agent_token_path(folder, number), f"{token}\n".encode("ascii"))
    except OSError as error:
        raise SiteError(f"{agent_token_path(folder, number)}: cannot be written: {error.strerror}") from error


def read_agent_token(folder: Path, number: int) -> str:
    """The agent's own token of intersection `number`, empty if it has none; raises SiteError if others may read it."""
    path = agent_token_path(folder, number)
    try:
        if is_open_to_others(path):
            raise SiteError(f"the token {path} is open to other users; run: chmod 600 {path}")
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SiteError(f"{path}: the agent's token cannot be read: {error}") from error
    if not token.isprintable() or " " in token or len(token) > MAX_TOKEN_CHARACTERS:
        raise SiteError(f"{path}: is no token; make it again with `phasemesh token`")
    return token


def known_tokens(files: Mapping[str, TokenFile]) -> tuple[KnownToken, ...]:
    """The tokens of `files`, which are keyed by intersection, as they are compared; one token may be in several."""
    merged: dict[str, KnownToken] = {}
    for intersection, file in files.items():
        for entry in file.tokens:
            merged[entry.sha256] = _joined(merged.get(entry.sha256), entry, intersection)
    return tuple(merged.values())


def _joined(known: KnownToken | None, entry: TokenEntry, intersection: str) -> KnownToken:
    """`known` and `entry`, which are the same token; it ends with the first of its entries."""
    if known is None:
        principal = Principal(entry.name, {intersection: entry.role})
        return KnownToken(bytes.fromhex(entry.sha256), principal, entry.expires_s)
    ends_s = [end_s for end_s in (known.expires_s, entry.expires_s) if end_s is not None]
    principal = Principal(known.principal.name, {**known.principal.roles, intersection: entry.role})
    return KnownToken(known.digest, principal, min(ends_s, default=None))


def find_token(known: Iterable[KnownToken], token: bytes) -> KnownToken | None:
    """The entry of `token`; every entry is compared, in constant time each, so that time tells nothing."""
    digest, found = digest_of(token), None
    for entry in known:
        if hmac.compare_digest(entry.digest, digest):
            found = entry
    return found
