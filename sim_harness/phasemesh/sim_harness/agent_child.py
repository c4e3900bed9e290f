"""What an agent's process imports and runs; the forkserver imports it once, so that every fork is small and quick."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import prometheus_client
import uvicorn

from phasemesh.contract.errors import PhasemeshError
from phasemesh.controller.operator import service
from phasemesh.controller.policy import session
from phasemesh.controller.process import AgentLaunch, serve_agent

EXIT_REFUSED = 2
EXIT_BROKEN = 1

PRELOADED = (prometheus_client, uvicorn, service)
"""Modules that every agent needs and that would otherwise be imported after the fork, in each of them."""

session.preload()
gc.freeze()


def run_child(launch: AgentLaunch, log: Path) -> None:
    """The whole life of an agent's process; its output goes to the file `log`."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, sys.stdout.fileno())
    os.dup2(handle, sys.stderr.fileno())
    os.close(handle)
    try:
        serve_agent(launch)
    except PhasemeshError as error:
        print(f"phasemesh agent: {error}", file=sys.stderr, flush=True)  # noqa: T201 (the log of this process)
        sys.exit(EXIT_REFUSED)
