"""An agent beside its unit: when it commands nothing, when it trusts no detector, what it proves of its commands."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from agent_factories import (
    EAST,
    PAIR,
    STALE_AFTER_TICKS,
    TICK_S,
    WEST,
    FixedPolicy,
    Town,
    make_cabinet,
    make_decider,
)
from factories import make_intersection, make_reading, make_timings
from phasemesh.contract.command import AppliedCommand, Command, CommandKind, start
from phasemesh.contract.detection import INVALID_READING, ControlMode, LaneReading, Snapshot
from phasemesh.contract.intersection import Stage
from phasemesh.contract.observation import lane_feature
from phasemesh.contract.site import config_digest
from phasemesh.contract.timing import UnitTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.clock import SimulatedClock
from phasemesh.controller.ladder import CLEAN_S
from phasemesh.controller.ladder_table import COMMANDLESS_RUNGS, LadderEvent, Rung
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.memory_transport import MemoryExchange
from phasemesh.controller.safety.case import Reaction
from phasemesh.controller.telemetry.records import Source, TickRecord

Change = Callable[[Snapshot], Snapshot]
QUEUE = (make_reading(0.0), make_reading(3.0), make_reading(0.0), make_reading(3.0))
STEPS = 5


class SpyDriver:
    """Passes everything on to a cabinet, keeps the commands, and alters answers as it is told."""

    def __init__(self, driver: MemoryDriver) -> None:
        """Alter nothing yet."""
        self._driver = driver
        self.commands: list[Command] = []
        self.answer: Callable[[Command, AppliedCommand | DriverFault], AppliedCommand | DriverFault] = _as_it_is

    def attach(self, boot_id: int) -> DriverFault | None:
        """As in `Driver`."""
        return self._driver.attach(boot_id)

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:
        """As in `Driver`."""
        return self._driver.observe(after_step, timeout_s)

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`."""
        self.commands.append(command)
        return self.answer(command, self._driver.apply(command))

    def close(self) -> None:
        """As in `Driver`."""


def _as_it_is(_command: Command, answer: AppliedCommand | DriverFault) -> AppliedCommand | DriverFault:
    return answer


def unchanged(snapshot: Snapshot) -> Snapshot:
    """What the cabinet says, as it says it."""
    return snapshot


def in_mode(mode: ControlMode) -> Change:
    """A cabinet that says that it is in `mode`."""
    return lambda snapshot: msgspec.structs.replace(snapshot, mode=mode)


def with_readings(*readings: LaneReading) -> Change:
    """A cabinet whose detectors say `readings`."""
    return lambda snapshot: msgspec.structs.replace(snapshot, readings=readings)


class Post:
    """One agent without neighbours at its cabinet; time passes only in `tick`."""

    def __init__(
        self,
        *,
        unit: UnitTiming | None = None,
        latched: tuple[LadderEvent, ...] = (),
        boot_id: int = 1,
        wrong_stage: Stage | None = None,
    ) -> None:
        """Put the agent in its place; its policy always wants the second stage; `wrong_stage` is only in its site."""
        crossing = make_intersection(WEST)
        self.cabinet = make_cabinet(crossing)
        if wrong_stage is not None:
            crossing = msgspec.structs.replace(crossing, stages=(*crossing.stages, wrong_stage))
        self.cabinet.attach(boot_id)
        self.driver = SpyDriver(MemoryDriver(self.cabinet))
        self.policy = FixedPolicy(0.0, 1.0, *(-1.0,) * (len(crossing.stages) - 2))
        self.digest = config_digest(crossing, make_timings(crossing))
        settings = AgentSettings(WEST, boot_id, 7, True, True, False, 200.0, latched)
        decider = make_decider(crossing, self.policy, **({} if unit is None else {"unit": unit}))
        self.agent = Agent(
            settings,
            decider,
            self.driver,
            MemoryExchange().transport(WEST, ()),
            Mailbox((), STALE_AFTER_TICKS),
            decision_clock=SimulatedClock(),
        )
        self._step = 0

    def tick(self, change: Change = unchanged) -> TickRecord:
        """Five steps with a queue east and west, then a tick on what `change` makes of the snapshot."""
        for _ in range(STEPS):
            self._step += 1
            self.cabinet.step(self._step, float(self._step), QUEUE)
        return self.agent.tick(change(self.cabinet.snapshot()))

    def ticks(self, count: int, change: Change = unchanged) -> list[TickRecord]:
        """`count` ticks of the same kind."""
        return [self.tick(change) for _ in range(count)]


