"""The virtual controller unit: leases, its own plan, and lights that stay lawful whatever it is told."""

from __future__ import annotations

from itertools import groupby, pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_factories import TICK_S, make_cabinet
from factories import make_intersection, make_reading, make_timings
from phasemesh.contract.command import Command, CommandKind, Interval
from phasemesh.contract.detection import INVALID_READING, ControlMode, LaneReading
from phasemesh.contract.errors import SiteError
from phasemesh.contract.intersection import GREEN_LETTERS, Intersection, conflicting_pairs
from phasemesh.contract.site import PlanKind
from phasemesh.contract.timing import BENCHMARK, STREET, StageTiming, TimingProfile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.plans.table import PLANS
from strategies import STEPS_S, brisk, intersections, stage_times, timings

CROSSING = make_intersection()
QUEUED = (make_reading(3.0),) * 4


def make_command(
    cabinet: Cabinet,
    stage: int = 0,
    *,
    seq: int = 1,
    boot_id: int = 1,
    kind: CommandKind = CommandKind.STAGE,
    age_s: float = 0.0,
    name: IntersectionId | None = None,
) -> Command:
    """A command for `stage` that was decided `age_s` ago."""
    seen = cabinet.snapshot()
    return Command(
        name or seen.intersection_id, boot_id, seq, seen.step, seen.now_s - age_s, kind, stage, approved_s=seen.now_s
    )


def run(cabinet: Cabinet, seconds: int, readings: tuple[LaneReading, ...] | None = None) -> list[str]:
    """The lights of the next `seconds`, one step a second."""
    shown = []
    for _ in range(seconds):
        seen = cabinet.snapshot()
        cabinet.step(seen.step + 1, seen.now_s + 1.0, readings)
        shown.append(cabinet.lights)
    return shown


def test_a_cabinet_begins_in_its_first_stage_under_its_own_plan() -> None:
    """Nobody holds the lease, no detector is trusted, and the first stage is green."""
    snapshot = make_cabinet(CROSSING, now_s=50.0).snapshot()

    assert (snapshot.mode, snapshot.lease_boot_id, snapshot.lease_until_s) == (ControlMode.OWN_PLAN, None, 50.0)
    assert (snapshot.signal.stage, snapshot.signal.interval, snapshot.signal.since_s) == (0, Interval.GREEN, 50.0)
    assert snapshot.readings == (INVALID_READING,) * 4


@pytest.mark.parametrize(("tick_s", "expected_s"), [(0.5, 10.0), (3.0, 10.0), (5.0, 15.0), (60.0, 180.0)])
def test_a_lease_lasts_ten_seconds_or_three_ticks(tick_s: float, expected_s: float) -> None:
    """The longer of the two counts, so that one lost command ends nobody's control."""
    times = make_timings(CROSSING)
    cabinet = Cabinet(CROSSING, times, PLANS[PlanKind.FIXED](CROSSING, times), tick_s=tick_s, now_s=7.0)
    applied = cabinet.command(make_command(cabinet))

    assert applied.lease_until_s == 7.0 + expected_s
    assert cabinet.snapshot().lease_s == expected_s


def test_attaching_alone_does_not_command() -> None:
    """A life that is only ready leaves the own plan in charge."""
    cabinet = make_cabinet(CROSSING)
    is_known = cabinet.attach(7)
    run(cabinet, 1)

    assert is_known
    assert cabinet.snapshot().lease_boot_id == 7
    assert cabinet.mode is ControlMode.OWN_PLAN


def test_a_lease_lapses_exactly_at_its_end() -> None:
    """The agent is obeyed up to the last second of its lease and not one step longer."""
    cabinet = make_cabinet(CROSSING)
    applied = cabinet.command(make_command(cabinet))
    modes = []
    for _ in range(17):
        run(cabinet, 1)
        modes.append((cabinet.snapshot().now_s, cabinet.mode))

    assert applied.lease_until_s == 15.0
    assert {mode for now_s, mode in modes if now_s <= 15.0} == {ControlMode.AGENT}
    assert {mode for now_s, mode in modes if now_s > 15.0} == {ControlMode.OWN_PLAN}


def test_every_command_renews_the_lease() -> None:
    """An agent that commands every tick keeps the signal for as long as it likes."""
    cabinet = make_cabinet(CROSSING)
    untils_s = []
    for seq in range(20):
        applied = cabinet.command(make_command(cabinet, seq=seq))
        untils_s.append(applied.lease_until_s - cabinet.snapshot().now_s)
        run(cabinet, 5)

    assert set(untils_s) == {15.0}
    assert cabinet.mode is ControlMode.AGENT
    assert cabinet.own_plan_s == 0.0


