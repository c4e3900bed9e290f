"""The commands of the deploy room."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import Pace

FIRST_CABINET_PORT = 8600


def register(app: typer.Typer) -> None:
    """Add the commands of this room to `app`."""
    app.command("site")(site)


def site(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario, or a .sumocfg.")],
    out: Annotated[Path, typer.Option(help="Folder to write: site.json, intersections and keys.")],
    bundle: Annotated[str, typer.Option(help="Bundle that the agents run.")] = "approach-lost-time",
    profile: Annotated[str, typer.Option(help="Timing profile: benchmark, street or paper.")] = "street",
    cabinet: Annotated[
        str, typer.Option(help="Address of the service that hosts the cabinets.")
    ] = f"http://127.0.0.1:{FIRST_CABINET_PORT}",
    signals: Annotated[str | None, typer.Option(help="Signals to include, by comma; by default all.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the agents' noise.", min=0)] = 1,
) -> None:
    """Write the site of a network, with fresh keys, for `phasemesh agent` and `phasemesh cabinet`."""
    from phasemesh.sim_harness.cli import require_sim  # noqa: PLC0415 (the edge lists commands without SUMO)

    require_sim()
    from phasemesh.sim_harness.controllers import bundle_controller  # noqa: PLC0415 (likewise)
    from phasemesh.sim_harness.provision import SiteOptions, provision  # noqa: PLC0415 (likewise)
    from phasemesh.sim_harness.scenarios.registry import find_scenario  # noqa: PLC0415 (likewise)
    from phasemesh.sim_harness.sumo.network import read_network  # noqa: PLC0415 (likewise)

    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"--out {out}: is not an empty folder; choose a new one, so that no key is overwritten")
    if not cabinet.startswith("http://"):
        raise InputError(f"--cabinet {cabinet}: must look like http://host:port")
    chosen = find_scenario(scenario)
    network = read_network(chosen.net_file, tuple(signals.split(",")) if signals else None)
    options = SiteOptions(
        name=chosen.name,
        profile=profile,
        pace=Pace.REALTIME,
        tick_s=bundle_controller(bundle).tick_s,
        bundle=bundle,
        cabinet=cabinet,
        seed=seed,
    )
    written = provision(out, network, options)
    typer.echo(f"{out}: {len(written.directory)} intersections, keys in {out / 'keys'} (mode 0600)")
    for name in list(written.directory)[:3]:
        typer.echo(f"  phasemesh agent --site {out} --id {name}")
