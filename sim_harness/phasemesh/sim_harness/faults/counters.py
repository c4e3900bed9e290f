"""What an agent says of itself at /metrics while faults are at work, and faults that its own counters must show."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.messages import DROPPED_AS
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.stage import Stage

DROPS_METRIC = "tsc_neighbour_messages_dropped_total"
STORE_METRIC = "tsc_store_write_errors_total"
HANDSHAKES_METRIC = "tsc_peer_handshakes_refused_total"
REQUESTS_METRIC = "tsc_requests_refused_total"
PATIENCE_S = 30.0
"""Wall time for an answer; simulated time waits for it."""


async def read_counter(stage: Stage, name: IntersectionId, metric: str, reason: str = "") -> float | None:
    """The sum of `metric` at the agent `name` over all labels, or those of `reason`; None where it does not answer."""
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False, headers=stage.proofs[name]) as client:
        try:
            page = await client.get(f"http://{stage.operators[name]}/metrics")
        except httpx.HTTPError:
            return None
    return counted(page.text, metric, reason) if page.status_code == httpx.codes.OK else None


def counted(page: str, metric: str, reason: str = "") -> float:
    """The sum of `metric` on a page of metrics over all labels, or over those with that `reason`; 0 without any."""
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return sum(each.value for each in samples if each.name == metric and reason in ("", each.labels.get("reason")))


class Counted(Injection):
    """A fault that must make a counter of every target rise; subclasses name it."""

    metric = DROPS_METRIC
    what = "messages dropped"
    least = 1.0
    """By how much the counter must rise at the least."""

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Nothing was counted yet."""
        super().__init__(stage, planned)
        self._before: dict[IntersectionId, float | None] = {}

    @property
    def reason(self) -> str:
        """The label `reason` that counts; empty for all."""
        return ""

    async def begin(self) -> None:
        """Note where the counters stand."""
        for name in self.targets:
            self._before[name] = await read_counter(self.stage, name, self.metric, self.reason)

    async def end(self) -> None:
        """Tell how far they rose."""
        for name in self.targets:
            before, after = self._before[name], await read_counter(self.stage, name, self.metric, self.reason)
            if before is None or after is None:
                self.note(f"{name} told nothing at /metrics", is_good=False)
                continue
            told = f"{self.what} as {self.reason}" if self.reason else self.what
            self.note(f"{after - before:.0f} {told} by {name}", is_good=after - before >= self.least)


class DroppedMessages(Counted):
    """What arrives is to be refused for the reason that belongs to the means, and counted."""

    @property
    def reason(self) -> str:
        """As the mailbox calls it."""
        return DROPPED_AS[self.planned.means]
