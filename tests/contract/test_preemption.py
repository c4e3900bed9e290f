"""What a site may say of tracks: every contradiction with its path."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from factories import make_intersection
from phasemesh.contract.preemption import RailPreemption, faults_of_rail

CROSSING = make_intersection("a", has_left_lanes=True)
"""Four stages."""
SOUND = RailPreemption(track_clearance_stage=0, track_clearance_s=15.0, dwell_stages=(2, 3))


def test_sound_tracks_have_no_fault() -> None:
    """One stage lets vehicles off the tracks, two others lead nobody onto them."""
    assert faults_of_rail(SOUND, CROSSING) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"track_clearance_stage": 4}, "track_clearance_stage: there is no stage 4"),
        ({"track_clearance_stage": -1}, "track_clearance_stage: there is no stage -1"),
        ({"dwell_stages": (2, 9)}, "dwell_stages: there is no stage 9"),
        ({"dwell_stages": ()}, "dwell_stages: name at least one stage that leads nobody onto the tracks"),
        (
            {"dwell_stages": (0, 2)},
            "dwell_stages: stage 0 clears the tracks and would go on to draw vehicles over them",
        ),
        ({"track_clearance_s": 0.0}, "track_clearance_s: 0.0 s is outside 1.0 to 255.0 s (NTCIP 1202)"),
        ({"track_clearance_s": 256.0}, "track_clearance_s: 256.0 s is outside 1.0 to 255.0 s (NTCIP 1202)"),
        ({"track_clearance_s": math.nan}, "track_clearance_s: nan s is outside 1.0 to 255.0 s (NTCIP 1202)"),
    ],
)
def test_each_fault_of_the_tracks_has_its_path(changes: dict[str, Any], fault: str) -> None:
    """Each contradiction gives exactly one line."""
    assert faults_of_rail(msgspec.structs.replace(SOUND, **changes), CROSSING) == [fault]
