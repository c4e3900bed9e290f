"""Reading and writing the folder of a site; the layout is that of `phasemesh.contract.site`.

Nothing in it is believed before the seal is: whoever reads a description gets the bytes that were signed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.errors import SiteError
from phasemesh.contract.site import PeerAddress, SiteFile, SiteIntersection, faults_of_site, faults_of_site_intersection
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.seal import broken_seal, read_seal, seal
from phasemesh.controller.access.signing import own_key, public_bytes
from phasemesh.controller.access.tokens import give_agent_token
from phasemesh.controller.peers.keys import KeyPair, keypair_of, read_secret, write_secret
from phasemesh.controller.policy.trust import parse_key, site_signers

SITE_NAME = "site.json"
DESCRIPTIONS = "intersections"
KEYS = "keys"
HUB_KEY_FILE = "memory-hub.secret"
"""The CURVE secret of the memory hub, only on its own box."""
NO_KEY = ""
"""In place of a public key in the directory: the intersection was revoked and takes part in nothing."""

Decoded = TypeVar("Decoded", SiteFile, SiteIntersection)


def intersection_path(folder: Path, number: int) -> Path:
    """Where the description of intersection `number` stands."""
    return folder / DESCRIPTIONS / f"{number}.json"


def secret_path(folder: Path, number: int) -> Path:
    """Where the CURVE secret of intersection `number` stands."""
    return folder / KEYS / f"{number}.secret"


def write_site(
    folder: Path,
    site: SiteFile,
    entries: Iterable[SiteIntersection],
    keypairs: dict[IntersectionId, KeyPair],
    signer: Ed25519PrivateKey | None = None,
) -> None:
    """Write a whole site with a token for every agent, signed by `signer` or the user's own key; raises InputError.

    `site.json` and the seal come last, so that a folder with them is complete.
    """
    signer = signer or own_key()
    try:
        for name in (DESCRIPTIONS, KEYS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / KEYS).chmod(0o700)
        for entry in entries:
            number = site.directory[entry.intersection.id].number
            _write(intersection_path(folder, number), entry)
            write_secret(secret_path(folder, number), keypairs[entry.intersection.id].secret)
            give_agent_token(folder, number)
        _write(folder / SITE_NAME, site)
        seal(folder, _contents(folder), signer)
    except OSError as error:
        raise SiteError(f"{folder}: cannot write the site: {error.strerror}; choose another folder") from error


def sign_site(folder: Path, signer: Ed25519PrivateKey) -> None:
    """Sign the site in `folder` as it stands; raises SiteError when it contradicts itself or cannot be written."""
    faults = _content_faults(folder)
    if faults:
        raise SiteError(f"{faults[0]}; {len(faults)} faults must be mended before the site is signed")
    try:
        seal(folder, _contents(folder), signer)
    except OSError as error:
        raise SiteError(f"{folder}: the site cannot be signed: {error.strerror}") from error


def change_key(folder: Path, name: IntersectionId, public_key: str, signer: Ed25519PrivateKey) -> int:
    """Give `name` another public key in the directory, `NO_KEY` to revoke it, and sign the site; the number of `name`.

    Raises:
        SiteError: The site as it stands was altered or is unusable, does not know `name`, or cannot be written.
    """
    site = read_site(folder, (public_bytes(signer).hex(),))
    address = msgspec.structs.replace(address_of(folder, site, name), public_key=public_key)
    # The old secret is not that of the new key; a copy that stayed would be a fault of the site.
    secret_path(folder, address.number).unlink(missing_ok=True)
    _write(folder / SITE_NAME, msgspec.structs.replace(site, directory={**site.directory, name: address}))
    sign_site(folder, signer)
    return address.number


def _contents(folder: Path) -> dict[str, bytes]:
    """Every file of the site that is signed, by its path in the folder."""
    paths = [folder / SITE_NAME, *sorted((folder / DESCRIPTIONS).glob("*.json"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _write(path: Path, value: SiteFile | SiteIntersection) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1))
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def read_site(folder: Path, signers: Sequence[str] = ()) -> SiteFile:
    """The shared part of the site in `folder`.

    Args:
        folder: Where `site.json` lies.
        signers: Public keys in hexadecimal that may have signed it, beside those that the user trusts.

    Raises:
        SiteError: It is missing, unsigned, altered, or contradicts itself.
    """
    site = _read_signed(folder, SITE_NAME, SiteFile, signers)
    _refuse(folder / SITE_NAME, faults_of_site(site))
    return site


def read_intersection(
    folder: Path, site: SiteFile, name: IntersectionId, signers: Sequence[str] = ()
) -> SiteIntersection:
    """The description of `name`; raises SiteError when it is unknown, missing, altered, or contradicts itself."""
    path = intersection_path(folder, address_of(folder, site, name).number)
    entry = _read_signed(folder, path.relative_to(folder).as_posix(), SiteIntersection, signers)
    _refuse(path, _faults_of_entry(entry, site, name))
    return entry


def read_keypair(folder: Path, site: SiteFile, name: IntersectionId) -> KeyPair:
    """The CURVE keys of `name`; raises SiteError when the secret is missing or not the one of the directory."""
    address = address_of(folder, site, name)
    if address.public_key == NO_KEY:
        raise SiteError(f"{folder / SITE_NAME}: the key of {name!r} was revoked; give it one with `phasemesh rekey`")
    path = secret_path(folder, address.number)
    keypair = keypair_of(read_secret(path))
    if keypair.public != address.public_key:
        raise SiteError(f"{path}: is not the secret of the public key in {SITE_NAME}; provision the keys again")
    return keypair


def read_hub_keypair(folder: Path, site: SiteFile) -> KeyPair:
    """The CURVE keys of the memory hub; raises SiteError when there is no hub, or the secret is not its own."""
    if site.memory_hub is None:
        raise SiteError(f"{folder / SITE_NAME}: names no memory hub; write the site with `phasemesh site --memory-hub`")
    path = folder / KEYS / HUB_KEY_FILE
    keypair = keypair_of(read_secret(path))
    if keypair.public != site.memory_hub.public_key:
        raise SiteError(f"{path}: is not the secret of memory_hub.public_key in {SITE_NAME}; provision the site again")
    return keypair


def address_of(folder: Path, site: SiteFile, name: IntersectionId) -> PeerAddress:
    """The directory's row of `name`; raises SiteError naming what is there."""
    if name not in site.directory:
        known = ", ".join(sorted(site.directory)[:8])
        raise SiteError(f"{folder / SITE_NAME}: there is no intersection {name!r}; the first are {known}")
    return site.directory[name]


