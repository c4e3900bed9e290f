"""Towns whose links fail in one direction, or whose agents speak several versions (faults F21 and F30)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent_factories import EAST, PAIR, STALE_AFTER_TICKS, STEPS_PER_TICK, TICK_S, WEST, FixedPolicy, Town
from factories import make_timings
from phasemesh.contract.messages import Heard, PeerMessage, decode_message, encode_message
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import PlanKind
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder import CLEAN_S
from phasemesh.controller.ladder_table import Rung
from phasemesh.controller.peers.memory_transport import MemoryExchange
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.replay import replay
from phasemesh.controller.telemetry.event_codes import EventCode
from phasemesh.controller.telemetry.events import EventLog
from phasemesh.controller.telemetry.records import RECORD_FORMAT, RecordHeader, RecordWriter, TickRecord

RING_NAMES = tuple(map(IntersectionId, ("north", "east", "south", "west")))
RING = {name: (RING_NAMES[at - 1], RING_NAMES[(at + 1) % 4]) for at, name in enumerate(RING_NAMES)}
"""Each has two neighbours; every other one shares none of them with the next."""


class PoorExchange(MemoryExchange):
    """An exchange that loses what the agents in `lost` say, and hands on what those in `old` say as `version`."""

    def __init__(self, old: Iterable[IntersectionId] = (), version: int = 1) -> None:
        """Lose nothing yet."""
        super().__init__()
        self.lost: set[IntersectionId] = set()
        self._old = frozenset(old)
        self._version = version

    def deliver(self, arrival: Arrival) -> None:
        """As in `MemoryExchange`, unless it is lost."""
        if arrival.peer not in self.lost:
            super().deliver(self._aged(arrival) if arrival.peer in self._old else arrival)

    def _aged(self, arrival: Arrival) -> Arrival:
        message = decode_message(arrival.frame)
        assert isinstance(message, PeerMessage)
        return Arrival(arrival.peer, encode_message(msgspec.structs.replace(message, version=self._version)))


def make_header(town: Town) -> RecordHeader:
    """The header of the west's records."""
    intersection = town.residents[WEST].cabinet.intersection
    return RecordHeader(
        format=RECORD_FORMAT,
        spec_hash=SPEC_HASH,
        intersection=intersection,
        timings=make_timings(intersection),
        tick_s=TICK_S,
        steps_per_tick=STEPS_PER_TICK,
        seed=7,
        stale_after_ticks=STALE_AFTER_TICKS,
        comm_deadline_ms=200.0,
        bundle="none",
        bundle_digest="",
        plan=PlanKind.ACTUATED,
        boot_id=1,
    )


def drive(exchange: PoorExchange, *, ticks: int = 24, cut: range = range(0)) -> list[dict[IntersectionId, TickRecord]]:
    """A pair of agents with traffic; in the ticks of `cut` the west is not heard."""
    town = Town(PAIR, lambda: FixedPolicy(0.0, 1.0), exchange=exchange)
    records = []
    for tick in range(ticks):
        exchange.lost = {WEST} if tick in cut else set()
        records.append(town.tick((3.0, float(tick % 3), 0.0, 2.0)))
    return records


def hears_us(record: TickRecord) -> bool | None:
    """What the record of one half of a pair says of the other half."""
    return record.peers[0].hears_us


CUT = range(6, 16)