def rungs_of(records: list[TickRecord]) -> list[Rung]:
    """The rungs of `records`."""
    return [record.rung for record in records]


class TestReleased:
    """Where the agent has no business commanding, it lets go, and says so in every tick."""

    @pytest.mark.parametrize("mode", [ControlMode.PREEMPT, ControlMode.MANUAL, ControlMode.STOP_TIME])
    def test_a_unit_that_is_taken_gets_no_stage(self, mode: ControlMode) -> None:
        """I11: from the very tick that sees it, and until a minute after it was last seen."""
        post = Post()
        post.tick()
        records = [post.tick(in_mode(mode)), *post.ticks(12)]

        assert rungs_of(records) == [Rung.RELEASED] * 12 + [Rung.COORDINATED]
        assert records[0].reason == f"the cabinet is in {mode}"
        assert records[1].reason == "the cabinet is free since 5.0 s of 60.0 s"

    @pytest.mark.parametrize("mode", [ControlMode.FLASH, ControlMode.STARTUP])
    def test_flash_is_read_back(self, mode: ControlMode) -> None:
        """The rung is FLASH exactly while the cabinet flashes, then RELEASED for the time to resume."""
        post = Post()
        records = [*post.ticks(2), *post.ticks(2, in_mode(mode)), post.tick()]

        assert rungs_of(records) == [
            Rung.COORDINATED,
            Rung.COORDINATED,
            Rung.FLASH,
            Rung.FLASH,
            Rung.RELEASED,
        ]

    @pytest.mark.parametrize("mode", [ControlMode.PREEMPT, ControlMode.FLASH])
    def test_a_tick_without_a_command_is_still_a_tick(self, mode: ControlMode) -> None:
        """A release answers for the step, so that nobody who counts answers waits; nothing is wanted."""
        post = Post()
        post.tick()
        record = post.tick(in_mode(mode))

        assert post.driver.commands[-1].kind is CommandKind.RELEASE
        assert post.driver.commands[-1].step == record.step
        assert (record.source, record.kind) == (Source.RELEASE, CommandKind.RELEASE)
        assert record.wanted_stage == record.stage == record.snapshot.signal.stage
        assert (record.rule, record.is_accepted) == ("", True)
        assert post.cabinet.mode is ControlMode.OWN_PLAN

    def test_the_first_command_waits_for_a_window_of_states(self) -> None:
        """I12: ten seconds of valid states on the street, none in simulation."""
        records = Post(unit=UnitTiming()).ticks(4)

        assert rungs_of(records) == [Rung.RELEASED, Rung.RELEASED, Rung.COORDINATED, Rung.COORDINATED]
        assert records[0].reason == "valid states for 0.0 s of 10.0 s"
        assert Post().tick().rung is Rung.COORDINATED

    @pytest.mark.parametrize("lease_s", [0.0, math.inf, math.nan])
    def test_a_unit_without_a_sound_lease_is_released(self, lease_s: float) -> None:
        """I14: nobody arms what would obey for ever, and trust comes back half a minute after the lease."""
        post = Post()
        bad = post.tick(lambda snapshot: msgspec.structs.replace(snapshot, lease_s=lease_s))
        later = post.ticks(6)

        assert (bad.rung, bad.in_force) == (Rung.RELEASED, (LadderEvent.LEASE_UNSOUND,))
        assert rungs_of(later) == [Rung.RELEASED] * 5 + [Rung.COORDINATED]

    def test_a_unit_that_accepts_and_does_not_act_is_released(self) -> None:
        """I16: three read-backs in a row disagree; then the agent lets go, and tries again after a clean period."""
        post = Post()
        frozen = start(0, 0.0)

        def lie(command: Command, _answer: AppliedCommand | DriverFault) -> AppliedCommand:
            return AppliedCommand(command.step, command.stage, command.stage, True, "", frozen, 1e9)

        def freeze(snapshot: Snapshot) -> Snapshot:
            return msgspec.structs.replace(snapshot, signal=frozen, mode=ControlMode.AGENT, lease_boot_id=1)

        post.driver.answer = lie
        records = post.ticks(12, freeze)
        strikes = [[finding.rule for finding in record.findings] for record in records]

        assert strikes[:6] == [[], [], ["I16"], ["I16"], ["I16"], []]
        assert rungs_of(records) == [Rung.COORDINATED] * 4 + [Rung.RELEASED] * 6 + [Rung.COORDINATED] * 2
        assert records[4].reason.startswith("the cabinet does not show what it accepted")

    def test_a_unit_that_goes_on_lying_is_tried_less_and_less_often(self) -> None:
        """The clean period doubles each time that the trouble returns."""
        post = Post()
        frozen = start(0, 0.0)
        post.driver.answer = lambda command, _answer: AppliedCommand(
            command.step, command.stage, command.stage, True, "", frozen, 1e9
        )
        freeze: Change = lambda snapshot: msgspec.structs.replace(  # noqa: E731 (one line of a test)
            snapshot, signal=frozen, mode=ControlMode.AGENT, lease_boot_id=1
        )
        rungs = rungs_of(post.ticks(90, freeze))
        lengths = [
            len(run) for run in "".join("R" if rung is Rung.RELEASED else "C" for rung in rungs).split("C") if run
        ]

        assert lengths[:3] == [CLEAN_S / TICK_S, 2 * CLEAN_S / TICK_S, 4 * CLEAN_S / TICK_S]

    @pytest.mark.parametrize("digest", ["f" * 64, ""])
    def test_another_configuration_is_latched(self, digest: str) -> None:
        """I19: one look at another digest, or at none, releases until an operator resets it."""
        post = Post()
        other: Change = lambda snapshot: msgspec.structs.replace(snapshot, config_digest=digest)  # noqa: E731
        records = [post.tick(other), *post.ticks(20)]
        post.agent.note_orders((), latch_is_reset=True)
        after = post.tick()

        assert rungs_of(records) == [Rung.RELEASED] * 21
        assert records[-1].in_force == (LadderEvent.CONFIG_DIFFERS,)
        assert (after.rung, post.agent.standing is not None and post.agent.standing.latched) == (Rung.COORDINATED, ())

    def test_a_conflict_that_is_shown_is_latched(self) -> None:
        """I1: one look at movements that conflict releases until an operator resets it, and again if it is there."""
        post = Post(wrong_stage=Stage("wrong", protected=(0, 1)))
        sound: Change = lambda snapshot: msgspec.structs.replace(snapshot, config_digest=post.digest)  # noqa: E731
        wrong: Change = lambda snapshot: msgspec.structs.replace(  # noqa: E731 (one line of a test)
            snapshot, config_digest=post.digest, signal=start(2, 0.0)
        )
        before, shown, *later = [post.tick(sound), post.tick(wrong), *post.ticks(20, sound)]
        post.agent.note_orders((), latch_is_reset=True)
        again = post.tick(wrong)
        post.agent.note_orders((), latch_is_reset=True)
        after = post.tick(sound)

        assert (before.rung, after.rung) == (Rung.COORDINATED, Rung.COORDINATED)
        assert (shown.rung, shown.reason) == (Rung.RELEASED, "shown now: movements 0 and 1 conflict")
        assert ("I1", Reaction.LATCH) in [(finding.rule, finding.reaction) for finding in shown.findings]
        assert {record.kind for record in (shown, *later, again)} == {CommandKind.RELEASE}
        assert later[-1].in_force == again.in_force == (LadderEvent.CONFLICT_SHOWN,)

    def test_a_latch_outlasts_a_life(self) -> None:
        """What no operator has reset yet holds the next life down too."""
        record = Post(latched=(LadderEvent.CONFIG_DIFFERS,)).tick()

        assert (record.rung, record.source) == (Rung.RELEASED, Source.RELEASE)
        assert "until an operator resets it" in record.reason

    def test_a_newer_life_is_not_fought(self) -> None:
        """I18: an agent whose cabinet obeys a newer life lets go."""
        post = Post()
        post.tick()
        post.cabinet.attach(9)
        refused, after = post.ticks(2)

        assert refused.applied is not None
        assert not refused.applied.is_accepted
        assert (after.rung, after.in_force) == (Rung.RELEASED, (LadderEvent.OUTRANKED,))

    def test_no_stage_is_ever_commanded_from_below(self) -> None:
        """Over a course of all troubles, stages are asked for exactly on the rungs that allow it."""
        post = Post()
        changes = [unchanged, in_mode(ControlMode.PREEMPT), unchanged, in_mode(ControlMode.FLASH)]
        records = [post.tick(changes[tick % 4 if tick % 30 < 4 else 0]) for tick in range(60)]

        for record, command in zip(records, post.driver.commands, strict=True):
            assert (command.kind is CommandKind.RELEASE) is (record.rung in COMMANDLESS_RUNGS)


