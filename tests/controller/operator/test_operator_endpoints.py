"""Behaviour of the operator's endpoints, asked over loopback from a real server thread."""

from __future__ import annotations

import logging
import math
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from phasemesh.contract.command import Interval, SignalState
from phasemesh.contract.errors import EndpointError
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.operator.server import OperatorServer, serve_in_thread
from phasemesh.controller.operator.service import operator_app
from phasemesh.controller.operator.snapshot import OperatorBoard
from phasemesh.controller.operator.views import (
    DecisionView,
    HealthView,
    NeighbourView,
    PhaseView,
    Status,
    VersionView,
)
from phasemesh.controller.telemetry.records import Rung, Source
from phasemesh.controller.telemetry.tick_metrics import DropCount, TickMetrics, summarise
from record_factories import EAST, floats, make_header, make_record, make_state

LAST_TICK_S = 100.0
"""When the decision loop of `make_state` last turned; its ticks are five seconds long."""
TICK_PATHS = ("/v1/phase", "/v1/neighbours", "/v1/decision", "/v1/detectors", "/v1/events", "/v1/memory")
PATHS = ("/livez", "/readyz", "/healthz", *TICK_PATHS, "/v1/version", "/metrics")


class Desk:
    """A running server whose state and time a test sets."""

    def __init__(self) -> None:
        self.now_s = LAST_TICK_S
        self.board = OperatorBoard()
        self.metrics = TickMetrics(make_header())
        app = operator_app(self.board.latest, self.metrics.registry, self._mono_ns)
        self.server: OperatorServer = serve_in_thread(app, "127.0.0.1", 0)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.server.port}", trust_env=False)

    def _mono_ns(self) -> MonoNs:
        return MonoNs(round(self.now_s * NS_PER_S))

    def show(self, **changes: Any) -> None:
        """Publish a state that differs from the plain one by `changes`."""
        self.board.publish(make_state(**changes))

    def get(self, path: str) -> httpx.Response:
        """The answer of the server."""
        return self.client.get(path)

    def close(self) -> None:
        """Stop the server."""
        self.client.close()
        self.server.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Desk]:
    """One server for all tests of this file."""
    desk = Desk()
    yield desk
    desk.close()


@pytest.fixture
def desk(running: Desk) -> Desk:
    """The server, showing the plain state at the time of its last tick."""
    running.now_s = LAST_TICK_S
    running.show()
    return running


@pytest.mark.parametrize(("age_s", "status"), [(0.0, 200), (15.0, 200), (15.1, 503), (3600.0, 503)])
def test_livez_follows_the_decision_loop_and_nothing_else(desk: Desk, age_s: float, status: int) -> None:
    """Three ticks after its last turn a loop is dead, although the thread that says so lives."""
    desk.now_s = LAST_TICK_S + age_s

    answer = desk.get("/livez")

    assert answer.status_code == status
    assert answer.json() == {"is_alive": status == 200, "age_s": pytest.approx(age_s)}


@pytest.mark.parametrize("path", PATHS)
def test_a_dead_loop_does_not_silence_the_endpoints(desk: Desk, path: str) -> None:
    """An operator can still see the last that the agent knew."""
    desk.now_s = LAST_TICK_S + 1000.0

    answer = desk.get(path)

    assert answer.status_code == (503 if path in {"/livez", "/readyz", "/healthz"} else 200)
    assert answer.content


@pytest.mark.parametrize(
    ("rung", "status"), [(Rung.COORDINATED, 200), (Rung.ISOLATED, 200), (Rung.LOCAL, 503), (Rung.RELEASED, 503)]
)
def test_readyz_says_whether_the_policy_is_in_control(desk: Desk, rung: Rung, status: int) -> None:
    """Only the two upper rungs are armed; the reason comes along."""
    desk.show(rung=rung, reason="because")

    answer = desk.get("/readyz")

    assert answer.status_code == status
    assert answer.json() == {"is_ready": status == 200, "rung": rung.value, "reason": "because"}


def test_a_dead_loop_is_not_ready_whatever_its_last_rung_was(desk: Desk) -> None:
    """The rung of a loop that no longer turns means nothing."""
    desk.now_s = LAST_TICK_S + 16.0

    answer = desk.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["reason"] == "the decision loop no longer turns"


