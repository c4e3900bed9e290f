"""The plan of faults: every kind every hour, time to heal, the same for the same seed."""

from __future__ import annotations

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.safety.detectors import STUCK_OFF_S
from phasemesh.sim_harness.faults.fault import LONG_S, Reach
from phasemesh.sim_harness.faults.plan import SETTLE_S, chosen_kinds, plan_faults
from phasemesh.sim_harness.faults.table import FAULTS, ROWS

CITY = {
    IntersectionId(name): tuple(IntersectionId(peer) for peer in peers)
    for name, peers in {"a": "bc", "b": "ad", "c": "ad", "d": "bc", "e": ""}.items()
}
ALL = tuple(ROWS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hours", [1, 4])
def test_every_kind_occurs_once_in_every_hour(seed: int, hours: int) -> None:
    """No hour is without any kind of fault."""
    planned = plan_faults(seed, CITY, hours * 3600.0, ALL)

    for hour in range(hours):
        hourly = [each for each in planned if each.length_s < 3600.0]
        kinds = [each.fault for each in hourly if hour * 3600.0 <= each.start_s < (hour + 1) * 3600.0]
        assert sorted(kinds) == sorted(ALL)


@pytest.mark.parametrize("seed", range(20))
def test_faults_leave_each_other_time_to_heal(seed: int) -> None:
    """The next one begins when the one before is over and healed; the last one heals within the run."""
    planned = [each for each in plan_faults(seed, CITY, 7200.0, ALL) if each.length_s <= LONG_S]

    healed = [each.end_s + ROWS[each.fault].clean_s for each in planned]
    assert planned[0].start_s >= SETTLE_S
    assert all(each.start_s > end_s for end_s, each in zip(healed, planned[1:], strict=False))
    assert healed[-1] < 7200.0


@pytest.mark.parametrize("seed", range(20))
def test_who_suffers_for_long_is_spared_by_single_faults(seed: int) -> None:
    """A detector that is stuck for minutes is watched undisturbed."""
    planned = plan_faults(seed, CITY, 3600.0, ALL)
    (long,) = [each for each in planned if each.length_s > LONG_S]

    others = [each for each in planned if each is not long and ROWS[each.fault].reach is Reach.ONE]
    assert long.targets not in [each.targets for each in others]


@pytest.mark.parametrize("seed", range(10))
def test_a_detector_that_is_stuck_off_has_the_time_that_it_takes_to_notice(seed: int) -> None:
    """In a run of hours it is injected once, long enough, on an agent that nothing else hits by itself."""
    planned = plan_faults(seed, CITY, 4 * 3600.0, ALL)
    (lasting,) = [each for each in planned if each.means == "detector-stuck-off"]

    others = [each for each in planned if each is not lasting and ROWS[each.fault].reach is Reach.ONE]
    assert lasting.length_s > STUCK_OFF_S
    assert lasting.end_s < 4 * 3600.0
    assert all(each.targets != lasting.targets for each in others)


@pytest.mark.parametrize(("hours", "agents"), [(1, 5), (4, 2)])
def test_what_has_no_room_is_left_out(hours: int, agents: int) -> None:
    """A fault of more than an hour neither fits a shorter run nor a city that has nobody to spare for it."""
    names = sorted(CITY)[:agents]
    city = {name: tuple(peer for peer in CITY[name] if peer in names) for name in names}
    planned = plan_faults(1, city, hours * 3600.0, ("F1", "F10"))

    assert all(each.means != "detector-stuck-off" for each in planned)


@pytest.mark.parametrize(
    ("begin_s", "is_injected"), [(0.0, False), (21_000.0, True), (20_900.0, False), (74_700.0, True), (74_701.0, False)]
)
def test_an_empty_street_is_suspicious_by_day_only(begin_s: float, is_injected: bool) -> None:
    """A detector that is stuck off by night cannot be told from a night: such a fault would prove nothing."""
    planned = plan_faults(1, CITY, 2 * 3600.0, ("F10",), begin_s=begin_s)

    assert any(each.means == "detector-stuck-off" for each in planned) is is_injected


def test_hits_on_one_agent_are_far_apart() -> None:
    """Everybody is hit before anybody is hit again, as far as links allow."""
    kinds = [row.id for row in FAULTS if row.reach is Reach.ONE and row.length_s <= LONG_S]
    planned = plan_faults(1, CITY, 3600.0, kinds)

    targets = [each.targets[0] for each in planned]
    assert all(len(set(targets[start : start + 5])) == 5 for start in range(len(targets) - 4))


def test_variants_take_turns_from_hour_to_hour() -> None:
    """Over the hours every way of a fault has its turn, and another seed begins with another one."""
    planned = plan_faults(0, CITY, 4 * 3600.0, ("F5", "F1"))

    assert [each.means for each in planned if each.fault == "F1"] == ["kill", "stop", "kill", "stop"]
    assert len({each.means for each in planned if each.fault == "F5"}) == 3
    assert [each.means for each in plan_faults(1, CITY, 3600.0, ("F1",))] == ["stop"]


def test_a_seed_names_a_plan() -> None:
    """Equal seeds give equal plans, others give others."""
    assert plan_faults(7, CITY, 3600.0, ALL) == plan_faults(7, CITY, 3600.0, ALL)
    assert plan_faults(7, CITY, 3600.0, ALL) != plan_faults(8, CITY, 3600.0, ALL)


def test_faults_of_links_hit_neighbours() -> None:
    """Whoever has no neighbours is never asked to survive the loss of one."""
    for seed in range(20):
        for each in plan_faults(seed, CITY, 3600.0, [row.id for row in FAULTS if row.reach is not Reach.ONE]):
            assert IntersectionId("e") not in each.targets
            if ROWS[each.fault].reach in (Reach.READERS, Reach.DIRECTION):
                assert all(each.peers[0] in CITY[name] for name in each.targets)


def test_a_split_leaves_both_sides_with_somebody() -> None:
    """The targets of a split are on both sides of the border."""
    for seed in range(20):
        (split,) = plan_faults(seed, CITY, 3600.0, ("F20",))
        assert {name in split.peers for name in split.targets} == {True, False}


@pytest.mark.parametrize(
    ("city", "seconds", "kinds", "says"),
    [
        (CITY, 600.0, ALL, "need at least"),
        ({IntersectionId("lone"): ()}, 3600.0, ("F3",), "has no neighbours"),
        ({IntersectionId("lone"): ()}, 3600.0, ("F20",), "has no neighbours"),
    ],
)
def test_what_cannot_be_planned_is_refused(city, seconds: float, kinds, says: str) -> None:
    """One line says what is missing."""
    with pytest.raises(InputError, match=says):
        plan_faults(1, city, seconds, kinds)


def test_kinds_are_named_or_all() -> None:
    """`all` stands for every row; unknown ids are refused with those that exist."""
    assert chosen_kinds("all") == ALL
    assert chosen_kinds("F1, F30") == ("F1", "F30")
    for text in ("F31", "", "f1", "all,F1"):
        with pytest.raises(InputError, match="F1, F2"):
            chosen_kinds(text)
