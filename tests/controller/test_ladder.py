"""The ladder of degradation: over every rung and every set of events, and over any course that they may take."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.cabinet.latches import FILE_RULE
from phasemesh.controller.ladder import (
    CLEAN_S,
    FORGET_S,
    FRESH,
    MAX_CLEAN_S,
    Raised,
    Standing,
    Trial,
    next_standing,
)
from phasemesh.controller.ladder_table import (
    COMMANDLESS_RUNGS,
    LADDER,
    POLICY_RUNGS,
    ROWS,
    RUNGS,
    Ending,
    LadderEvent,
    Rung,
)
from strategies import brisk

EVENTS = tuple(LadderEvent)
NOW_S = 10_000.0
TICK_S = 5.0
POLICY, ALONE, CABINET = LadderEvent.POLICY_FAULTY, LadderEvent.NEIGHBOURS_STALE, LadderEvent.CABINET_SILENT
CONFIG, FLASHING = LadderEvent.CONFIG_DIFFERS, LadderEvent.UNIT_FLASHING
REACHED_BY: dict[Rung, LadderEvent | None] = {
    Rung.COORDINATED: None,
    Rung.ISOLATED: ALONE,
    Rung.LOCAL: POLICY,
    Rung.RELEASED: CABINET,
    Rung.FLASH: FLASHING,
}
"""An event that leads to each rung."""

event_sets = st.frozensets(st.sampled_from(EVENTS), max_size=4)
courses = st.lists(st.tuples(event_sets, st.floats(0.5, 600.0), st.booleans()), max_size=25)
"""Ticks with their events, the time since the tick before, and whether an operator resets."""


def raised(events: Iterable[LadderEvent]) -> tuple[Raised, ...]:
    """Each of `events`, with its name as its sentence."""
    return tuple(Raised(event, f"seen: {event}") for event in events)


def lowest(events: Iterable[LadderEvent]) -> Rung:
    """The rung to which the worst of `events` leads, told in another way than by the ladder itself."""
    leads = {
        Rung.FLASH: {"unit_flashing"},
        Rung.RELEASED: {
            "conflict_shown",
            "config_differs",
            "life_unreadable",
            "cabinet_silent",
            "outranked",
            "unit_taken",
            "lease_unsound",
            "readback_broken",
            "starting",
            "order_release",
        },
        Rung.LOCAL: {"order_local", "policy_faulty", "decisions_late", "detectors_lost"},
        Rung.ISOLATED: {"neighbours_stale"},
    }
    names = {str(event) for event in events}
    return next((rung for rung, among in leads.items() if names & among), Rung.COORDINATED)


def standing_on(rung: Rung) -> Standing:
    """A standing on `rung` whose trouble was seen just now."""
    event = REACHED_BY[rung]
    return run((NOW_S - TICK_S, ()), (NOW_S, () if event is None else (event,)))[-1]


def run(*steps: tuple[float, Iterable[LadderEvent]], before: Standing = FRESH) -> list[Standing]:
    """The standings of an agent that meets the events of `steps` at their times."""
    standings = []
    for now_s, events in steps:
        before = next_standing(before, raised(events), now_s)
        standings.append(before)
    return standings


def rungs(*steps: tuple[float, Iterable[LadderEvent]]) -> list[Rung]:
    """The rungs of the same."""
    return [standing.rung for standing in run(*steps)]


class TestTable:
    """What the table of the ladder says."""

    def test_the_rungs_are_in_order(self) -> None:
        """The first rung is the best and the last the worst."""
        assert RUNGS == (Rung.COORDINATED, Rung.ISOLATED, Rung.LOCAL, Rung.RELEASED, Rung.FLASH)

    def test_every_event_has_one_row(self) -> None:
        """Nothing can be raised that the ladder does not know."""
        assert [row.event for row in LADDER] == list(ROWS)
        assert set(ROWS) == set(EVENTS)

    def test_the_worst_rows_come_first(self) -> None:
        """So that the reason of a rung is that of its first row."""
        depths = [RUNGS.index(row.rung) for row in LADDER]

        assert depths == sorted(depths, reverse=True)

    @pytest.mark.parametrize("row", LADDER, ids=[row.event for row in LADDER])
    def test_every_row_says_something(self, row) -> None:
        """A sentence for people, and no row that would leave the agent where it is."""
        assert row.sentence
        assert row.rung is not Rung.COORDINATED
        assert row.rule in ("", FILE_RULE) or row.rule.removeprefix("I").isdecimal()

    def test_only_the_cabinet_leads_to_flash(self) -> None:
        """No trouble with a network or a policy ever makes a signal flash: the rung is read back."""
        assert [row.event for row in LADDER if row.rung is Rung.FLASH] == [FLASHING]

    def test_every_rung_says_who_chooses(self) -> None:
        """The policy above, the cabinet below, the local plan between."""
        assert {Rung.COORDINATED, Rung.ISOLATED} == POLICY_RUNGS
        assert {Rung.RELEASED, Rung.FLASH} == COMMANDLESS_RUNGS

    def test_only_the_operators_orders_and_latches_wait_for_people(self) -> None:
        """All other events end by themselves."""
        waiting = {row.event for row in LADDER if row.ending in (Ending.OPERATOR, Ending.LATCHED)}

        assert waiting == {
            LadderEvent.CONFLICT_SHOWN,
            CONFIG,
            LadderEvent.LIFE_UNREADABLE,
            LadderEvent.ORDER_LOCAL,
            LadderEvent.ORDER_RELEASE,
        }


class TestSteps:
    """One tick, over every rung and every set of events."""

    @pytest.mark.parametrize("before", RUNGS)
    def test_every_set_of_events_on_every_rung(self, before: Rung) -> None:
        """Down at once as far as the worst event or what is waited for demands, and never farther."""
        standing = standing_on(before)
        waiting = {trial.event for trial in standing.trials}
        sets = [set(each) for size in range(len(EVENTS) + 1) for each in combinations(EVENTS, size)]
        wrong = [
            events
            for events in sets
            if next_standing(standing, raised(events), NOW_S + TICK_S).rung is not lowest(events | waiting)
        ]

        assert len(sets) == 2 ** len(EVENTS)
        assert wrong == []

    @pytest.mark.parametrize("event", EVENTS)
    def test_the_reason_is_that_of_the_event(self, event: LadderEvent) -> None:
        """What was seen is told in its own words."""
        standing = next_standing(FRESH, raised((event,)), NOW_S)

        assert (standing.reason, standing.in_force) == (f"seen: {event}", (event,))

    def test_the_first_of_the_worst_gives_the_reason(self) -> None:
        """Of several events on one rung the table decides, whatever their order."""
        for pair in ((CABINET, LadderEvent.STARTING), (LadderEvent.STARTING, CABINET)):
            standing = next_standing(FRESH, raised(pair), NOW_S)

            assert (standing.reason, standing.in_force) == ("seen: cabinet_silent", (CABINET, LadderEvent.STARTING))

    def test_a_calm_life_remembers_nothing(self) -> None:
        """The plain case: at the top, with nothing to carry."""
        assert next_standing(FRESH, (), NOW_S) == Standing(Rung.COORDINATED, "")

    @pytest.mark.parametrize(("event", "after_s"), list(product(EVENTS, (0.5, CLEAN_S - 0.5, CLEAN_S))))
    def test_how_each_event_ends(self, event: LadderEvent, after_s: float) -> None:
        """With itself, after a clean period, or not by itself at all, as its row says."""
        _, seen, later = run((NOW_S - TICK_S, ()), (NOW_S, (event,)), (NOW_S + after_s, ()))
        is_over = {
            Ending.IMMEDIATE: True,
            Ending.OPERATOR: True,
            Ending.SELF_CLEARING: after_s >= CLEAN_S,
            Ending.LATCHED: False,
        }[ROWS[event].ending]

        assert later.rung is (Rung.COORDINATED if is_over else seen.rung)
        assert later.in_force == (() if is_over else (event,))

    def test_what_is_waited_for_is_told(self) -> None:
        """The reason names the time and the trouble."""
        _, waiting = run((0.0, (POLICY,)), (5.0, ()))

        assert waiting.reason == "waiting for 30 s without trouble: the policy has no usable answer"


class TestCourses:
    """What comes of trouble over time."""

    def test_a_life_waits_for_no_neighbour_that_it_never_heard(self) -> None:
        """Whoever starts before the others is coordinated with their first word, however long that takes."""
        found = rungs(
            (0.0, (ALONE, LadderEvent.STARTING)), *((5.0 * tick, (ALONE,)) for tick in range(1, 9)), (45.0, ())
        )

        assert found == [Rung.RELEASED, *[Rung.ISOLATED] * 8, Rung.COORDINATED]

    def test_neighbours_that_fall_silent_are_waited_for(self) -> None:
        """Once they were heard, their silence is trouble like any other."""
        found = rungs((0.0, (ALONE,)), (5.0, ()), (10.0, (ALONE,)), (15.0, ()), (39.0, ()), (40.0, ()))

        assert found == [Rung.ISOLATED, Rung.COORDINATED, *[Rung.ISOLATED] * 3, Rung.COORDINATED]

    def test_a_life_that_inherits_a_latch_waits_for_no_neighbour_that_it_never_heard(self) -> None:
        """What an earlier life left is no sign that this one heard anybody."""
        before = Standing(Rung.RELEASED, "", latched=(CONFIG,))
        *_, last = run((0.0, (ALONE,)), (5.0, (ALONE,)), (10.0, ()), before=before)

        assert (last.in_force, last.trials) == ((CONFIG,), ())

    def test_trouble_that_comes_and_goes_is_one_trouble(self) -> None:
        """A policy that fails every twenty seconds is not trusted in between, and its clean period does not grow."""
        standings = run(*((float(now_s), (POLICY,) if now_s % 20 == 0 else ()) for now_s in range(0, 100, 5)))

        assert {standing.rung for standing in standings} == {Rung.LOCAL}
        assert {standing.trials[0].clean_s for standing in standings} == {CLEAN_S}

    def test_a_released_agent_climbs_no_further_than_it_may(self) -> None:
        """Once the driver works again, a policy that is still broken leaves the agent on LOCAL."""
        found = rungs((0.0, (CABINET,)), (10.0, (POLICY,)), (30.0, (POLICY,)), (59.0, ()), (60.0, ()))

        assert found == [Rung.RELEASED, Rung.RELEASED, Rung.LOCAL, Rung.LOCAL, Rung.COORDINATED]

    @pytest.mark.parametrize("trouble", [POLICY, ALONE, CABINET])
    def test_trouble_that_returns_is_waited_for_twice_as_long(self, trouble: LadderEvent) -> None:
        """30, 60, 120, 240, 480 seconds, and no longer."""
        now_s, standing, waits = 0.0, next_standing(FRESH, (), 0.0), []
        for _ in range(7):
            standing = next_standing(standing, raised((trouble,)), now_s)
            waits.append(standing.trials[0].clean_s)
            now_s += standing.trials[0].clean_s + 1.0
            standing = next_standing(standing, (), now_s)
            assert standing.rung is Rung.COORDINATED

        assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 480.0, 480.0]

    def test_each_trouble_is_waited_for_by_itself(self) -> None:
        """A cabinet that is silent for the first time does not pay for a policy that fails often."""
        standings = run((0.0, (POLICY,)), (40.0, ()), (50.0, (POLICY, CABINET)))

        assert [(trial.event, trial.clean_s) for trial in standings[-1].trials] == [(CABINET, 30.0), (POLICY, 60.0)]

    def test_old_trouble_is_forgotten(self) -> None:
        """After a long time without it the first clean period is the short one again."""
        *_, forgotten, again = run((0.0, (POLICY,)), (31.0, (POLICY,)), (31.0 + FORGET_S, ()), (2000.0, (POLICY,)))

        assert forgotten.trials == ()
        assert again.trials == (Trial(POLICY, 2000.0, CLEAN_S),)

    def test_trouble_after_a_long_silence_is_new(self) -> None:
        """Also when no tick came in between to forget it."""
        _, again = run((0.0, (POLICY,)), (FORGET_S, (POLICY,)))

        assert again.trials == (Trial(POLICY, FORGET_S, CLEAN_S),)

    def test_a_latch_waits_for_an_operator(self) -> None:
        """However long it is gone."""
        _, later = run((0.0, (CONFIG,)), (1e6, ()))

        assert (later.rung, later.latched) == (Rung.RELEASED, (CONFIG,))
        assert later.reason.startswith("latched until an operator resets it: ")

    def test_an_operator_resets_a_latch(self) -> None:
        """What is gone is gone then."""
        (latched,) = run((0.0, (CONFIG,)))

        assert next_standing(latched, (), 5.0, latch_is_reset=True).rung is Rung.COORDINATED

    def test_a_reset_does_not_hide_what_still_holds(self) -> None:
        """A cause that is still there latches again in the same tick."""
        (latched,) = run((0.0, (CONFIG,)))
        still = next_standing(latched, raised((CONFIG,)), 5.0, latch_is_reset=True)

        assert (still.rung, still.latched, still.reason) == (Rung.RELEASED, (CONFIG,), "seen: config_differs")

    def test_a_reset_shortens_no_clean_period(self) -> None:
        """Only what is latched is an operator's to clear."""
        (broken,) = run((0.0, (POLICY,)))

        assert next_standing(broken, (), 5.0, latch_is_reset=True).rung is Rung.LOCAL

    def test_a_cabinet_that_counts_anew_is_waited_for_once_more(self) -> None:
        """A clock that went back must not leave an agent waiting for ever."""
        *_, climbing, climbed = run((1e6, (CABINET,)), (0.0, ()), (CLEAN_S - 1.0, ()), (CLEAN_S, ()))

        assert (climbing.rung, climbed.rung) == (Rung.RELEASED, Rung.COORDINATED)


