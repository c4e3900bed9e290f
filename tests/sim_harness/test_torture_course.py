"""The two runs of a torture: alike in all but the faults, and the only ones that look inside junctions."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from phasemesh.sim_harness.torture.collisions import COLLISIONS_NAME
from phasemesh.sim_harness.torture.course import Course, request_of, requests_of

pytestmark = pytest.mark.sumo

LOOK = "--collision.check-junctions"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A quarter of an hour of cologne3."""
    return Course(scenario="cologne3", bundle="approach-lost-time", report=tmp_path, seed=4, seconds=900.0)


def test_both_runs_look_inside_junctions(course: Course) -> None:
    """So that the difference counts; each writes down what it finds in its own folder."""
    attacked, calm = requests_of(course, "F1,F8")

    for request in (attacked, calm):
        assert LOOK in request.sumo_args
        assert str(Path(request.report).resolve() / COLLISIONS_NAME) in request.sumo_args
    assert [fault.fault for fault in calm.faults] == []
    assert sorted(fault.fault for fault in attacked.faults) == ["F1", "F8"]


def test_both_runs_have_the_same_traffic(course: Course) -> None:
    """Scenario, controller, seed and length are those of the course."""
    attacked, calm = map(msgspec.structs.asdict, requests_of(course, "F1"))

    for name in ("scenario", "controller", "seed", "seconds", "profile", "tick_s", "ignore_junction_blocker_s"):
        assert attacked[name] == calm[name]


def test_other_runs_do_not_look_inside_junctions(course: Course) -> None:
    """Sweeps and soaks are compared with runs of every day."""
    assert LOOK not in request_of(course, "run", ()).sumo_args
