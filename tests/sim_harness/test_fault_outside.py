"""Faults F19 and F27 from outside an agent: collectors that are dead, and requests that nobody may make."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import prometheus_client
import pytest

from agent_factories import make_site
from phasemesh.controller.access.access import access_of_site
from phasemesh.controller.access.middleware import protected
from phasemesh.controller.clock import MonotonicClock
from phasemesh.controller.operator.server import OperatorServer, serve_in_thread
from phasemesh.controller.operator.service import ROLES, operator_app
from phasemesh.controller.operator.snapshot import OperatorBoard
from phasemesh.sim_harness.faults.abuse import CONNECTIONS, REFUSALS, WRITES


@pytest.fixture
def endpoints(tmp_path: Path) -> Iterator[OperatorServer]:
    """The endpoints of an agent as they ship, behind their gate."""
    site = make_site(tmp_path)
    app = operator_app(OperatorBoard().latest, prometheus_client.CollectorRegistry(), MonotonicClock().mono_ns)
    name = next(iter(site.file.directory))
    server = serve_in_thread(protected(app, ROLES, access_of_site(tmp_path, site.file, (name,))), "127.0.0.1", 0)
    yield server
    server.close()


def test_f19_a_collector_that_reads_nothing_costs_the_others_nothing(endpoints: OperatorServer) -> None:
    """Connections with half a request stay open; the next request is answered at once."""
    dead = [socket.create_connection((endpoints.host, endpoints.port)) for _ in range(CONNECTIONS)]
    for each in dead:
        each.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
    before_s = time.monotonic()
    answer = httpx.get(f"http://{endpoints.host}:{endpoints.port}/metrics", trust_env=False)
    took_s = time.monotonic() - before_s
    for each in dead:
        each.close()

    assert answer.status_code == 200
    assert took_s < 1.0


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_f27_whatever_changes_something_is_refused_to_a_stranger(
    endpoints: OperatorServer, method: str, path: str
) -> None:
    """Without credentials nothing is granted, whatever the body says."""
    answer = httpx.request(
        method,
        f"http://{endpoints.host}:{endpoints.port}{path}",
        content=b'{"ttl_s": 1e9, "kind": "flash"}',
        trust_env=False,
    )

    assert answer.status_code in REFUSALS
