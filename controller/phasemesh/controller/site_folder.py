"""Reading and writing the folder of a site; the layout is that of `phasemesh.contract.site`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from phasemesh.contract.errors import SiteError
from phasemesh.contract.site import PeerAddress, SiteFile, SiteIntersection, faults_of_site, faults_of_site_intersection
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import KeyPair, keypair_of, read_secret, write_secret

SITE_NAME = "site.json"

Decoded = TypeVar("Decoded", SiteFile, SiteIntersection)


def intersection_path(folder: Path, number: int) -> Path:
    """Where the description of intersection `number` stands."""
    return folder / "intersections" / f"{number}.json"


def secret_path(folder: Path, number: int) -> Path:
    """Where the CURVE secret of intersection `number` stands."""
    return folder / "keys" / f"{number}.secret"


def write_site(
    folder: Path,
    site: SiteFile,
    entries: Iterable[SiteIntersection],
    keypairs: dict[IntersectionId, KeyPair],
) -> None:
    """Write a whole site; `site.json` comes last, so that a folder with one is complete. Raises SiteError."""
    try:
        for name in ("intersections", "keys"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "keys").chmod(0o700)
        for entry in entries:
            number = site.directory[entry.intersection.id].number
            _write(intersection_path(folder, number), entry)
            write_secret(secret_path(folder, number), keypairs[entry.intersection.id].secret)
        _write(folder / SITE_NAME, site)
    except OSError as error:
        raise SiteError(f"{folder}: cannot write the site: {error.strerror}; choose another folder") from error


def _write(path: Path, value: SiteFile | SiteIntersection) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1))
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def read_site(folder: Path) -> SiteFile:
    """The shared part of the site in `folder`; raises SiteError when it is missing or contradicts itself."""
    site = _read(folder / SITE_NAME, SiteFile)
    _refuse(folder / SITE_NAME, faults_of_site(site))
    return site


def read_intersection(folder: Path, site: SiteFile, name: IntersectionId) -> SiteIntersection:
    """The description of `name`; raises SiteError when it is unknown, missing or contradicts itself."""
    path = intersection_path(folder, address_of(folder, site, name).number)
    entry = _read(path, SiteIntersection)
    _refuse(path, _faults_of_entry(entry, site, name))
    return entry


def read_keypair(folder: Path, site: SiteFile, name: IntersectionId) -> KeyPair:
    """The CURVE keys of `name`; raises SiteError when the secret is missing or not the one of the directory."""
    address = address_of(folder, site, name)
    path = secret_path(folder, address.number)
    keypair = keypair_of(read_secret(path))
    if keypair.public != address.public_key:
        raise SiteError(f"{path}: is not the secret of the public key in {SITE_NAME}; provision the keys again")
    return keypair


def address_of(folder: Path, site: SiteFile, name: IntersectionId) -> PeerAddress:
    """The directory's row of `name`; raises SiteError naming what is there."""
    if name not in site.directory:
        known = ", ".join(sorted(site.directory)[:8])
        raise SiteError(f"{folder / SITE_NAME}: there is no intersection {name!r}; the first are {known}")
    return site.directory[name]


def faults_of_site_folder(folder: Path) -> list[str]:
    """All faults of a site, each with file and path, for `phasemesh check`; empty when there are none."""
    try:
        site = _read(folder / SITE_NAME, SiteFile)
    except SiteError as error:
        return [str(error)]
    faults = [f"{folder / SITE_NAME}: {fault}" for fault in faults_of_site(site)]
    neighbours: dict[IntersectionId, tuple[IntersectionId, ...]] = {}
    for name, address in site.directory.items():
        path = intersection_path(folder, address.number)
        try:
            entry = _read(path, SiteIntersection)
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
    if not secret_path(folder, site.directory[name].number).exists():
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


def _read(path: Path, kind: type[Decoded]) -> Decoded:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise SiteError(f"{path}: {error.strerror}; write the site with `phasemesh site`") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{path}: {error}; write the site again with `phasemesh site`") from error


def _refuse(path: Path, faults: list[str]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more; see `phasemesh check`)" if len(faults) > 1 else ""
        raise SiteError(f"{path}: {faults[0]}{more}")
