"""A train: the tracks are cleared first, then the signal dwells, and every rule of the guard stands meanwhile."""

from __future__ import annotations

import pytest
from unit_factories import STAGES_OF_FOUR, WALKED, Unit, busy, shape

from factories import make_intersection, make_timings
from phasemesh.contract.command import Interval, SignalState, start
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.errors import SiteError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.preemption import RailPreemption
from phasemesh.contract.site import AdapterKind, Pace, PlanKind, SiteFile, SiteIntersection
from phasemesh.controller.adapters.table import own_cabinet
from phasemesh.controller.cabinet.arbiter import OverrideKind
from phasemesh.controller.cabinet.bodies import CabinetFault
from phasemesh.controller.cabinet.display import Display, Face
from phasemesh.controller.cabinet.track_clearance import TrackClearance, next_clearance, stage_for_train

CROSSING = make_intersection()
RED = "rrrr"
"""Under the street profile: minimum green 7 s, yellow 4 s, red 1 s; with crossings a walk of 7 s, a clearance of 10."""
NORTH_FIRST = RailPreemption(track_clearance_stage=0, track_clearance_s=12.0, dwell_stages=(1,))
EAST_FIRST = RailPreemption(track_clearance_stage=1, track_clearance_s=12.0, dwell_stages=(0,))


def rail_call(unit: Unit, stage: int, ttl_s: float = 600.0) -> None:
    """A train is near, or still is; the signal is to dwell in `stage`."""
    unit.override(OverrideKind.RAIL, stage=stage, ttl_s=ttl_s)


def test_the_tracks_are_cleared_before_the_signal_dwells() -> None:
    """The clearance stage has its whole green behind the ordinary change, then the other stays until the train left."""
    unit = Unit(CROSSING, rail=EAST_FIRST)
    unit.run(3, busy(CROSSING))
    rail_call(unit, 0)
    mode = unit.cabinet.mode
    shown = shape(unit.run(300, busy(CROSSING)))

    assert mode is ControlMode.PREEMPT
    assert shown == [("GrGr", 3), ("yryr", 4), (RED, 1), ("rGrG", 12), ("ryry", 4), (RED, 1), ("GrGr", 275)]


def test_a_green_of_before_the_call_clears_nothing() -> None:
    """Where the clearance stage is green already, its time counts from the call."""
    unit = Unit(CROSSING, rail=NORTH_FIRST)
    unit.run(15)
    rail_call(unit, 1)
    shown = shape(unit.run(40))

    assert shown == [("GrGr", 11), ("yryr", 4), (RED, 1), ("rGrG", 24)]


def test_a_short_clearance_still_has_the_minimum_green() -> None:
    """The guard holds the clearance stage like any other."""
    short = RailPreemption(track_clearance_stage=1, track_clearance_s=1.0, dwell_stages=(0,))
    unit = Unit(CROSSING, rail=short)
    unit.run(7)
    rail_call(unit, 0)
    unit.run(20)

    assert ("rGrG", 7) in shape(unit.seen)


def test_a_train_never_cuts_the_time_of_people() -> None:
    """Walk and clearance of people are whole before and after the tracks are cleared."""
    unit = Unit(WALKED, rail=EAST_FIRST)
    unit.run(1)
    rail_call(unit, 0)
    unit.run(70)

    assert shape(unit.seen)[:8] == [
        ("GrGrrGrG", 7),
        ("GrGrrrrr", 10),
        ("yryrrrrr", 4),
        ("r" * 8, 1),
        ("rGrGGrGr", 12),
        ("rGrGrrrr", 10),
        ("ryryrrrr", 4),
        ("r" * 8, 1),
    ]


def test_a_change_that_runs_when_the_train_is_called_is_finished() -> None:
    """Its green lasts its minimum, then the tracks are cleared."""
    unit = Unit(CROSSING, rail=NORTH_FIRST)
    unit.run(7)
    unit.ask(1)
    unit.run(1)
    rail_call(unit, 1)
    unit.run(50)

    assert shape(unit.seen)[1:] == [
        ("yryr", 4),
        (RED, 1),
        ("rGrG", 7),
        ("ryry", 4),
        (RED, 1),
        ("GrGr", 12),
        ("yryr", 4),
        (RED, 1),
        ("rGrG", 18),
    ]


