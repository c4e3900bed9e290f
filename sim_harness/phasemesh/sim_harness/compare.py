"""Many runs beside each other: every run in a fresh process, the results in one report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import MemoryMode
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.options import check_options
from phasemesh.sim_harness.remembering import learn, plan_learning, remembering
from phasemesh.sim_harness.report.compare_report import write_compare_report
from phasemesh.sim_harness.report.run_report import unsafe_line, write_run_report
from phasemesh.sim_harness.report.table import comparison_table, remembering_name
from phasemesh.sim_harness.request import RunRequest, resolve
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.screen import Screen, print_table
from phasemesh.sim_harness.worker import run_all

INDEX_NAME = "index.html"


def comparison_requests(
    template: RunRequest, scenarios: Sequence[str], controllers: Sequence[str], seeds: Sequence[int]
) -> list[RunRequest]:
    """One request for each scenario, controller and seed; raises InputError before anything is run."""
    if not controllers or not seeds:
        raise InputError("--controllers and --seeds: give at least one of each")
    requests = [
        remembering(
            msgspec.structs.replace(
                template,
                scenario=scenario,
                controller=controller,
                seed=seed,
                report=str(Path(template.report) / "runs" / _folder_name(scenario, controller, seed)),
            ),
            Path(template.report),
        )
        for scenario in scenarios
        for controller in controllers
        for seed in seeds
    ]
    if len({request.report for request in requests}) < len(requests):
        raise InputError("scenarios, controllers or seeds: one is named twice, or two names differ only in their signs")
    for request in requests:
        check_options(resolve(request))
    for request in requests[:: len(seeds)]:
        City(resolve(request))
    return requests


def _folder_name(*parts: object) -> str:
    return "_".join("".join(letter if letter.isalnum() or letter in "-." else "-" for letter in str(p)) for p in parts)


def run_comparison(
    requests: Sequence[RunRequest], report: Path, workers: int, learn_seeds: Sequence[int] = ()
) -> list[RunResult]:
    """Let whoever remembers learn, run all `requests`, print a table for each scenario, and write the report.

    Nothing is left behind but the lessons when these are interrupted. Raises InputError for lessons that cannot be.
    """
    if not learn(
        plan_learning(requests, learn_seeds, report), lambda lessons: len(_run_beside(lessons, workers, "lessons"))
    ):
        return []
    results = _run_beside(requests, workers)
    for scenario in dict.fromkeys(result.scenario for result in results):
        headers, rows = comparison_table([result for result in results if result.scenario == scenario])
        print_table(headers, rows, scenario)
    write_compare_report(report, results)
    return results


def unsafe_runs(results: Sequence[RunResult]) -> list[str]:
    """A line for each run under a controller of ours in which the monitor tripped; there must be none."""
    return [unsafe_line(result) for result in results if result.is_unsafe]


def run_with_comparison(request: RunRequest, beside: Sequence[str], workers: int) -> tuple[RunResult, ...]:
    """One run here, with its screen, then the controllers `beside` on the same seed; the report shows all of them."""
    others = comparison_requests(_plain(request), [request.scenario], beside, [request.seed]) if beside else []
    city = City(resolve(request, is_bundle=True), screen := Screen(f"{request.scenario} {request.controller}"))
    with screen:
        result = city.run()
    folder = Path(request.report)
    write_run_report(folder, result, (), city.network.net_file)
    beside_it = _run_beside(others, workers) if result.is_complete and others else []
    if beside_it:
        write_run_report(folder, result, beside_it, city.network.net_file)
    screen.note(f"report: {folder / INDEX_NAME}")
    return result, *beside_it


def _plain(request: RunRequest) -> RunRequest:
    """`request` for rules: each at its own default tick, in one process; no records, window, rehearsal and memory."""
    return msgspec.structs.replace(
        request,
        agents="inprocess",
        pace="lockstep",
        tick_s=None,
        is_gui=False,
        keeps_records=False,
        kills=(),
        memory=MemoryMode.OFF.value,
        memory_folder=None,
    )


def _run_beside(requests: Sequence[RunRequest], workers: int, title: str = "runs") -> list[RunResult]:
    with Screen(title) as screen:
        return run_all(
            requests,
            workers=workers,
            on_done=lambda result: screen.note(
                f"{result.scenario} {remembering_name(result)} seed {result.seed}: delay {result.delay_s:.1f} s"
            ),
        )