class TestOneWay:
    """The east is deaf for the west, the west hears the east (F21)."""

    def test_the_deaf_side_treats_the_other_as_silent(self) -> None:
        """As with a silent one: stale after three ticks, isolated without others, and back after a clean period."""
        rungs = [records[EAST].rung for records in drive(PoorExchange(), cut=CUT)]
        back = CUT.stop - 1 + CLEAN_S / TICK_S

        assert rungs == [Rung.ISOLATED if 9 <= tick < back else Rung.COORDINATED for tick in range(24)]

    def test_f21_the_side_that_is_not_heard_reports_it(self) -> None:
        """In the very tick in which the deaf side falls back, until the first echo after the link is whole again."""
        known = [hears_us(records[WEST]) for records in drive(PoorExchange(), cut=CUT)]

        assert known[:4] == [None, True, True, True]
        assert known[4:9] == [True] * 5
        assert known[9:17] == [False] * 8
        assert known[17:] == [True] * 7

    def test_the_deaf_side_knows_nothing_of_the_other(self) -> None:
        """It is heard all the while, but whoever would tell it so cannot be heard."""
        known = [hears_us(records[EAST]) for records in drive(PoorExchange(), cut=CUT)]

        assert known == [None] + [None if 9 <= tick < 16 else True for tick in range(1, 24)]

    def test_whoever_is_not_heard_goes_on_as_before(self) -> None:
        """Its inputs are sound: neither rung nor choice nor command differs from an undisturbed drive."""
        names = ("rung", "reason", "in_force", "source", "wanted_stage", "kind", "stage", "logits", "mask", "applied")
        disturbed, calm = (drive(PoorExchange(), cut=cut) for cut in (CUT, range(0)))

        for records, others in zip(disturbed, calm, strict=True):
            assert [getattr(records[WEST], name) for name in names] == [getattr(others[WEST], name) for name in names]

    def test_the_event_log_tells_it_once(self) -> None:
        """Its beginning and its end stand in the log, with the name of the deaf neighbour."""
        exchange = PoorExchange()
        log = EventLog(make_header(Town(PAIR, lambda: FixedPolicy(0.0, 1.0))))
        for records in drive(exchange, cut=CUT):
            log.note(records[WEST])
        told = [(each.at_s, each.code, each.text) for each in log.events if each.code >= EventCode.UNHEARD_BEGIN]

        assert told == [
            (50.0, EventCode.UNHEARD_BEGIN, "east does not hear this agent"),
            (90.0, EventCode.UNHEARD_END, "east hears this agent"),
        ]

    def test_the_drive_replays(self, tmp_path: Path) -> None:
        """What is known of the other's ears travels in the records and changes no decision of theirs."""
        path = tmp_path / "west.rec"
        town = Town(PAIR, lambda: FixedPolicy(0.0, 1.0))
        writer = RecordWriter(path, make_header(town))
        for records in drive(PoorExchange(), cut=CUT):
            writer.write(records[WEST])
        writer.close()

        assert replay(path, FixedPolicy(0.0, 1.0)).difference is None

    def test_an_agent_tells_how_long_ago_it_heard_each_neighbour(self) -> None:
        """Never before the first tick, one interval ago in every tick after it, longer where messages are missing."""
        exchange = PoorExchange()
        echoes = [records[WEST].peers[0].message for records in drive(exchange, cut=range(2, 4), ticks=6)]

        assert [message.heard for message in echoes if message is not None] == [
            (Heard(WEST, age_s),) for age_s in (None, 5.0, 5.0, 10.0, 15.0, 5.0)
        ]


class TestUpgrade:
    """A city that is upgraded box by box (F30)."""

    @pytest.mark.parametrize("old", [RING_NAMES[:2], RING_NAMES[::2], RING_NAMES], ids=["half", "every other", "all"])
    def test_f30_a_city_of_two_versions_stays_coordinated(self, old: tuple[IntersectionId, ...]) -> None:
        """Messages of the version before are used like any other; only their senders' ears stay unknown."""
        town = Town(RING, lambda: FixedPolicy(0.0, 1.0), exchange=PoorExchange(old))
        ticks = [town.tick((2.0, 1.0, 0.0, 3.0)) for _ in range(12)]

        for record in (record for records in ticks for record in records.values()):
            assert record.rung is Rung.COORDINATED
            assert all(peer.is_fresh and peer.age_ticks == 0 for peer in record.peers)
        for record in ticks[-1].values():
            assert [peer.hears_us for peer in record.peers] == [
                None if peer.peer in old else True for peer in record.peers
            ]
        assert all(not resident.agent.mailbox.faults for resident in town.residents.values())

    def test_the_version_makes_no_difference_to_what_is_decided(self) -> None:
        """Policies see the same rows, bit for bit, whatever version they travelled in."""
        towns = [Town(RING, lambda: FixedPolicy(0.0, 1.0), exchange=PoorExchange(old)) for old in ((), RING_NAMES)]
        for _ in range(6):
            for town in towns:
                town.tick((2.0, 1.0, 0.0, 3.0))
        policies = [[resident.policy for resident in town.residents.values()] for town in towns]

        for policy, other in zip(*policies, strict=True):
            assert isinstance(policy, FixedPolicy)
            assert isinstance(other, FixedPolicy)
            for inputs, others in zip(policy.inputs, other.inputs, strict=True):
                np.testing.assert_array_equal(inputs.neighbour_messages, others.neighbour_messages)
                np.testing.assert_array_equal(inputs.neighbour_valid, others.neighbour_valid)

    def test_a_version_that_is_not_known_isolates(self) -> None:
        """Frames of a version to come are counted and dropped; whoever hears nothing else is isolated."""
        town = Town(PAIR, lambda: FixedPolicy(0.0, 1.0), exchange=PoorExchange((WEST,), version=3))
        records = [town.tick() for _ in range(6)][-1]

        assert records[EAST].rung is Rung.ISOLATED
        assert town.residents[EAST].agent.mailbox.faults == {(WEST, "version"): 6}

    def test_whoever_speaks_a_version_that_is_not_known_learns_that_nobody_hears_it(self) -> None:
        """The echo of those who drop its messages says so."""
        town = Town(PAIR, lambda: FixedPolicy(0.0, 1.0), exchange=PoorExchange((WEST,), version=3))
        records = [town.tick()[WEST] for _ in range(6)]

        assert [hears_us(record) for record in records] == [None] * 4 + [False] * 2
