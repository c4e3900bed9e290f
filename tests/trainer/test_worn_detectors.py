"""Worn detectors: as wrong as asked over many looks, plausible in themselves, and the same for the same seed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from trainer_towns import LINE

from phasemesh.contract.detection import INVALID_READING, LaneReading, plausible
from phasemesh.sim_harness.bridge import Readings
from phasemesh.sim_harness.faults.sensors import SENSOR_TROUBLES
from phasemesh.trainer.street_faults import StreetFaults
from phasemesh.trainer.worn_detectors import WornDetectors

pytestmark = pytest.mark.train
BUSY = LaneReading(
    queue_veh=6.0,
    vehicles_50m_veh=5.0,
    vehicles_100m_veh=8.0,
    vehicles_150m_veh=10.0,
    arrivals_veh=2.0,
    wait_s=30.0,
    mean_speed_mps=4.0,
    downstream_queue_veh=1.5,
    downstream_vehicles_veh=3.0,
    downstream_room_ratio=0.5,
)
TRUTH: Readings = {each.id: (BUSY,) * len(each.lanes) for each in LINE}
LOOKS = range(0, 4000, 2)


def heard(faults: StreetFaults, seed: int = 1, truth: Readings = TRUTH) -> list[LaneReading]:
    """All that is heard of all lanes over `LOOKS`."""
    worn = WornDetectors(LINE, faults, seed)
    return [reading for step in LOOKS for lanes in worn.disturb(truth, step).values() for reading in lanes]


def test_miscounts_are_as_many_as_asked_and_even_out() -> None:
    """Counts keep their mean; their spread is that of vehicles missed and counted twice."""
    noise = 0.1
    found = heard(StreetFaults(detector_noise=noise))
    counts = np.array([reading.vehicles_150m_veh for reading in found])

    assert counts.mean() == pytest.approx(BUSY.vehicles_150m_veh, rel=0.01)
    assert counts.std() == pytest.approx(np.sqrt(2.0 * BUSY.vehicles_150m_veh * noise * (1.0 - noise)), rel=0.05)
    assert np.mean([reading.mean_speed_mps for reading in found]) == pytest.approx(BUSY.mean_speed_mps, rel=0.01)
    assert np.std([reading.wait_s for reading in found]) == pytest.approx(noise * BUSY.wait_s, rel=0.05)


@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_a_miscounted_lane_is_consistent_in_itself(noise: float) -> None:
    """Nearer zones hold no more than farther ones, no more stand than are there, and nothing is implausible."""
    for reading in heard(StreetFaults(detector_noise=noise)):
        assert plausible(reading) is reading
        assert reading.vehicles_50m_veh <= reading.vehicles_100m_veh <= reading.vehicles_150m_veh
        assert reading.queue_veh <= reading.vehicles_150m_veh
        assert reading.wait_s == 0.0 or reading.queue_veh > 0.0


def test_an_empty_lane_stays_empty() -> None:
    """Nobody is counted where nobody is, and traffic is free there."""
    empty = msgspec.structs.replace(INVALID_READING, mean_speed_mps=13.9, is_valid=True)
    truth = {each.id: (empty,) * len(each.lanes) for each in LINE}

    assert set(heard(StreetFaults(detector_noise=0.3), truth=truth)) == {empty}


@pytest.mark.parametrize(("share", "outage_s"), [(0.05, 30.0), (0.3, 120.0)])
def test_detectors_are_out_of_order_as_long_as_asked(share: float, outage_s: float) -> None:
    """Over many detectors and seeds; while they are, they say that they are invalid, as a silent one does."""
    found = [
        reading for seed in range(6) for reading in heard(StreetFaults(detector_outage=share, outage_s=outage_s), seed)
    ]
    out = [reading == INVALID_READING for reading in found]

    assert np.mean(out) == pytest.approx(share, rel=0.25)
    assert {reading for reading in found if reading != INVALID_READING} == {BUSY}


def test_outages_last_as_long_as_asked() -> None:
    """On average, and each detector fails for itself."""
    worn = WornDetectors(LINE, StreetFaults(detector_outage=0.3, outage_s=40.0), 1)
    rows = np.array(
        [
            [reading == INVALID_READING for lanes in worn.disturb(TRUTH, step).values() for reading in lanes]
            for step in range(20_000)
        ]
    )
    begins = (rows[1:] & ~rows[:-1]).sum()

    assert rows.sum() / begins == pytest.approx(40.0, rel=0.15)
    assert not (rows == rows[:, :1]).all(axis=1).all()


def test_a_broken_detector_says_what_such_a_one_says() -> None:
    """Every kind that the harness knows by name can be drawn."""
    kinds = ("detector-silent", "detector-stuck-on", "detector-stuck-off")
    found = set(heard(StreetFaults(detector_outage=0.5, outage_s=20.0, outage_kinds=kinds)))

    assert found == {BUSY, *(SENSOR_TROUBLES[kind](BUSY, 0) for kind in kinds)}


def test_the_same_seed_wears_detectors_the_same_way() -> None:
    """Another seed another way; without faults nothing is worn."""
    faults = StreetFaults(detector_noise=0.1, detector_outage=0.1)

    first, again, other = (heard(faults, seed=seed) for seed in (3, 3, 4))

    assert first == again != other
    assert set(heard(StreetFaults())) == {BUSY}
    assert (faults.has_worn_detectors, StreetFaults(message_delay=0.5).has_worn_detectors) == (True, False)