def test_a_call_that_is_renewed_clears_the_tracks_once() -> None:
    """A train asks on and on while it passes; the signal goes on dwelling."""
    unit = Unit(CROSSING, rail=EAST_FIRST)
    unit.run(7)
    for _ in range(20):
        rail_call(unit, 0, ttl_s=10.0)
        unit.run(5)

    assert shape(unit.seen)[2:] == [(RED, 1), ("rGrG", 12), ("ryry", 4), (RED, 1), ("GrGr", 79)]


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "expired"])
def test_the_next_train_clears_the_tracks_again(*, is_cancelled: bool) -> None:
    """Between two calls vehicles may have stopped on the tracks."""
    unit = Unit(CROSSING, rail=EAST_FIRST)
    unit.run(7)
    rail_call(unit, 0, ttl_s=40.0)
    unit.run(39)
    if is_cancelled:
        unit.cabinet.cancel(OverrideKind.RAIL)
    else:
        unit.run(1)
    rail_call(unit, 0, ttl_s=40.0)
    shown = shape(unit.run(30))

    assert ("rGrG", 12) in shown


def test_a_call_that_outlasts_a_flash_clears_the_tracks_again() -> None:
    """Nobody knows who stopped on them while all lights blinked."""
    unit = Unit(CROSSING, rail=EAST_FIRST)
    unit.run(7)
    rail_call(unit, 0)
    unit.run(30)
    unit.cabinet.latch("I1", "a test")
    unit.run(10)
    unit.cabinet.reset("I1", "tester")
    shown = shape(unit.run(60))

    assert shown[-7:-1] == [("GrGr", 7), ("yryr", 4), (RED, 1), ("rGrG", 12), ("ryry", 4), (RED, 1)]
    assert shown[-1][0] == "GrGr"


def test_a_stage_that_leads_onto_the_tracks_is_refused() -> None:
    """A train waits only for the stages that the site names; other kinds may ask for any."""
    rail = RailPreemption(track_clearance_stage=0, track_clearance_s=12.0, dwell_stages=(2, 3))
    unit = Unit(STAGES_OF_FOUR, rail=rail)
    answers = [unit.cabinet.override(OverrideKind.RAIL, stage, 60.0, reason="", who="") for stage in (0, 1)]
    fire = unit.override(OverrideKind.FIRE, stage=1)

    assert answers == [
        CabinetFault(f"stage: {stage} may lead onto the tracks; a train waits for one of 2, 3") for stage in (0, 1)
    ]
    assert unit.cabinet.overrides == (fire,)


def test_a_fire_engine_clears_no_tracks() -> None:
    """Its stage comes at once although the intersection lies beside tracks."""
    unit = Unit(CROSSING, rail=EAST_FIRST)
    unit.run(7)
    unit.override(OverrideKind.FIRE, stage=0)

    assert set(unit.run(60)) == {"GrGr"}


def test_a_cabinet_refuses_tracks_that_contradict_its_stages() -> None:
    """A dwell in the stage that clears the tracks would draw vehicles over them."""
    with pytest.raises(SiteError, match="dwell_stages"):
        Unit(CROSSING, rail=RailPreemption(0, 12.0, (0,)))


def test_the_cabinet_of_a_site_knows_its_tracks() -> None:
    """What the file of an intersection says of a train is what its cabinet keeps to."""
    entry = SiteIntersection(
        CROSSING, make_timings(CROSSING), PlanKind.FIXED, AdapterKind.MEMORY, cabinet="", operator="", rail=EAST_FIRST
    )
    site = SiteFile(1, "", SPEC_HASH, "benchmark", True, Pace.REALTIME, 1.0, 2.0, 200.0, "", 1, {})
    cabinet = own_cabinet(entry, site)

    assert isinstance(cabinet.override(OverrideKind.RAIL, 1, 60.0, reason="", who=""), CabinetFault)


@pytest.mark.parametrize("face", [face for face in Face if face is not Face.STAGES])
def test_nothing_is_cleared_while_no_stages_are_shown(face: Face) -> None:
    """Start-up, flash and the ways between them forget what was cleared before."""
    display = Display(face, start(0, 0.0), 0.0)

    assert next_clearance(TrackClearance(0.0, is_over=True), NORTH_FIRST, display, 100.0) is None
    assert stage_for_train(None, NORTH_FIRST, 1) == 0


@pytest.mark.parametrize(
    ("signal", "now_s", "is_over"),
    [
        (start(0, 0.0), 21.9, False),
        (start(0, 0.0), 22.0, True),
        (start(0, 15.0), 26.9, False),
        (start(0, 15.0), 27.0, True),
        (start(1, 0.0), 100.0, False),
        (SignalState(0, 1, Interval.YELLOW, 0.0), 100.0, False),
    ],
)
def test_the_clearance_is_over_with_its_green(signal: SignalState, now_s: float, *, is_over: bool) -> None:
    """It takes the green of its own stage since the call at 10 s, and no other."""
    clearance = next_clearance(TrackClearance(10.0), NORTH_FIRST, Display(Face.STAGES, signal, 0.0), now_s)

    assert clearance == TrackClearance(10.0, is_over=is_over)
    assert stage_for_train(clearance, NORTH_FIRST, 1) == (1 if is_over else 0)
