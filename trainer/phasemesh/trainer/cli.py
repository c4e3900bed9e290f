"""The commands `phasemesh train` and `phasemesh report`; torch and SUMO are imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasemesh.contract.errors import InputError
from phasemesh.trainer.extras import what_training_needs

EXIT_ALARM = 1
"""Exit code of a training that an alarm ended."""


def register(app: typer.Typer) -> None:
    """Add the commands of this room to `app`."""
    app.command("train")(train)
    app.command("report")(report)


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe that ships, or a .toml.")],
    scenarios: Annotated[
        str,
        typer.Option("--scenarios", "--scenario", help="By comma; city:FIRST-LAST plays another city each time."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    minutes: Annotated[float | None, typer.Option(help="End after so much wall time in all.", min=0.0)] = None,
    iterations: Annotated[int | None, typer.Option(help="End after so many iterations in all.", min=0)] = None,
    workers: Annotated[int, typer.Option(help="Episodes played at a time.", min=1, max=256)] = 1,
    ray: Annotated[str, typer.Option(help="Ray cluster that plays the episodes: its address, or local.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.", min=0)] = 1,
    device: Annotated[str, typer.Option(help="Where updates are computed: cpu or cuda.")] = "cpu",
    evaluate: Annotated[str, typer.Option(help="Seeds to evaluate on at the end, by comma, below 100000.")] = "",
    origin: Annotated[
        Path | None, typer.Option("--from", help="Run, or bundle by folder or name, whose weights to begin with.")
    ] = None,
    evaluate_seconds: Annotated[
        float | None, typer.Option(help="Simulated seconds of an evaluation; by default the whole scenario.", min=60.0)
    ] = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    fail_on_alarm: Annotated[
        bool, typer.Option("--fail-on-alarm", help="End with exit code 1 at the first alarm.")
    ] = False,
) -> None:
    """Train one policy for all intersections of some scenarios; Ctrl-C ends it, --resume goes on.

    dmil-VARIANT trains a memory on the queue network of its paper, such as --scenarios queue3x3.
    """
    if recipe.startswith("dmil-"):
        from phasemesh.trainer.dmil_training import train_dmil  # noqa: PLC0415 (needed by these recipes alone)

        typer.echo(train_dmil(recipe, _names(scenarios), out, seed, iterations))
        return
    with what_training_needs():
        from rich.console import Console  # noqa: PLC0415 (comes with the extra `sim`)

        from phasemesh.trainer.session import Order, train_in  # noqa: PLC0415 (torch is optional and slow)
    order = Order(
        recipe=recipe,
        scenarios=_names(scenarios),
        minutes=minutes,
        iterations=iterations,
        workers=workers,
        ray_address=ray,
        seed=seed,
        device=device,
        is_resumed=resume,
        origin=origin,
        ends_on_alarm=fail_on_alarm,
        evaluation_seeds=_seeds(evaluate),
        evaluation_s=evaluate_seconds,
    )
    trained = train_in(out, order, Console(soft_wrap=True))
    if trained.alarms:
        typer.echo(f"{out}: ended after {trained.iterations} iterations by {', '.join(trained.alarms)}", err=True)
        raise typer.Exit(EXIT_ALARM)
    typer.echo(f"{out}: {trained.iterations} iterations; phasemesh export {out} --out BUNDLE makes a bundle of it")


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of trainings; those that differ in their seed are one.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the page; by default `report` in the first run.")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Played for the page; by default the largest of the run.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the episode that is played.", min=0)] = 1,
    seconds: Annotated[
        float | None, typer.Option(help="Simulated seconds of it; by default the whole scenario.", min=60.0)
    ] = None,
    workers: Annotated[int, typer.Option(help="Episodes played at a time.", min=1, max=2)] = 2,
    *,
    play: Annotated[bool, typer.Option(help="Play the first run's policy and the rule for the page.")] = True,
) -> None:
    """Write one page about trainings: curves, alarms, ego graphs over a day, and where time was lost."""
    with what_training_needs():
        from phasemesh.trainer.report.reporting import Showing, report_on  # noqa: PLC0415 (torch is optional and slow)
    showing = Showing(scenario=scenario, seed=seed, length_s=seconds, workers=workers) if play else None
    typer.echo(report_on(runs, out, showing))


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in _names(text))
    except ValueError as error:
        raise InputError(f"--evaluate {text!r}: give whole numbers by comma") from error


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))
