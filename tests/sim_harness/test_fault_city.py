"""All thirty faults in a city of processes within an hour: each does what it must, and the city does what it must."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from city_runs import run_city

from phasemesh.sim_harness.faults.plan import plan_faults
from phasemesh.sim_harness.faults.table import FAULTS, Fault
from phasemesh.sim_harness.torture.course import Course, request_of, streets_of
from phasemesh.sim_harness.torture.judge import Judgement, judge

pytestmark = [pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(900)]

SCENARIO, HOUR_S, SEED = "cologne3", 3600.0, 1


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    """The judgement of one hour under all faults, beside the same hour without."""
    folder: Path = tmp_path_factory.mktemp("city")
    course = Course(scenario=SCENARIO, bundle="approach-lost-time", report=folder, seed=SEED, seconds=HOUR_S)
    faults = plan_faults(SEED, streets_of(course), HOUR_S, [fault.id for fault in FAULTS])
    request = msgspec.structs.asdict(request_of(course, "tortured", faults))
    changes = {name: value for name, value in request.items() if name not in ("scenario", "controller", "report")}
    bundle = request["controller"]
    tortured = run_city(folder / "tortured", SCENARIO, bundle, **changes)
    calm = run_city(folder / "calm", SCENARIO, bundle, seconds=HOUR_S, seed=SEED)
    return judge(folder / "tortured", tortured, calm)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_city_survives_the_fault(survived: Judgement, fault: Fault) -> None:
    """It had its effect, no more than that, and it was over in time."""
    verdicts = [verdict for verdict in survived.verdicts if verdict.fault == fault.id]

    assert len(verdicts) == 1
    assert verdicts[0].failures == ()


def test_nothing_unsafe_was_shown_and_nothing_was_lost(survived: Judgement) -> None:
    """No trip of the monitor, no collision more, no record missing in silence, nobody lost for good."""
    assert survived.failures == ()
    assert survived.tortured.monitor_trips == 0
    assert survived.lost.undeclared == 0
