"""Behaviour of the metrics of one agent, as Prometheus reads them."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from phasemesh.contract.command import Interval, SignalState, advance, request_stage, start
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder_table import LadderEvent, Rung
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.detectors import DetectorFault, DetectorFaultKind
from phasemesh.controller.telemetry.tick_metrics import (
    DropCount,
    TickMetrics,
    drop_counts,
    green_seconds,
    summarise,
)
from phasemesh.controller.trouble import Circumstances
from record_factories import CROSSING, EAST, WEST, make_header, make_record
from strategies import brisk

STRANGER = IntersectionId("stranger")
TIMINGS = make_header().timings


def note(metrics: TickMetrics, tick: int = 0, *, drops=(), store_write_errors: int = 0, **changes) -> None:
    """Note one tick of five seconds."""
    record = make_record(tick, now_s=5.0 * tick, **changes)
    metrics.note(summarise(record, tick_s=5.0, uptime_s=5.0 * tick, drops=drops, store_write_errors=store_write_errors))


def read(metrics: TickMetrics, name: str, **labels: str) -> float | None:
    """The value of one sample as Prometheus would parse it, or None when there is no such sample."""
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def test_every_promised_metric_is_there_after_one_tick() -> None:
    """The names are those of the operations manual; counters of faults appear with their first fault or before."""
    metrics = TickMetrics(make_header())
    fault = DetectorFault(CROSSING.lanes[0].id, DetectorFaultKind.SILENT, 0.0)
    note(
        metrics,
        rule="I5",
        drops=(DropCount(EAST, "stale", 1),),
        detector_faults=(fault,),
        in_force=(LadderEvent.CONFIG_DIFFERS,),
    )
    metrics.note(summarise(make_record(1, now_s=15.0), tick_s=5.0, uptime_s=15.0, adapter_error="timeout"))

    names = {
        sample.name
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }

    assert names == {
        "tsc_adapter_errors_total",
        "tsc_build_info",
        "tsc_clock_step_seconds_total",
        "tsc_comm_deadline_missed_total",
        "tsc_decision_deadline_missed_total",
        "tsc_decision_duration_seconds_bucket",
        "tsc_decision_duration_seconds_count",
        "tsc_decision_duration_seconds_sum",
        "tsc_detector_fault",
        "tsc_guard_latched",
        "tsc_hyper_drift",
        "tsc_hyper_drift_distance",
        "tsc_guard_rejections_total",
        "tsc_ladder_changes_total",
        "tsc_last_decision_uptime_seconds",
        "tsc_mode",
        "tsc_neighbour_hears_us",
        "tsc_neighbour_message_age_seconds",
        "tsc_neighbour_messages_dropped_total",
        "tsc_peer_handshakes_refused_total",
        "tsc_phase_green_seconds_total",
        "tsc_readback_mismatch_total",
        "tsc_store_write_errors_total",
    }


def test_the_build_names_bundle_and_spec() -> None:
    """What runs can be told from the metrics alone."""
    metrics = TickMetrics(make_header(bundle="zoo", bundle_digest="cafe"))

    assert read(metrics, "tsc_build_info", bundle="zoo", bundle_digest="cafe", intersection="crossing") == 1.0


@brisk
@given(st.lists(st.sampled_from(Rung), min_size=1, max_size=6))
def test_exactly_one_mode_is_on(rungs: list[Rung]) -> None:
    """However the ladder was climbed, the last rung is 1 and all others are 0."""
    metrics = TickMetrics(make_header())
    for tick, rung in enumerate(rungs):
        note(metrics, tick, rung=rung)

    modes = {rung: read(metrics, "tsc_mode", mode=rung.value) for rung in Rung}

    assert modes == {rung: float(rung is rungs[-1]) for rung in Rung}


def test_changes_of_the_rung_are_counted_by_where_they_lead() -> None:
    """The first rung of a life counts too, staying does not."""
    metrics = TickMetrics(make_header())
    for tick, rung in enumerate((Rung.RELEASED, Rung.RELEASED, Rung.COORDINATED, Rung.LOCAL, Rung.COORDINATED)):
        note(metrics, tick, rung=rung)
    counts = {rung: read(metrics, "tsc_ladder_changes_total", to=rung.value) for rung in Rung}

    assert counts == {
        Rung.COORDINATED: 2.0,
        Rung.ISOLATED: None,
        Rung.LOCAL: 1.0,
        Rung.RELEASED: 1.0,
        Rung.FLASH: None,
    }


def test_a_latch_is_on_until_it_is_reset() -> None:
    """That of the agent, which stands in what is in force, and those of its cabinet alike."""
    metrics = TickMetrics(make_header())
    latched = msgspec.structs.replace(make_record().snapshot, latched=("I1",))
    note(metrics, 0, in_force=(LadderEvent.CONFIG_DIFFERS, LadderEvent.POLICY_FAULTY), snapshot=latched)
    on = [read(metrics, "tsc_guard_latched", rule=rule) for rule in ("I19", "I1", "I20")]
    note(metrics, 1)
    off = [read(metrics, "tsc_guard_latched", rule=rule) for rule in ("I19", "I1")]

    assert (on, off) == ([1.0, 1.0, None], [0.0, 0.0])


def test_a_fault_of_a_detector_is_on_until_it_is_mended() -> None:
    """By lane and kind; another kind at the same lane is another series."""
    metrics = TickMetrics(make_header())
    lane = CROSSING.lanes[0].id
    for tick, kind in enumerate((DetectorFaultKind.FLUTTER, DetectorFaultKind.SILENT)):
        note(metrics, tick, detector_faults=(DetectorFault(lane, kind, 0.0),))

    assert read(metrics, "tsc_detector_fault", detector=lane, kind="flutter") == 0.0
    assert read(metrics, "tsc_detector_fault", detector=lane, kind="silent") == 1.0


def test_read_backs_that_disagree_are_counted() -> None:
    """Whether they are only told or release the signal; no other finding counts."""
    metrics = TickMetrics(make_header())
    for tick, (rule, reaction) in enumerate((("I16", Reaction.LOG), ("I16", Reaction.RELEASE), ("I11", Reaction.LOG))):
        note(metrics, tick, findings=(Finding(rule, reaction, "why"),))

    assert read(metrics, "tsc_readback_mismatch_total") == 2.0


def test_jumps_of_the_wall_clock_are_summed_up() -> None:
    """In seconds, whatever their direction."""
    metrics = TickMetrics(make_header())
    for tick, step_s in enumerate((3600.0, 0.0, -1.5)):
        note(metrics, tick, circumstances=Circumstances(clock_step_s=step_s))

    assert read(metrics, "tsc_clock_step_seconds_total") == 3601.5


def test_two_agents_in_one_process_keep_their_metrics_apart() -> None:
    """Each agent has a registry of its own."""
    first, second = TickMetrics(make_header()), TickMetrics(make_header())
    note(first)

    assert read(first, "tsc_decision_duration_seconds_count") == 1.0
    assert read(second, "tsc_decision_duration_seconds_count") == 0.0


def test_a_decision_is_timed_by_the_steps_of_its_tick() -> None:
    """The duration is the sum of the steps, in seconds, and the time of the newest decision is kept."""
    metrics = TickMetrics(make_header())
    note(metrics, 3, step_ms=(1.0, 2.0, 3.0, 4.0))

    assert read(metrics, "tsc_decision_duration_seconds_sum") == pytest.approx(0.010)
    assert read(metrics, "tsc_decision_duration_seconds_bucket", le="0.005") == 0.0
    assert read(metrics, "tsc_decision_duration_seconds_bucket", le="0.025") == 1.0
    assert read(metrics, "tsc_last_decision_uptime_seconds") == 15.0


def test_faults_are_counted_only_when_they_happen() -> None:
    """Missed deadlines, changed choices and the driver's faults rise by one for each tick that has one."""
    metrics = TickMetrics(make_header())
    for tick in range(3):
        is_bad = tick == 1
        metrics.note(
            summarise(
                make_record(tick, rule="I5" if is_bad else ""),
                tick_s=5.0,
                uptime_s=0.0,
                is_deadline_missed=is_bad,
                adapter_error="timeout" if is_bad else "",
            )
        )

    assert read(metrics, "tsc_decision_deadline_missed_total") == 1.0
    assert read(metrics, "tsc_guard_rejections_total", rule="I5") == 1.0
    assert read(metrics, "tsc_adapter_errors_total", kind="timeout") == 1.0


