"""Sharing what agents remember: the aggregator, gossip between neighbours, and that both come to the same (D11)."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_factories import IDENTITY, make_entries
from phasemesh.controller.memory.aggregate import MOST_KEYS_OF_AGENT, Aggregate
from phasemesh.controller.memory.averaging import averaged_ltm
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.gossip import Masses, entries_of, learned, masses_of, met
from phasemesh.controller.memory.sync_wire import (
    SYNC_VERSION,
    Offer,
    SharedEntry,
    Union,
    WireFault,
    believed,
    decode_offer,
    decode_union,
    encode,
    kin_of,
    shared,
)
from strategies import brisk

KIN, OTHER_KIN = b"kin", b"other"
KEY, LATER = b"\x01\x02", b"\x03\x04"


def _offer(entries: dict[bytes, LtmEntry], *, kin: bytes = KIN, seq: int = 1, hub: int = 0, since: int = 0) -> Offer:
    return Offer(SYNC_VERSION, kin, seq, hub, since, shared(entries))


def _told(union: Union) -> dict[bytes, LtmEntry]:
    return believed(union.entries, 2, 8)


def _entry(q: float, stage: int = 0, n: int = 4) -> LtmEntry:
    return LtmEntry(stage, q, n, q, 1.0, 10.0)


def test_d11_two_tables_of_1_and_3_become_2_on_both() -> None:
    """The mean over holders, for the second at once and for the first with its next offer."""
    hub = Aggregate(hub=7)
    first = hub.take("west", _offer({KEY: _entry(1.0)}))
    second = hub.take("east", _offer({KEY: _entry(3.0)}))
    again = hub.take("west", _offer({}, hub=7, since=first.revision))

    assert _told(first)[KEY].q == 1.0
    assert _told(second)[KEY].q == 2.0
    assert _told(again)[KEY].q == 2.0


def test_d11_gaps_are_filled_with_the_holders_mean() -> None:
    """Whoever does not know a key counts for nothing in its mean, and learns it."""
    hub = Aggregate(hub=7)
    hub.take("west", _offer({KEY: _entry(1.0)}))
    hub.take("east", _offer({KEY: _entry(3.0), LATER: _entry(-5.0)}))
    third = hub.take("north", _offer({}))

    assert {key: entry.q for key, entry in _told(third).items()} == {KEY: 2.0, LATER: -5.0}


def test_only_what_changed_is_sent_again() -> None:
    """Nothing new, nothing sent; a newer value replaces the agent's own older one."""
    hub = Aggregate(hub=7)
    first = hub.take("west", _offer({KEY: _entry(1.0), LATER: _entry(2.0)}))
    quiet = hub.take("west", _offer({}, hub=7, since=first.revision))
    changed = hub.take("west", _offer({KEY: _entry(5.0)}, hub=7, since=quiet.revision))

    assert quiet.entries == ()
    assert {key: entry.q for key, entry in _told(changed).items()} == {KEY: 5.0}


def test_memories_of_another_kin_share_nothing() -> None:
    """The same key of another layout is another situation."""
    hub = Aggregate(hub=7)
    hub.take("west", _offer({KEY: _entry(1.0)}))
    other = hub.take("east", _offer({}, kin=OTHER_KIN))

    assert other.entries == ()
    assert hub.union(OTHER_KIN) == {}
    assert hub.union(KIN)[KEY].q == 1.0


def test_the_kin_is_everything_but_the_name() -> None:
    """Two crossings of one layout are kin, another discount is not."""
    renamed = msgspec.structs.replace(IDENTITY, intersection="another")

    assert kin_of(renamed) == kin_of(IDENTITY)
    assert kin_of(msgspec.structs.replace(IDENTITY, gamma=0.9)) != kin_of(IDENTITY)


