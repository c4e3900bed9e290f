"""The one command `phasemesh` and the subcommands of the edge; other rooms add theirs by entry points."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from phasemesh.contract.bundle import MANIFEST_NAME
from phasemesh.contract.errors import InputError, PhasemeshError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.roles import Role
from phasemesh.controller.life_file import HIGHEST_BOOT_ID

COMMANDS_GROUP = "phasemesh.commands"
EXIT_REFUSED = 2
"""Exit code for everything that the user can put right."""
EXIT_INTERRUPTED = 130
DAY_S = 86_400.0
NoState = Annotated[
    bool, typer.Option("--no-state", help="Start on a street without --state: what is latched ends with the process.")
]


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
    for name, command in COMMANDS.items():
        app.command(name)(command)
    auditing = typer.Typer(help="Look at the audit log of overrides and resets.", rich_markup_mode=None)
    auditing.callback()(lambda: None)
    auditing.command("verify")(verify_audit)
    app.add_typer(auditing, name="audit")


def agent(
    site: Annotated[Path, typer.Option(help="Folder of the site, as `phasemesh site` writes it.")],
    intersection_id: Annotated[str, typer.Option("--id", help="Intersection to control.")],
    records: Annotated[Path | None, typer.Option(help="File of the flight recorder.")] = None,
    boot_id: Annotated[
        int | None, typer.Option(help="Number of this life; it must rise.", min=0, max=HIGHEST_BOOT_ID)
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder in which latched faults and lives are remembered; a street needs one.")
    ] = None,
    *,
    no_state: NoState = False,
) -> None:
    """Control one intersection until told to stop."""
    from phasemesh.controller.process import AgentLaunch, serve_agent  # noqa: PLC0415 (quick start of other commands)
    from phasemesh.controller.site_folder import read_site  # noqa: PLC0415 (likewise)
    from phasemesh.controller.state_folder import is_forgetful  # noqa: PLC0415 (likewise)

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    forgets = is_forgetful(read_site(site), state, is_waived=no_state)
    launch = AgentLaunch(site, IntersectionId(intersection_id), boot_id, records, state_folder=state)
    serve_agent(msgspec.structs.replace(launch, tells_forgetting=forgets))


def cabinet(
    site: Annotated[Path, typer.Option(help="Folder of the site, as `phasemesh site` writes it.")],
    intersection_id: Annotated[
        list[str] | None, typer.Option("--id", help="Intersection to serve; may be repeated; by default all.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve at.", min=1, max=65535)] = 8600,
    state: Annotated[
        Path | None, typer.Option(help="Folder in which latched faults outlast a power cut; a street needs one.")
    ] = None,
    *,
    no_state: NoState = False,
) -> None:
    """Run virtual signal cabinets by themselves, on the monotonic clock; detectors are fed through their API."""
    from phasemesh.controller.cabinet.standalone import serve_cabinets  # noqa: PLC0415 (FastAPI only where it serves)
    from phasemesh.controller.site_folder import read_site  # noqa: PLC0415 (quick start)
    from phasemesh.controller.state_folder import NOT_KEPT, is_forgetful  # noqa: PLC0415 (likewise)

    if is_forgetful(read_site(site), state, is_waived=no_state):
        typer.echo(f"phasemesh: warning: {NOT_KEPT}", err=True)
    serve_cabinets(site, tuple(IntersectionId(name) for name in intersection_id or ()), host, port, state)


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
    """Re-run every recorded tick and report the first difference and all damage; exit code 1 when there is any."""
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
    if outcome.damage:
        typer.echo(f"{file}: {outcome.damage}")
    if not outcome.has_end:
        typer.echo(f"{file}: ends without its end mark: its agent was killed or works on, or the end was cut off")
    if outcome.difference is None:
        typer.echo(f"{file}: {outcome.ticks} ticks replayed without a difference{missing}")
    else:
        found = outcome.difference
        typer.echo(f"{file}: tick {found.tick}: {found.what} was {found.recorded}, replayed {found.replayed}{missing}")
    if outcome.difference is not None or outcome.damage:
        raise typer.Exit(1)


def token(
    site: Annotated[Path, typer.Option(help="Folder of the site, as `phasemesh site` writes it.")],
    name: Annotated[str, typer.Option(help="Whose token it is; an older one of that name ends.")],
    role: Annotated[Role, typer.Option(help="What it lets them do.")] = Role.VIEWER,
    intersection_id: Annotated[
        list[str] | None, typer.Option("--id", help="Intersection it counts for; may be repeated; by default all.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="Days until it ends; by default never.", min=0.0)] = None,
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="End the token of that name instead.")] = False,
) -> None:
    """Make a bearer token for the endpoints and print it, this once; only its hash is kept."""
    from phasemesh.controller.access.tokens import add_token, new_token, remove_token, tokens_path  # noqa: PLC0415
    from phasemesh.controller.site_folder import address_of, read_site  # noqa: PLC0415 (quick start)

    found = read_site(site)
    names = [IntersectionId(each) for each in intersection_id or found.directory]
    paths = [tokens_path(site, address_of(site, found, each).number) for each in names]
    if revoke:
        for path in paths:
            remove_token(path, name)
        typer.echo(f"{site}: the token of {name} has ended at {len(paths)} intersections")
        return
    # A date in the calendar of people, which nothing is controlled by.
    expires_s = None if days is None else time.clock_gettime(time.CLOCK_REALTIME) + days * DAY_S
    made = new_token()
    for path in paths:
        add_token(path, made, name, role, expires_s)
    typer.echo(made)


def verify_audit(
    file: Annotated[Path, typer.Argument(help="An audit log, such as audit/cabinets.jsonl of a site.")],
    head: Annotated[str, typer.Option(help="Hash noted earlier, which must be in the chain.")] = "",
) -> None:
    """Check that no line was altered, removed or put in between; exit code 1 when one was."""
    from phasemesh.controller.access.audit import verify  # noqa: PLC0415 (quick start)

    verdict = verify(file, head)
    for number in verdict.torn:
        typer.echo(f"{file}: line {number} was torn, as by a loss of power")
    for fault in verdict.faults:
        typer.echo(f"{file}: {fault}", err=True)
    if verdict.faults:
        raise typer.Exit(1)
    typer.echo(f"{file}: {verdict.lines} lines in order, head {verdict.head}")


def memory_hub(site: Annotated[Path, typer.Option(help="Folder of the site, as `phasemesh site` writes it.")]) -> None:
    """Share what the agents of a site remember: average it over its holders, and give everybody the union."""
    from phasemesh.controller.memory.hub_process import serve_hub  # noqa: PLC0415 (quick start)

    serve_hub(site)


COMMANDS: dict[str, Callable[..., None]] = {
    "agent": agent,
    "cabinet": cabinet,
    "check": check,
    "memory-hub": memory_hub,
    "replay": replay,
    "token": token,
}
