"""The memory hub as a process: `phasemesh memory-hub`."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import structlog

from phasemesh.contract.site import SiteFile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.life_file import wall_ms
from phasemesh.controller.memory.aggregate import Aggregate
from phasemesh.controller.memory.sync_hub import MemoryHub
from phasemesh.controller.peers.directory import DirectoryWatch
from phasemesh.controller.site_folder import read_hub_keypair, read_site
from phasemesh.controller.telemetry.log import configure_logging

log = structlog.get_logger("phasemesh.memory")


def agents_of(site: SiteFile) -> dict[IntersectionId, str]:
    """The public keys of all agents of `site`."""
    return {name: address.public_key for name, address in site.directory.items()}


def serve_hub(folder: Path, signers: tuple[str, ...] = ()) -> None:
    """Serve the agents of the site in `folder` until SIGTERM or SIGINT; raises PhasemeshError when that cannot begin.

    It follows the directory of the site: whoever was revoked is dropped and forgotten.
    """
    configure_logging()
    site = read_site(folder, signers)
    keypair = read_hub_keypair(folder, site)
    stops: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stops.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    endpoint = site.memory_hub.endpoint if site.memory_hub else ""
    hub = MemoryHub(endpoint, keypair, agents_of(site), Aggregate(wall_ms()))
    watch = DirectoryWatch(folder, lambda changed: hub.admit(agents_of(changed)), signers)
    log.info("memory hub serves", site=site.name, endpoint=endpoint, agents=len(site.directory))
    try:
        hub.serve(lambda: bool(stops))
    finally:
        watch.close()
        hub.close()
