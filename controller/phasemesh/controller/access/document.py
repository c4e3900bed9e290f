"""What the gate adds to the OpenAPI document of the service behind it: how to prove who asks, and its refusals."""

from __future__ import annotations

from phasemesh.controller.access.roles import AUDITED

SECURITY_SCHEMES = {"bearer": {"type": "http", "scheme": "bearer"}}
"""The part `components.securitySchemes`."""
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]
"""The part `security` of every operation that is not open."""
REFUSALS: dict[int, str] = {
    401: "There is no valid token",
    403: "The token is not for this",
    411: "The body comes without its length",
    413: "The body is too long",
    429: "Too many requests; see Retry-After",
}
"""What the gate may answer to any request, by status (RFC 9110, RFC 6585)."""
UNAUDITED = "What cannot be written into the audit log is not done"


def refusals(role: str) -> dict[int, str]:
    """What the gate may answer to a request that demands `role`, each status with its meaning."""
    return {**REFUSALS, 503: UNAUDITED} if role in AUDITED else REFUSALS
