"""The gate before the service of a site's cabinets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from phasemesh.contract.detection import Snapshot
from phasemesh.contract.site import SiteFile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.access import access_of_site
from phasemesh.controller.access.audit import AuditLog
from phasemesh.controller.access.middleware import App, RouteRole, protected
from phasemesh.controller.access.roles import Role

AUDIT_NAME = "audit/cabinets.jsonl"
"""Where overrides are written down, in the folder of the site; several services of one site may share it."""


class DemandingRoute(Protocol):
    """A row of the service's own table of routes."""

    @property
    def method(self) -> str:
        """As in HTTP."""

    @property
    def path(self) -> str:
        """As the router takes it."""

    @property
    def role(self) -> str:
        """What it demands."""


class Shown(Protocol):
    """A cabinet, as far as the audit log looks at it."""

    def snapshot(self) -> Snapshot:
        """What it shows at present."""


def cabinet_gate(
    app: App, routes: Iterable[DemandingRoute], folder: Path, site: SiteFile, cabinets: Mapping[IntersectionId, Shown]
) -> App:
    """`app`, which serves `cabinets` by `routes`, behind the tokens of the site in `folder`.

    Raises:
        SiteError: A file of tokens is open to others or broken.
    """
    table = cabinet_table(routes)
    access = access_of_site(folder, site, tuple(cabinets))
    return protected(app, table, access, AuditLog(folder / AUDIT_NAME), lambda name: _sight(cabinets, name))


def cabinet_table(routes: Iterable[DemandingRoute]) -> tuple[RouteRole, ...]:
    """What the gate demands for each of `routes`, and for the document about them."""
    return (*(RouteRole(row.method, row.path, row.role) for row in routes), _DOCUMENT)


_DOCUMENT = RouteRole("GET", "/openapi.json", Role.VIEWER)


def _sight(cabinets: Mapping[IntersectionId, Shown], name: str | None) -> object:
    cabinet = cabinets.get(IntersectionId(name or ""))
    if cabinet is None:
        return None
    snapshot = cabinet.snapshot()
    return {field: getattr(snapshot, field) for field in ("step", "mode", "signal", "latched", "lease_boot_id")}
