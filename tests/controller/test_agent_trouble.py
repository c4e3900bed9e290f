"""What an agent makes of trouble: missing neighbours, broken parts and lateness are values that lead to safety."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from agent_factories import (
    EAST,
    PAIR,
    STALE_AFTER_TICKS,
    TICK_S,
    WEST,
    BrokenPolicy,
    FixedPolicy,
    Town,
)
from agent_towns import make_town, policy_of, singles
from factories import make_reading
from phasemesh.contract.detection import INVALID_READING
from phasemesh.contract.observation import lane_feature
from phasemesh.contract.tensors import PolicyFault
from phasemesh.contract.units import NS_PER_S, IntersectionId, MonoNs
from phasemesh.controller.ladder import CLEAN_S
from phasemesh.controller.telemetry.records import Rung, Source

EAST_WEST_QUEUE = (0.0, 6.0, 0.0, 6.0)


class TestNeighbours:
    """Missing and stale neighbours are values that lead down the ladder."""

    def test_a_missing_neighbour_is_masked(self) -> None:
        """An agent whose neighbour never spoke decides alone."""
        town = make_town()
        record = town.tick(absent=(EAST,))[WEST]

        assert record.rung is Rung.ISOLATED
        assert record.reason == "none of 1 neighbours is fresh"
        assert record.source is Source.POLICY
        assert policy_of(town).inputs[-1].neighbour_valid.tolist() == [0.0]

    def test_a_silent_neighbour_counts_until_it_is_stale(self) -> None:
        """Its last message is used for three ticks with its age, then masked."""
        town = make_town()
        town.tick()
        records = [town.tick(absent=(EAST,))[WEST] for _ in range(STALE_AFTER_TICKS + 2)]

        assert [record.peers[0].age_ticks for record in records] == [1, 2, 3, 4, 5]
        assert [record.peers[0].is_fresh for record in records] == [True, True, True, False, False]
        assert [record.rung for record in records] == [Rung.COORDINATED] * 3 + [Rung.ISOLATED] * 2
        assert [inputs.neighbour_valid[0] for inputs in policy_of(town).inputs] == [1, 1, 1, 1, 0, 0]

    def test_who_was_expected_and_did_not_come_is_recorded(self) -> None:
        """A neighbour that falls silent is missed for as long as it is waited for."""
        town = make_town()
        town.tick()
        records = [town.tick(absent=(EAST,))[WEST] for _ in range(6)]

        assert [record.comm_misses for record in records] == [(EAST,)] * 4 + [()] * 2

    def test_a_neighbour_that_is_heard_for_the_first_time_counts_at_once(self) -> None:
        """The first message of all is used in its own tick, however late it comes."""
        town = make_town()
        for _ in range(6):
            town.tick(absent=(EAST,))
        record = town.tick()[WEST]

        assert (record.rung, record.peers[0].is_fresh) == (Rung.COORDINATED, True)
        assert policy_of(town).inputs[-1].neighbour_valid.tolist() == [1.0]

    def test_a_neighbour_that_comes_back_counts_after_a_clean_period(self) -> None:
        """After a silence the agent stays alone for 30 s, and what it shows is what it does: no message is used."""
        town = make_town()
        town.tick()
        for _ in range(6):
            town.tick(absent=(EAST,))
        waiting = round(CLEAN_S / TICK_S)
        records = [town.tick()[WEST] for _ in range(waiting)]
        used = [bool(inputs.neighbour_valid[0]) for inputs in policy_of(town).inputs[-waiting:]]

        assert [record.peers[0].is_fresh for record in records] == [True] * waiting
        assert [record.rung for record in records] == [*[Rung.ISOLATED] * (waiting - 1), Rung.COORDINATED]
        assert used == [record.rung is Rung.COORDINATED for record in records]
        assert records[0].reason == "waiting for 30 s without trouble: no neighbour is fresh"

    def test_an_agent_without_neighbours_is_coordinated(self) -> None:
        """A single intersection is not isolated: nobody is missing."""
        town = Town({WEST: ()}, lambda: FixedPolicy(1.0, 0.0))
        record = town.tick()[WEST]

        assert (record.rung, record.peers) == (Rung.COORDINATED, ())

    def test_a_row_of_agents_hears_its_neighbours_only(self) -> None:
        """Nine agents in one thread all hear everyone beside them in every tick, and nobody else."""
        names = [IntersectionId(f"n{index}") for index in range(9)]
        streets = {
            name: tuple(names[other] for other in (index - 1, index + 1) if 0 <= other < len(names))
            for index, name in enumerate(names)
        }
        town = Town(streets, lambda: FixedPolicy(1.0, 0.0))
        for _ in range(3):
            records = town.tick()

        assert all(tuple(peer.peer for peer in records[name].peers) == streets[name] for name in names)
        assert all(peer.is_fresh and peer.age_ticks == 0 for record in records.values() for peer in record.peers)
        assert not any(record.comm_misses for record in records.values())


class TestTrouble:
    """Every trouble at run time is a value that leads to a safe choice."""

    def test_a_broken_detector_never_reaches_the_policy(self) -> None:
        """The record keeps what was received, the policy sees an invalid lane, and all inputs are finite."""
        town = make_town()
        agent, cabinet = town.residents[WEST].agent, town.residents[WEST].cabinet
        broken = msgspec.structs.replace(make_reading(), queue_veh=math.nan)
        town.advance((make_reading(),) * 4)
        snapshot = msgspec.structs.replace(cabinet.snapshot(), readings=(broken, *(make_reading(),) * 3))
        record = agent.tick(snapshot)
        (inputs,) = policy_of(town).inputs

        assert record.snapshot is snapshot
        assert inputs.lanes[:, lane_feature("is_valid")].tolist() == [0.0, 1.0, 1.0, 1.0]
        assert all(np.isfinite(getattr(inputs, name)).all() for name in inputs.__struct_fields__)

    def test_a_dead_detector_calls(self) -> None:
        """A lane that cannot be seen is served as if somebody waited there."""
        town = Town({WEST: ()}, BrokenPolicy)
        town.advance((make_reading(), INVALID_READING, make_reading(), make_reading()))
        record = town.residents[WEST].agent.tick(town.residents[WEST].cabinet.snapshot())

        assert (record.wanted_stage, record.source) == (1, Source.PLAN)

    def test_a_policy_fault_leads_to_the_plan(self) -> None:
        """The plan decides, the rung is LOCAL, and the record says why and holds no scores."""
        town = Town(PAIR, BrokenPolicy)
        record = town.tick(EAST_WEST_QUEUE)[WEST]

        assert (record.rung, record.reason, record.fault) == (Rung.LOCAL, *["this policy is broken"] * 2)
        assert (record.source, record.wanted_stage) == (Source.PLAN, 1)
        assert (record.logits, record.mask, record.mask_probability, record.hyper_action) == (b"", b"", b"", b"")
        assert record.applied is not None

    def test_a_bundle_that_was_refused_leads_to_the_plan(self) -> None:
        """An agent without any policy runs from its first tick."""
        town = Town(PAIR, lambda: PolicyFault("manifest.sig: the bundle is not signed"))
        record = town.tick(EAST_WEST_QUEUE)[WEST]

        assert (record.rung, record.source) == (Rung.LOCAL, Source.PLAN)
        assert "not signed" in record.reason

    def test_a_policy_that_recovers_is_trusted_after_a_clean_period(self) -> None:
        """It is asked in every tick, but for thirty seconds its answers are not used."""
        town = make_town(0.0, 1.0)
        policy_of(town).fault = "not yet"
        records = [town.tick()[WEST]]
        policy_of(town).fault = ""
        records += [town.tick()[WEST] for _ in range(7)]

        assert [record.rung for record in records] == [Rung.LOCAL] * 6 + [Rung.COORDINATED] * 2
        assert [record.source for record in records] == [Source.PLAN] * 6 + [Source.POLICY] * 2
        assert records[6].now_s - records[0].now_s == CLEAN_S

    def test_a_policy_that_fails_forgets(self) -> None:
        """The recurrent state of before the fault is not used after it."""
        town = make_town()
        town.tick()
        town.tick()
        policy_of(town).fault = "out of order"
        broken = town.tick()[WEST]
        policy_of(town).fault = ""
        after = town.tick()[WEST]

        assert set(singles(broken.hidden_before)) == {2.0}
        assert set(singles(after.hidden_before)) == {0.0}

    def test_a_driver_fault_releases(self) -> None:
        """What could not be commanded is recorded, and the next tick stands on RELEASED with the reason."""
        town = make_town()
        town.tick()
        town.residents[WEST].driver.fault = "the cabinet does not answer"
        failed = town.tick()[WEST]
        after = town.tick()[WEST]

        assert failed.applied is None
        assert failed.fault == "the cabinet does not answer"
        assert failed.rung is Rung.COORDINATED
        assert (after.rung, after.reason, after.source) == (
            Rung.RELEASED,
            "the cabinet does not answer",
            Source.RELEASE,
        )

    def test_a_driver_that_gave_no_snapshot_releases(self) -> None:
        """The loop tells the agent, whose next tick begins from RELEASED and climbs after a clean period."""
        town = make_town()
        town.tick()
        town.residents[WEST].agent.note_driver_fault("connection refused")
        records = [town.tick()[WEST] for _ in range(7)]

        assert [record.rung for record in records] == [Rung.RELEASED] * 6 + [Rung.COORDINATED]
        assert records[0].reason == "connection refused"

    def test_a_driver_that_was_not_there_yet_is_no_trouble(self) -> None:
        """An agent that started before its cabinet begins where it may, without a clean period first."""
        town = make_town()
        town.residents[WEST].agent.note_driver_fault("connection refused")
        record = town.tick()[WEST]

        assert (record.rung, record.source) == (Rung.COORDINATED, Source.POLICY)

    def test_two_faults_are_both_told(self) -> None:
        """A broken policy does not hide a broken driver."""
        town = Town({WEST: ()}, BrokenPolicy)
        town.residents[WEST].driver.fault = "no cabinet"
        record = town.tick()[WEST]

        assert record.fault == "this policy is broken; no cabinet"


class SteppingClock:
    """A decision clock on which every look costs `cost_s`; five looks make a tick."""

    def __init__(self) -> None:
        """Nothing costs anything yet."""
        self.cost_s = 0.0
        self._now_s = 0.0

    def mono_ns(self) -> MonoNs:
        """As in `Clock`."""
        self._now_s += self.cost_s
        return MonoNs(round(self._now_s * NS_PER_S))


class TestLateness:
    """Late decisions are counted by the decision clock; three in a row cost the policy its trust."""

    def test_decisions_in_time_keep_the_policy(self) -> None:
        """Just under the limits is no trouble, however often."""
        clock = SteppingClock()
        clock.cost_s = 0.09
        town = Town({WEST: ()}, lambda: FixedPolicy(1.0, 0.0), clock=clock)
        records = [town.tick()[WEST] for _ in range(6)]

        assert {(record.rung, record.source) for record in records} == {(Rung.COORDINATED, Source.POLICY)}

    def test_a_late_decision_holds_the_stage_in_force(self) -> None:
        """Rule I23: nobody knows whether the policy's wish still fits, so the signal stays as it is."""
        clock = SteppingClock()
        clock.cost_s = 0.2
        town = Town({WEST: ()}, lambda: FixedPolicy(0.0, 1.0), clock=clock)
        record = town.tick()[WEST]

        assert (record.source, record.wanted_stage, record.stage) == (Source.HOLD, 0, 0)

    def test_three_late_decisions_lead_to_the_plan(self) -> None:
        """The third miss in a row steps down to LOCAL and says why."""
        clock = SteppingClock()
        clock.cost_s = 0.2
        town = Town({WEST: ()}, lambda: FixedPolicy(1.0, 0.0), clock=clock)
        records = [town.tick()[WEST] for _ in range(4)]

        assert [record.source for record in records] == [Source.HOLD] * 2 + [Source.PLAN] * 2
        assert [record.rung for record in records] == [Rung.COORDINATED] * 2 + [Rung.LOCAL] * 2
        assert records[2].reason.startswith("miss 3 in a row: inference 200 of 100 ms")

    def test_one_decision_in_time_ends_the_row(self) -> None:
        """Two late, one in time, two late: the policy keeps its trust."""
        clock = SteppingClock()
        town = Town({WEST: ()}, lambda: FixedPolicy(1.0, 0.0), clock=clock)
        rungs = []
        for cost_s in (0.2, 0.2, 0.0, 0.2, 0.2, 0.0):
            clock.cost_s = cost_s
            rungs.append(town.tick()[WEST].rung)

        assert set(rungs) == {Rung.COORDINATED}

    def test_the_guard_judges_at_the_time_of_the_decision(self) -> None:
        """The recorded time is that of the snapshot and what passed since."""
        clock = SteppingClock()
        clock.cost_s = 0.05
        town = Town({WEST: ()}, lambda: FixedPolicy(1.0, 0.0), clock=clock)
        record = town.tick()[WEST]

        assert record.now_s == pytest.approx(5.2)

    def test_a_decision_older_than_a_tick_is_held(self) -> None:
        """The agent's own guard drops it before the cabinet has to."""
        clock = SteppingClock()
        clock.cost_s = 3.0
        town = Town({WEST: ()}, lambda: FixedPolicy(0.0, 1.0), clock=clock)
        record = town.tick()[WEST]

        assert (record.source, record.stage, record.rule) == (Source.HOLD, 0, "I13")

    def test_simulated_time_is_never_late(self) -> None:
        """In lockstep a loaded machine must not change what is decided."""
        town = make_town()

        assert town.tick()[WEST].now_s == 5.0
