"""How a soak is judged: lines through measurements, and what counts as growth."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from result_factories import make_result

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.agent_processes import Needs
from phasemesh.sim_harness.machine_stalls import STALL_S
from phasemesh.sim_harness.stalls import LongRun, Sample, Stalls, StallWatch, read_long_run, write_long_run
from phasemesh.sim_harness.torture.long_runs import fit, judge_soak, settled, soak_rows

NAME = IntersectionId("a")
HOUR_S = 3600.0
CALM = Stalls(0, 0.0, 0.0)


def _samples(pss_mb_per_hour: float = 0.0, descriptors: int = 20, leak: int = 0) -> tuple[Sample, ...]:
    """Two hours of samples with noise of 10 kB, of an agent that grows so fast."""
    draws = random.Random(4)  # noqa: S311 (repeatable)
    return tuple(
        Sample(
            30.0 * index,
            {
                NAME: Needs(
                    20.0 + pss_mb_per_hour * index / 120.0 + draws.gauss(0.0, 0.01), descriptors + leak * index, 5
                )
            },
        )
        for index in range(240)
    )


def test_a_line_is_found_with_its_error() -> None:
    """Of a straight line exactly, of noise within its error."""
    x = [30.0 * index for index in range(100)]

    exact = fit(x, [2.0 * second / HOUR_S for second in x])
    flat = fit(x, [1.0] * 100)

    assert exact.per_hour == pytest.approx(2.0)
    assert exact.error_per_hour == pytest.approx(0.0, abs=1e-9)
    assert exact.is_rising
    assert not flat.is_rising
    assert not fit(x[:2], [1.0, 2.0]).is_rising


def test_a_city_that_does_not_grow_passes() -> None:
    """Noise alone is no growth."""
    soak = judge_soak(make_result(deadline_misses=0), LongRun(_samples(), CALM), 20.0, 12)

    assert soak.failures == ()
    assert abs(soak.pss.per_hour) < 3 * soak.pss.error_per_hour
    assert all(text for _, text in soak_rows(soak))


@pytest.mark.parametrize(
    ("samples", "says"), [(_samples(0.1), "PSS rise by"), (_samples(leak=1), "descriptors rise by")]
)
def test_growth_is_found(samples: tuple[Sample, ...], says: str) -> None:
    """A hundred kilobytes an hour, or a descriptor at every sample."""
    soak = judge_soak(make_result(deadline_misses=0), LongRun(samples, CALM), 20.0, 12)

    assert any(says in failure for failure in soak.failures)


def test_only_the_machine_excuses_a_missed_deadline() -> None:
    """A stall may cost every link one message; a miss without a stall is a failure."""
    result = make_result(deadline_misses=5)

    excused = judge_soak(result, LongRun(_samples(), Stalls(1, 0.1, 0.1)), 20.0, 12)
    blamed = judge_soak(result, LongRun(_samples(), CALM), 20.0, 12)

    assert excused.failures == ()
    assert any("missed their deadline" in failure for failure in blamed.failures)


def test_the_first_part_of_a_run_does_not_count() -> None:
    """Caches fill once."""
    samples = (Sample(0.0, {}), *_samples()[:10])

    assert settled(samples) == list(samples[3:])


def test_the_watch_of_the_machine_tells_when_it_is_closed() -> None:
    """A short watch ends at once and tells numbers that fit each other."""
    watch = StallWatch()
    time.sleep(0.3)
    stalls = watch.close()

    assert stalls.count * STALL_S <= stalls.total_s
    assert stalls.total_s >= stalls.longest_s >= 0.0


def test_what_was_seen_survives_the_disk(tmp_path: Path) -> None:
    """The run writes, the report reads."""
    samples = list(_samples()[:3])
    write_long_run(tmp_path, samples, Stalls(2, 0.5, 0.3))

    assert read_long_run(tmp_path) == LongRun(tuple(samples), Stalls(2, 0.5, 0.3))