def health_of(answer: httpx.Response) -> HealthView:
    """The health in an answer, which must have the media type of health."""
    assert answer.headers["content-type"] == "application/health+json"
    return msgspec.json.decode(answer.content, type=HealthView)


def test_healthz_passes_when_all_is_well(desk: Desk) -> None:
    """With every neighbour fresh on the first rung, status is pass and checks are keyed component:measurement."""
    desk.show(record=make_record(peers=make_record().peers[:1]))

    answer = desk.get("/healthz")

    assert answer.status_code == 200
    assert answer.json()["status"] == "pass"
    assert set(health_of(answer).checks) == {
        "decision_loop:age",
        "ladder:rung",
        "guard:latched",
        "state:kept",
        "detectors:trusted",
        "neighbours:fresh",
        "neighbours:hearing",
        "recorder:lost",
        "hyper_action:drift",
    }


@pytest.mark.parametrize("rung", [Rung.ISOLATED, Rung.LOCAL, Rung.RELEASED])
def test_a_lower_rung_is_a_warning_and_no_failure(desk: Desk, rung: Rung) -> None:
    """Degraded but safe is 200, so that nobody restarts an agent that copes."""
    desk.show(rung=rung, reason="none of 2 neighbours is fresh")

    answer = desk.get("/healthz")

    assert answer.status_code == 200
    assert answer.json()["status"] == "warn"
    assert health_of(answer).checks["ladder:rung"][0].output == "none of 2 neighbours is fresh"


def test_stale_neighbours_and_lost_records_are_named(desk: Desk) -> None:
    """A warning says which component, how much and why."""
    desk.show(lost_records=4, recorder_fault="/rec: No space left on device")

    checks = health_of(desk.get("/healthz")).checks

    assert checks["neighbours:fresh"][0].output == "stale: west"
    assert checks["recorder:lost"][0].observed_value == 4
    assert checks["recorder:lost"][0].output == "/rec: No space left on device"


def test_a_latch_that_would_not_outlast_this_life_is_a_warning(desk: Desk) -> None:
    """Whoever watches must know that a restart would clear it."""
    desk.show(state_fault="/state/0.life.json: cannot be written: No space left on device")

    health = health_of(desk.get("/healthz"))

    assert health.status == "warn"
    assert health.checks["state:kept"][0].output == "/state/0.life.json: cannot be written: No space left on device"


def test_a_neighbour_that_does_not_hear_is_named(desk: Desk) -> None:
    """One that may or may not hear is no warning, since a neighbour of the version before cannot tell (fault F21)."""
    east, west = make_record().peers
    desk.show(record=make_record(peers=(msgspec.structs.replace(east, hears_us=False), west)))

    (check,) = health_of(desk.get("/healthz")).checks["neighbours:hearing"]
    views = msgspec.json.decode(desk.get("/v1/neighbours").content, type=list[NeighbourView])

    assert (check.status, check.observed_value) == (Status.DEGRADED, 1)
    assert check.output == "do not hear this agent: east"
    assert [view.hears_us for view in views] == [False, None]


def test_a_dead_loop_fails_the_health(desk: Desk) -> None:
    """The one failure is a decision loop that does not turn."""
    desk.now_s = LAST_TICK_S + 16.0

    answer = desk.get("/healthz")

    assert answer.status_code == 503
    assert answer.json()["status"] == "fail"


def test_phase_in_green(desk: Desk) -> None:
    """In green: letters, stage, since when, the bounds of what is left, and no committed next stage."""
    shown = SignalState(stage=1, from_stage=0, interval=Interval.GREEN, since_s=8.0)
    desk.now_s = LAST_TICK_S + 2.0
    desk.show(
        record=make_record(signal=shown, now_s=10.0),
        rung=Rung.ISOLATED,
        reason="alone",
        record_mono_ns=MonoNs(99 * NS_PER_S),
    )

    view = msgspec.json.decode(desk.get("/v1/phase").content, type=PhaseView)

    assert (view.letters, view.stage, view.stage_name, view.interval) == ("rGrG", 1, "east-west", Interval.GREEN)
    assert (view.since_s, view.as_of_s, view.age_s) == (8.0, 10.0, 3.0)
    assert (view.next_stage, view.next_stage_name) == (None, None)
    assert (view.min_left_s, view.max_left_s) == (3.0, 298.0)
    assert (view.rung, view.reason, view.mode) == (Rung.ISOLATED, "alone", "agent")