def faults_of_site_folder(folder: Path, signers: Sequence[str] = ()) -> list[str]:
    """All faults of a site, each with file and path, for `phasemesh check`; empty when there are none."""
    return _seal_faults(folder, signers) + _content_faults(folder)


def _seal_faults(folder: Path, signers: Sequence[str]) -> list[str]:
    """What is there but was not signed, was altered since, or was signed and is gone."""
    try:
        found, contents = read_seal(folder, _keys(signers)), _contents(folder)
    except OSError:
        return []  # Whatever cannot be read is named by the faults of its content.
    except SiteError as error:
        return [str(error)]
    broken = [
        f"{folder / path}: {fault}"
        for path, content in contents.items()
        if (fault := broken_seal(found, path, content))
    ]
    return broken + [f"{folder / path}: was signed and is missing" for path in found.files if path not in contents]


def _content_faults(folder: Path) -> list[str]:
    try:
        site = _decoded(folder / SITE_NAME, _bytes(folder / SITE_NAME), SiteFile)
    except SiteError as error:
        return [str(error)]
    faults = [f"{folder / SITE_NAME}: {fault}" for fault in faults_of_site(site)]
    neighbours: dict[IntersectionId, tuple[IntersectionId, ...]] = {}
    for name, address in site.directory.items():
        path = intersection_path(folder, address.number)
        try:
            entry = _decoded(path, _bytes(path), SiteIntersection)
        except SiteError as error:
            faults.append(str(error))
            continue
        neighbours[name] = entry.intersection.neighbours
        faults += _key_faults(folder, site, name)
        faults += [f"{path}: {fault}" for fault in _faults_of_entry(entry, site, name)]
    return faults + _one_way_faults(neighbours)


def _faults_of_entry(entry: SiteIntersection, site: SiteFile, name: IntersectionId) -> list[str]:
    found = entry.intersection.id
    swapped = [] if found == name else [f"intersection.id: is the description of {found!r}, not of {name!r}"]
    return swapped + faults_of_site_intersection(entry, site)


def _key_faults(folder: Path, site: SiteFile, name: IntersectionId) -> list[str]:
    """The faults of a secret that is there; a box by the road holds only its own, so a missing one is no fault."""
    address = site.directory[name]
    if address.public_key == NO_KEY or not secret_path(folder, address.number).exists():
        return []
    try:
        read_keypair(folder, site, name)
    except SiteError as error:
        return [str(error)]
    return []


def _one_way_faults(neighbours: dict[IntersectionId, tuple[IntersectionId, ...]]) -> list[str]:
    return [
        f"{name}: names {other} as its neighbour, but not the other way round"
        for name, others in neighbours.items()
        for other in others
        if name not in neighbours.get(other, (name,))
    ]


def _keys(signers: Sequence[str]) -> tuple[bytes, ...]:
    return (*site_signers(), *(parse_key(text, "the public key of who signed the site") for text in signers))


def _read_signed(folder: Path, name: str, kind: type[Decoded], signers: Sequence[str]) -> Decoded:
    content = _bytes(folder / name)
    fault = broken_seal(read_seal(folder, _keys(signers)), name, content)
    if fault:
        raise SiteError(f"{folder / name}: {fault}")
    return _decoded(folder / name, content, kind)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SiteError(f"{path}: {error.strerror}; write the site with `phasemesh site`") from error


def _decoded(path: Path, content: bytes, kind: type[Decoded]) -> Decoded:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{path}: {error}; write the site again with `phasemesh site`") from error


def _refuse(path: Path, faults: list[str]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more; see `phasemesh check`)" if len(faults) > 1 else ""
        raise SiteError(f"{path}: {faults[0]}{more}")
