"""Cabinets as a process of their own, stepping by the monotonic clock."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import uvicorn

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import SiteFile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.cabinets import cabinet_gate
from phasemesh.controller.access.tls import CABINETS, demand_tls, find_tls
from phasemesh.controller.adapters.table import own_cabinet
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cabinet.sealed_file import hold
from phasemesh.controller.cabinet.service import KEEP_ALIVE_S, ROUTES, CabinetBoard, cabinet_app
from phasemesh.controller.operator.server import listen
from phasemesh.controller.site_folder import read_intersection, read_site


def serve_cabinets(
    folder: Path, names: Sequence[IntersectionId], host: str, port: int, state: Path | None = None
) -> None:
    """Serve the cabinets of `names` (all of the site if empty) until SIGTERM or SIGINT.

    `state` is the folder in which latched faults outlast a power cut; no other process may hold it for one of these
    cabinets. Without it they are forgotten.

    Raises:
        InputError: The site cannot be used, or the folder of the state, or `host` is beyond this machine and the site
            has no certificate.
        EndpointError: The address cannot be bound.
    """
    site = read_site(folder)
    chosen = tuple(names) or tuple(site.directory)
    tls = find_tls(folder, CABINETS)
    demand_tls("--host", host, tls, CABINETS, site)
    with ExitStack() as held:
        listener = held.enter_context(listen(host, port))
        board = CabinetBoard({name: _cabinet(folder, site, name, state, held) for name in chosen})
        config = uvicorn.Config(
            cabinet_gate(cabinet_app(board), ROUTES, folder, site, board.cabinets),
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            # A header must not tell from where a request comes: addresses decide what is open, and are audited.
            proxy_headers=False,
            **(tls.server_options() if tls is not None else {}),
        )
        server = uvicorn.Server(config)

        async def serve() -> None:
            stepping = asyncio.create_task(_step(board, site.step_s / site.speed, site.step_s))
            await server.serve(sockets=[listener])
            stepping.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
        asyncio.run(serve())


def _cabinet(folder: Path, site: SiteFile, name: IntersectionId, state: Path | None, held: ExitStack) -> Cabinet:
    entry = read_intersection(folder, site, name)
    path = None if state is None else state_path(state, site, name)
    if path is not None:
        held.enter_context(hold(path))
    return own_cabinet(entry, site, state_path=path, day_s=local_day_s)


def state_path(state: Path, site: SiteFile, name: IntersectionId) -> Path:
    """The file of the latched faults of cabinet `name` in the folder `state`, which is made if need be.

    Raises:
        InputError: The folder cannot be made.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{state}: cannot be made: {error.strerror}; choose another folder") from error
    return state / f"{site.directory[name].number}.json"


def local_day_s(_now_s: float) -> float:
    """Seconds since local midnight by the wall clock, for plans by time of day; no interval is timed by it."""
    now = datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC).astimezone()
    return now.hour * 3600.0 + now.minute * 60.0 + now.second + now.microsecond / 1e6


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