class TestOrders:
    """An operator may keep an agent down, and nobody but an operator ends a latch."""

    @pytest.mark.parametrize(
        ("order", "rung", "source"),
        [
            (LadderEvent.ORDER_LOCAL, Rung.LOCAL, Source.PLAN),
            (LadderEvent.ORDER_RELEASE, Rung.RELEASED, Source.RELEASE),
        ],
    )
    def test_an_order_holds_while_it_stands(self, order: LadderEvent, rung: Rung, source: Source) -> None:
        """It ends with the first tick without it, without a clean period."""
        post = Post()
        post.agent.note_orders((order,))
        ordered = post.tick()
        post.agent.note_orders(())
        after = post.tick()

        assert (ordered.rung, ordered.source, after.rung) == (rung, source, Rung.COORDINATED)

    def test_an_order_never_lifts(self) -> None:
        """An agent that is lower already stays where it is."""
        post = Post()
        post.agent.note_orders((LadderEvent.ORDER_LOCAL,))

        assert post.tick(in_mode(ControlMode.MANUAL)).rung is Rung.RELEASED


class TestDetectors:
    """I21: what a detector says is believed only while it can be true."""

    BROKEN = msgspec.structs.replace(make_reading(2.0), queue_veh=math.nan, vehicles_50m_veh=-1.0)

    def test_a_broken_detector_is_named_and_replaced(self) -> None:
        """The lane calls, its features say that it is not valid, and the record says why."""
        post = Post()
        record = post.tick(with_readings(self.BROKEN, *QUEUE[1:]))
        inputs = post.policy.inputs[-1]

        assert [(fault.lane, fault.kind) for fault in record.detector_faults] == [("north_0", "out_of_range")]
        assert inputs.lanes[:, lane_feature("is_valid")].tolist() == [0.0, 1.0, 1.0, 1.0]
        assert record.rung is Rung.COORDINATED

    def test_a_detector_is_believed_again_after_a_clean_period(self) -> None:
        """Half a minute of clean readings, and it counts."""
        post = Post()
        records = [post.tick(with_readings(self.BROKEN, *QUEUE[1:])), *post.ticks(7)]

        assert [bool(record.detector_faults) for record in records] == [True] * 6 + [False] * 2

    @pytest.mark.parametrize("reading", [BROKEN, INVALID_READING])
    def test_without_any_detector_the_plan_decides(self, reading: LaneReading) -> None:
        """A policy that sees nothing chooses nothing."""
        post = Post()
        post.tick()
        record = post.tick(with_readings(*(reading,) * 4))

        assert (record.rung, record.source) == (Rung.LOCAL, Source.PLAN)
        assert record.in_force == (LadderEvent.DETECTORS_LOST,)

    def test_no_number_that_is_none_reaches_the_network(self) -> None:
        """Whatever the detectors say, all inputs of the policy are finite."""
        post = Post()
        for bad in (math.nan, math.inf, -math.inf, -1.0, 1e300, 105.0):
            reading = msgspec.structs.replace(make_reading(1.0), queue_veh=bad, wait_s=bad, mean_speed_mps=bad)
            post.tick(with_readings(reading, reading, reading, make_reading(1.0)))

        for inputs in post.policy.inputs:
            assert all(np.isfinite(getattr(inputs, name)).all() for name in inputs.__struct_fields__)


