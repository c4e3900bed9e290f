"""Start-up, flash and latched faults: what a unit shows when nobody chooses its stages, and how it comes back."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
from unit_factories import STAGES_OF_FOUR, WALKED, Unit, busy, full_disk, shape

from factories import make_intersection
from phasemesh.contract.command import Interval, SignalState
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.site import PlanKind
from phasemesh.contract.timing import BENCHMARK, PAPER, SIMULATED_UNIT, STREET, UnitTiming, stage_timings
from phasemesh.controller.cabinet.arbiter import OverrideKind
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cabinet.display import MIN_FLASH_S
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.guard import Guard

CROSSING = make_intersection()
FLASH = "oooo"
RED = "rrrr"
"""Under the street profile: minimum green 7 s, maximum 60 s, absolute 120 s, yellow 4 s, red 1 s, maximum wait 180 s;
with crossings walk 7 s and a clearance of 10 s for people."""


def test_power_brings_flash_then_red_then_the_first_stage() -> None:
    """Six seconds of flash, an all-red, and a first green that counts from its beginning."""
    unit = Unit(CROSSING, unit=UnitTiming(startup_flash_s=6.0))
    modes = [unit.cabinet.mode]
    for _ in range(9):
        unit.run(1)
        modes.append(unit.cabinet.mode)

    assert shape(unit.seen) == [(FLASH, 6), (RED, 2), ("GrGr", 2)]
    assert modes == [ControlMode.STARTUP] * 8 + [ControlMode.OWN_PLAN] * 2
    assert unit.cabinet.snapshot().signal.since_s == 8.0


def test_the_first_green_is_no_shorter_than_others() -> None:
    """An agent cannot end the green of a unit that has just started."""
    unit = Unit(CROSSING, unit=UnitTiming(startup_flash_s=6.0))
    unit.run(14)

    assert unit.ask(1).rule == "I5"
    unit.run(1)
    assert unit.ask(1).is_accepted


def test_the_all_red_outlasts_everything_that_the_power_cut_may_have_cut_off() -> None:
    """People who were on a crossing when the power went are on the other side before anybody drives."""
    unit = Unit(WALKED, unit=UnitTiming(startup_flash_s=6.0))
    unit.run(30)
    longest_s = max(each.ped_clearance_s + each.yellow_s + each.red_clearance_s for each in unit.times)

    assert shape(unit.seen)[:2] == [("ooooOOOO", 6), ("r" * 8, round(longest_s))]


@pytest.mark.parametrize("red_clearance_s", [0.0, 1.0, 3.0])
def test_the_all_red_is_a_red_revert_at_least(red_clearance_s: float) -> None:
    """Two seconds, or the longest red clearance where that is longer."""
    times = tuple(
        type(each)(**{**{name: getattr(each, name) for name in each.__struct_fields__}, "red_clearance_s": red})
        for each, red in zip(stage_timings(CROSSING, STREET), (red_clearance_s, 0.0), strict=True)
    )
    plan = PLANS[PlanKind.FIXED](CROSSING, times)
    cabinet = Cabinet(CROSSING, times, plan, tick_s=2.0, now_s=0.0, unit=UnitTiming(startup_flash_s=1.0))
    shown = []
    for second in range(1, 8):
        cabinet.step(second, float(second))
        shown.append(cabinet.lights)

    assert shape(shown)[0] == (RED, round(max(2.0, red_clearance_s)))


def test_a_unit_without_start_up_time_shows_its_first_stage_at_once() -> None:
    """Simulations are compared from their first step."""
    unit = Unit(CROSSING)

    assert (unit.cabinet.lights, unit.cabinet.mode) == ("GrGr", ControlMode.OWN_PLAN)


@pytest.mark.parametrize("seconds", [0, 3, 6, 7])
def test_nobody_commands_a_unit_that_starts(seconds: int) -> None:
    """Neither in the flash nor in the red is a command taken, and it does not take the lease."""
    unit = Unit(CROSSING, unit=UnitTiming(startup_flash_s=6.0))
    unit.run(seconds)
    applied = unit.ask(0)

    assert (applied.is_accepted, applied.rule) == (False, "I11")
    assert unit.cabinet.snapshot().lease_boot_id is None


def test_flash_of_an_operator_ends_the_stage_like_any_change() -> None:
    """Minimum green, clearance of people, yellow and red come first; then all vehicles blink and crossings are dark."""
    unit = Unit(WALKED)
    unit.run(2)
    unit.override(OverrideKind.FLASH)
    modes = set()
    for _ in range(30):
        unit.run(1)
        modes.add(unit.cabinet.mode)

    assert shape(unit.seen) == [
        ("GrGrrGrG", 7),
        ("GrGrrrrr", 10),
        ("yryrrrrr", 4),
        ("r" * 8, 1),
        ("ooooOOOO", 11),
    ]
    assert modes == {ControlMode.FLASH}


def test_flash_of_an_operator_ends_through_red() -> None:
    """The unit starts like after a power cut, without the flash of one."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.override(OverrideKind.FLASH, ttl_s=30.0)
    unit.run(40)

    assert shape(unit.seen)[:6] == [("GrGr", 8), ("yryr", 4), (RED, 1), (FLASH, 24), (RED, 2), ("GrGr", 9)]
    assert unit.cabinet.mode is ControlMode.OWN_PLAN


