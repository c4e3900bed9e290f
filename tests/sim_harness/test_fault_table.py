"""The table of faults: complete, injectable, and each row proven by tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasemesh.sim_harness.faults.driver import DRIVER_MEANS
from phasemesh.sim_harness.faults.fault import Fault
from phasemesh.sim_harness.faults.means import MEANS, Place
from phasemesh.sim_harness.faults.table import CITY, FAULTS

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "torture.md"


def test_there_are_thirty_faults() -> None:
    """F1 to F30, each once, in order."""
    assert [fault.id for fault in FAULTS] == [f"F{number}" for number in range(1, 31)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_fault_can_be_injected(fault: Fault) -> None:
    """Each variant is a known means, and asks for no more than the row allows."""
    assert fault.variants
    assert all(variant.means in MEANS for variant in fault.variants)
    assert all(variant.least <= fault.deepest for variant in fault.variants)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_fault_is_proven_by_tests_that_exist(fault: Fault) -> None:
    """The files of a row exist and name it: in tests of its own, or as one of a list."""
    assert fault.proof
    for proof in fault.proof:
        text = (TESTS / proof).read_text(encoding="utf-8")
        assert proof == CITY or f"def test_{fault.id.lower()}_" in text or f'"{fault.id}"' in text


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_fault_is_explained(fault: Fault) -> None:
    """The page of faults has a row for each, with its title and what is required."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {fault.id} |")]

    assert len(rows) == 1
    assert fault.title in rows[0]
    assert fault.required in rows[0]


def test_means_of_other_drivers_are_for_agents_without_a_service() -> None:
    """Whatever a driver can suffer inside an agent is planned, or has its like at the cabinet's service."""
    planned = {variant.means for fault in FAULTS for variant in fault.variants}
    inside = {name for name in DRIVER_MEANS if name in MEANS and MEANS[name].place is Place.AGENT}

    assert inside <= planned
