"""The commands of the harness; heavy modules are imported when a command runs, so that the edge can list them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phasemesh.contract.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from phasemesh.sim_harness.request import RunRequest
    from phasemesh.sim_harness.result import RunResult

DEFAULT_BUNDLE = "approach-lost-time"
DEFAULT_REPORT = Path("report")
WORKERS = 2
MEMORY_HELP = "off, shadow (learn and log) or live (act where it has won)."
NAMESPACES_HELP = "A network namespace for each agent's process; needs root and ip."
EXIT_INCOMPLETE = 130
EXIT_FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the commands of this room to `app`."""
    for command in (run, compare, scenarios, bench, torture, soak, reproduce):
        app.command(command.__name__)(command)


def run(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario, or a .sumocfg.")],
    bundle: Annotated[str, typer.Option(help="Bundle that the agents run: a name or a path.")] = DEFAULT_BUNDLE,
    profile: Annotated[str, typer.Option(help="Timing profile: benchmark, street or paper.")] = "benchmark",
    tick_s: Annotated[float | None, typer.Option(help="Control interval in seconds; by default the bundle's.")] = None,
    agents: Annotated[str, typer.Option(help="processes (one a signal) or inprocess.")] = "processes",
    pace: Annotated[str, typer.Option(help="lockstep (as fast as possible) or realtime (wall clock).")] = "lockstep",
    seconds: Annotated[float | None, typer.Option(help="Simulated seconds; by default the whole scenario.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of SUMO and of the agents' noise.", min=0)] = 1,
    report: Annotated[Path, typer.Option(help="Folder for results and report.")] = DEFAULT_REPORT,
    speed: Annotated[float, typer.Option(help="Simulated seconds a wall second in real-time pace.")] = 1.0,
    comm_deadline_ms: Annotated[float, typer.Option(help="Longest wait for neighbours in a tick.")] = 200.0,
    signals: Annotated[str | None, typer.Option(help="Signals to control, by comma; the rest run themselves.")] = None,
    ignore_junction_blocker_s: Annotated[float, typer.Option(help="SUMO's option of that name; -1: off.")] = 20.0,
    sumo_arg: Annotated[list[str] | None, typer.Option(help="Passed on to SUMO; may be repeated.")] = None,
    compare_with: Annotated[str, typer.Option(help="Controllers to run beside, by comma, on the same seed.")] = "",
    gui: Annotated[bool, typer.Option("--gui", help="Open sumo-gui.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print result.json instead of a table.")] = False,
    records: Annotated[bool, typer.Option(help="Keep the agents' flight records.")] = True,
    kill: Annotated[
        list[str] | None, typer.Option(help="ID@SECOND[:SECOND]: kill -9 an agent, start it again.")
    ] = None,
    namespaces: Annotated[bool, typer.Option("--namespaces", help=NAMESPACES_HELP)] = False,
    memory: Annotated[str, typer.Option(help=MEMORY_HELP)] = "off",
    memory_folder: Annotated[Path | None, typer.Option(help="Where memory outlasts the run.")] = None,
) -> None:
    """Run a city: SUMO, one virtual cabinet and one agent a signal; write a report."""
    require_sim()
    from phasemesh.sim_harness.request import RunRequest  # noqa: PLC0415 (the edge lists commands without SUMO)

    request = RunRequest(
        scenario=scenario,
        controller=bundle,
        report=str(report),
        profile=profile,
        agents=agents,
        pace=pace,
        tick_s=tick_s,
        seconds=seconds,
        seed=seed,
        speed=speed,
        comm_deadline_ms=comm_deadline_ms,
        signals=_names(signals) if signals is not None else None,
        ignore_junction_blocker_s=ignore_junction_blocker_s,
        sumo_args=tuple(sumo_arg or ()),
        is_gui=gui,
        keeps_records=records,
        kills=tuple(_kill(text) for text in kill or ()),
        has_namespaces=namespaces,
        memory=memory,
        memory_folder=str(memory_folder) if memory_folder else None,
    )
    _check_namespaces(agents, has_namespaces=namespaces)
    result = _run_and_report(request, _names(compare_with))
    _print_result(result, is_json=json)
    _exit_on(_unsafe(result))
    if not result[0].is_complete or len(result) < 1 + len(_names(compare_with)):
        raise typer.Exit(EXIT_INCOMPLETE)


def _check_namespaces(agents: str, *, has_namespaces: bool) -> None:
    if has_namespaces and agents == "inprocess":
        raise InputError("--namespaces: only processes have a network of their own; use --agents processes")


