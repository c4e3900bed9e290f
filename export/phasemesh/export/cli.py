"""The command `phasemesh export`."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from phasemesh.contract.errors import InputError, MissingExtraError
from phasemesh.controller.access.signing import own_key, read_key

_TRAIN_PACKAGES = ("torch", "onnx", "onnxscript")


def register(app: typer.Typer) -> None:
    """Add the commands of this room to `app`."""
    app.command("export")(export)


def export(
    source: Annotated[str, typer.Argument(help="rule:NAME, listening:SEED, random:SEED or the folder of a training")],
    out: Annotated[Path, typer.Option(help="Folder that becomes the bundle")],
    name: Annotated[str | None, typer.Option(help="Name of the bundle; by default that of the source")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key that signs; by default your own")] = None,
    created: Annotated[str | None, typer.Option(help="Date of provenance, by default today")] = None,
) -> None:
    """Export a policy as a signed bundle."""
    try:
        from phasemesh.export.pipeline import export_bundle, load_source  # noqa: PLC0415 - torch is optional and slow
    except ModuleNotFoundError as error:
        if error.name not in _TRAIN_PACKAGES:
            raise
        raise MissingExtraError(f"export needs {error.name}; run pip install 'phasemesh[train]'") from error
    chosen = load_source(source)
    date_text = _date(created)
    signer = read_key(key) if key else own_key()
    bundle = export_bundle(chosen, out, signer, created=date_text, name=name)
    provenance = bundle.manifest.provenance
    typer.echo(
        f"{out}: {bundle.manifest.name}, {sum(file.size_bytes for file in bundle.manifest.files)} bytes,"
        f" parity {provenance.parity_max_abs:.1e} over {provenance.parity_inputs} inputs, digest {bundle.digest[:16]}"
    )


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