def test_a_hub_that_was_restarted_asks_for_everything() -> None:
    """It remembers nothing, says so to whoever heard another life of it, and sends all that it has."""
    hub = Aggregate(hub=8)
    fresh = hub.take("north", _offer({KEY: _entry(1.0)}))
    strange = hub.take("west", _offer({}, hub=7, since=99))
    known = hub.take("west", _offer({LATER: _entry(1.0)}, hub=8, since=strange.revision))

    assert not fresh.wants_all
    assert strange.wants_all
    assert set(_told(strange)) == {KEY}
    assert not known.wants_all


def test_a_revoked_agent_is_forgotten() -> None:
    """Its values leave the mean, and what it alone knew is gone."""
    hub = Aggregate(hub=7)
    hub.take("west", _offer({KEY: _entry(1.0)}))
    hub.take("east", _offer({KEY: _entry(3.0), LATER: _entry(9.0)}))
    hub.forget("east")
    hub.forget("nobody")

    assert {key: entry.q for key, entry in hub.union(KIN).items()} == {KEY: 1.0}


@pytest.mark.parametrize("change", [{"q": float("nan")}, {"m2": -1.0}, {"n": 0}, {"mean": float("inf")}, {"n": 2**31}])
def test_poison_is_not_taken(change: dict[str, float]) -> None:
    """What no memory could have learned enters neither hub nor agent."""
    poison: SharedEntry = msgspec.structs.replace(shared({KEY: _entry(1.0)})[0], **change)
    hub = Aggregate(hub=7)
    hub.take("west", msgspec.structs.replace(_offer({}), entries=(poison,)))

    assert hub.union(KIN) == {}
    assert believed((poison,), 2, 8) == {}


def test_an_agent_believes_only_what_fits_its_intersection() -> None:
    """Keys of another size and stages that it does not have are left out."""
    entries = shared({KEY: _entry(1.0, stage=3), b"\x01": _entry(1.0)})

    assert set(believed(entries, 2, 4)) == {KEY}
    assert believed(entries, 2, 3) == {}


def test_one_agent_cannot_fill_the_hub() -> None:
    """Beyond what a memory may keep, new keys of an agent are not taken."""
    hub = Aggregate(hub=7)
    many = {index.to_bytes(3, "big"): _entry(1.0) for index in range(MOST_KEYS_OF_AGENT + 5)}
    hub.take("west", _offer(many))

    assert len(hub.union(KIN)) == MOST_KEYS_OF_AGENT


def test_messages_come_back_from_their_frames() -> None:
    """Both kinds, entry by entry."""
    offer = _offer(make_entries(20))
    union = Union(SYNC_VERSION, 3, 7, 12, True, offer.entries)

    assert decode_offer(encode(offer)) == offer
    assert decode_union(encode(union)) == union


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91\x01", encode(msgspec.structs.replace(_offer({}), version=9))])
def test_what_is_no_message_is_a_value(frame: bytes) -> None:
    """Garbage, half a message, and another version."""
    assert isinstance(decode_offer(frame), WireFault)
    assert isinstance(decode_union(frame), WireFault)


@given(st.binary(max_size=60))
@settings(brisk)
def test_no_frame_raises(frame: bytes) -> None:
    """Whatever arrives."""
    decode_offer(frame)
    decode_union(frame)


VALUES = st.dictionaries(
    st.sampled_from([b"a", b"b", b"c"]),
    st.builds(
        LtmEntry,
        stage=st.integers(0, 2),
        q=st.floats(-100.0, 0.0),
        n=st.integers(1, 50),
        mean=st.floats(-100.0, 0.0),
        m2=st.floats(0.0, 9.0),
        updated_at_s=st.floats(0.0, 100.0),
    ),
    max_size=3,
)


def _gossiped(tables: list[dict[bytes, LtmEntry]], seed: int, rounds: int = 400) -> list[Masses]:
    """What neighbours on a line with a few more streets hold after many meetings in a random order."""
    draws = Random(seed)  # noqa: S311 (repeatable)
    pairs = [*pairwise(range(len(tables))), *((0, each) for each in range(2, len(tables), 3))]
    masses = [masses_of(table) for table in tables]
    for _ in range(rounds):
        first, second = draws.choice(pairs)
        masses[first] = masses[second] = met(masses[first], masses[second])
    return masses


