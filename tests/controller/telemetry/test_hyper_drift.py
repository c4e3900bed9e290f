"""X6: a hyper-action that leaves what is usual raises an alarm in health and metrics, one that does not raises none."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import generate_latest

from phasemesh.contract.hyper_profile import HyperProfile, js_distance, smoothed
from phasemesh.contract.observation import HYPER_SIZE, FloatArray
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.announcer import Announcer
from phasemesh.controller.operator.views import Status, health
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.telemetry.hyper_drift import ALARM_AFTER_S, Drift, DriftWatch
from phasemesh.controller.telemetry.records import TickRecord
from phasemesh.controller.telemetry.tick_metrics import TickMetrics, summarise
from record_factories import CROSSING, floats, make_header, make_record, make_state

TICK_S = 5.0
HOUR = round(3600.0 / TICK_S)
USUAL = np.array([0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05])
OTHER = USUAL[::-1]


def noisy(around: np.ndarray, ticks: int, seed: int) -> Iterator[FloatArray]:
    """Hyper-actions that differ from tick to tick."""
    random = np.random.default_rng(seed)
    for _ in range(ticks):
        yield random.dirichlet(30.0 * around).astype(np.float32)


def record_of(weights: FloatArray, tick: int) -> TickRecord:
    """A tick whose policy answered `weights`."""
    return make_record(tick, now_s=TICK_S * tick, hyper_action=floats(*weights.tolist()))


def learned_threshold() -> float:
    """What one tick in two hundred has in some days without any drift, as an export measures it."""
    distances = []
    for seed in range(100, 110):
        mean: FloatArray | None = None
        for weights in noisy(USUAL, HOUR, seed):
            mean = smoothed(mean, weights, TICK_S)
            distances.append(js_distance(mean, USUAL))
    return float(np.quantile(distances, 0.995))


PROFILE = HyperProfile(usual=tuple(USUAL.tolist()), by_bin={}, threshold=learned_threshold())


def watched(series: list[FloatArray], watch: DriftWatch | None = None, first: int = 0) -> list[Drift]:
    """What a watch says after every tick of `series`."""
    found = watch or DriftWatch(PROFILE)
    notes = [found.note(record_of(weights, first + index)) for index, weights in enumerate(series)]
    return [each for each in notes if each is not None]


def test_x6_a_shift_of_the_hyper_action_is_an_alarm() -> None:
    """Within an hour of its beginning, and over soon after it is over."""
    watch = DriftWatch(PROFILE)
    before = watched(list(noisy(USUAL, HOUR, 1)), watch)
    during = watched(list(noisy(OTHER, HOUR, 2)), watch, HOUR)
    after = watched(list(noisy(USUAL, 3 * HOUR, 3)), watch, 2 * HOUR)

    assert not any(each.is_alarm for each in before)
    assert during[-1].is_alarm
    assert not during[round(ALARM_AFTER_S / TICK_S) - 1].is_alarm
    assert not after[-1].is_alarm


def test_x6_what_does_not_change_is_hardly_ever_an_alarm() -> None:
    """In less than one of a hundred ticks, over forty hours that no threshold was learned from."""
    alarms = [each.is_alarm for seed in range(40) for each in watched(list(noisy(USUAL, HOUR, seed)))]

    assert np.mean(alarms) < 0.01


def test_nothing_is_told_before_the_mean_has_seen_enough() -> None:
    """A quarter of an hour of ticks, and anew when the cabinet's clock went back."""
    watch = DriftWatch(PROFILE)
    drifts = watched(list(noisy(OTHER, HOUR, 4)), watch)
    again = watch.note(record_of(OTHER.astype(np.float32), 3))

    assert [each.distance is None for each in drifts] == [index < 180 for index in range(HOUR)]
    assert again == Drift(None, PROFILE.threshold)


def test_without_a_profile_nothing_is_compared() -> None:
    """Bundles of rules and of other recipes have none."""
    assert DriftWatch(None).note(record_of(OTHER.astype(np.float32), 1)) is None


def test_ticks_without_an_answer_of_the_policy_change_nothing() -> None:
    """The mean rests; an alarm that stands goes on standing."""
    watch = DriftWatch(PROFILE)
    last = watched(list(noisy(OTHER, 2 * HOUR, 5)), watch)[-1]
    silent = watch.note(make_record(2 * HOUR, now_s=TICK_S * 2 * HOUR, hyper_action=b""))

    assert silent is not None
    assert silent.distance == last.distance
    assert silent.is_alarm
    assert silent.above_s == pytest.approx(last.above_s + TICK_S)


@pytest.mark.parametrize(
    ("drift", "status", "value"),
    [
        (None, Status.GOOD, None),
        (Drift(None, 0.1), Status.GOOD, None),
        (Drift(0.25, 0.1, ALARM_AFTER_S - 1.0), Status.GOOD, 0.25),
        (Drift(0.25, 0.1, ALARM_AFTER_S), Status.DEGRADED, 0.25),
    ],
)
def test_health_warns_of_an_alarm_and_of_nothing_less(drift: Drift | None, status: Status, value: float | None) -> None:
    """With the distance as its measurement; the agent stays alive and ready."""
    view = health(make_state(drift=drift), MonoNs(100 * NS_PER_S), "1")
    (check,) = view.checks["hyper_action:drift"]

    assert (check.status, check.observed_value) == (status, value)
    assert view.status is not Status.FAILED


def exposed(drift: Drift | None) -> str:
    """The metrics after one tick with `drift`."""
    metrics = TickMetrics(make_header())
    metrics.note(summarise(make_record(), tick_s=TICK_S, uptime_s=5.0, drift=drift))
    return generate_latest(metrics.registry).decode()


def test_metrics_have_distance_and_alarm() -> None:
    """NaN where there is nothing to compare."""
    assert "tsc_hyper_drift_distance 0.25\n" in exposed(Drift(0.25, 0.1, ALARM_AFTER_S))
    assert "tsc_hyper_drift 1.0\n" in exposed(Drift(0.25, 0.1, ALARM_AFTER_S))
    assert "tsc_hyper_drift 0.0\n" in exposed(Drift(0.25, 0.1))
    assert "tsc_hyper_drift_distance NaN\n" in exposed(None)


class StoppedClock:
    """A clock that stands."""

    def mono_ns(self) -> MonoNs:
        """Always the same."""
        return MonoNs(0)


def test_an_agent_shows_how_far_it_has_drifted() -> None:
    """From its records to its board, as everything else that a tick came to."""
    mailbox = Mailbox(CROSSING.neighbours, 3, 5)
    announcer = Announcer(make_header(), None, mailbox, StoppedClock(), profile=PROFILE)
    for tick, weights in enumerate(noisy(OTHER, HOUR, 6)):
        announcer.note_tick(record_of(weights, tick), is_late=False)
    state = announcer.board.latest()
    announcer.close()

    assert state is not None
    assert state.drift is not None
    assert state.drift.is_alarm
    assert not math.isnan(state.drift.threshold)
    assert len(USUAL) == HYPER_SIZE
