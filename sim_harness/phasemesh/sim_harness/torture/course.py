"""The run under attack and the run beside it: from a request of a user to a judgement."""

from __future__ import annotations

from pathlib import Path

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.faults.plan import chosen_kinds, plan_faults
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.options import AgentsMode
from phasemesh.sim_harness.request import RunRequest, resolve
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.screen import Screen
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.sim_harness.torture.demand import repeat_demand
from phasemesh.sim_harness.torture.judge import Judgement, judge
from phasemesh.sim_harness.worker import run_apart

TORTURED, CALM, DEMAND = "tortured", "calm", "demand"
"""Folders below the report: the run under attack, the run without faults, and the repeated demand of both."""

Streets = dict[IntersectionId, tuple[IntersectionId, ...]]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks for: a scenario by name, a bundle, how long, and where to put the report.

    `seconds` is None for the window of the scenario; a longer run repeats the demand of that window.
    """

    scenario: str
    bundle: str
    report: Path
    seed: int = 1
    seconds: float | None = None
    profile: str = "benchmark"
    has_namespaces: bool = False


def streets_of(course: Course) -> Streets:
    """The neighbours of every commanded signal."""
    network = read_network(find_scenario(course.scenario).net_file)
    return {each.id: each.neighbours for each in network.intersections}


def length_s(course: Course) -> float:
    """Simulated seconds of the run."""
    scenario = find_scenario(course.scenario)
    return course.seconds if course.seconds is not None else scenario.end_s - scenario.begin_s


def request_of(course: Course, folder: str, faults: tuple[PlannedFault, ...]) -> RunRequest:
    """The run of `course` under `faults`, with its outputs in `folder` of the report; the demand lasts long enough."""
    scenario, seconds = find_scenario(course.scenario), length_s(course)
    name = course.scenario
    if seconds > scenario.end_s - scenario.begin_s:
        name = str(repeat_demand(scenario, seconds, course.report / DEMAND))
    return RunRequest(
        scenario=name,
        controller=f"bundle:{course.bundle}",
        report=str(course.report / folder),
        profile=course.profile,
        agents=AgentsMode.PROCESSES.value,
        seconds=seconds,
        seed=course.seed,
        keeps_records=True,
        faults=faults,
        has_namespaces=course.has_namespaces,
    )


def run_torture(course: Course, faults_text: str) -> Judgement:
    """Run the city of `course` under the faults that `faults_text` names, and again without; judge it.

    Raises:
        PhasemeshError: The run cannot be made, in one line.
    """
    kinds = chosen_kinds(faults_text)
    faults = plan_faults(course.seed, streets_of(course), length_s(course), kinds, has_namespaces=course.has_namespaces)
    request = request_of(course, TORTURED, faults)
    city = City(resolve(request), screen := Screen(f"{course.scenario} under {len(faults)} faults"))
    with screen:
        tortured = city.run()
    screen.note("the same run without faults")
    calm = run_apart(
        msgspec.structs.replace(
            request, report=str(course.report / CALM), faults=(), agents=AgentsMode.INPROCESS.value, keeps_records=False
        )
    )
    return judge(course.report / TORTURED, tortured, calm)