@given(st.lists(VALUES, min_size=2, max_size=6), st.integers(0, 1000))
@settings(brisk)
def test_d11_gossip_comes_to_what_the_hub_says(tables: list[dict[bytes, LtmEntry]], seed: int) -> None:
    """On any connected network, for every key and stage: the hub's mean over holders."""
    slots = {(key, entry.stage) for table in tables for key, entry in table.items()}
    by_slot = {
        slot: averaged_ltm([{slot[0]: table[slot[0]]} for table in tables if _holds(table, slot)]) for slot in slots
    }
    for masses in _gossiped(tables, seed):
        assert set(masses) == slots
        for slot, mass in masses.items():
            assert mass.q == pytest.approx(by_slot[slot][slot[0]].q, abs=1e-3)


def _holds(table: dict[bytes, LtmEntry], slot: tuple[bytes, int]) -> bool:
    return slot[0] in table and table[slot[0]].stage == slot[1]


def test_d11_entries_of_gossip_are_those_of_the_hub() -> None:
    """Stage, value, visits and age, where the values of stages differ enough to be told apart."""
    tables = [
        {KEY: _entry(-1.0, stage=1, n=5), LATER: _entry(-8.0, stage=0, n=2)},
        {KEY: _entry(-3.0, stage=1, n=9)},
        {KEY: _entry(-9.0, stage=2, n=50), LATER: _entry(-4.0, stage=0, n=3)},
    ]
    expected = averaged_ltm(tables)
    for masses in _gossiped(tables, seed=1):
        found = entries_of(masses)
        assert {key: entry.stage for key, entry in found.items()} == {KEY: 1, LATER: 0}
        for key, entry in found.items():
            assert entry.q == pytest.approx(expected[key].q, abs=1e-6)
            assert (entry.n, entry.mean, entry.updated_at_s) == (expected[key].n, expected[key].mean, 10.0)


@given(st.lists(VALUES, min_size=2, max_size=5), st.integers(0, 1000), st.integers(0, 60))
@settings(brisk)
def test_gossip_makes_and_loses_nothing(tables: list[dict[bytes, LtmEntry]], seed: int, rounds: int) -> None:
    """The sums of values and of weights are the same before and after, and every ratio is between the holders'."""
    before = [masses_of(table) for table in tables]
    after = _gossiped(tables, seed, rounds)
    for slot in {slot for masses in before for slot in masses}:
        held = [masses[slot] for masses in before if slot in masses]
        kept = [masses[slot] for masses in after if slot in masses]
        assert sum(mass.value for mass in kept) == pytest.approx(sum(mass.value for mass in held), abs=1e-6)
        assert sum(mass.weight for mass in kept) == pytest.approx(len(held), abs=1e-9)
        low, high = min(mass.q for mass in held), max(mass.q for mass in held)
        assert all(low - 1e-6 <= mass.q <= high + 1e-6 for mass in kept)


def test_what_is_learned_meanwhile_changes_the_mean_by_its_difference() -> None:
    """One of two holders learns that 1 is 5: the mean moves from 2 to 4, wherever the masses are by then."""
    west, east = {KEY: _entry(1.0)}, {KEY: _entry(3.0)}
    both = met(masses_of(west), masses_of(east))
    news = learned(both, west, {KEY: _entry(5.0)})
    after = met(news, both)

    assert after[KEY, 0].q == pytest.approx(4.0)


def test_a_stage_that_was_given_up_takes_its_weight_along() -> None:
    """An agent that now holds another stage for best no longer counts among the holders of the first."""
    west, east = {KEY: _entry(1.0)}, {KEY: _entry(3.0)}
    changed = learned(masses_of(west), west, {KEY: _entry(7.0, stage=1)})
    after = met(changed, masses_of(east))

    assert after[KEY, 0].q == pytest.approx(3.0)
    assert after[KEY, 1].q == pytest.approx(7.0)
    assert entries_of(after)[KEY].stage == 1
    assert entries_of(changed)[KEY].stage == 1
