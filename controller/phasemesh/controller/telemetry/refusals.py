"""Who was turned away, for Prometheus: read from those who count it, in the moment in which somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class RefusalCounts(Collector):
    """Requests that the gate before the endpoints refused, by reason, and handshakes of peers with a wrong key."""

    def __init__(self) -> None:
        """Nobody counts yet."""
        self._requests: Mapping[str, int] = {}
        self._handshakes: Callable[[], int] = int

    def watch(self, requests: Mapping[str, int], handshakes: Callable[[], int]) -> None:
        """Show what `requests` holds and `handshakes` answers from now on; both only ever rise."""
        self._requests = requests
        self._handshakes = handshakes

    def collect(self) -> Iterator[Metric]:
        """As in `Collector`."""
        requests = CounterMetricFamily(
            "tsc_requests_refused", "Requests that the gate before the endpoints refused.", labels=["reason"]
        )
        # Another thread may count meanwhile; a copy does not change under the loop.
        for reason, count in dict(self._requests).items():
            requests.add_metric([reason], count)
        yield requests
        yield CounterMetricFamily(
            "tsc_peer_handshakes_refused",
            "Handshakes of peers with an unknown or revoked key that were refused.",
            value=self._handshakes(),
        )
