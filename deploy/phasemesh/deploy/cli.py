"""The commands of the deploy room."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import MemoryMode, Pace
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.signing import own_key, read_key
from phasemesh.controller.peers.keys import generate_keypair, write_secret
from phasemesh.controller.site_folder import NO_KEY, change_key, secret_path, sign_site

FIRST_CABINET_PORT = 8600
SigningKey = Annotated[Path | None, typer.Option("--key", help="Private key that signs; by default your own")]
SiteFolder = Annotated[Path, typer.Option("--site", help="Folder of the site, as `phasemesh site` writes it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this room to `app`."""
    for name, command in (("site", site), ("sign", sign), ("revoke", revoke), ("rekey", rekey)):
        app.command(name)(command)


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
    memory: Annotated[MemoryMode, typer.Option(help="off, shadow (learn and log) or live.")] = MemoryMode.OFF,
    memory_hub: Annotated[str, typer.Option(help="Endpoint of a memory hub, such as tcp://host:port.")] = "",
    key: SigningKey = None,
) -> None:
    """Write the site of a network, signed, with fresh keys, for `phasemesh agent` and `phasemesh cabinet`."""
    from phasemesh.sim_harness.cli import require_sim  # noqa: PLC0415 (the edge lists commands without SUMO)

    require_sim()
    from phasemesh.sim_harness.controllers import bundle_controller  # noqa: PLC0415 (likewise)
    from phasemesh.sim_harness.provision import SiteOptions, provision  # noqa: PLC0415 (likewise)
    from phasemesh.sim_harness.scenarios.registry import find_scenario  # noqa: PLC0415 (likewise)
    from phasemesh.sim_harness.sumo.network import read_network  # noqa: PLC0415 (likewise)

    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"--out {out}: is not an empty folder; choose a new one, so that no key is overwritten")
    if not cabinet.startswith(("http://", "https://")):
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
        memory=memory,
        memory_hub=memory_hub,
    )
    written = provision(out, network, options, _signer(key))
    typer.echo(f"{out}: {len(written.directory)} intersections, keys in {out / 'keys'} (mode 0600)")
    for name in list(written.directory)[:3]:
        typer.echo(f"  phasemesh agent --site {out} --id {name} --state state")


def sign(folder: Annotated[Path, typer.Argument(help="Folder of the site.")], key: SigningKey = None) -> None:
    """Sign a site again after it was edited by hand; one that contradicts itself is not signed."""
    sign_site(folder, _signer(key))
    typer.echo(f"{folder}: signed")


def revoke(
    site: SiteFolder,
    intersection_id: Annotated[str, typer.Option("--id", help="Intersection whose key counts no longer.")],
    key: SigningKey = None,
) -> None:
    """Take the key of an intersection out of the directory and sign the site: the others drop and refuse it."""
    change_key(site, IntersectionId(intersection_id), NO_KEY, _signer(key))
    typer.echo(f"{site}: the key of {intersection_id} is revoked; bring site.json, site.manifest.json and site.sig")
    typer.echo("  to every box; its neighbours drop it within seconds, or at once after SIGHUP")


def rekey(
    site: SiteFolder,
    intersection_id: Annotated[str, typer.Option("--id", help="Intersection that gets a new key.")],
    key: SigningKey = None,
) -> None:
    """Give an intersection a new key and sign the site; also after it was revoked."""
    name, keypair = IntersectionId(intersection_id), generate_keypair()
    number = change_key(site, name, keypair.public, _signer(key))
    write_secret(secret_path(site, number), keypair.secret)
    typer.echo(f"{site}: {name} has a new key; bring site.json, site.manifest.json and site.sig to every box, then")
    typer.echo(f"  {secret_path(site, number)} to its own box and restart its agent")


def _signer(key: Path | None) -> Ed25519PrivateKey:
    return read_key(key) if key else own_key()
