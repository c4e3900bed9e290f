"""What an agent remembers of its controller unit: who has it, since when it can be read, whether it keeps its word."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.command import (
    LEASE_RULE,
    AppliedCommand,
    CommandKind,
    Interval,
    SignalState,
    advance,
    request_stage,
    start,
)
from phasemesh.contract.detection import COMMANDABLE_MODES, ControlMode, Snapshot
from phasemesh.contract.site import config_digest
from phasemesh.contract.timing import SIMULATED_UNIT, UnitTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.unit_rules import MAX_STRIKES, READBACK_S
from phasemesh.controller.unit_watch import Promise, UnitRules, UnitWatch, is_outranked, snapshot_fault
from strategies import brisk

CROSSING = make_intersection()
TIMINGS = make_timings(CROSSING)
DIGEST = config_digest(CROSSING, TIMINGS)
BOOT_ID = 7
LEASE_S = 15.0
TAKEN_MODES = sorted(set(ControlMode) - COMMANDABLE_MODES)


def make_rules(unit: UnitTiming = SIMULATED_UNIT, tick_s: float = 5.0, steps_per_tick: int = 5) -> UnitRules:
    """The rules of the crossing."""
    return UnitRules(CROSSING, TIMINGS, unit, tick_s=tick_s, steps_per_tick=steps_per_tick)


def see(now_s: float = 100.0, signal: SignalState | None = None, **changes: object) -> Snapshot:
    """A sound snapshot of a unit that obeys this agent."""
    snapshot = make_snapshot(CROSSING, now_s=now_s, signal=signal)
    values = {"lease_s": LEASE_S, "config_digest": DIGEST, "lease_boot_id": BOOT_ID, **changes}
    return msgspec.structs.replace(snapshot, **values)


def accept(stage: int, signal: SignalState, now_s: float) -> AppliedCommand:
    """The answer of a unit that does as it is told."""
    return AppliedCommand(0, stage, stage, True, "", signal, now_s + LEASE_S)


def rules_of(findings: tuple[Finding, ...]) -> list[str]:
    """The ids of the rules that found something."""
    return [finding.rule for finding in findings]


def test_a_sound_unit_is_beyond_reproach() -> None:
    """Nothing is found in the first look at a unit that obeys."""
    watch, findings = make_rules().look(UnitWatch(), see())

    assert findings == ()
    assert watch == UnitWatch(valid_since_s=100.0)


class TestMode:
    """Whoever outranks an agent keeps it away, and for a while after (I11)."""

    @pytest.mark.parametrize("mode", TAKEN_MODES)
    def test_a_unit_that_is_taken_is_left_alone(self, mode: ControlMode) -> None:
        """Each of the modes that no agent may disturb releases."""
        _, findings = make_rules().look(UnitWatch(), see(mode=mode))

        assert [(finding.rule, finding.reaction) for finding in findings] == [("I11", Reaction.RELEASE)]

    @pytest.mark.parametrize("mode", sorted(COMMANDABLE_MODES))
    def test_a_unit_that_was_never_taken_is_free(self, mode: ControlMode) -> None:
        """No time to resume is waited for at the first look."""
        assert make_rules().look(UnitWatch(), see(mode=mode))[1] == ()

    @pytest.mark.parametrize(("after_s", "is_free"), [(5.0, False), (59.0, False), (60.0, True), (600.0, True)])
    def test_the_time_to_resume_counts_from_the_first_look_that_finds_it_free(
        self, after_s: float, is_free: bool
    ) -> None:
        """Between two looks nobody knows when the preemption ended, so that it lasted to the second of them."""
        rules = make_rules()
        taken, _ = rules.look(UnitWatch(), see(100.0, mode=ControlMode.PREEMPT))
        freed, at_once = rules.look(taken, see(102.0))
        _, findings = rules.look(freed, see(102.0 + after_s))

        assert rules_of(at_once) == ["I11"]
        assert (findings == ()) is is_free

    def test_a_long_silence_does_not_free_a_unit(self) -> None:
        """Ten minutes without a look say nothing of who had the unit meanwhile."""
        rules = make_rules()
        taken, _ = rules.look(UnitWatch(), see(100.0, mode=ControlMode.MANUAL))
        _, findings = rules.look(taken, see(700.0))

        assert rules_of(findings) == ["I11"]

    def test_a_second_preemption_begins_the_time_anew(self) -> None:
        """Only an unbroken minute counts."""
        rules, watch = make_rules(), UnitWatch()
        for now_s, mode in ((0.0, ControlMode.PREEMPT), (50.0, ControlMode.PREEMPT), (100.0, ControlMode.AGENT)):
            watch, findings = rules.look(watch, see(now_s, mode=mode))

        assert rules_of(findings) == ["I11"]

    def test_a_clock_that_goes_back_does_not_free_a_unit(self) -> None:
        """After a restart of the unit the time to resume is counted on its new clock."""
        rules = make_rules()
        watch, _ = rules.look(UnitWatch(), see(1e6, mode=ControlMode.MANUAL))
        watch, early = rules.look(watch, see(3.0))
        watch, late = rules.look(watch, see(63.0))

        assert (rules_of(early), rules_of(late)) == (["I11"], [])


class TestStart:
    """States are read for a whole window before the first command (I12)."""

    STREET = UnitTiming()

    @pytest.mark.parametrize(("read_s", "is_over"), [(0.0, False), (9.0, False), (10.0, True)])
    def test_the_window_counts_from_the_first_state(self, read_s: float, is_over: bool) -> None:
        """Ten seconds on the street."""
        rules = make_rules(self.STREET)
        watch, _ = rules.look(UnitWatch(), see(100.0))
        _, findings = rules.look(watch, see(100.0 + read_s))

        assert (rules_of(findings) == []) is is_over

    def test_a_unit_that_was_restarted_is_read_anew(self) -> None:
        """After a power cut mid-yellow nothing of before is assumed."""
        rules = make_rules(self.STREET)
        watch, _ = rules.look(UnitWatch(), see(1000.0))
        watch, _ = rules.look(watch, see(1010.0))
        _, findings = rules.look(watch, see(1.0))

        assert rules_of(findings) == ["I12"]


@pytest.mark.parametrize("lease_s", [0.0, -1.0, math.nan, math.inf, 14.0])
def test_an_unsound_lease_is_not_armed(lease_s: float) -> None:
    """A unit that would obey for ever, or not until the next command, is released (I14)."""
    _, findings = make_rules().look(UnitWatch(), see(lease_s=lease_s))

    assert [(finding.rule, finding.reaction) for finding in findings] == [("I14", Reaction.RELEASE)]


@pytest.mark.parametrize("digest", ["0" * 64, ""])
def test_another_configuration_latches(digest: str) -> None:
    """A unit that follows other times or conflicts, or does not say which, is for a person to look at (I19)."""
    _, findings = make_rules().look(UnitWatch(), see(config_digest=digest))

    assert [(finding.rule, finding.reaction) for finding in findings] == [("I19", Reaction.LATCH)]


def drive(unit: type[object], ticks: int = 8, tick_s: float = 5.0) -> list[tuple[Finding, ...]]:
    """What is found in `ticks` ticks of an agent that asks a lying `unit` for stage 1 and never gets it."""
    rules, watch, found = make_rules(tick_s=tick_s, steps_per_tick=round(tick_s)), UnitWatch(), []
    lie = unit()
    for tick in range(ticks):
        now_s = 100.0 + tick * tick_s
        watch, findings = rules.look(watch, lie.show(now_s))
        found.append(findings)
        is_released = any(finding.reaction is Reaction.RELEASE for finding in findings)
        kind = CommandKind.RELEASE if is_released else CommandKind.STAGE
        watch = rules.note(watch, kind, lie.answer(now_s), now_s, BOOT_ID)
    return found


class Idle:
    """Accepts every command and does nothing (F12)."""

    def show(self, now_s: float) -> Snapshot:
        """Stage 0 for ever."""
        return see(now_s, start(0, 0.0))

    def answer(self, now_s: float) -> AppliedCommand:
        """As if stage 1 had been begun."""
        return accept(1, request_stage(CROSSING, start(0, 0.0), 1, now_s), now_s)


class Deaf(Idle):
    """Accepts every command and goes on with its own plan."""

    def show(self, now_s: float) -> Snapshot:
        """The right stage, but by nobody's command."""
        return see(now_s, start(1, 0.0), mode=ControlMode.OWN_PLAN)


