"""What a site says of the tracks beside an intersection: what is shown when a train comes, in which order."""

from __future__ import annotations

from itertools import chain

import msgspec

from phasemesh.contract.intersection import Intersection

TRACK_CLEARANCE_RANGE_S = (1.0, 255.0)
"""Allowed clearance green in seconds (NTCIP 1202 preemptTrackGreen; its 0 would leave the clearance out)."""


class RailPreemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First the tracks are cleared, then the signal dwells in a stage that leads nobody onto them (MUTCD 8C.09).

    `track_clearance_stage` lets out whoever stands on the tracks and is green for `track_clearance_s` seconds since the
    call, and for its own minimum in any case. `dwell_stages` are those that may be asked for until the train is gone.
    """

    track_clearance_stage: int
    track_clearance_s: float
    dwell_stages: tuple[int, ...]


def faults_of_rail(rail: RailPreemption, intersection: Intersection) -> list[str]:
    """All contradictions in `rail`, each with its path; empty when there are none."""
    count = len(intersection.stages)
    low_s, high_s = TRACK_CLEARANCE_RANGE_S
    named = (("track_clearance_stage", (rail.track_clearance_stage,)), ("dwell_stages", rail.dwell_stages))
    faults = list(
        chain.from_iterable(
            [f"{field}: there is no stage {stage}" for stage in stages if not 0 <= stage < count]
            for field, stages in named
        )
    )
    if not low_s <= rail.track_clearance_s <= high_s:
        faults.append(f"track_clearance_s: {rail.track_clearance_s} s is outside {low_s} to {high_s} s (NTCIP 1202)")
    if not rail.dwell_stages:
        faults.append("dwell_stages: name at least one stage that leads nobody onto the tracks")
    if rail.track_clearance_stage in rail.dwell_stages:
        faults.append(
            f"dwell_stages: stage {rail.track_clearance_stage} clears the tracks and would go on to draw vehicles"
            " over them"
        )
    return faults
