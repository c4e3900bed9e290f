"""What one step of a unit brings forward: its file, its lease and the history of its lights."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit_factories import STAGES_OF_FOUR, Unit, full_disk

from agent_factories import make_cabinet
from factories import make_intersection
from phasemesh.contract.command import TIME_EPSILON_S, Command, CommandKind
from phasemesh.contract.detection import ControlMode
from phasemesh.controller.cabinet.latches import CLEAR_S, FILE_RULE, RETRY_S

CROSSING = make_intersection()


def test_what_a_full_disk_refused_is_written_by_a_later_step(tmp_path: Path) -> None:
    """A unit in flash tries its file again by itself, and tells that the trouble is over."""
    path = tmp_path / "0.json"
    unit = Unit(CROSSING, state_path=path)
    with full_disk():
        unit.cabinet.latch("I1", "conflict")
    unit.run(round(RETRY_S) - 1)
    is_told = "cannot be written" in unit.cabinet.faults.file_fault
    unit.run(1)

    assert is_told
    assert unit.cabinet.faults.file_fault == ""
    assert Unit(CROSSING, state_path=path).cabinet.snapshot().latched == ("I1",)


@pytest.mark.parametrize(
    ("late_s", "mode"), [(TIME_EPSILON_S, ControlMode.AGENT), (2 * TIME_EPSILON_S, ControlMode.OWN_PLAN)]
)
def test_a_lease_outlasts_a_rounding_error(late_s: float, mode: ControlMode) -> None:
    """Steps that add up to a hair more than the lease do not end it."""
    cabinet = make_cabinet(CROSSING)
    until_s = cabinet.command(Command(CROSSING.id, 1, 1, 0, 0.0, CommandKind.STAGE, 0, approved_s=0.0)).lease_until_s

    cabinet.step(1, until_s + late_s)

    assert cabinet.mode is mode


def test_a_change_that_has_just_begun_can_be_asked_for_again() -> None:
    """Turns that stay green through the change have been green up to now."""
    unit = Unit(STAGES_OF_FOUR)
    unit.run(7)

    assert [unit.ask(1).is_accepted for _ in range(2)] == [True, True]
    assert unit.run(1) == ["ygrrygrr"]


def test_a_unit_counts_its_steps_from_zero() -> None:
    """Unless it is told at which step power comes."""
    cabinet = Unit(CROSSING).cabinet

    assert (cabinet.present_step, cabinet.snapshot().step) == (0, 0)


def test_a_torn_file_is_latched_when_power_comes(tmp_path: Path) -> None:
    """The fault has the time of day of the start, and is reset like one that was seen just then."""
    path = tmp_path / "0.json"
    path.write_bytes(b"{")
    cabinet = Unit(CROSSING, state_path=path).cabinet

    assert [(fault.rule, fault.day_s) for fault in cabinet.faults.latched] == [(FILE_RULE, 0.0)]
    assert "still holds" in cabinet.reset(FILE_RULE, "ann")
    cabinet.step(1, CLEAR_S)
    assert cabinet.reset(FILE_RULE, "ann") == ""
    assert [(reset.who, reset.reason) for reset in cabinet.faults.resets] == [("ann", "")]
