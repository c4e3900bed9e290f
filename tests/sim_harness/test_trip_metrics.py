"""Trip metrics from hand-written tripinfo files whose means are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.metrics import (
    PeopleMetrics,
    Trip,
    iterate_trips,
    read_metrics,
    read_people,
    read_trips,
    trip_metrics,
    trips_digest,
)

ARRIVED = {"depart": "10.00", "arrival": "110.00", "duration": "100.00", "timeLoss": "40.00", "waitingTime": "20.00"}
UNDER_WAY = {"depart": "50.00", "arrival": "-1.00", "duration": "60.00", "timeLoss": "30.00", "waitingTime": "10.00"}
UNDEPARTED = {"depart": "-1", "arrival": "-1.00", "duration": "0.00", "timeLoss": "0.00", "waitingTime": "0.00"}


def row(name: str, values: dict[str, str], depart_delay_s: float = 0.0, vaporized: str = "") -> str:
    """One tripinfo element as SUMO 1.28 writes it, without the attributes that nobody reads."""
    attributes = {"id": name, **values, "departDelay": f"{depart_delay_s:.2f}", "vaporized": vaporized}
    return "    <tripinfo " + " ".join(f'{key}="{value}"' for key, value in attributes.items()) + "/>"


def write(path: Path, *rows: str) -> Path:
    """A tripinfo file with `rows`."""
    path.write_text("\n".join(['<?xml version="1.0"?>', "<tripinfos>", *rows, "</tripinfos>"]))
    return path


def three_fates(path: Path) -> Path:
    """A run with one trip that arrived, one under way, and one that never entered."""
    return write(
        path,
        row("a", ARRIVED, 2.0),
        row("b", UNDER_WAY, 4.0, "end"),
        row("c", UNDEPARTED, 164.0, "end"),
    )


def test_delay_is_over_all_loaded_vehicles(tmp_path: Path) -> None:
    """A vehicle that never entered adds its departure delay to the mean delay."""
    metrics = read_metrics(three_fates(tmp_path / "trips.xml"))

    assert metrics.delay_s == pytest.approx((42.0 + 34.0 + 164.0) / 3)


def test_h13_one_vehicle_on_a_free_road_takes_its_length_over_its_speed(tmp_path: Path) -> None:
    """1000 m at 12.5 m/s are 80 s of travel: no delay, no wait, one vehicle through."""
    free = {"depart": "0.00", "arrival": "80.00", "duration": "80.00", "timeLoss": "0.00", "waitingTime": "0.00"}
    metrics = read_metrics(write(tmp_path / "trips.xml", row("alone", free)))

    assert metrics.duration_s == pytest.approx(1000.0 / 12.5)
    assert (metrics.delay_s, metrics.waiting_s, metrics.completed) == (0.0, 0.0, 1)


def test_other_means_are_over_departed_vehicles(tmp_path: Path) -> None:
    """Duration, waiting, time loss and departure delay leave out vehicles that never entered."""
    metrics = read_metrics(three_fates(tmp_path / "trips.xml"))

    assert metrics.duration_s == pytest.approx(80.0)
    assert metrics.waiting_s == pytest.approx(15.0)
    assert metrics.time_loss_s == pytest.approx(35.0)
    assert metrics.depart_delay_s == pytest.approx(3.0)


def test_counts_tell_the_fates_apart(tmp_path: Path) -> None:
    """Loaded, departed, completed, unfinished and undeparted vehicles are counted apart."""
    metrics = read_metrics(three_fates(tmp_path / "trips.xml"))

    assert (metrics.loaded, metrics.departed, metrics.completed) == (3, 2, 1)
    assert (metrics.unfinished, metrics.undeparted) == (1, 1)


def test_a_removed_vehicle_is_not_completed(tmp_path: Path) -> None:
    """A vehicle that was taken off the road on its way has a time of arrival in the file but did not arrive."""
    path = write(tmp_path / "trips.xml", row("a", ARRIVED, vaporized="collision"))

    metrics = read_metrics(path)

    assert (metrics.completed, metrics.unfinished) == (0, 1)


def test_an_empty_run_has_zero_means(tmp_path: Path) -> None:
    """A run without vehicles gives zeros, not a division by zero."""
    metrics = read_metrics(write(tmp_path / "trips.xml"))

    assert metrics.delay_s == 0.0
    assert metrics.loaded == 0


def test_trips_are_read_by_id(tmp_path: Path) -> None:
    """Trips come sorted by id, with None for what did not happen."""
    path = write(tmp_path / "trips.xml", row("z", UNDEPARTED, 5.0), row("a", ARRIVED))

    first, last = read_trips(path)

    assert (first.id, first.depart_s, first.arrival_s) == ("a", 10.0, 110.0)
    assert (last.id, last.depart_s, last.arrival_s, last.delay_s) == ("z", None, None, 5.0)


def test_departure_at_time_zero_is_a_departure(tmp_path: Path) -> None:
    """A vehicle that departs at 0 s is not mistaken for one that never did."""
    path = write(tmp_path / "trips.xml", row("a", {**ARRIVED, "depart": "0.00"}))

    assert read_trips(path)[0].depart_s == 0.0


def test_digest_ignores_the_order_of_rows(tmp_path: Path) -> None:
    """Two files with the same trips in another order have one digest."""
    forth = write(tmp_path / "forth.xml", row("a", ARRIVED), row("b", UNDER_WAY))
    back = write(tmp_path / "back.xml", row("b", UNDER_WAY), row("a", ARRIVED))

    assert trips_digest(forth) == trips_digest(back)


@pytest.mark.parametrize("name", ["depart", "arrival", "duration", "timeLoss", "waitingTime"])
def test_digest_tells_any_change_of_a_trip(tmp_path: Path, name: str) -> None:
    """A difference of a hundredth of a second in one value of one trip changes the digest."""
    changed = {**ARRIVED, name: f"{float(ARRIVED[name]) + 0.01:.2f}"}

    same = write(tmp_path / "same.xml", row("a", ARRIVED))
    other = write(tmp_path / "other.xml", row("a", changed))

    assert trips_digest(same) != trips_digest(other)


@pytest.mark.parametrize(
    "content",
    ["", "<tripinfos><tripinfo id='a'", "<tripinfos><tripinfo id='a'/></tripinfos>", "no xml"],
    ids=["empty", "cut off", "without values", "other"],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, content: str) -> None:
    """A file that SUMO did not complete raises ScenarioError naming the file."""
    path = tmp_path / "trips.xml"
    path.write_text(content)

    with pytest.raises(ScenarioError, match=r"trips\.xml") as caught:
        list(iterate_trips(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    """A run that left no file raises ScenarioError."""
    with pytest.raises(ScenarioError, match="none"):
        read_metrics(tmp_path / "none.xml")


PEOPLE = """
<personinfo id="a" depart="0.00" type="T" duration="54.00" waitingTime="12.00" timeLoss="18.25" traveltime="49.00">
    <walk depart="0.00" arrival="26.00" duration="26.00" timeLoss="15.62" waitingTime="12.00"/>
    <stop duration="5.00" arrival="31.00" actType="waiting"/>
    <walk depart="31.00" arrival="54.00" duration="23.00" timeLoss="2.62" waitingTime="0.00"/>
