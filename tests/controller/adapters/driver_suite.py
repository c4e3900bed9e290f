"""The contract of `Driver`: one class of tests that every adapter passes, given a fixture `bench`."""

from __future__ import annotations

from typing import Protocol

import pytest

from phasemesh.contract.command import AppliedCommand, Command, CommandKind, Interval, elapsed_green_s
from phasemesh.contract.detection import ControlMode, Snapshot
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.adapters.driver import Driver, DriverFault

STALE_S = 5.5
"""Older than the tick of five seconds under which every bench runs its cabinet."""


class Bench(Protocol):
    """One intersection that drivers may be connected to, and whose time passes in steps of a second."""

    intersection: Intersection
    timings: tuple[StageTiming, ...]

    def driver(self) -> Driver:
        """Another driver of the same intersection."""

    def advance(self) -> None:
        """Let one step pass."""


class Pilot:
    """A driver's one life: counts its commands and says what it sees."""

    def __init__(self, bench: Bench, boot_id: int = 1) -> None:
        """Connect and take the lease."""
        self.bench = bench
        self.driver = bench.driver()
        self.boot_id = boot_id
        self.seq = 0
        self.driver.attach(boot_id)

    def see(self) -> Snapshot:
        """The present snapshot."""
        snapshot = self.driver.observe(-1, 0.0)
        assert isinstance(snapshot, Snapshot)
        return snapshot

    def ask(
        self, stage: int, *, kind: CommandKind = CommandKind.STAGE, age_s: float = 0.0, seq: int | None = None
    ) -> AppliedCommand:
        """What became of a command for `stage` that was decided `age_s` ago."""
        seen = self.see()
        self.seq += 1
        applied = self.driver.apply(
            Command(
                intersection_id=self.bench.intersection.id,
                boot_id=self.boot_id,
                seq=self.seq if seq is None else seq,
                step=seen.step,
                decided_s=seen.now_s - age_s,
                kind=kind,
                stage=stage,
                approved_s=seen.now_s,
            )
        )
        assert isinstance(applied, AppliedCommand)
        return applied

    def settle(self) -> Snapshot:
        """Hold the stage in force until its minimum green is over; the snapshot then."""
        for _ in range(60):
            seen = self.see()
            self.ask(seen.signal.stage)
            green_s = elapsed_green_s(seen.signal, seen.now_s)
            if green_s >= self.bench.timings[seen.signal.stage].min_green_s:
                return seen
            self.bench.advance()
        raise AssertionError("no green lasted its minimum")

    def other(self) -> int:
        """A stage that is not in force."""
        return (self.see().signal.stage + 1) % len(self.bench.intersection.stages)


@pytest.fixture
def pilot(bench: Bench) -> Pilot:
    """The first life that drives the intersection of the bench."""
    return Pilot(bench)


