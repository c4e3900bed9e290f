"""The one command `phasemesh` and the subcommands of the edge; other rooms add theirs by entry points."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from phasemesh.contract.bundle import MANIFEST_NAME
from phasemesh.contract.errors import InputError, PhasemeshError
from phasemesh.contract.units import IntersectionId

COMMANDS_GROUP = "phasemesh.commands"
EXIT_REFUSED = 2
"""Exit code for everything that the user can put right."""
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line: one clear line and exit code 2 for whatever the user can put right."""
    try:
        sys.exit(make_app()(standalone_mode=False) or 0)
    except PhasemeshError as error:
        typer.echo(f"phasemesh: {error}", err=True)
        sys.exit(EXIT_REFUSED)
    except typer.TyperException as error:
        typer.echo(f"phasemesh: {error.format_message().rstrip('.')}; see --help", err=True)
        sys.exit(EXIT_REFUSED)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("phasemesh: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)


def make_app() -> typer.Typer:
    """The app with the subcommands of every installed room."""
    app = typer.Typer(
        name="phasemesh",
        help="A controller runtime in which every signalised intersection runs its own agent process.",
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for entry in sorted(importlib.metadata.entry_points(group=COMMANDS_GROUP), key=lambda entry: entry.name):
        entry.load()(app)
    return app


def register(app: typer.Typer) -> None:
    """Add the commands of this room to `app`."""
    for name, command in (("agent", agent), ("cabinet", cabinet), ("check", check), ("replay", replay)):
        app.command(name)(command)


def agent(
    site: Annotated[Path, typer.Option(help="Folder of the site, as `phasemesh site` writes it.")],
    intersection_id: Annotated[str, typer.Option("--id", help="Intersection to control.")],
    records: Annotated[Path | None, typer.Option(help="File of the flight recorder.")] = None,
    boot_id: Annotated[int | None, typer.Option(help="Number of this life; it must rise.")] = None,
) -> None:
    """Control one intersection until told to stop."""
    from phasemesh.controller.process import AgentLaunch, serve_agent  # noqa: PLC0415 (quick start of other commands)

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # The wall clock only names this life, so that it outranks earlier ones even across reboots; nothing is timed by it.
    life = boot_id if boot_id is not None else time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000
    serve_agent(AgentLaunch(site, IntersectionId(intersection_id), life, records))


def cabinet(
    site: Annotated[Path, typer.Option(help="Folder of the site, as `phasemesh site` writes it.")],
    intersection_id: Annotated[
        list[str] | None, typer.Option("--id", help="Intersection to serve; may be repeated; by default all.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve at.", min=1, max=65535)] = 8600,
) -> None:
    """Run virtual signal cabinets by themselves, on the monotonic clock; detectors are fed through their API."""
    from phasemesh.controller.cabinet.standalone import serve_cabinets  # noqa: PLC0415 (FastAPI only where it serves)

    serve_cabinets(site, tuple(IntersectionId(name) for name in intersection_id or ()), host, port)


def check(path: Annotated[Path, typer.Argument(help="Folder of a bundle or of a site.")]) -> None:
    """Check a bundle or a site: all faults at once, each with its path."""
    from phasemesh.controller.policy.bundle import faults_of_bundle, find_bundle  # noqa: PLC0415 (quick start)
    from phasemesh.controller.policy.trust import trusted_keys  # noqa: PLC0415 (quick start)
    from phasemesh.controller.site_folder import SITE_NAME, faults_of_site_folder, read_site  # noqa: PLC0415 (quick start)

    if (path / SITE_NAME).exists():
        faults, kind = faults_of_site_folder(path), "site"
        if not faults:
            find_bundle(read_site(path).bundle)
    else:
        folder = path if (path / MANIFEST_NAME).exists() else find_bundle(path)
        faults, kind = faults_of_bundle(folder, trusted_keys()), "bundle"
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise InputError(f"{path}: {len(faults)} faults in this {kind}")
    typer.echo(f"{path}: this {kind} is in order")


def replay(
    file: Annotated[Path, typer.Argument(help="A file of the flight recorder.")],
    bundle: Annotated[str | None, typer.Option(help="Bundle; by default the one recorded.")] = None,
) -> None:
    """Re-run every recorded tick and report the first difference; exit code 1 when there is one."""
    from phasemesh.controller.policy.bundle import find_bundle, load_bundle  # noqa: PLC0415 (quick start)
    from phasemesh.controller.policy.trust import trusted_keys  # noqa: PLC0415 (quick start)
    from phasemesh.controller.replay import replay as rerun  # noqa: PLC0415 (quick start)
    from phasemesh.controller.telemetry.records import read_records  # noqa: PLC0415 (quick start)

    header, _ = read_records(file)
    loaded = load_bundle(find_bundle(bundle or header.bundle), trusted_keys())
    if bundle is None and loaded.digest != header.bundle_digest:
        raise InputError(f"{file}: was recorded with another bundle than {loaded.folder}; name it with --bundle")
    outcome = rerun(file, loaded.policy_for(header.intersection.id))
    missing = f", {outcome.missing} missing" if outcome.missing else ""
    if outcome.difference is None:
        typer.echo(f"{file}: {outcome.ticks} ticks replayed without a difference{missing}")
        return
    found = outcome.difference
    typer.echo(f"{file}: tick {found.tick}: {found.what} was {found.recorded}, replayed {found.replayed}{missing}")
    raise typer.Exit(1)
