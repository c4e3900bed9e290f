"""The table of adapters: to add one is to add a row and a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from phasemesh.contract.site import AdapterKind, SiteFile, SiteIntersection
from phasemesh.controller.access.tls import client_context, find_tls
from phasemesh.controller.access.tokens import read_agent_token
from phasemesh.controller.adapters.driver import Driver
from phasemesh.controller.adapters.http import HttpDriver, patience_of
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.adapters.traci import TraciDriver, TraciSession, parse_address
from phasemesh.controller.cabinet.cabinet import Cabinet, day_of_cabinet
from phasemesh.controller.plans.table import site_plan


def own_cabinet(
    entry: SiteIntersection,
    site: SiteFile,
    now_s: float = 0.0,
    *,
    state_path: Path | None = None,
    day_s: Callable[[float], float] = day_of_cabinet,
) -> Cabinet:
    """A cabinet inside this process whose power comes at `now_s`; `state_path` and `day_s` are those of `Cabinet`."""
    plan = site_plan(entry)
    return Cabinet(
        entry.intersection,
        entry.timings,
        plan,
        tick_s=site.tick_s,
        now_s=now_s,
        unit=entry.unit,
        state_path=state_path,
        day_s=day_s,
        rail=entry.rail,
    )


def _http(entry: SiteIntersection, site: SiteFile, folder: Path) -> Driver:
    name = entry.intersection.id
    number = site.directory[name].number
    return HttpDriver(
        entry.cabinet,
        name,
        read_agent_token(folder, number),
        lambda: client_context(find_tls(folder, str(number))),
        patience_of(site),
    )


def _memory(entry: SiteIntersection, site: SiteFile, _folder: Path) -> Driver:
    return MemoryDriver(own_cabinet(entry, site))


def _traci(entry: SiteIntersection, site: SiteFile, _folder: Path) -> Driver:
    address = parse_address(entry.cabinet)
    session = TraciSession(address.host, address.port)
    return TraciDriver(session, address.tls_id, own_cabinet(entry, site, session.now_s))


ADAPTERS: dict[AdapterKind, Callable[[SiteIntersection, SiteFile, Path], Driver]] = {
    AdapterKind.HTTP: _http,
    AdapterKind.MEMORY: _memory,
    AdapterKind.TRACI: _traci,
}


def open_driver(entry: SiteIntersection, site: SiteFile, folder: Path) -> Driver:
    """The driver that `entry` names, connected, with the token and certificates in the site's `folder`.

    Raises:
        SiteError: The address, token or certificates are unusable.
        EndpointError: It cannot be reached.
    """
    return ADAPTERS[entry.adapter](entry, site, folder)