class Stuck(Idle):
    """Begins every change and never ends one."""

    def show(self, now_s: float) -> Snapshot:
        """The yellow of the first command."""
        return see(now_s, request_stage(CROSSING, start(0, 0.0), 1, 100.0))

    def answer(self, now_s: float) -> AppliedCommand:
        """The same."""
        return accept(1, request_stage(CROSSING, start(0, 0.0), 1, 100.0), now_s)


class TestReadback:
    """A unit shows what it accepted; the third time that it does not, the agent lets go (I16)."""

    @pytest.mark.parametrize("lie", [Idle, Deaf])
    def test_a_unit_that_accepts_and_does_not_act_is_found_out(self, lie: type[object]) -> None:
        """Two ticks are told, the third releases."""
        reactions = [[finding.reaction for finding in findings] for findings in drive(lie)]

        assert reactions[:4] == [[], [Reaction.LOG], [Reaction.LOG], [Reaction.RELEASE]]

    def test_a_release_ends_the_strikes(self) -> None:
        """Nothing was promised any more, so the next look finds nothing."""
        assert drive(Idle)[4] == ()

    def test_short_ticks_wait_for_the_time_to_act(self) -> None:
        """At one tick a second the unit has two seconds before the first strike."""
        counts = [len(findings) for findings in drive(Idle, tick_s=1.0, ticks=6)]

        assert counts == [0, 0, 1, 1, 1, 0]
        assert counts.index(1) == READBACK_S
        assert sum(counts) == MAX_STRIKES

    def test_a_change_that_never_ends_is_found_out(self) -> None:
        """The yellow of three seconds may last three steps longer, then it is overdue."""
        found = drive(Stuck, ticks=6)

        assert [rules_of(findings) for findings in found] == [[], [], ["I16"], ["I16"], ["I16"], []]

    def test_a_unit_that_acts_is_never_suspected(self) -> None:
        """Requests back and forth, each shown in time, give no finding."""
        rules, watch, signal = make_rules(), UnitWatch(), start(0, 0.0)
        for tick in range(1, 40):
            now_s = 5.0 * tick
            signal = advance(signal, TIMINGS, now_s)
            watch, findings = rules.look(watch, see(now_s, signal))
            assert findings == ()
            wanted = tick // 3 % 2
            signal = request_stage(CROSSING, signal, wanted, now_s)
            watch = rules.note(watch, CommandKind.STAGE, accept(signal.stage, signal, now_s), now_s, BOOT_ID)

    def test_one_agreement_clears_the_strikes(self) -> None:
        """Only strikes in a row count."""
        rules = make_rules()
        watch = UnitWatch(promise=Promise(1, 100.0, 103.0, 115.0, BOOT_ID), strikes=2)
        watch, findings = rules.look(watch, see(105.0, start(1, 103.0)))

        assert (watch.strikes, watch.broken_since_s, findings) == (0, None, ())

    @pytest.mark.parametrize(
        ("why", "changes"),
        [
            ("its lease is over", {"now_s": 116.0}),
            ("it was restarted", {"now_s": 3.0}),
            ("a newer life commands", {"lease_boot_id": BOOT_ID + 1}),
        ],
    )
    def test_a_promise_ends(self, why: str, changes: dict[str, float]) -> None:
        """What a unit shows then is no lie."""
        watch = UnitWatch(promise=Promise(1, 100.0, 103.0, 115.0, BOOT_ID), strikes=2)
        now_s = float(changes.pop("now_s", 105.0))
        watch, findings = make_rules().look(watch, see(now_s, start(0, 0.0), **changes))

        assert (watch.promise, findings) == (None, ()), why

    def test_whoever_outranks_the_agent_ends_its_promise(self) -> None:
        """A preemption during a command is no broken word."""
        watch = UnitWatch(promise=Promise(1, 100.0, 103.0, 115.0, BOOT_ID))
        watch, findings = make_rules().look(watch, see(105.0, start(0, 0.0), mode=ControlMode.PREEMPT))

        assert (watch.promise, rules_of(findings)) == (None, ["I11"])

    @pytest.mark.parametrize("applied", [None, AppliedCommand(0, 1, 0, False, "I5", start(0, 0.0), 115.0)])
    def test_what_was_not_accepted_is_not_promised(self, applied: AppliedCommand | None) -> None:
        """A lost answer and a refusal bind nobody, and clear nobody either."""
        watch = UnitWatch(promise=Promise(1, 100.0, 103.0, 115.0, BOOT_ID), strikes=2)
        noted = make_rules().note(watch, CommandKind.STAGE, applied, 105.0, BOOT_ID)

        assert (noted.promise, noted.strikes) == (None, 2)

    def test_a_clearance_for_people_is_part_of_a_change(self) -> None:
        """A change that closes a crossing is due after clearance, yellow and red, and three steps."""
        timings = (msgspec.structs.replace(TIMINGS[0], ped_clearance_s=11.0), TIMINGS[1])
        rules = UnitRules(CROSSING, timings, SIMULATED_UNIT, tick_s=5.0, steps_per_tick=5)
        walking = SignalState(1, 0, Interval.PED_CLEARANCE, 100.0)
        watch = rules.note(UnitWatch(), CommandKind.STAGE, accept(1, walking, 100.0), 100.0, BOOT_ID)

        assert watch.promise is not None
        assert watch.promise.due_s == 100.0 + 11.0 + timings[0].yellow_s + timings[0].red_clearance_s + 3.0


