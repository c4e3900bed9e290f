"""The directory of a site as it changes while an agent lives: keys are given and taken without a restart.

A thread looks at the seal of the site at a slow pace. Only a site that is signed and sound is taken up; of anything
else the log tells, and what was known before stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from phasemesh.contract.errors import PhasemeshError
from phasemesh.contract.site import PeerAddress, SiteFile, SiteIntersection
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.seal import SIGNATURE_NAME
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.peers.zmq_transport import ZmqTransport
from phasemesh.controller.site_folder import SITE_NAME, address_of, read_keypair, read_site

LOOK_EVERY_S = 2.0
"""Pace of the looks; each is two calls of the file system."""

log = structlog.get_logger("phasemesh.peers")


class DirectoryWatch:
    """Calls `changed` from its own thread with every new sound site in `folder`, until closed."""

    def __init__(
        self,
        folder: Path,
        changed: Callable[[SiteFile], None],
        signers: Sequence[str] = (),
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._folder = folder
        self._changed = changed
        self._signers = tuple(signers)
        self._look_every_s = look_every_s
        self._seen = self._stamps()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="phasemesh-directory", daemon=True)
        self._thread.start()

    def look_now(self) -> None:
        """Read the site again with the next look, changed or not; takes no lock, so that a signal may do it."""
        self._seen = ()

    def close(self) -> None:
        """End the thread; calling it again does nothing."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(self._look_every_s):
            stamps = self._stamps()
            if stamps != self._seen:
                self._seen = stamps
                self._read()

    def _read(self) -> None:
        try:
            site = read_site(self._folder, self._signers)
        except PhasemeshError as error:
            log.error("a changed site is not taken up", reason=str(error))
            return
        self._changed(site)

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        return tuple(_stamp(self._folder / name) for name in (SITE_NAME, SIGNATURE_NAME))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_ino, found.st_mtime_ns


class WatchedTransport:
    """The `Transport` of one intersection of a site, which follows the directory of that site."""

    def __init__(
        self,
        folder: Path,
        site: SiteFile,
        entry: SiteIntersection,
        signers: Sequence[str] = (),
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Open it; raises EndpointError for an unusable address, SiteError for unusable keys."""
        self._entry = entry
        neighbours, listeners = _peers(site, entry)
        name = entry.intersection.id
        own = address_of(folder, site, name)
        self._transport = ZmqTransport(name, own.endpoint, read_keypair(folder, site, name), neighbours, listeners)
        self._watch = DirectoryWatch(folder, self._revise, signers, look_every_s)

    def _revise(self, site: SiteFile) -> None:
        neighbours, listeners = _peers(site, self._entry)
        self._transport.revise(neighbours, listeners)

    @property
    def refused(self) -> int:
        """Handshakes refused because of an unknown or revoked key so far (fault F7)."""
        return self._transport.refused

    def look_now(self) -> None:
        """Take up the site as it stands with the next look; a signal may do it."""
        self._watch.look_now()

    def publish(self, frame: bytes) -> None:
        """As in `Transport`."""
        self._transport.publish(frame)

    def poll(self, timeout_s: float) -> Sequence[Arrival]:
        """As in `Transport`."""
        return self._transport.poll(timeout_s)

    def dropped(self) -> frozenset[IntersectionId]:
        """As in `Transport`."""
        return self._transport.dropped()

    def close(self) -> None:
        """As in `Transport`."""
        self._watch.close()
        self._transport.close()


def _peers(
    site: SiteFile, entry: SiteIntersection
) -> tuple[dict[IntersectionId, PeerAddress], dict[IntersectionId, str]]:
    """Whom the intersection of `entry` hears, and whom it lets in; one that left the directory is neither."""
    neighbours = {name: site.directory[name] for name in entry.intersection.neighbours if name in site.directory}
    return neighbours, {name: address.public_key for name, address in neighbours.items()}
