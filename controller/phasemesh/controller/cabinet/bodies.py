"""Bodies of the cabinet service that are not words of the contract; agents read them without importing FastAPI."""

from __future__ import annotations

import msgspec


class LeaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent's life announcing that it is ready to command."""

    boot_id: int


class CabinetFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the service refused a request; the body of every answer that is not a success."""

    reason: str
