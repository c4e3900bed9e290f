"""Bodies of the cabinet service that are not words of the contract; agents read them without importing FastAPI."""

from __future__ import annotations

from typing import Annotated

import msgspec

from phasemesh.contract.detection import ControlMode
from phasemesh.contract.units import Int64
from phasemesh.controller.cabinet.arbiter import Override, OverrideKind
from phasemesh.controller.cabinet.latches import LatchedFault, Reset

Reason = Annotated[str, msgspec.Meta(max_length=200)]
"""A sentence for people."""


class LeaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent's life announcing that it is ready to command."""

    boot_id: Int64


class OverrideRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An override that ends by itself after `ttl_s` seconds; `stage` is for the kinds that ask for one."""

    kind: OverrideKind
    ttl_s: float
    stage: Int64 | None = None
    reason: Reason = ""


class ResetRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a latched fault is reset."""

    reason: Reason


class CabinetControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who chooses the stages, and every override that is in force, strongest first."""

    mode: ControlMode
    overrides: tuple[Override, ...]


class FaultReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is latched and what was reset, the oldest first; `file_fault` says why neither can be kept on disk."""

    latched: tuple[LatchedFault, ...]
    resets: tuple[Reset, ...]
    file_fault: str


class CabinetFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the service refused a request; the body of every answer that is not a success."""

    reason: str
