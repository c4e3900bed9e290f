"""Serves an app from a daemon thread with its own event loop, out of the way of the decision loop."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from phasemesh.contract.errors import EndpointError

if TYPE_CHECKING:
    import uvicorn

    from phasemesh.controller.access.middleware import App
    from phasemesh.controller.access.tls import TlsFiles

SWITCH_INTERVAL_S = 0.0005
"""For `sys.setswitchinterval` of a process that serves beside a decision loop.

With it, 200 requests a second left a 10 Hz loop at most 0.2 ms late; with Python's default of 5 ms, the loop's own
ticks took twice as long.
"""
CLOSE_TIMEOUT_S = 5.0


class OperatorServer:
    """A running server; `host` and `port` are where it really listens."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self.host: str = listener.getsockname()[0]
        self.port: int = listener.getsockname()[1]
        self._server = server
        self._listener = listener
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="operator-endpoints", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and let go of the port; calling it again does nothing."""
        self._server.should_exit = True
        self._thread.join(CLOSE_TIMEOUT_S)
        # uvicorn closes it as well, but not if its thread died before it began to serve.
        self._listener.close()


def serve_in_thread(app: App, host: str, port: int, tls: TlsFiles | None = None) -> OperatorServer:
    """Serve `app` at `host` and `port` (0 for any free one) until the server is closed or the process ends.

    With `tls` it is served over HTTPS alone.

    Raises:
        EndpointError: the address cannot be bound; no thread has been started.
    """
    import uvicorn  # noqa: PLC0415 -- agents without endpoints must not pay for the import

    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        # A header must not tell from where a request comes: addresses decide what is open, and are audited.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        **(tls.server_options() if tls is not None else {}),
    )
    return OperatorServer(uvicorn.Server(config), listener)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at `host` and `port`; raises EndpointError when the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio sends small answers without delay only on sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise EndpointError(
            f"{host}:{port} cannot be bound: {getattr(error, 'strerror', None) or error};"
            " choose another address or stop what holds it"
        ) from error
    return listener