@pytest.mark.parametrize(
    ("age_s", "stage", "rule"), [(5.5, 0, "I13"), (-1.0, 0, "I13"), (float("nan"), 0, "I13"), (0.0, 9, "I17")]
)
def test_a_command_that_cannot_be_trusted_renews_nothing(age_s: float, stage: int, rule: str) -> None:
    """Neither a late command nor one for a stage that there is not keeps an agent in charge."""
    cabinet = make_cabinet(CROSSING)
    cabinet.command(make_command(cabinet, seq=1))
    run(cabinet, 4)
    applied = cabinet.command(make_command(cabinet, stage, seq=2, age_s=age_s))

    assert (applied.is_accepted, applied.rule) == (False, rule)
    assert applied.lease_until_s == 15.0


def test_a_command_that_is_held_still_renews_the_lease() -> None:
    """An agent whose wish comes too early is alive and stays in charge."""
    cabinet = make_cabinet(CROSSING)
    run(cabinet, 1)
    applied = cabinet.command(make_command(cabinet, stage=1))

    assert (applied.is_accepted, applied.rule) == (False, "I5")
    assert applied.lease_until_s == 16.0


def test_the_own_plan_serves_every_call() -> None:
    """After the agent fell silent, every stage with a queue is shown green in turn."""
    cabinet = make_cabinet(CROSSING)
    cabinet.command(make_command(cabinet))
    shown = run(cabinet, 180, QUEUED)

    assert {"GrGr", "rGrG"} <= set(shown[16:])
    assert [lights for lights, _ in groupby(shown) if "G" in lights][:4] == ["GrGr", "rGrG", "GrGr", "rGrG"]


def test_the_own_plan_serves_a_single_call() -> None:
    """One waiting vehicle on a side street is enough."""
    cabinet = make_cabinet(CROSSING)
    shown = run(cabinet, 20, (make_reading(), make_reading(1.0), make_reading(), make_reading()))

    assert shown[-1] == "rGrG"


def test_time_under_the_own_plan_is_counted() -> None:
    """Only the seconds without a live lease count."""
    cabinet = make_cabinet(CROSSING)
    run(cabinet, 4)
    cabinet.command(make_command(cabinet))
    run(cabinet, 20)

    assert cabinet.own_plan_s == 4.0 + 5.0


def test_an_older_life_is_refused() -> None:
    """Once a newer life is known, an older one can neither attach nor command."""
    cabinet = make_cabinet(CROSSING)
    cabinet.command(make_command(cabinet, boot_id=9))
    is_known = cabinet.attach(8)
    applied = cabinet.command(make_command(cabinet, boot_id=8, seq=99))

    assert not is_known
    assert (applied.is_accepted, applied.rule) == (False, "I18")
    assert cabinet.snapshot().lease_boot_id == 9


def test_a_newer_life_begins_its_own_count() -> None:
    """Its first sequence number may be lower than the last of the life before."""
    cabinet = make_cabinet(CROSSING)
    cabinet.command(make_command(cabinet, boot_id=1, seq=1000))
    applied = cabinet.command(make_command(cabinet, boot_id=2, seq=0))

    assert applied.is_accepted


@pytest.mark.parametrize("seq", [0, 4, 5])
def test_a_replayed_number_is_refused(seq: int) -> None:
    """A command with a number that was reached before is not obeyed again."""
    cabinet = make_cabinet(CROSSING)
    cabinet.command(make_command(cabinet, seq=5))
    applied = cabinet.command(make_command(cabinet, seq=seq))

    assert (applied.is_accepted, applied.rule) == (False, "I18")


def test_a_command_for_another_intersection_is_refused() -> None:
    """A command that lost its way neither moves the lights nor takes the lease."""
    cabinet = make_cabinet(CROSSING)
    applied = cabinet.command(make_command(cabinet, stage=1, name=IntersectionId("elsewhere")))

    assert (applied.is_accepted, applied.rule) == (False, "I17")
    assert cabinet.snapshot().lease_boot_id is None


def test_a_release_ends_the_lease_at_once() -> None:
    """The own plan chooses in the very next step, and the lights go on without a break."""
    cabinet = make_cabinet(CROSSING)
    cabinet.command(make_command(cabinet, seq=1))
    run(cabinet, 3)
    before = cabinet.lights
    applied = cabinet.command(make_command(cabinet, seq=2, kind=CommandKind.RELEASE))

    assert applied.is_accepted
    assert applied.lease_until_s == 3.0
    assert cabinet.mode is ControlMode.OWN_PLAN
    assert cabinet.lights == before


def test_readings_are_checked_when_they_come_in() -> None:
    """A count that cannot be becomes an invalid reading, which calls constantly."""
    cabinet = make_cabinet(CROSSING)
    cabinet.read((make_reading(float("nan")), make_reading(-1.0), make_reading(1e6), make_reading(2.0)))

    assert cabinet.snapshot().readings == (INVALID_READING,) * 3 + (make_reading(2.0),)


