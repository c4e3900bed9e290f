"""Refused requests and handshakes as Prometheus reads them, counted by others."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, generate_latest

from phasemesh.controller.telemetry.refusals import RefusalCounts


def lines(counts: RefusalCounts) -> list[str]:
    """The samples of `counts` in the text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(counts)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_without_anybody_who_counts_nothing_is_refused() -> None:
    """The handshakes are 0, and no reason has a series of its own."""
    assert lines(RefusalCounts()) == ["tsc_peer_handshakes_refused_total 0.0"]


def test_what_others_count_is_read_when_somebody_asks() -> None:
    """Each reason is a series, and a later look sees what came since."""
    refused, handshakes = Counter({"forbidden": 2}), [0, 3]
    counts = RefusalCounts()
    counts.watch(refused, handshakes.pop)
    first = lines(counts)
    refused["limited"] += 5
    second = lines(counts)

    assert first == ['tsc_requests_refused_total{reason="forbidden"} 2.0', "tsc_peer_handshakes_refused_total 3.0"]
    assert second == [
        'tsc_requests_refused_total{reason="forbidden"} 2.0',
        'tsc_requests_refused_total{reason="limited"} 5.0',
        "tsc_peer_handshakes_refused_total 0.0",
    ]