def test_a_neighbour_that_was_never_heard_is_infinitely_old() -> None:
    """An alert on the age of messages also fires for a neighbour that never spoke."""
    metrics = TickMetrics(make_header())
    ages_before = read(metrics, "tsc_neighbour_message_age_seconds", neighbour=EAST)
    note(metrics)

    assert ages_before == math.inf
    assert read(metrics, "tsc_neighbour_message_age_seconds", neighbour=EAST) == 5.0
    assert read(metrics, "tsc_neighbour_message_age_seconds", neighbour=WEST) == math.inf


def test_who_hears_this_agent_is_told_and_who_is_not_known_is_no_number() -> None:
    """An alarm on 0 sounds for a deaf neighbour alone, not for one that cannot tell (fault F21)."""
    metrics = TickMetrics(make_header())
    east, west = make_record().peers
    shown = []
    for tick, hears_us in enumerate((True, False, None)):
        note(metrics, tick, peers=(msgspec.structs.replace(east, hears_us=hears_us), west))
        shown.append(read(metrics, "tsc_neighbour_hears_us", neighbour=EAST))

    assert shown == [1.0, 0.0, pytest.approx(math.nan, nan_ok=True)]
    assert read(metrics, "tsc_neighbour_hears_us", neighbour=WEST) == pytest.approx(math.nan, nan_ok=True)