class TestApproval:
    """I25: every command carries the time at which the guard let it pass."""

    def test_every_command_is_approved_when_it_is_judged(self) -> None:
        """The stamp is the cabinet time of the verdict, which the record holds too."""
        post = Post()
        records = [*post.ticks(3), post.tick(in_mode(ControlMode.MANUAL))]

        assert [command.approved_s for command in post.driver.commands] == [record.now_s for record in records]

    def test_a_farewell_is_approved_too(self) -> None:
        """A cabinet that obeys nothing without an approval still hears that the agent goes."""
        post = Post()
        record = post.tick()
        post.agent.release()

        assert post.driver.commands[-1].kind is CommandKind.RELEASE
        assert post.driver.commands[-1].approved_s == record.now_s
        assert post.cabinet.mode is ControlMode.OWN_PLAN


class TestAnnouncement:
    """Each change of the rung stands in the record of its tick, with what keeps the agent down."""

    def test_all_that_keeps_an_agent_down_is_told(self) -> None:
        """The reason is that of the worst; the others are listed beside it."""
        post = Post()
        post.policy.fault = "the graph is gone"
        record = post.tick(in_mode(ControlMode.MANUAL))

        assert record.reason == "the cabinet is in manual"
        assert record.in_force == (LadderEvent.UNIT_TAKEN, LadderEvent.POLICY_FAULTY)

    def test_the_standing_is_carried_from_tick_to_tick(self) -> None:
        """What one tick ends with is what the next begins with."""
        post = Post()
        post.policy.fault = "out of order"
        first, second = post.ticks(2)

        assert (second.standing_before.rung, second.standing_before.reason) == (first.rung, first.reason)
        assert post.agent.standing is not None
        assert post.agent.standing.rung is second.rung

    def test_before_the_first_tick_nothing_is_told(self) -> None:
        """An agent that has only said hello stands nowhere yet."""
        post = Post()
        post.agent.say_hello()

        assert post.agent.standing is None

    def test_a_jump_of_the_wall_clock_is_recorded_once(self) -> None:
        """I24: it changes nothing but the record of its tick."""
        post = Post()
        post.agent.note_clock_step(-3600.0)
        first, second = post.ticks(2)

        assert (first.circumstances.clock_step_s, second.circumstances.clock_step_s) == (-3600.0, 0.0)
        assert rungs_of([first, second]) == [Rung.COORDINATED] * 2


def test_neighbours_are_told_although_nothing_is_commanded() -> None:
    """An agent that has let go still observes and speaks, so that its neighbours stay coordinated."""
    town = Town(PAIR, lambda: FixedPolicy(1.0, 0.0))
    town.tick()
    town.residents[WEST].agent.note_orders((LadderEvent.ORDER_RELEASE,))
    records = town.tick()

    assert {name: record.rung for name, record in records.items()} == {
        IntersectionId(WEST): Rung.RELEASED,
        IntersectionId(EAST): Rung.COORDINATED,
    }
