"""What `/v1/memory` and health say of a memory."""

from __future__ import annotations

import msgspec

from phasemesh.contract.site import MemoryMode
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.memory.memory_alarms import MemoryAlarm, MemoryCounts
from phasemesh.controller.memory.memory_state import MemoryState
from phasemesh.controller.memory.recall import Candidate, Remembered
from phasemesh.controller.operator.memory_views import memory
from phasemesh.controller.operator.service import ROUTES
from phasemesh.controller.operator.views import Status, health
from phasemesh.controller.telemetry.records import Source
from record_factories import make_record, make_state

NOW = MonoNs(100 * NS_PER_S)
KNOWN = MemoryState(
    MemoryMode.SHADOW,
    ltm=12,
    stm=3,
    promoted=1,
    counts=MemoryCounts(look_ups=8, hits=2, by_source={"policy": 8}),
    has_store=True,
)
REMEMBERED = Remembered(b"\x81\x00", 5.0, (Candidate("ltm", 0, -1.0, 30, 0.5, 0.0),), 20, -9.0, may_act=False)


def test_the_view_tells_sizes_rates_and_what_memory_would_have_done() -> None:
    """In the shadow the policy decided, and memory's wish is shown beside it."""
    record = make_record(remembered=REMEMBERED)
    view = memory(make_state(memory=KNOWN, record=record), record)

    assert (view.mode, view.source, view.hit_rate, view.ltm_keys) == (MemoryMode.SHADOW, "policy", 0.25, 12)
    assert view.decisions == {"ltm": 0, "stm": 0, "policy": 8, "fallback": 0}
    assert view.look_up is not None
    assert (view.look_up.key, view.look_up.proposed_stage, view.look_up.proposed_by) == ("8100", 0, "ltm")
    assert not view.look_up.may_act


def test_a_tick_without_a_look_up_and_without_a_proposal() -> None:
    """Null where nothing was asked; no stage where memory leaves it to the policy."""
    silent = make_record(source=Source.HOLD)
    unsure = make_record(remembered=msgspec.structs.replace(REMEMBERED, policy_n=0))

    assert memory(make_state(memory=KNOWN), silent).look_up is None
    assert memory(make_state(memory=KNOWN), silent).source == "fallback"
    look_up = memory(make_state(memory=KNOWN), unsure).look_up
    assert look_up is not None
    assert look_up.proposed_stage is None


def test_an_agent_without_memory_says_that_it_is_off() -> None:
    """And who decided, all the same."""
    view = memory(make_state(), make_record())

    assert (view.mode, view.source, view.look_ups, view.look_up) == (MemoryMode.OFF, "policy", 0, None)


def test_the_route_answers_in_json() -> None:
    """What is sent can be read back as the documented type."""
    (route,) = (each for each in ROUTES if each.path == "/v1/memory")
    reply = route.answer(make_state(memory=KNOWN, record=make_record(remembered=REMEMBERED)), NOW)

    assert reply.status == 200
    assert msgspec.json.decode(reply.body)["promoted_keys"] == 1


def test_health_warns_of_every_alarm_by_name() -> None:
    """A memory that is well is a check that passes; without a memory there is no check."""
    troubled = msgspec.structs.replace(
        KNOWN, alarms=(MemoryAlarm.STALE_ENTRIES, MemoryAlarm.STORE_FAULT), store_fault="disk full"
    )
    well, bad, none = (health(make_state(memory=each), NOW, "1").checks for each in (KNOWN, troubled, None))

    assert well["memory:alarms"][0].status is Status.GOOD
    assert bad["memory:alarms"][0].status is Status.DEGRADED
    assert bad["memory:alarms"][0].output == "stale_entries, store_fault (disk full)"
    assert "memory:alarms" not in none
