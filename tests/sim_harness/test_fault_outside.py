"""Faults F19 and F27 from outside an agent: collectors that are dead, and requests that nobody may make."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import prometheus_client
import pytest
from fault_endpoints import Endpoints

from phasemesh.contract.units import MonoNs
from phasemesh.controller.operator.server import OperatorServer
from phasemesh.sim_harness.faults.abuse import (
    CONNECTIONS,
    REFUSALS,
    UNKNOWN,
    WRITES,
    DeadCollector,
    Request,
    UnlawfulRequests,
)
from phasemesh.sim_harness.faults.counters import DroppedMessages


@pytest.fixture
def corner(tmp_path: Path) -> Iterator[Endpoints]:
    """The endpoints as they ship."""
    made = Endpoints(tmp_path)
    yield made
    made.server.close()


@pytest.fixture
def open_corner(tmp_path: Path) -> Iterator[Endpoints]:
    """The endpoints without their gate."""
    made = Endpoints(tmp_path, has_gate=False)
    yield made
    made.server.close()


@pytest.fixture
def endpoints(corner: Endpoints) -> OperatorServer:
    """The server of the endpoints."""
    return corner.server


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


@pytest.mark.parametrize("request_", WRITES, ids=lambda each: f"{each.method} {each.path}")
def test_f27_whatever_changes_something_is_refused_to_a_stranger(endpoints: OperatorServer, request_: Request) -> None:
    """Without credentials nothing is granted, however lawful the body is."""
    answer = httpx.request(
        request_.method,
        f"http://{endpoints.host}:{endpoints.port}{request_.path}",
        content=request_.body,
        trust_env=False,
    )

    assert answer.status_code in (REFUSALS if request_.is_known else UNKNOWN)


def test_f27_refused_requests_are_counted_and_change_nothing(corner: Endpoints) -> None:
    """The fault itself finds that all is as required."""
    outcomes = corner.suffer(UnlawfulRequests(corner.stage, corner.planned("unlawful-requests")))

    assert [outcome.is_good for outcome in outcomes] == [True, True], outcomes
    assert corner.orders.take(MonoNs(0)).events == ()


def test_f27_an_agent_without_a_gate_fails(open_corner: Endpoints) -> None:
    """What is granted to a stranger, and what nobody counts, is found."""
    outcomes = open_corner.suffer(UnlawfulRequests(open_corner.stage, open_corner.planned("unlawful-requests")))

    assert [outcome.is_good for outcome in outcomes] == [False, False], outcomes
    assert any("POST /v1/orders: 200" in outcome.text for outcome in outcomes)


def test_f19_a_dead_collector_is_found_to_do_no_harm(corner: Endpoints) -> None:
    """All connections are open, and a living collector is answered."""
    outcomes = corner.suffer(DeadCollector(corner.stage, corner.planned("dead-collector")))

    assert [outcome.is_good for outcome in outcomes] == [True, True], outcomes


def test_f19_an_agent_that_answers_nobody_any_more_fails(corner: Endpoints) -> None:
    """Endpoints that died of dead collectors are found."""
    injection = DeadCollector(corner.stage, corner.planned("dead-collector"))
    outcomes = corner.suffer(injection, meanwhile=corner.server.close)

    assert [outcome.is_good for outcome in outcomes] == [True, False], outcomes


@pytest.mark.parametrize(("drops", "is_good"), [({"replayed": 3}, True), ({"garbled": 3}, False), ({}, False)])
def test_f6_messages_out_of_order_must_be_counted_for_what_they_are(
    corner: Endpoints, drops: dict[str, int], is_good: bool
) -> None:
    """A counter that stands still, or another one that rises, is no reaction."""
    counter = prometheus_client.Counter(
        "tsc_neighbour_messages_dropped", "As in the metrics.", ["neighbour", "reason"], registry=corner.metrics
    )
    counter.labels("east", "replayed").inc(7)

    def drop() -> None:
        for reason, count in drops.items():
            counter.labels("east", reason).inc(count)

    (outcome,) = corner.suffer(DroppedMessages(corner.stage, corner.planned("message-reorder")), meanwhile=drop)

    assert outcome.is_good is is_good, outcome


def test_an_agent_whose_metrics_are_gone_fails(corner: Endpoints) -> None:
    """Nobody counts in the dark."""
    injection = DroppedMessages(corner.stage, corner.planned("message-garble"))
    (outcome,) = corner.suffer(injection, meanwhile=corner.server.close)

    assert not outcome.is_good
