"""What an agent's process imports and runs; the forkserver imports it once, so that every fork is small and quick."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import fastapi.openapi.utils
import msgspec
import prometheus_client
import uvicorn.lifespan.off
import uvicorn.loops.asyncio
import uvicorn.protocols.http.auto
from cryptography.hazmat.primitives.asymmetric import ed25519

from phasemesh.contract.command import AppliedCommand
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.errors import PhasemeshError
from phasemesh.contract.site import SiteFile, SiteIntersection
from phasemesh.controller.clock import MonotonicClock
from phasemesh.controller.operator.service import operator_app
from phasemesh.controller.policy.bundle import installed_bundles, load_bundle
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.process import AgentLaunch, serve_agent
from phasemesh.sim_harness.faults.planned import PlannedFault

EXIT_REFUSED = 2

PRELOADED = (ed25519, fastapi.openapi.utils, uvicorn.protocols.http.auto)
"""Modules that every agent needs and that would otherwise be imported after the fork, in each of them."""


def _warm_up() -> None:
    """Do once what every child would otherwise do for itself: a first session alone costs 10 MB that forks share."""
    for struct in (SiteFile, SiteIntersection, Snapshot, AppliedCommand):
        msgspec.json.Decoder(struct)
    operator_app(lambda: None, prometheus_client.CollectorRegistry(), MonotonicClock().mono_ns)
    for folder in installed_bundles().values():
        load_bundle(folder, trusted_keys()).policy(0)
        return


_warm_up()
gc.collect()
gc.freeze()


def run_child(launch: AgentLaunch, log: Path, faults: tuple[PlannedFault, ...] = ()) -> None:
    """The whole life of an agent's process, with `faults` inside it; its output goes to the file `log`."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, sys.stdout.fileno())
    os.dup2(handle, sys.stderr.fileno())
    os.close(handle)
    if faults:
        from phasemesh.sim_harness.faults.rig import rig_process  # noqa: PLC0415 (other agents stay as they ship)

        rig_process(launch.intersection_id, faults)
    try:
        serve_agent(launch)
    except PhasemeshError as error:
        print(f"phasemesh agent: {error}", file=sys.stderr, flush=True)  # noqa: T201 (the log of this process)
        sys.exit(EXIT_REFUSED)