def compare(
    scenario: Annotated[list[str], typer.Argument(help="Names of scenarios, or .sumocfg files.")],
    controllers: Annotated[
        str, typer.Option(help="By comma: rules, bundles, or bundle:NAME; with +memory or +shadow they remember.")
    ],
    seeds: Annotated[str, typer.Option(help="By comma.")] = "1,2,3",
    learn_seeds: Annotated[str, typer.Option(help="Played first, in this order, by whoever remembers.")] = "",
    report: Annotated[Path, typer.Option(help="Folder for results and report.")] = DEFAULT_REPORT,
    profile: Annotated[str, typer.Option(help="Timing profile: benchmark, street or paper.")] = "benchmark",
    tick_s: Annotated[float | None, typer.Option(help="Control interval; by default each controller's own.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Simulated seconds; by default the whole scenario.")] = None,
    ignore_junction_blocker_s: Annotated[float, typer.Option(help="SUMO's option of that name; -1: off.")] = 20.0,
    sumo_arg: Annotated[list[str] | None, typer.Option(help="Passed on to SUMO; may be repeated.")] = None,
    workers: Annotated[int, typer.Option(help="Runs at a time.", min=1, max=64)] = WORKERS,
) -> None:
    """Run controllers on scenarios over seeds, each run in a fresh process; write results.json, a CSV and a report."""
    require_sim()
    from phasemesh.sim_harness.compare import comparison_requests, run_comparison  # noqa: PLC0415 (as in run)
    from phasemesh.sim_harness.request import RunRequest  # noqa: PLC0415 (as in run)

    template = RunRequest(
        scenario="",
        controller="",
        report=str(report),
        profile=profile,
        tick_s=tick_s,
        seconds=seconds,
        ignore_junction_blocker_s=ignore_junction_blocker_s,
        sumo_args=tuple(sumo_arg or ()),
    )
    requests = comparison_requests(template, scenario, _names(controllers), _seeds(seeds))
    results = run_comparison(requests, report, workers, _seeds(learn_seeds) if learn_seeds else ())
    _exit_on(_unsafe(results))
    if len(results) < len(requests):
        raise typer.Exit(EXIT_INCOMPLETE)


def scenarios() -> None:
    """List the scenarios that can be run by name."""
    from phasemesh.sim_harness.scenarios.registry import list_scenarios  # noqa: PLC0415 (as in run)

    for entry in list_scenarios():
        typer.echo(f"{entry.name:14} {entry.licence:22} {entry.source}")
    typer.echo("gridNxM, walkNxM  any size, such as grid4x6; city:SEED  any seed; or the path of a .sumocfg")


def bench(
    parts: Annotated[str, typer.Option(help="By comma; by default all.")] = "",
    maps: Annotated[str, typer.Option(help="Of the part rollout, by comma; by default all eight.")] = "",
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this Markdown file.")] = None,
) -> None:
    """Measure what the documentation promises, and print it with this machine's description."""
    require_sim()
    from phasemesh.sim_harness.bench import run_benchmarks  # noqa: PLC0415 (as in run)

    if out is not None and not out.parent.is_dir():
        raise InputError(f"--out {out}: its folder does not exist; make it first")
    text = run_benchmarks(_names(parts), _names(maps))
    if out is not None:
        out.write_text(text, encoding="utf-8")


def reproduce(
    name: Annotated[str, typer.Argument(help="Of the paper.")],
    out: Annotated[Path, typer.Option(help="Folder for results and report; a second call goes on there.")] = Path(
        "reproduction"
    ),
    seeds: Annotated[int, typer.Option(help="How many seeds, from 1 on.", min=1)] = 30,
    scale: Annotated[float, typer.Option(help="Share of the full size to play, for a first look.")] = 1.0,
) -> None:
    """Repeat the experiments of a paper and report its figures beside ours, with what holds and what does not."""
    require_sim()
    from phasemesh.sim_harness.reproduce import ReproductionRequest, run_reproduction  # noqa: PLC0415 (as in run)

    page = run_reproduction(name, ReproductionRequest(out=out, seeds=seeds, scale=scale))
    typer.echo(f"report: {page}")


