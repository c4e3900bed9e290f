"""The detection zone of a lane: the pieces of road upstream of its stop line that its detector covers."""

from __future__ import annotations

import msgspec

ZONE_LENGTH_M = 150.0
"""How far up from the stop line a zone reaches."""


class ZonePiece(msgspec.Struct, frozen=True):
    """One lane of a zone.

    `offset_m` is the distance from the stop line to the downstream end of this piece, so that a vehicle at position p
    on a lane of `length_m` l stands `offset_m + (l - p)` before the stop line.
    """

    lane_id: str
    length_m: float
    offset_m: float


Zone = tuple[ZonePiece, ...]
"""The pieces of one incoming lane: first the lane itself (offset 0), then upstream lanes, internal ones included,
nearest first, until `ZONE_LENGTH_M`; where roads join, all branches stand in it. Empty for a crossing, whose detectors
look for the people who want to use it."""