def test_totals_of_drops_and_lost_records_are_taken_over_as_they_are() -> None:
    """Totals are given anew each tick; the counters follow them and never count twice."""
    metrics = TickMetrics(make_header())
    for tick, total in enumerate((2, 2, 5)):
        note(metrics, tick, drops=drop_counts(Counter({(EAST, "stale"): total})), store_write_errors=total)

    assert read(metrics, "tsc_neighbour_messages_dropped_total", neighbour=EAST, reason="stale") == 5.0
    assert read(metrics, "tsc_store_write_errors_total") == 5.0


def test_strangers_share_one_label() -> None:
    """Whoever is no neighbour cannot add time series by inventing names."""
    metrics = TickMetrics(make_header())
    note(metrics, drops=(DropCount(STRANGER, "forged", 2), DropCount(IntersectionId("other"), "forged", 3)))

    assert read(metrics, "tsc_neighbour_messages_dropped_total", neighbour="unknown", reason="forged") == 5.0
    assert read(metrics, "tsc_neighbour_messages_dropped_total", neighbour=STRANGER) is None


@brisk
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.5, 5.0)), max_size=30))
def test_green_time_is_that_of_the_signal(ticks: list[tuple[int, float]]) -> None:
    """For any requests, the counted green of all stages is what a sequencer sampled finely has shown."""
    counted, shown = [0.0, 0.0], [0.0, 0.0]
    signal, now_s, fine = start(0, 0.0), 0.0, 64
    for stage, tick_s in ticks:
        after, before_s = request_stage(CROSSING, signal, stage, now_s), now_s
        signal = after
        for part in range(1, fine + 1):
            signal = advance(signal, TIMINGS, before_s + tick_s * part / fine)
            shown[signal.stage] += (tick_s / fine) * (signal.interval is Interval.GREEN)
        now_s = before_s + tick_s
        for green, green_s in green_seconds(after, before_s, signal, now_s):
            counted[green] += green_s

    assert counted == pytest.approx(shown, abs=5.0 / fine * (len(ticks) + 1))


def test_a_green_that_a_command_ends_is_not_counted_beyond_it() -> None:
    """Each stage's counter holds the time for which it was green, up to the command that closed it."""
    metrics = TickMetrics(make_header())
    yellow = request_stage(CROSSING, start(0, 0.0), 1, 5.0)
    note(metrics, 0)
    note(metrics, 1)
    note(metrics, 2, signal=advance(yellow, TIMINGS, 10.0))

    assert read(metrics, "tsc_phase_green_seconds_total", stage="0") == 5.0
    assert read(metrics, "tsc_phase_green_seconds_total", stage="1") == 2.0


def test_the_own_plan_of_a_cabinet_may_end_a_green_between_two_ticks() -> None:
    """A yellow that began since the last tick leaves the green before it its share."""
    yellow = SignalState(stage=1, from_stage=0, interval=Interval.YELLOW, since_s=12.0)

    assert green_seconds(start(0, 0.0), 10.0, yellow, 14.0) == ((0, 2.0),)


def test_a_cabinet_clock_that_goes_back_adds_no_green() -> None:
    """A restarted simulation does not make a counter fall."""
    assert green_seconds(start(0, 0.0), 100.0, start(0, 0.0), 3.0) == ()
