"""What an agent's process imports and runs; the forkserver imports it once, so that every fork is small and quick."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
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
from phasemesh.contract.errors import EndpointError, PhasemeshError
from phasemesh.contract.site import SiteFile, SiteIntersection
from phasemesh.controller.clock import MonotonicClock
from phasemesh.controller.operator.order_route import add_order_route
from phasemesh.controller.operator.orders import OrderBook
from phasemesh.controller.operator.service import operator_app
from phasemesh.controller.policy.bundle import installed_bundles, load_bundle
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.process import AgentLaunch, serve_agent
from phasemesh.sim_harness.faults.planned import PlannedFault

EXIT_REFUSED = 2
CLONE_NEWNET = 0x40000000
"""Asks setns(2) for a network namespace."""

PRELOADED = (ed25519, fastapi.openapi.utils, uvicorn.protocols.http.auto)
"""Modules that every agent needs and that would otherwise be imported after the fork, in each of them."""


def _warmed_up() -> list[OnnxPolicy]:
    """Do once what every child would otherwise do for itself: a first session alone costs 10 MB that forks share.

    As long as the policies that ship are kept, so are their sessions, which the children's policies share.
    """
    for struct in (SiteFile, SiteIntersection, Snapshot, AppliedCommand):
        msgspec.json.Decoder(struct)
    clock = MonotonicClock().mono_ns
    add_order_route(operator_app(lambda: None, prometheus_client.CollectorRegistry(), clock), OrderBook(), clock)
    return [load_bundle(folder, trusted_keys()).policy(0) for folder in installed_bundles().values()]


WARM = _warmed_up()
gc.collect()
gc.freeze()


def run_child(
    launch: AgentLaunch, log: Path, faults: tuple[PlannedFault, ...] = (), namespace: Path | None = None
) -> None:
    """The whole life of an agent's process, with `faults` inside it; its output goes to the file `log`.

    All of its sockets are those of the network `namespace`, or of the harness's own where that is None.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, sys.stdout.fileno())
    os.dup2(handle, sys.stderr.fileno())
    os.close(handle)
    if faults:
        from phasemesh.sim_harness.faults.rig import rig_process  # noqa: PLC0415 (other agents stay as they ship)

        rig_process(launch.intersection_id, faults)
    threading.Thread(target=_end_with_harness, name="harness-watch", daemon=True).start()
    try:
        if namespace is not None:
            enter_namespace(namespace)
        serve_agent(launch)
    except PhasemeshError as error:
        print(f"phasemesh agent: {error}", file=sys.stderr, flush=True)  # noqa: T201 (the log of this process)
        sys.exit(EXIT_REFUSED)


def _end_with_harness() -> None:
    """Ask this process to end as soon as the harness is gone, however that came.

    The forkserver, which is the parent of this process, does not notice: its children hold the pipe by which it would.
    """
    harness = multiprocessing.parent_process()
    if harness is not None:
        harness.join()
        os.kill(os.getpid(), signal.SIGTERM)


def enter_namespace(path: Path) -> None:
    """Move this thread, and all that it starts from now on, into the network namespace at `path` (setns(2)).

    Raises:
        EndpointError: There is none, or this process may not enter it.
    """
    try:
        with path.open("rb") as handle:
            # Python has os.setns from 3.12 on only.
            libc = ctypes.CDLL(None, use_errno=True)
            code = 0 if libc.setns(handle.fileno(), CLONE_NEWNET) == 0 else ctypes.get_errno()
    except OSError as error:
        code = error.errno or 0
    if code:
        raise EndpointError(f"the network namespace {path} cannot be entered: {os.strerror(code)}; start the run again")