def test_phase_in_yellow(desk: Desk) -> None:
    """In yellow: the closing stage is shown, the next one is committed, and what is left is known exactly."""
    shown = SignalState(stage=1, from_stage=0, interval=Interval.YELLOW, since_s=9.0)
    desk.show(record=make_record(signal=shown, now_s=10.0))

    view = msgspec.json.decode(desk.get("/v1/phase").content, type=PhaseView)

    assert (view.letters, view.stage_name, view.next_stage_name) == ("yryr", "north-south", "east-west")
    assert (view.min_left_s, view.max_left_s) == (2.0, 2.0)


def test_phase_without_an_answer_of_the_cabinet_is_what_was_observed(desk: Desk) -> None:
    """When the command got no answer, the snapshot is the newest thing known."""
    desk.show(record=make_record(applied=None))

    assert desk.get("/v1/phase").json()["letters"] == "GrGr"


def test_neighbours_show_age_life_and_drops(desk: Desk) -> None:
    """Each neighbour with its newest message, also the one that was never heard."""
    desk.show(drops=(DropCount(EAST, "stale", 2), DropCount(EAST, "garbled", 1)))

    east, west = msgspec.json.decode(desk.get("/v1/neighbours").content, type=list[NeighbourView])

    assert (east.neighbour, east.is_fresh, east.hears_us, east.age_ticks, east.age_s) == ("east", True, True, 1, 5.0)
    assert (east.boot_id, east.seq, east.step) == ("11", 3, 0)
    assert east.dropped == {"stale": 2, "garbled": 1}
    assert west == NeighbourView("west", False, None, None, None, None, None, None, {})


def test_decision_shows_inputs_answer_and_verdict(desk: Desk) -> None:
    """The newest decision, whole; a number that is not finite is null, which every JSON reader can read."""
    desk.show(record=make_record(7, logits=floats(1.5, math.nan), source=Source.STM, rule="I5", stage=1))

    view = msgspec.json.decode(desk.get("/v1/decision").content, type=DecisionView)

    assert (view.tick, view.legal, view.logits) == (7, (True, False), [1.5, None])
    assert (view.mask, view.mask_probability) == ([1.0, 0.0], [0.75, 0.25])
    assert len(view.hyper_action) == 8
    assert (view.source, view.wanted_stage, view.stage, view.rule) == (Source.STM, 0, 1, "I5")
    assert view.step_ms["observe"] == 0.1
    assert list(view.step_ms)[-1] == "record"
    assert view.comm_misses == ("west",)


def test_version_names_bundle_spec_and_life(desk: Desk) -> None:
    """What runs here, since when; the boot id arrives unrounded."""
    view = msgspec.json.decode(desk.get("/v1/version").content, type=VersionView)

    assert (view.intersection, view.bundle, view.spec_hash) == ("crossing", "zoo", make_header().spec_hash)
    assert view.boot_id == str(2**62 + 1)
    assert view.uptime_s == LAST_TICK_S


def test_metrics_can_be_parsed_by_prometheus(desk: Desk) -> None:
    """The exposition is valid and holds what the decision loop has noted."""
    desk.metrics.note(summarise(make_record(rung=Rung.LOCAL), tick_s=5.0, uptime_s=5.0))

    answer = desk.get("/metrics")

    samples = [
        sample for family in text_string_to_metric_families(answer.text) for sample in family.samples if sample.value
    ]
    assert [sample.labels for sample in samples if sample.name == "tsc_mode"] == [{"mode": "LOCAL"}]
    assert answer.headers["content-type"].startswith("text/plain")


def test_before_the_first_turn_nothing_is_alive_and_nothing_crashes() -> None:
    """An agent that is still starting answers 503 everywhere but for its metrics."""
    desk = Desk()
    statuses = {path: desk.get(path).status_code for path in PATHS}
    desk.close()

    assert statuses == {path: 200 if path == "/metrics" else 503 for path in PATHS}