class TestSnapshots:
    """No state that cannot be one of this intersection reaches a decision."""

    def test_a_sound_state_has_no_fault(self) -> None:
        """As the cabinet of this intersection shows it."""
        assert snapshot_fault(CROSSING, see()) == ""

    @pytest.mark.parametrize(
        ("changes", "fault"),
        [
            ({"intersection_id": IntersectionId("elsewhere")}, "the cabinet is that of 'elsewhere'"),
            ({"readings": (make_reading(),)}, "the cabinet reports 1 lanes, the site has 4"),
            ({"signal": start(2, 0.0)}, "the cabinet shows what cannot be read"),
            ({"signal": start(-1, 0.0)}, "the cabinet shows what cannot be read"),
            ({"signal": SignalState(0, 9, Interval.YELLOW, 0.0)}, "the cabinet shows what cannot be read"),
            ({"signal": start(0, math.nan)}, "the cabinet shows what cannot be read"),
            ({"now_s": math.nan}, "the cabinet shows what cannot be read"),
            ({"now_s": math.inf}, "the cabinet shows what cannot be read"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, changes: dict[str, object], fault: str) -> None:
        """Another intersection, another layout, unknown stages, times that are none."""
        assert snapshot_fault(CROSSING, msgspec.structs.replace(see(), **changes)).startswith(fault)


@pytest.mark.parametrize(
    ("is_accepted", "rule", "is_newer"),
    [(False, LEASE_RULE, True), (False, "I5", False), (True, "", False), (True, LEASE_RULE, False)],
)
def test_who_is_outranked(is_accepted: bool, rule: str, is_newer: bool) -> None:
    """Only a refusal in favour of a newer life."""
    assert is_outranked(AppliedCommand(0, 0, 0, is_accepted, rule, start(0, 0.0), 1.0)) is is_newer


@brisk
@given(
    looks=st.lists(
        st.tuples(
            st.floats(-50.0, 50.0),
            st.sampled_from(ControlMode),
            st.integers(0, 1),
            st.sampled_from(Interval),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_watching_never_fails_and_forgets_nothing_by_halves(
    looks: list[tuple[float, ControlMode, int, Interval, bool]],
) -> None:
    """Any course of modes, stages and times leaves a watch that can be written down and read again."""
    rules, watch, now_s = make_rules(), UnitWatch(), 100.0
    for step_s, mode, stage, interval, is_obeyed in looks:
        now_s += step_s
        signal = SignalState(stage, 0, interval, now_s - 1.0)
        watch, findings = rules.look(watch, see(now_s, signal, mode=mode))
        answer = accept(stage, signal, now_s) if is_obeyed else None
        watch = rules.note(watch, CommandKind.STAGE, answer, now_s, BOOT_ID)

        assert (mode in COMMANDABLE_MODES) or "I11" in rules_of(findings)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(watch), type=UnitWatch) == watch