class DriverSuite:
    """What an agent may rely on, whichever adapter it was given."""

    def test_attaching_takes_the_lease(self, bench: Bench) -> None:
        """The snapshot names the life that attached."""
        driver = bench.driver()
        fault = driver.attach(3)
        snapshot = driver.observe(-1, 0.0)

        assert fault is None
        assert isinstance(snapshot, Snapshot)
        assert snapshot.lease_boot_id == 3

    def test_a_snapshot_is_of_the_intersection(self, bench: Bench, pilot: Pilot) -> None:
        """It carries the right name and one reading a lane."""
        snapshot = pilot.see()

        assert snapshot.intersection_id == bench.intersection.id
        assert len(snapshot.readings) == len(bench.intersection.lanes)

    def test_a_newer_life_displaces_an_older_one(self, bench: Bench, pilot: Pilot) -> None:
        """After a newer life attached, commands of the older one are refused by the lease."""
        pilot.settle()
        newer = Pilot(bench, boot_id=2)
        applied = pilot.ask(pilot.other())

        assert not applied.is_accepted
        assert applied.rule == "I18"
        assert newer.see().lease_boot_id == 2

    def test_an_older_life_cannot_attach(self, bench: Bench) -> None:
        """Its lease is refused with a reason, and the newer life keeps it."""
        newer = Pilot(bench, boot_id=5)
        fault = bench.driver().attach(4)

        assert isinstance(fault, DriverFault)
        assert "newer agent than boot 4" in fault.reason
        assert newer.see().lease_boot_id == 5

    def test_attaching_again_keeps_the_lease(self, pilot: Pilot) -> None:
        """The same life may attach as often as it likes without losing its time."""
        applied = pilot.ask(pilot.see().signal.stage)
        fault = pilot.driver.attach(pilot.boot_id)

        assert fault is None
        assert pilot.see().lease_until_s == applied.lease_until_s

    def test_a_snapshot_is_newer_than_what_was_seen(self, bench: Bench, pilot: Pilot) -> None:
        """What is observed after a step has a later step and a later time."""
        before = pilot.see()
        bench.advance()
        after = pilot.driver.observe(before.step, 0.0)

        assert isinstance(after, Snapshot)
        assert after.step > before.step
        assert after.now_s == pytest.approx(before.now_s + (after.step - before.step))

    def test_nothing_old_is_observed(self, pilot: Pilot) -> None:
        """Without a newer step the answer is none, unless the driver moves the clock itself."""
        before = pilot.see()
        after = pilot.driver.observe(before.step, 0.02)

        assert after is None or (isinstance(after, Snapshot) and after.step > before.step)

    def test_a_granted_command_is_shown(self, pilot: Pilot) -> None:
        """The change to the wished stage begins at once and is what the next snapshot shows."""
        pilot.settle()
        wished = pilot.other()
        applied = pilot.ask(wished)

        assert applied.is_accepted
        assert (applied.requested_stage, applied.stage, applied.rule) == (wished, wished, "")
        assert applied.signal.stage == wished
        assert applied.signal == pilot.see().signal

    def test_a_command_renews_the_lease(self, pilot: Pilot) -> None:
        """A command makes the agent the one who chooses, for three ticks from now."""
        applied = pilot.ask(pilot.see().signal.stage)
        snapshot = pilot.see()

        assert snapshot.mode is ControlMode.AGENT
        assert applied.lease_until_s == snapshot.lease_until_s == pytest.approx(snapshot.now_s + 15.0)

    def test_a_stale_command_is_refused(self, pilot: Pilot) -> None:
        """What was decided more than a tick ago is dropped by I13 and alters nothing."""
        shown = pilot.settle().signal
        applied = pilot.ask(pilot.other(), age_s=STALE_S)

        assert (applied.is_accepted, applied.rule) == (False, "I13")
        assert applied.signal == shown == pilot.see().signal

    def test_a_command_from_the_future_is_refused(self, pilot: Pilot) -> None:
        """A decision that has not been made yet is no decision."""
        pilot.settle()
        applied = pilot.ask(pilot.other(), age_s=-1.0)

        assert (applied.is_accepted, applied.rule) == (False, "I13")

    @pytest.mark.parametrize("stage", [-1, 99])
    def test_an_unknown_stage_is_refused(self, pilot: Pilot, stage: int) -> None:
        """A stage that the intersection does not have is refused by I17 and alters nothing."""
        shown = pilot.settle().signal
        applied = pilot.ask(stage)

        assert (applied.is_accepted, applied.rule) == (False, "I17")
        assert applied.requested_stage == stage
        assert applied.signal == shown == pilot.see().signal

    def test_a_replayed_command_is_refused(self, pilot: Pilot) -> None:
        """A sequence number that was obeyed before is not obeyed again."""
        pilot.settle()
        applied = pilot.ask(pilot.other(), seq=pilot.seq)

        assert (applied.is_accepted, applied.rule) == (False, "I18")

    def test_a_command_in_minimum_green_is_held(self, bench: Bench, pilot: Pilot) -> None:
        """A green that has just begun is kept, whatever is asked for."""
        pilot.settle()
        wished = pilot.other()
        pilot.ask(wished)
        while pilot.see().signal.interval is not Interval.GREEN:
            bench.advance()
        applied = pilot.ask(pilot.other())

        assert (applied.is_accepted, applied.rule) == (False, "I5")
        assert applied.stage == applied.signal.stage == wished

    def test_a_command_in_a_change_is_held(self, bench: Bench, pilot: Pilot) -> None:
        """A running change is finished, and the answer names the stage that it leads to."""
        before = pilot.settle().signal.stage
        wished = pilot.other()
        pilot.ask(wished)
        bench.advance()
        applied = pilot.ask(before)

        assert (applied.is_accepted, applied.rule) == (False, "I2")
        assert applied.stage == wished
        assert applied.signal.interval is Interval.YELLOW

    def test_yellow_lasts_as_configured(self, bench: Bench, pilot: Pilot) -> None:
        """The change away from a stage shows yellow for exactly its time."""
        timing = bench.timings[pilot.settle().signal.stage]
        pilot.ask(pilot.other())
        steps = 0
        while pilot.see().signal.interval is Interval.YELLOW:
            bench.advance()
            steps += 1

        assert steps == timing.yellow_s

    def test_a_release_gives_the_signal_back(self, bench: Bench, pilot: Pilot) -> None:
        """After a release the cabinet's own plan chooses, and stays in charge."""
        pilot.settle()
        applied = pilot.ask(0, kind=CommandKind.RELEASE)
        released = pilot.see()
        bench.advance()

        assert applied.is_accepted
        assert applied.signal == released.signal
        assert released.mode is ControlMode.OWN_PLAN
        assert pilot.see().mode is ControlMode.OWN_PLAN

    def test_an_agent_that_falls_silent_loses_the_signal(self, bench: Bench, pilot: Pilot) -> None:
        """Once the lease is over, the cabinet's own plan takes the signal back."""
        pilot.settle()
        modes = []
        for _ in range(16):
            bench.advance()
            modes.append(pilot.see().mode)

        assert modes == [*[ControlMode.AGENT] * 15, ControlMode.OWN_PLAN]

    def test_a_released_signal_may_be_taken_again(self, pilot: Pilot) -> None:
        """The next command of the same life ends the rule of the own plan."""
        pilot.settle()
        pilot.ask(0, kind=CommandKind.RELEASE)
        applied = pilot.ask(pilot.see().signal.stage)

        assert applied.is_accepted
        assert pilot.see().mode is ControlMode.AGENT

    def test_closing_twice_does_nothing(self, bench: Bench) -> None:
        """A second close is harmless."""
        driver = bench.driver()
        driver.attach(1)
        driver.close()
        driver.close()

        assert isinstance(bench.driver().observe(-1, 0.0), Snapshot)
