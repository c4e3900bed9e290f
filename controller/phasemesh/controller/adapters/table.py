"""The table of adapters: to add one is to add a row and a file."""

from __future__ import annotations

from collections.abc import Callable

from phasemesh.contract.site import AdapterKind, SiteFile, SiteIntersection
from phasemesh.controller.adapters.driver import Driver
from phasemesh.controller.adapters.http import HttpDriver
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.adapters.traci import TraciDriver, TraciSession, parse_address
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.plans.table import PLANS


def own_cabinet(entry: SiteIntersection, site: SiteFile, now_s: float = 0.0) -> Cabinet:
    """A cabinet inside this process from `now_s` on, as adapters need that have no controller unit below them."""
    plan = PLANS[entry.plan](entry.intersection, entry.timings)
    return Cabinet(entry.intersection, entry.timings, plan, tick_s=site.tick_s, now_s=now_s)


def _http(entry: SiteIntersection, _site: SiteFile) -> Driver:
    return HttpDriver(entry.cabinet, entry.intersection.id)


def _memory(entry: SiteIntersection, site: SiteFile) -> Driver:
    return MemoryDriver(own_cabinet(entry, site))


def _traci(entry: SiteIntersection, site: SiteFile) -> Driver:
    address = parse_address(entry.cabinet)
    session = TraciSession(address.host, address.port)
    return TraciDriver(session, address.tls_id, own_cabinet(entry, site, session.now_s))


ADAPTERS: dict[AdapterKind, Callable[[SiteIntersection, SiteFile], Driver]] = {
    AdapterKind.HTTP: _http,
    AdapterKind.MEMORY: _memory,
    AdapterKind.TRACI: _traci,
}


def open_driver(entry: SiteIntersection, site: SiteFile) -> Driver:
    """The driver that `entry` names, connected; raises SiteError or EndpointError."""
    return ADAPTERS[entry.adapter](entry, site)