def follow(course: list[tuple[frozenset[LadderEvent], float, bool]]) -> tuple[float, Standing]:
    """The last time and the standing of an agent that meets `course`."""
    now_s, standing = 0.0, FRESH
    for events, after_s, is_reset in course:
        now_s += after_s
        standing = next_standing(standing, raised(events), now_s, latch_is_reset=is_reset)
    return now_s, standing


class TestLaws:
    """What holds whatever happens."""

    @brisk
    @given(course=courses, events=event_sets, after_s=st.floats(0.0, 100.0))
    def test_nobody_stands_above_what_the_events_allow(
        self, course: list[tuple[frozenset[LadderEvent], float, bool]], events: frozenset[LadderEvent], after_s: float
    ) -> None:
        """After any past, a tick is at least as low as the worst of its events."""
        now_s, before = follow(course)
        standing = next_standing(before, raised(events), now_s + after_s)

        assert RUNGS.index(standing.rung) >= RUNGS.index(lowest(events))
        assert set(events) <= set(standing.in_force)
        assert standing.rung is lowest(standing.in_force)
        assert bool(standing.reason) is (standing.rung is not Rung.COORDINATED)

    @brisk
    @given(course=courses)
    def test_everybody_climbs_back(self, course: list[tuple[frozenset[LadderEvent], float, bool]]) -> None:
        """Without events and with one reset, the longest clean period leads back to the top from anywhere."""
        now_s, standing = follow(course)
        standing = next_standing(standing, (), now_s + 1.0, latch_is_reset=True)
        standing = next_standing(standing, (), now_s + MAX_CLEAN_S)

        assert (standing.rung, standing.in_force) == (Rung.COORDINATED, ())

    @brisk
    @given(course=courses)
    def test_waiting_is_bounded_and_so_is_memory(
        self, course: list[tuple[frozenset[LadderEvent], float, bool]]
    ) -> None:
        """A clean period is never shorter than the first nor longer than the last, and each event has one at most."""
        _, standing = follow(course)

        assert all(CLEAN_S <= trial.clean_s <= MAX_CLEAN_S for trial in standing.trials)
        assert len({trial.event for trial in standing.trials}) == len(standing.trials)
        assert all(ROWS[trial.event].ending is Ending.SELF_CLEARING for trial in standing.trials)

    @brisk
    @given(course=courses, events=event_sets)
    def test_flash_is_only_what_the_cabinet_shows(
        self, course: list[tuple[frozenset[LadderEvent], float, bool]], events: frozenset[LadderEvent]
    ) -> None:
        """Whatever else goes wrong, the rung is FLASH exactly while the cabinet flashes."""
        now_s, before = follow(course)
        standing = next_standing(before, raised(events), now_s + 1.0)

        assert (standing.rung is Rung.FLASH) is (FLASHING in events)