def test_before_the_first_tick_a_turning_loop_is_alive(desk: Desk) -> None:
    """A loop that waits for its first snapshot lives; there is just no tick to show."""
    desk.show(record=None, rung=Rung.RELEASED, reason="no snapshot yet")

    assert desk.get("/livez").status_code == 200
    assert desk.get("/v1/version").status_code == 200
    assert desk.get("/healthz").json()["status"] == "warn"
    assert [desk.get(path).status_code for path in TICK_PATHS] == [503] * len(TICK_PATHS)
    assert desk.get("/v1/phase").json() == {"reason": "there has been no tick yet"}


def test_the_endpoints_are_documented_with_their_schemas(desk: Desk) -> None:
    """Every path is in the OpenAPI document and every reference in it leads somewhere."""
    document = desk.get("/openapi.json").json()

    assert set(document["paths"]) == set(PATHS)
    assert set(document["paths"]["/v1/phase"]["get"]["responses"]) == {"200", "401", "403", "411", "413", "429", "503"}
    schemas = document["components"]["schemas"]
    assert "letters" in schemas["PhaseView"]["required"]
    assert references(document) <= {f"#/components/schemas/{name}" for name in schemas}


def references(node: object) -> set[str]:
    """All `$ref` below a node of a JSON document."""
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*(references(child) for child in node.values()))
    return set().union(*(references(child) for child in node)) if isinstance(node, list) else set()


@pytest.mark.parametrize("path", PATHS)
def test_nothing_can_be_written(desk: Desk, path: str) -> None:
    """The endpoints only show; any other method is refused."""
    assert desk.client.post(path, json={}).status_code == 405


def test_answers_are_never_cached(desk: Desk) -> None:
    """What a signal shows is true only now."""
    assert desk.get("/v1/phase").headers["cache-control"] == "no-store"


def test_a_port_in_use_is_one_clear_line_before_any_thread(desk: Desk) -> None:
    """An address that is taken stops the start-up with its name, and leaves no thread behind."""
    threads = threading.active_count()
    app = operator_app(OperatorBoard().latest, desk.metrics.registry, lambda: MonoNs(0))

    with pytest.raises(EndpointError, match=f"127.0.0.1:{desk.server.port} cannot be bound") as caught:
        serve_in_thread(app, "127.0.0.1", desk.server.port)

    assert "\n" not in str(caught.value)
    assert threading.active_count() == threads


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("192.0.2.1", 0)])
def test_an_impossible_address_is_an_endpoint_error(desk: Desk, host: str, port: int) -> None:
    """A port that cannot exist or an address of another machine is told like one that is taken."""
    app = operator_app(OperatorBoard().latest, desk.metrics.registry, lambda: MonoNs(0))

    with pytest.raises(EndpointError, match="cannot be bound"):
        serve_in_thread(app, host, port)


def test_a_closed_server_frees_its_port_and_its_thread() -> None:
    """After close, which may be called twice, the port can be bound again at once."""
    threads = set(threading.enumerate())
    desk = Desk()
    desk.get("/livez")
    threads_meanwhile = set(threading.enumerate())
    desk.close()
    desk.server.close()

    assert threads < threads_meanwhile
    assert set(threading.enumerate()) == threads
    socket.create_server(("127.0.0.1", desk.server.port)).close()


def test_a_server_that_was_never_asked_closes_too() -> None:
    """Closing right after the start neither hangs nor leaves thread or port behind."""
    threads = set(threading.enumerate())
    desk = Desk()
    desk.close()

    assert set(threading.enumerate()) == threads
    socket.create_server(("127.0.0.1", desk.server.port)).close()


def test_serving_leaves_signals_and_logging_to_the_process() -> None:
    """The agent's own handlers of signals and its log stay as they were."""
    before = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), logging.getLogger().handlers[:])
    desk = Desk()
    desk.get("/livez")
    meanwhile = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), logging.getLogger().handlers[:])
    desk.close()

    assert meanwhile == before
    assert logging.getLogger("uvicorn").handlers == []


def test_agents_without_endpoints_never_import_a_web_framework() -> None:
    """Importing the operator's modules leaves FastAPI and uvicorn alone until an app is made."""
    code = (
        "import sys; import phasemesh.controller.operator.service, phasemesh.controller.operator.server;"
        "print([name for name in ('fastapi', 'uvicorn', 'starlette') if name in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert found.stdout.strip() == "[]"
