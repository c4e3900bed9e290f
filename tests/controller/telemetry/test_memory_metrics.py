"""The metrics of a memory: totals count on, alarms come and go, and an agent without memory has none of them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from phasemesh.contract.site import MemoryMode
from phasemesh.controller.memory.memory_alarms import MemoryAlarm, MemoryCounts
from phasemesh.controller.memory.memory_state import MemoryState
from phasemesh.controller.telemetry.memory_metrics import MemoryMetrics, decisions_by_source
from phasemesh.controller.telemetry.tick_metrics import TickMetrics, summarise
from record_factories import make_header, make_record


def _state(alarms: tuple[MemoryAlarm, ...] = (), **counts: int) -> MemoryState:
    totals = MemoryCounts(**counts, by_source={"policy": 7, "ltm": 2, "hold": 1, "plan": 3})
    return MemoryState(MemoryMode.LIVE, ltm=5, stm=2, promoted=1, counts=totals, alarms=alarms, store_faults=4)


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_totals_are_counted_once() -> None:
    """The second tick adds what is new since the first."""
    registry = CollectorRegistry()
    metrics = MemoryMetrics(registry)
    metrics.note(_state(look_ups=10, hits=4))
    metrics.note(_state(look_ups=20, hits=9, promotions=1, demotions=2))

    assert _value(registry, "tsc_memory_look_ups_total") == 20
    assert _value(registry, "tsc_memory_hits_total") == 9
    assert _value(registry, "tsc_memory_hit_rate") == 0.45
    assert _value(registry, "tsc_memory_promotions_total") == 1
    assert _value(registry, "tsc_memory_demotions_total") == 2
    assert _value(registry, "tsc_memory_store_faults_total") == 4
    assert _value(registry, "tsc_memory_keys", memory="ltm") == 5
    assert _value(registry, "tsc_memory_decisions_total", source="fallback") == 4
    assert _value(registry, "tsc_memory_decisions_total", source="stm") == 0


def test_each_alarm_is_a_number_that_falls_again() -> None:
    """1 while it stands, by name."""
    registry = CollectorRegistry()
    metrics = MemoryMetrics(registry)
    metrics.note(_state((MemoryAlarm.HIT_RATE_DROP,)))
    raised = _value(registry, "tsc_memory_alarm", alarm="hit_rate_drop")
    metrics.note(_state())

    assert (raised, _value(registry, "tsc_memory_alarm", alarm="hit_rate_drop")) == (1, 0)
    assert _value(registry, "tsc_memory_alarm", alarm="class_explosion") == 0


def test_every_source_is_named() -> None:
    """Whoever is neither memory nor policy is a fallback."""
    found = decisions_by_source(MemoryCounts(by_source={"hold": 1, "release": 1, "plan": 1, "stm": 4}))

    assert found == {"ltm": 0, "stm": 4, "policy": 0, "fallback": 3}


def test_an_agent_without_memory_has_no_metrics_of_one() -> None:
    """They appear with the first tick of a memory."""
    metrics = TickMetrics(make_header())
    metrics.note(summarise(make_record(), tick_s=5.0, uptime_s=1.0))
    before = _value(metrics.registry, "tsc_memory_hit_rate")
    metrics.note(summarise(make_record(1), tick_s=5.0, uptime_s=6.0, memory=_state(look_ups=2, hits=1)))

    assert (before, _value(metrics.registry, "tsc_memory_hit_rate")) == (None, 0.5)
