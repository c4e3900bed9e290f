"""A cabinet service that really listens on loopback, and whose cabinets a test steps through the server's own loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

import uvicorn

from phasemesh.contract.detection import LaneReading
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cabinet.service import CabinetBoard, cabinet_app
from phasemesh.controller.operator.server import listen

PATIENCE_S = 10.0

Answer = TypeVar("Answer")


class CabinetServer:
    """Serves `cabinets` from a thread until it is closed."""

    def __init__(self, *cabinets: Cabinet, port: int = 0) -> None:
        """Listen at `port` of loopback, by default a free one."""
        self.board = CabinetBoard({cabinet.intersection.id: cabinet for cabinet in cabinets})
        self._listener = listen("127.0.0.1", port)
        config = uvicorn.Config(
            cabinet_app(self.board), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._has_loop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._has_loop.wait(PATIENCE_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_loop.set()
        await self._server.serve(sockets=[self._listener])

    @property
    def url(self) -> str:
        """Where the service listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def install(self, cabinet: Cabinet) -> None:
        """Serve `cabinet`, in place of an older one of the same name."""
        self.call(lambda: self.board.cabinets.update({cabinet.intersection.id: cabinet}))

    def step(self, step: int, now_s: float, readings: tuple[LaneReading, ...] | None = None) -> None:
        """Step all cabinets and wake whoever waits for it."""
        self.call(lambda: self._step(step, now_s, readings))

    def _step(self, step: int, now_s: float, readings: tuple[LaneReading, ...] | None) -> None:
        for cabinet in self.board.cabinets.values():
            cabinet.step(step, now_s, readings)
        self.board.publish()

    def call(self, function: Callable[[], Answer]) -> Answer:
        """What `function` answers in the thread of the server, where alone cabinets may be touched."""

        async def run() -> Answer:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE_S)

    def close(self) -> None:
        """Stop serving and end the thread."""
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        self._listener.close()
