"""All thirty faults in a city of processes within an hour: each does what it must, and the city does what it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasemesh.sim_harness.faults.fault import Fault
from phasemesh.sim_harness.faults.table import FAULTS
from phasemesh.sim_harness.torture.course import Course, requests_of
from phasemesh.sim_harness.torture.judge import Judgement, judge
from phasemesh.sim_harness.worker import run_apart

pytestmark = [pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(900)]

SCENARIO, HOUR_S, SEED = "cologne3", 3600.0, 1


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    """The judgement of one hour under all faults, beside the same hour without."""
    folder: Path = tmp_path_factory.mktemp("city")
    course = Course(scenario=SCENARIO, bundle="approach-lost-time", report=folder, seed=SEED, seconds=HOUR_S)
    attacked, calm = requests_of(course, "all")
    return judge(Path(attacked.report), run_apart(attacked), Path(calm.report), run_apart(calm))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_city_survives_the_fault(survived: Judgement, fault: Fault) -> None:
    """It had its effect, no more than that, and it was over in time."""
    verdicts = [verdict for verdict in survived.verdicts if verdict.fault == fault.id]

    assert len(verdicts) == 1
    assert verdicts[0].failures == ()


def test_nothing_unsafe_was_shown_and_nothing_was_lost(survived: Judgement) -> None:
    """No trip of the monitor, no collision more, in junctions either, no record missing in silence, nobody lost."""
    assert survived.failures == ()
    assert survived.tortured.monitor_trips == 0
    assert survived.lost.undeclared == 0
    assert survived.calm_collisions.overlaps > 0  # Somebody did look inside junctions.
