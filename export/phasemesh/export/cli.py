"""The command `phasemesh export`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phasemesh.contract.errors import InputError, MissingExtraError
from phasemesh.controller.access.signing import own_key, read_key

if TYPE_CHECKING:
    from phasemesh.export.pipeline import Source
    from phasemesh.trainer.episode import Episode

RECORDED_TICKS = 1000
"""Ticks of a training's agents that are decided again at every export, unless another number is said."""
_TRAIN_PACKAGES = ("torch", "onnx", "onnxscript")
_SIM_PACKAGES = ("pettingzoo", "gymnasium", "libsumo")


def register(app: typer.Typer) -> None:
    """Add the commands of this room to `app`."""
    app.command("export")(export)


def export(
    source: Annotated[str, typer.Argument(help="rule:NAME, listening:SEED, random:SEED or the folder of a training")],
    out: Annotated[Path, typer.Option(help="Folder that becomes the bundle")],
    name: Annotated[str | None, typer.Option(help="Name of the bundle; by default that of the source")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key that signs; by default your own")] = None,
    created: Annotated[str | None, typer.Option(help="Date of provenance, by default today")] = None,
    recorded_ticks: Annotated[
        int | None, typer.Option(help="Ticks of agents to play and decide again; of a training 1000 if not said", min=0)
    ] = None,
    workers: Annotated[int, typer.Option(help="Episodes played at a time for it", min=1, max=64)] = 1,
) -> None:
    """Export a policy as a signed bundle."""
    try:
        from phasemesh.export.pipeline import export_bundle, load_source  # noqa: PLC0415 - torch is optional and slow
    except ModuleNotFoundError as error:
        if error.name not in _TRAIN_PACKAGES:
            raise
        raise MissingExtraError(f"export needs {error.name}; run pip install 'phasemesh[train]'") from error
    chosen = load_source(source)
    if recorded_ticks and chosen.run is None:
        raise InputError(f"--recorded-ticks: {source} was trained on no scenario that could be played")
    date_text = _date(created)
    signer = read_key(key) if key else own_key()
    ticks = RECORDED_TICKS if recorded_ticks is None else recorded_ticks
    episodes = _episodes(chosen, ticks, workers) if chosen.run and ticks else ()
    bundle = export_bundle(chosen, out, signer, created=date_text, name=name, episodes=episodes)
    provenance = bundle.manifest.provenance
    recorded = f" and {provenance.parity_recorded_ticks} recorded ticks" if provenance.parity_recorded_ticks else ""
    typer.echo(
        f"{out}: {bundle.manifest.name}, {sum(file.size_bytes for file in bundle.manifest.files)} bytes,"
        f" parity {provenance.parity_max_abs:.1e} over {provenance.parity_inputs} inputs{recorded},"
        f" digest {bundle.digest[:16]}"
    )


def _episodes(source: Source, ticks: int, workers: int) -> Iterator[Episode]:
    """Episodes of a training that are played while they are looked at."""
    try:
        from phasemesh.export.recorded import profiled_ticks, recorded_episodes  # noqa: PLC0415 - as in export
        from phasemesh.trainer.crew import Crew  # noqa: PLC0415 - as in export
    except ModuleNotFoundError as error:
        if error.name not in _SIM_PACKAGES:
            raise
        raise MissingExtraError(
            f"recorded ticks need {error.name}; run pip install 'phasemesh[sim]', or leave them out with"
            " --recorded-ticks 0"
        ) from error
    if source.run is None:
        raise RuntimeError("only a training has scenarios")
    wanted = max(ticks, profiled_ticks(source.run)) if source.has_hyper_action else ticks
    return recorded_episodes(Crew(workers), source.actor, source.run, wanted)


def _date(created: str | None) -> str:
    """`created` if it is a date, else the day of SOURCE_DATE_EPOCH (reproducible-builds.org), else today."""
    if created is None:
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch and not epoch.isdecimal():
            raise InputError(f"SOURCE_DATE_EPOCH {epoch!r} is no number of seconds")
        moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
        return moment.date().isoformat()
    try:
        return date.fromisoformat(created).isoformat()
    except ValueError as error:
        raise InputError(f"--created {created!r} is no date such as 2026-11-21") from error
