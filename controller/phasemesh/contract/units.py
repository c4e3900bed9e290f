"""Names that keep identifiers apart; quantities carry their unit as a suffix (`_s`, `_m`, `_veh`)."""

from __future__ import annotations

from typing import Annotated, NewType

import msgspec

IntersectionId = NewType("IntersectionId", str)
LaneId = NewType("LaneId", str)

MonoNs = NewType("MonoNs", int)
"""A stamp of the monotonic clock in nanoseconds; only differences mean anything."""

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number that every format of phasemesh can carry; JSON alone would let in longer ones."""

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
