"""Cabinets as a process of their own, stepping by the monotonic clock."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.table import own_cabinet
from phasemesh.controller.cabinet.service import CabinetBoard, cabinet_app
from phasemesh.controller.operator.server import listen
from phasemesh.controller.site_folder import read_intersection, read_site


def serve_cabinets(folder: Path, names: Sequence[IntersectionId], host: str, port: int) -> None:
    """Serve the cabinets of `names` (all of the site if empty) until SIGTERM or SIGINT.

    Raises:
        SiteError: The site cannot be used.
        EndpointError: The address cannot be bound.
    """
    site = read_site(folder)
    chosen = names or tuple(site.directory)
    board = CabinetBoard({name: own_cabinet(read_intersection(folder, site, name), site) for name in chosen})
    listener = listen(host, port)
    config = uvicorn.Config(cabinet_app(board), lifespan="off", ws="none", log_level="warning", access_log=False)
    server = uvicorn.Server(config)

    async def serve() -> None:
        stepping = asyncio.create_task(_step(board, site.step_s / site.speed, site.step_s))
        await server.serve(sockets=[listener])
        stepping.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    asyncio.run(serve())


def _end(_number: int, _frame: FrameType | None) -> None:
    """Nothing: uvicorn has ended its service by the time it raises the signal again, which would end in an error."""


async def _step(board: CabinetBoard, period_s: float, step_s: float) -> None:
    """Step at absolute times, so that a late step does not delay the ones after it."""
    started_s = time.monotonic()
    for step in range(1, 1 << 62):
        await asyncio.sleep(max(0.0, started_s + step * period_s - time.monotonic()))
        for cabinet in board.cabinets.values():
            cabinet.step(step, step * step_s)
        board.publish()
