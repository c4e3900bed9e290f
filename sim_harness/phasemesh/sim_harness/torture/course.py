"""The run under attack and the run beside it: from a request of a user to a judgement."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from phasemesh.contract.site import MemoryMode
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.faults.plan import chosen_kinds, plan_faults
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.options import AgentsMode
from phasemesh.sim_harness.request import RunRequest, resolve
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.screen import Screen
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.sim_harness.torture.collisions import junction_arguments
from phasemesh.sim_harness.torture.demand import repeat_demand
from phasemesh.sim_harness.torture.judge import Judgement, judge
from phasemesh.sim_harness.torture.memories import STORES
from phasemesh.sim_harness.torture.pages import JUDGEMENT_NAME, PAGE_NAME
from phasemesh.sim_harness.worker import run_apart

TORTURED, CALM, DEMAND = "tortured", "calm", "demand"
"""Folders below the report: the run under attack, the run without faults, and the repeated demand of both."""

Streets = dict[IntersectionId, tuple[IntersectionId, ...]]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks for: a scenario by name, a bundle, how long, and where to put the report.

    `seconds` is None for the window of the scenario; a longer run repeats the demand of that window. With a `memory`,
    agents begin without one, keep it in a store, and faults of processes and disks meet the store as well.
    """

    scenario: str
    bundle: str
    report: Path
    seed: int = 1
    seconds: float | None = None
    profile: str = "benchmark"
    has_namespaces: bool = False
    memory: str = MemoryMode.OFF.value


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
    remembers = course.memory != MemoryMode.OFF.value
    return RunRequest(
        memory=course.memory,
        memory_folder=str(course.report / folder / STORES) if remembers else None,
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


def requests_of(course: Course, faults_text: str) -> tuple[RunRequest, RunRequest]:
    """The run of `course` under the faults that `faults_text` names, and the same run without; both look for crashes.

    Raises:
        PhasemeshError: There are no such runs, in one line.
    """
    kinds = chosen_kinds(faults_text)
    faults = plan_faults(
        course.seed,
        streets_of(course),
        length_s(course),
        kinds,
        has_namespaces=course.has_namespaces,
        begin_s=find_scenario(course.scenario).begin_s,
    )
    tortured = request_of(course, TORTURED, faults)
    calm = msgspec.structs.replace(
        request_of(course, CALM, ()), agents=AgentsMode.INPROCESS.value, keeps_records=False, has_namespaces=False
    )
    return _looking(tortured), _looking(calm)


def _looking(request: RunRequest) -> RunRequest:
    return msgspec.structs.replace(request, sumo_args=junction_arguments(Path(request.report)))


def run_torture(course: Course, faults_text: str) -> Judgement:
    """Run the city of `course` under the faults that `faults_text` names, and again without; judge it.

    Raises:
        PhasemeshError: A run cannot be made, or came to an end of its own, in one line.
    """
    attacked, undisturbed = requests_of(course, faults_text)
    options = resolve(attacked)
    for request in (attacked, undisturbed):
        shutil.rmtree(Path(request.report) / STORES, ignore_errors=True)
    for name in (PAGE_NAME, JUDGEMENT_NAME):
        # Of an earlier run; should this one die, nothing here may look like its judgement.
        (course.report / name).unlink(missing_ok=True)
    with Screen(f"{course.scenario} under {len(attacked.faults)} faults") as screen:
        tortured = City(options, screen).run()
    screen.note("the same run without faults")
    calm = run_apart(undisturbed)
    return judge(Path(attacked.report), tortured, Path(undisturbed.report), calm)