def test_a_flash_is_never_too_short_to_be_seen() -> None:
    """Who cancels it at once still gets the minimum flash."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.override(OverrideKind.FLASH)
    unit.run(7)
    assert unit.cabinet.lights == FLASH
    unit.cabinet.cancel(OverrideKind.FLASH)
    unit.run(12)

    assert (FLASH, round(MIN_FLASH_S)) in shape(unit.seen)


def test_flash_that_is_taken_back_on_the_way_ends_in_red() -> None:
    """A closing that has begun is finished, without any flash."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.override(OverrideKind.FLASH)
    unit.run(2)
    unit.cabinet.cancel(OverrideKind.FLASH)
    unit.run(8)

    assert shape(unit.seen) == [("GrGr", 8), ("yryr", 4), (RED, 3), ("GrGr", 3)]


def test_flash_that_is_asked_for_again_needs_no_green_in_between() -> None:
    """Who asks for it in the red of its own end gets it back at once."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.override(OverrideKind.FLASH, ttl_s=30.0)
    unit.run(30)
    assert unit.cabinet.lights == RED
    unit.override(OverrideKind.FLASH, ttl_s=30.0)
    unit.run(10)

    assert shape(unit.seen)[-3:] == [(FLASH, 24), (RED, 1), (FLASH, 10)]


def test_flash_during_the_start_up_follows_it() -> None:
    """There is no green in between."""
    unit = Unit(CROSSING, unit=UnitTiming(startup_flash_s=6.0))
    unit.run(1)
    unit.override(OverrideKind.FLASH, ttl_s=20.0)
    unit.run(24)

    assert shape(unit.seen) == [(FLASH, 21), (RED, 2), ("GrGr", 3)]


def test_a_latched_fault_flashes_at_once() -> None:
    """In the middle of a green, and whoever is in charge."""
    unit = Unit(CROSSING)
    unit.ask(0)
    unit.run(3)
    unit.cabinet.latch("I1", "movements 0 and 1 conflict")
    snapshot = unit.cabinet.snapshot()
    refused = unit.ask(0)

    assert unit.cabinet.lights == FLASH
    assert (snapshot.mode, snapshot.latched) == (ControlMode.FLASH, ("I1",))
    assert snapshot.signal.interval is Interval.RED_CLEARANCE
    assert refused.rule == "I11"
    assert set(unit.run(600)) == {FLASH}


@pytest.mark.parametrize("kind", OverrideKind)
def test_nothing_outranks_a_latched_fault(kind: OverrideKind) -> None:
    """Neither train nor operator brings a green as long as nobody has looked."""
    unit = Unit(CROSSING)
    unit.cabinet.latch("I1", "")
    needs_stage = kind not in (OverrideKind.FLASH, OverrideKind.STOP_TIME)
    unit.override(kind, stage=1 if needs_stage else None)

    assert set(unit.run(100)) == {FLASH}
    assert unit.cabinet.mode is ControlMode.FLASH


def test_a_reset_leads_through_red_to_the_first_stage() -> None:
    """When the last fault is cleared, and not before."""
    unit = Unit(CROSSING)
    unit.cabinet.latch("I1", "")
    unit.cabinet.latch("I4", "")
    unit.run(10)
    answers = [unit.cabinet.reset("I1", "ann", "seen")]
    unit.run(10)
    between = unit.cabinet.lights
    answers.append(unit.cabinet.reset("I4", "ann", "seen"))

    assert answers == ["", ""]
    assert between == FLASH
    assert shape(unit.run(5)) == [(RED, 2), ("GrGr", 3)]
    assert [(each.rule, each.who) for each in unit.cabinet.faults.resets] == [("I1", "ann"), ("I4", "ann")]


def test_a_fault_that_is_still_reported_cannot_be_reset() -> None:
    """A monitor that goes on seeing it keeps the flash."""
    unit = Unit(CROSSING)
    unit.run(10)
    unit.cabinet.latch("I1", "")

    assert "still holds" in unit.cabinet.reset("I1", "ann")
    assert unit.cabinet.snapshot().latched == ("I1",)


def test_a_latched_fault_survives_a_power_cut(tmp_path: Path) -> None:
    """The unit comes back in flash, even one without any start-up time, and stays there."""
    path = tmp_path / "0.json"
    Unit(CROSSING, state_path=path).cabinet.latch("I1", "conflict")
    unit = Unit(CROSSING, state_path=path)
    unit.run(60)

    assert set(unit.seen) == {FLASH}
    assert unit.cabinet.snapshot().latched == ("I1",)
    assert unit.cabinet.reset("I1", "ann") == ""
    unit.run(3)
    assert Unit(CROSSING, state_path=path).cabinet.lights == "GrGr"


def test_a_latch_on_a_full_disk_still_flashes(tmp_path: Path) -> None:
    """The trouble with the disk is told as a value."""
    unit = Unit(CROSSING, state_path=tmp_path / "0.json")
    with full_disk():
        unit.cabinet.latch("I1", "")

    assert unit.cabinet.lights == FLASH
    assert "cannot be written" in unit.cabinet.faults.file_fault


class BrokenCabinet(Cabinet):
    """A cabinet with a defect: in its second stage it shows everybody green."""

    def _letters(self) -> str:
        return super()._letters().replace("rGrG", "GGGG")


def test_the_read_back_stops_what_the_sequencer_would_show() -> None:
    """The conflict is never shown: flash stands in its place, and the rule is latched."""
    times = stage_timings(CROSSING, BENCHMARK)
    cabinet = BrokenCabinet(CROSSING, times, PLANS[PlanKind.FIXED](CROSSING, times), tick_s=2.0, now_s=0.0)
    shown = []
    for second in range(1, 60):
        cabinet.step(second, float(second))
        shown.append(cabinet.lights)

    assert [letters for letters, _ in groupby(shown)] == ["GrGr", "yryr", FLASH]
    assert "I1" in cabinet.snapshot().latched
    assert "movements 0 and 1 conflict" in cabinet.faults.latched[0].detail


class WaryGuard(Guard):
    """A guard that sees in the second stage what the read-back does not."""

    def shown_conflict(self, signal: SignalState, now_s: float) -> Finding | None:
        """As in `Guard`."""
        is_wrong = signal.stage == 1 and signal.interval is Interval.GREEN
        return Finding("I1", Reaction.LATCH, "seen by the guard") if is_wrong else super().shown_conflict(signal, now_s)


class WaryCabinet(Cabinet):
    """A cabinet with such a guard."""

    def _show(self) -> None:
        self._guard = WaryGuard(self.intersection, self.timings)
        super()._show()


def test_what_the_guard_calls_a_conflict_is_never_shown() -> None:
    """Flash stands in its place from the first step on, latched until an operator resets it (I1)."""
    times = stage_timings(CROSSING, BENCHMARK)
    cabinet = WaryCabinet(CROSSING, times, PLANS[PlanKind.FIXED](CROSSING, times), tick_s=2.0, now_s=0.0)
    shown = []
    for second in range(1, 60):
        cabinet.step(second, float(second))
        shown.append(cabinet.lights)

    assert [letters for letters, _ in groupby(shown)] == ["GrGr", "yryr", FLASH]
    assert [(fault.rule, fault.detail) for fault in cabinet.faults.latched] == [("I1", "seen by the guard")]
    assert cabinet.mode is ControlMode.FLASH


def test_a_cabinet_of_the_street_shows_no_short_yellow() -> None:
    """A stage whose yellow only a simulation may have is neither left nor entered beside a unit of the street (I3)."""
    times = stage_timings(CROSSING, PAPER)
    shown = []
    for unit in (SIMULATED_UNIT, UnitTiming()):
        plan = PLANS[PlanKind.FIXED](CROSSING, times)
        cabinet = Cabinet(CROSSING, times, plan, tick_s=2.0, now_s=0.0, unit=unit)
        for second in range(1, 120):
            cabinet.step(second, float(second))
            shown.append((unit, cabinet.lights))

    assert {lights for unit, lights in shown if unit == SIMULATED_UNIT} == {"GrGr", "yryr", "rGrG", "ryry"}
    assert {lights for unit, lights in shown if unit == UnitTiming()} == {FLASH, "rrrr", "GrGr"}


def test_a_stage_after_flash_forgets_who_waited() -> None:
    """In flash everybody drove; the unit starts with a clean slate of waits."""
    unit = Unit(STAGES_OF_FOUR)
    unit.cabinet.latch("I1", "")
    unit.run(1000, busy(STAGES_OF_FOUR))
    unit.cabinet.reset("I1", "ann")
    unit.run(4, busy(STAGES_OF_FOUR))
    applied = unit.ask(0)

    assert applied.is_accepted
    assert applied.rule == ""
