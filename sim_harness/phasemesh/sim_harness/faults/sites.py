"""A folder for each agent in place of the common one: its own links, bundle and keys, which faults may spoil.

Every box by the road has such a folder of its own anyway; only a harness lets all of its agents share one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.site import SiteIntersection
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.signing import public_bytes
from phasemesh.controller.peers.keys import KeyPair, generate_keypair, write_secret
from phasemesh.controller.policy.bundle import find_bundle
from phasemesh.controller.site_folder import (
    SITE_NAME,
    intersection_path,
    read_intersection,
    read_keypair,
    read_site,
    secret_path,
)
from phasemesh.sim_harness.faults.relay import Link
from phasemesh.sim_harness.provision import seal_anew

EndpointOf = Callable[[Link], str | None]


class AgentSites:
    """The folders of all agents of the site in `common`, below `folder`."""

    def __init__(self, common: Path, folder: Path, site_keys: tuple[str, ...]) -> None:
        """Read the common site, which `site_keys` may have signed; nothing is written yet."""
        self._folder = folder
        self._common = common
        self._site_keys = site_keys
        self._signer = Ed25519PrivateKey.generate()
        self.site = read_site(common, site_keys)
        self._endpoint_of: EndpointOf = lambda _link: None

    @property
    def site_key(self) -> str:
        """The public key by which the folders of all agents are signed."""
        return public_bytes(self._signer).hex()

    def folder_of(self, name: IntersectionId) -> Path:
        """The site folder of the agent `name`."""
        return self._folder / str(self.site.directory[name].number)

    def bundle_of(self, name: IntersectionId) -> Path:
        """The bundle of the agent `name`, its own copy."""
        return self._folder / f"{self.site.directory[name].number}.bundle"

    def entry_of(self, name: IntersectionId) -> SiteIntersection:
        """The true description of `name`."""
        return read_intersection(self._common, self.site, name, self._site_keys)

    def publishes_at(self, name: IntersectionId) -> tuple[str, int]:
        """Host and port at which `name` publishes."""
        address = urlsplit(self.site.directory[name].endpoint)
        return str(address.hostname), int(address.port or 0)

    def write_all(self, endpoint_of: EndpointOf) -> None:
        """Write the folders of all agents; `endpoint_of` names the relay of a link, or None where there is none."""
        self._endpoint_of = endpoint_of
        for name in self.site.directory:
            self.restore(name)

    def restore(self, name: IntersectionId) -> None:
        """Make folder and bundle of `name` what they should be."""
        shutil.rmtree(self.bundle_of(name), ignore_errors=True)
        shutil.copytree(find_bundle(self.site.bundle), self.bundle_of(name))
        self._write(name, self.entry_of(name), read_keypair(self._common, self.site, name))

    def spoil_entry(self, name: IntersectionId, entry: SiteIntersection) -> None:
        """Give `name` the description `entry`, signed as if it were sound."""
        self._write(name, entry, read_keypair(self._common, self.site, name))

    def rotate_key(self, name: IntersectionId) -> None:
        """Give `name` a new key of which nobody else was told."""
        self._write(name, self.entry_of(name), generate_keypair())

    def _write(self, name: IntersectionId, entry: SiteIntersection, keypair: KeyPair) -> None:
        """A copy of the common folder, tokens included, with the differences of `name`, sealed by this harness."""
        folder, number = self.folder_of(name), self.site.directory[name].number
        directory = {
            other: msgspec.structs.replace(address, endpoint=self._endpoint_of(Link(name, other)) or address.endpoint)
            for other, address in self.site.directory.items()
        }
        directory[name] = msgspec.structs.replace(directory[name], public_key=keypair.public)
        site = msgspec.structs.replace(self.site, directory=directory, bundle=str(self.bundle_of(name)))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._common, folder, ignore=shutil.ignore_patterns(self._folder.name))
        write_secret(secret_path(folder, number), keypair.secret)
        files = {
            folder / SITE_NAME: msgspec.json.encode(site),
            intersection_path(folder, number): msgspec.json.encode(entry),
        }
        seal_anew(folder, files, self._signer)