def torture(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario, or a .sumocfg.")],
    faults: Annotated[
        str, typer.Option(help="all, or ids such as F1,F3 by comma; each is injected every hour.")
    ] = "all",
    seed: Annotated[int, typer.Option(help="Seed of the faults, of SUMO and of the agents' noise.", min=0)] = 1,
    seconds: Annotated[float | None, typer.Option(help="Simulated seconds; the demand repeats if need be.")] = None,
    report: Annotated[Path, typer.Option(help="Folder for results and report.")] = DEFAULT_REPORT,
    bundle: Annotated[str, typer.Option(help="Bundle that the agents run: a name or a path.")] = DEFAULT_BUNDLE,
    profile: Annotated[str, typer.Option(help="Timing profile: benchmark, street or paper.")] = "benchmark",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Measure a poor network instead: loss, delay, a split.")
    ] = False,
    namespaces: Annotated[bool, typer.Option("--namespaces", help=NAMESPACES_HELP)] = False,
    memory: Annotated[str, typer.Option(help=MEMORY_HELP)] = "off",
) -> None:
    """Run a city of processes under injected faults, beside the same run without; exit code 1 unless it survives."""
    require_sim()
    from phasemesh.sim_harness.torture import course, pages, poor_network  # noqa: PLC0415 (as in run)

    if namespaces and sweep:
        raise InputError("--namespaces: the sweep is about single messages, which no network loses; leave one out")
    asked = course.Course(
        scenario=scenario,
        bundle=bundle,
        report=report,
        seed=seed,
        seconds=seconds,
        profile=profile,
        has_namespaces=namespaces,
        memory=memory,
    )
    if sweep:
        rows = poor_network.sweep_cells(poor_network.run_sweep(asked, WORKERS))
        _print_table(poor_network.HEADERS, rows, f"{scenario} in a poor network")
        return
    judgement = course.run_torture(asked, faults)
    pages.write_torture_report(report, judgement, report / course.TORTURED)
    _print_table(pages.HEADERS, pages.verdict_rows(judgement), f"{scenario}, seed {seed}")
    _print_table(("Of the run", ""), pages.total_rows(judgement), f"report: {report / pages.PAGE_NAME}")
    _exit_on(judgement.all_failures)


def soak(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario, or a .sumocfg.")],
    hours: Annotated[float, typer.Option(help="Simulated hours; the demand repeats.", min=0.01)] = 12.0,
    speed: Annotated[float, typer.Option(help="Simulated seconds a wall second; deadlines scale with it.")] = 20.0,
    report: Annotated[Path, typer.Option(help="Folder for results and report.")] = DEFAULT_REPORT,
    bundle: Annotated[str, typer.Option(help="Bundle that the agents run: a name or a path.")] = DEFAULT_BUNDLE,
    seed: Annotated[int, typer.Option(help="Seed of SUMO and of the agents' noise.", min=0)] = 1,
) -> None:
    """Run a city for long on a fast wall clock and see what its processes hold; exit code 1 unless nothing grows."""
    require_sim()
    from phasemesh.sim_harness.torture import course, long_runs  # noqa: PLC0415 (as in run)

    asked = course.Course(scenario=scenario, bundle=bundle, report=report, seed=seed)
    found = long_runs.run_soak(asked, hours, speed)
    _print_table(("Of the run", ""), long_runs.soak_rows(found), f"{scenario}, {hours:g} h")
    _exit_on(found.failures)


def _print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from phasemesh.sim_harness.screen import print_table  # noqa: PLC0415 (as in run)

    print_table(headers, rows, title)


def _unsafe(results: Sequence[RunResult]) -> list[str]:
    from phasemesh.sim_harness.compare import unsafe_runs  # noqa: PLC0415 (as in run)

    return unsafe_runs(results)


def _exit_on(failures: Sequence[str]) -> None:
    for failure in failures:
        typer.echo(f"not as required: {failure}", err=True)
    if failures:
        raise typer.Exit(EXIT_FAILED)


def require_sim() -> None:
    """Raise MissingExtraError with one line when the extra `sim` is not installed."""
    from importlib.util import find_spec  # noqa: PLC0415 (only here)

    missing = [name for name in ("libsumo", "matplotlib", "rich") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"{', '.join(missing)} not installed; pip install 'phasemesh[sim]'")


def _run_and_report(request: RunRequest, beside: tuple[str, ...]) -> tuple[RunResult, ...]:
    from phasemesh.sim_harness.compare import run_with_comparison  # noqa: PLC0415 (as in run)

    return run_with_comparison(request, beside, WORKERS)


def _print_result(results: tuple[RunResult, ...], *, is_json: bool) -> None:
    import msgspec  # noqa: PLC0415 (as in run)

    from phasemesh.sim_harness.report.table import run_table  # noqa: PLC0415 (as in run)
    from phasemesh.sim_harness.screen import print_table  # noqa: PLC0415 (as in run)

    if is_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(results[0])).decode())
        return
    headers, rows = run_table(results[0], results[1:])
    print_table(headers, rows, f"{results[0].scenario}, seed {results[0].seed}, {results[0].seconds:.0f} s")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text))
    except ValueError:
        raise InputError(f"--seeds {text!r}: must be whole numbers, by comma") from None


def _kill(text: str) -> tuple[str, float, float | None]:
    name, _, times = text.rpartition("@")
    at_s, _, back_s = times.partition(":")
    try:
        return name, float(at_s), float(back_s) if back_s else None
    except ValueError:
        raise InputError(f"--kill {text!r}: must look like ID@SECOND or ID@SECOND:SECOND") from None