def test_a_step_without_readings_keeps_the_last_ones() -> None:
    """Detectors that report less often than the cabinet steps are not forgotten in between."""
    cabinet = make_cabinet(CROSSING)
    run(cabinet, 1, QUEUED)
    run(cabinet, 1)

    assert cabinet.snapshot().readings == QUEUED


def test_an_intersection_with_faults_is_refused() -> None:
    """A cabinet does not start on a description that contradicts itself, and says what is wrong."""
    broken = msgspec.structs.replace(CROSSING, conflicts=("0101", "0010", "0101", "1010"))

    with pytest.raises(SiteError, match=r"intersection crossing: conflicts\[0\]\[1\]: is 1 but"):
        make_cabinet(broken)


def test_a_stage_that_shows_a_conflict_is_refused() -> None:
    """A stage with two conflicting movements never reaches the street."""
    stages = (msgspec.structs.replace(CROSSING.stages[0], protected=(0, 1)), CROSSING.stages[1])

    with pytest.raises(SiteError, match="movements 0 and 1 conflict"):
        make_cabinet(msgspec.structs.replace(CROSSING, stages=stages))


def test_stages_without_times_are_refused() -> None:
    """There must be exactly one row of times a stage."""
    with pytest.raises(SiteError, match="timings: 1 for 2 stages"):
        Cabinet(
            CROSSING,
            make_timings(CROSSING)[:1],
            PLANS[PlanKind.FIXED](CROSSING, make_timings(CROSSING)),
            tick_s=TICK_S,
            now_s=0.0,
        )


def test_a_coarse_step_never_jumps_over_the_red_clearance() -> None:
    """A cabinet whose lights change only every two seconds shows a clearance of one second for one step."""
    crossing = make_intersection()
    timing = msgspec.structs.replace(STREET.timing, yellow_s=3.0, red_clearance_s=1.0)
    times = (timing, timing)
    cabinet = Cabinet(crossing, times, PLANS[PlanKind.ACTUATED](crossing, times), tick_s=TICK_S, now_s=0.0)
    shown = []
    for step in range(1, 10):
        cabinet.step(step, 2.0 * step, (make_reading(), make_reading(1.0), make_reading(), make_reading()))
        shown.append(cabinet.lights)

    assert [lights for lights, _ in groupby(shown)] == ["GrGr", "yryr", "rrrr", "rGrG"]
    assert [len(list(group)) for _, group in groupby(shown)][1:3] == [2, 1]


class Wish(msgspec.Struct, frozen=True):
    """One moment of an arbitrary agent: after `wait_steps`, any kind, stage, number, life and age."""

    wait_steps: int
    stage: int
    kind: CommandKind
    seq_step: int
    boot_id: int
    age_s: float


WISHES = st.lists(
    st.builds(
        Wish,
        wait_steps=st.sampled_from((0, 1, 1, 2, 5, 20)),
        stage=st.integers(-1, 6),
        kind=st.sampled_from((CommandKind.STAGE, CommandKind.STAGE, CommandKind.STAGE, CommandKind.RELEASE)),
        seq_step=st.sampled_from((1, 1, 1, 0, -3, 100)),
        boot_id=st.sampled_from((1, 1, 1, 2)),
        age_s=st.sampled_from((0.0, 0.0, 0.0, 1.0, 6.0, -1.0, float("nan"), float("inf"))),
    ),
    min_size=5,
    max_size=40,
)


def lights_under(cabinet: Cabinet, wishes: list[Wish], step_s: float, readings: tuple[LaneReading, ...]) -> list[str]:
    """The lights after every step, each as the commands that follow the step have left them."""
    shown: list[str] = [cabinet.lights]
    step = seq = 0
    for wish in wishes:
        for _ in range(wish.wait_steps):
            step += 1
            cabinet.step(step, step * step_s, readings)
            shown.append(cabinet.lights)
        seq += wish.seq_step
        command = make_command(cabinet, wish.stage, seq=seq, boot_id=wish.boot_id, kind=wish.kind, age_s=wish.age_s)
        applied = cabinet.command(command)
        shown[-1] = cabinet.lights
        assert applied.signal == cabinet.snapshot().signal
    return shown


def closed_runs(letters: list[str], wanted: frozenset[str]) -> list[int]:
    """Lengths in steps of the runs of `wanted` letters that have both begun and ended."""
    runs = [(is_wanted, len(list(group))) for is_wanted, group in groupby(letters, lambda letter: letter in wanted)]
    return [length for is_wanted, length in runs[1:-1] if is_wanted]


