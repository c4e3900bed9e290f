"""Names that keep identifiers apart; quantities carry their unit as a suffix (`_s`, `_m`, `_veh`)."""

from __future__ import annotations

from typing import NewType

IntersectionId = NewType("IntersectionId", str)
LaneId = NewType("LaneId", str)

MonoNs = NewType("MonoNs", int)
"""A stamp of the monotonic clock in nanoseconds; only differences mean anything."""

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