</personinfo>
<personinfo id="b" depart="50.00" type="T" duration="-1" waitingTime="30.00" timeLoss="0.00" traveltime="-1">
    <walk depart="50.00" arrival="-1" duration="50.00" timeLoss="0.00" waitingTime="30.00"/>
</personinfo>
<personinfo id="c" depart="-1" type="T" duration="-1" waitingTime="0.00" timeLoss="0.00" traveltime="-1">
    <walk depart="-1" arrival="-1" duration="-1" timeLoss="0.00" waitingTime="0.00"/>
</personinfo>
"""
"""As SUMO 1.28 writes them: one who arrived, one under way, and one who had not set out at the end of the run."""


def test_people_are_counted_with_how_long_they_stood(tmp_path: Path) -> None:
    """Who is under way counts with what was waited so far, who never set out counts nowhere, nor does any vehicle."""
    path = write(tmp_path / "trips.xml", row("v", ARRIVED), PEOPLE)

    assert read_people(path) == PeopleMetrics(count=2, unfinished=1, waiting_s=21.0)
    assert read_metrics(path).loaded == 1


def test_a_city_without_people_has_none(tmp_path: Path) -> None:
    """Zeros, not a division by zero."""
    assert read_people(three_fates(tmp_path / "trips.xml")) == PeopleMetrics(0, 0, 0.0)


@pytest.mark.parametrize(
    "content", ["<tripinfos><personinfo id='a'/></tripinfos>", "<tripinfos><personinfo id='a'", ""]
)
def test_a_broken_file_of_people_is_one_clear_line(tmp_path: Path, content: str) -> None:
    """A file that SUMO did not complete raises ScenarioError naming the file."""
    path = tmp_path / "trips.xml"
    path.write_text(content)

    with pytest.raises(ScenarioError, match=r"trips\.xml"):
        read_people(path)


SECONDS = st.floats(0.0, 1e4)
TRIPS = st.lists(
    st.builds(
        Trip,
        id=st.text(min_size=1),
        depart_s=st.none() | SECONDS,
        arrival_s=st.none() | SECONDS,
        duration_s=SECONDS,
        waiting_s=SECONDS,
        time_loss_s=SECONDS,
        depart_delay_s=SECONDS,
    )
)


@given(TRIPS)
def test_every_vehicle_has_one_fate(trips: list[Trip]) -> None:
    """Completed, unfinished and undeparted always add up to loaded, completed and unfinished to departed."""
    metrics = trip_metrics(trips)

    assert metrics.completed + metrics.unfinished == metrics.departed
    assert metrics.departed + metrics.undeparted == metrics.loaded == len(trips)


@given(TRIPS, SECONDS)
def test_keeping_a_vehicle_out_never_helps(trips: list[Trip], late_s: float) -> None:
    """One more vehicle that waits outside for longer than the mean delay raises the mean delay."""
    before = trip_metrics(trips)
    outside = Trip("outside", None, None, 0.0, 0.0, 0.0, before.delay_s + late_s + 1.0)

    after = trip_metrics([*trips, outside])

    assert after.delay_s > before.delay_s
    assert after.duration_s == before.duration_s