@brisk
@given(wishes=WISHES, profile=st.sampled_from((BENCHMARK, STREET)), queue_veh=st.sampled_from((0.0, 3.0)))
def test_no_stream_of_commands_bends_a_time(wishes: list[Wish], profile: TimingProfile, queue_veh: float) -> None:
    """Whatever is asked for and whenever, yellow lasts exactly its time and a green at least its minimum."""
    crossing = make_intersection(has_left_lanes=True)
    times = make_timings(crossing, profile)
    cabinet = Cabinet(crossing, times, PLANS[PlanKind.ACTUATED](crossing, times), tick_s=TICK_S, now_s=0.0)
    shown = lights_under(cabinet, wishes, 1.0, (make_reading(queue_veh),) * 8)
    columns = [[lights[index] for lights in shown] for index in range(8)]

    assert {run_s for letters in columns for run_s in closed_runs(letters, frozenset("y"))} <= {times[0].yellow_s}
    assert all(run_s >= 5.0 for letters in columns for run_s in closed_runs(letters, GREEN_LETTERS))


LEGAL_STEPS = {"GG", "gg", "yy", "rr", "Gy", "gy", "gG", "Gg", "yr", "rG", "rg", "yg", "yG"}
"""What one movement may show in two steps that follow each other: no green goes to red without yellow, and a movement
goes from red to nothing but green. Yellow may lead back to green where a protected turn goes on as a yielding one."""


@st.composite
def drawn_cabinets(draw: st.DrawFn) -> tuple[Intersection, tuple[StageTiming, ...], float]:
    """An intersection of any layout, times for its stages, and a step."""
    intersection = draw(intersections())
    return intersection, draw(stage_times(intersection)), draw(st.sampled_from(STEPS_S))


@brisk
@given(drawn=drawn_cabinets(), wishes=WISHES, plan=st.sampled_from(PlanKind))
def test_no_stream_of_commands_makes_the_lights_unlawful(
    drawn: tuple[Intersection, tuple[StageTiming, ...], float], wishes: list[Wish], plan: PlanKind
) -> None:
    """At any layout conflicting movements are never let in together, and no light follows one that it must not."""
    intersection, times, step_s = drawn
    cabinet = Cabinet(intersection, times, PLANS[plan](intersection, times), tick_s=TICK_S, now_s=0.0)
    shown = lights_under(cabinet, wishes, step_s, (make_reading(1.0),) * len(intersection.lanes))
    steps = {
        (before[index] + after[index], movement.is_crossing)
        for before, after in pairwise(shown)
        for index, movement in enumerate(intersection.movements)
    }

    assert [lights for lights in shown if conflicting_pairs(intersection, lights)] == []
    assert {pair for pair, is_crossing in steps if not is_crossing} <= LEGAL_STEPS
    assert {pair for pair, is_crossing in steps if is_crossing} <= {"GG", "Gr", "rr", "rG"}


@brisk
@given(drawn=drawn_cabinets())
def test_the_own_plan_starves_nobody(drawn: tuple[Intersection, tuple[StageTiming, ...], float]) -> None:
    """A cabinet without any agent shows every movement green within its maximum wait and one cycle."""
    intersection, times, step_s = drawn
    cabinet = Cabinet(intersection, times, PLANS[PlanKind.ACTUATED](intersection, times), tick_s=TICK_S, now_s=0.0)
    red = set(range(len(intersection.movements)))
    for step in range(1, round(600.0 / step_s)):
        cabinet.step(step, step * step_s, (make_reading(1.0),) * len(intersection.lanes))
        red -= {index for index, letter in enumerate(cabinet.lights) if letter in GREEN_LETTERS}
        if not red:
            break

    assert red == set()


@brisk
@given(timing=timings(), step_s=st.sampled_from(STEPS_S))
def test_a_coarse_step_never_shortens_a_time(timing: StageTiming, step_s: float) -> None:
    """Times that are no whole number of steps are shown longer: yellow by less than a step, and no green too short."""
    times = (timing, timing)
    cabinet = Cabinet(CROSSING, times, PLANS[PlanKind.ACTUATED](CROSSING, times), tick_s=TICK_S, now_s=0.0)
    impatient = [Wish(1, stage % 2, CommandKind.STAGE, 1, 1, 0.0) for stage in range(100)]
    shown = lights_under(cabinet, impatient, step_s, QUEUED)
    columns = [[lights[index] for lights in shown] for index in range(4)]
    yellows_s = {step_s * run for letters in columns for run in closed_runs(letters, frozenset("y"))}
    greens_s = {step_s * run for letters in columns for run in closed_runs(letters, GREEN_LETTERS)}

    assert all(timing.yellow_s - 1e-6 <= yellow_s < timing.yellow_s + step_s for yellow_s in yellows_s)
    assert all(green_s >= timing.min_green_s - 1e-6 for green_s in greens_s)
    assert greens_s
