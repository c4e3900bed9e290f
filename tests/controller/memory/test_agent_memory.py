"""The memory of an agent at run time: what it learns, when it earns a say, what it stages, drops and takes up."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.command import start
from phasemesh.contract.detection import INVALID_READING, Snapshot
from phasemesh.contract.site import MemoryMode
from phasemesh.controller.memory.agent_memory import AgentMemory, MemoryRules
from phasemesh.controller.memory.contents import Changes, Contents
from phasemesh.controller.memory.dual import DualMemoryRules, StageWhen
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.equivalence import Situation
from phasemesh.controller.memory.recall import Remembered, proposal
from phasemesh.controller.memory.sight import sight_of
from phasemesh.controller.memory.street_reward import RewardRule, StreetReward
from phasemesh.controller.memory.trials import Trial

CROSSING = make_intersection()
BOTH = (True, True)
REWARD = RewardRule(StreetReward.HALTING, 0.9)
BUSY, EMPTY = (3.0, 0.0, 3.0, 0.0), (0.0, 0.0, 0.0, 0.0)
PERIOD = 40
QUICK = MemoryRules(dual=DualMemoryRules(capacity=PERIOD, stage_when=StageWhen.PERIOD, kappa=1.0, min_visits=2))


def _snapshot(queues_veh: Sequence[float], now_s: float = 0.0, stage: int = 0) -> Snapshot:
    readings = tuple(make_reading(queue) for queue in queues_veh)
    return make_snapshot(CROSSING, now_s=now_s, readings=readings, signal=start(stage, 0.0))


def _memory(mode: MemoryMode = MemoryMode.LIVE, rules: MemoryRules = QUICK, **kept: Contents) -> AgentMemory:
    return AgentMemory(CROSSING, mode, REWARD, rules=rules, **kept)


def _lived(
    memory: AgentMemory, queues_veh: Sequence[float], stage: int, *, source: str = "policy", now_s: float = 0.0
) -> Remembered | None:
    """One tick in which the cabinet took up `stage`."""
    seen = _snapshot(queues_veh, now_s)
    remembered = memory.look_up(seen, BOTH)
    memory.note(seen, BOTH, source, stage)
    return remembered


def _situation(memory: AgentMemory, queues_veh: Sequence[float]) -> Situation:
    counts = sight_of(CROSSING).counts(_snapshot(queues_veh))
    assert counts is not None
    return memory.table.equivalence.situation(counts)


def _alternate(memory: AgentMemory, rounds: int) -> None:
    """The policy alternates in the busy situation: stage 1 empties the road, stage 0 leaves it as it is."""
    for number in range(rounds):
        _lived(memory, BUSY, 1, now_s=4.0 * number)
        _lived(memory, EMPTY, 0, now_s=4.0 * number + 1.0)
        _lived(memory, BUSY, 0, now_s=4.0 * number + 2.0)
        _lived(memory, (8.0, 0.0, 8.0, 0.0), 0, now_s=4.0 * number + 3.0)


def test_nothing_is_known_at_first() -> None:
    """The first look-up finds nothing and is counted as new."""
    memory = _memory()
    remembered = _lived(memory, BUSY, 0)

    assert remembered is not None
    assert remembered.candidates == ()
    assert (memory.counts.look_ups, memory.counts.hits, memory.counts.new_keys) == (1, 0, 1)


def test_there_is_no_look_up_where_nothing_is_to_decide() -> None:
    """One legal stage, or a detector that is not trusted."""
    memory = _memory()
    blind = make_snapshot(CROSSING, readings=(INVALID_READING,) * 4)

    assert memory.look_up(_snapshot(BUSY), (True, False)) is None
    assert memory.look_up(blind, BOTH) is None
    assert memory.counts.look_ups == 0


def test_d19_what_was_executed_is_stored() -> None:
    """Whoever wished for something else, the return belongs to the stage that the cabinet took up."""
    memory = _memory()
    _lived(memory, BUSY, 1)
    _lived(memory, EMPTY, 0)
    found = memory.table.from_stm(_situation(memory, BUSY))

    assert found is not None
    assert (found.stage, found.estimate.n) == (1, 1)


def test_the_return_is_the_discounted_reward_over_the_ticks_between_decisions() -> None:
    """Two ticks without a choice: -6 and 0.9 times -6 of the halting, then what follows, which is unknown yet."""
    memory = _memory()
    _lived(memory, EMPTY, 1)
    memory.note(_snapshot(BUSY), (True, False), "policy", 1)
    _lived(memory, BUSY, 1)
    found = memory.table.from_stm(_situation(memory, EMPTY))

    assert found is not None
    assert (found.stage, found.estimate.q) == (1, pytest.approx(-6.0 - 0.9 * 6.0))


@pytest.mark.parametrize("source", ["plan", "hold", "release"])
def test_what_others_did_between_is_no_return_of_a_decision(source: str) -> None:
    """A plan took over: nobody knows what the decision before would have come to."""
    memory = _memory()
    _lived(memory, BUSY, 1)
    memory.note(_snapshot(BUSY), BOTH, source, 0)
    _lived(memory, BUSY, 1)

    assert not memory.table.stm


def test_a_cabinet_that_does_not_answer_teaches_nothing() -> None:
    """Neither does a tick with a detector that is not trusted."""
    memory = _memory()
    _lived(memory, BUSY, 1)
    memory.note(_snapshot(BUSY), BOTH, "policy", None)
    _lived(memory, BUSY, 1)
    memory.note(make_snapshot(CROSSING, readings=(INVALID_READING,) * 4), BOTH, "policy", 1)
    _lived(memory, BUSY, 1)

    assert not memory.table.stm


def test_a_reward_that_is_no_number_is_not_learned() -> None:
    """Poison never enters."""
    memory = _memory()
    _lived(memory, BUSY, 1)
    _lived(memory, (float("inf"), 0.0, 0.0, 0.0), 1)

    assert not memory.table.stm


def test_the_better_stage_is_proposed_in_the_shadow_and_promoted_when_it_wins() -> None:
    """After enough rounds memory knows the better stage, has won with it, and may act."""
    memory = _memory()
    first = memory.look_up(_snapshot(BUSY), BOTH)
    _alternate(memory, 120)
    remembered = memory.look_up(_snapshot(BUSY, 480.0), BOTH)

    assert first is not None
    assert remembered is not None
    found = proposal(remembered, BOTH, QUICK.gate)
    assert found is not None
    assert found.stage == 1
    assert remembered.may_act
    assert memory.promoted >= 1
    assert memory.counts.promotions >= 1
    assert memory.counts.hit_rate > 0.9


def test_in_shadow_mode_nothing_may_act() -> None:
    """The same life in the shadow: promoted, and still without a say."""
    memory = _memory(MemoryMode.SHADOW)
    _alternate(memory, 120)
    remembered = memory.look_up(_snapshot(BUSY, 480.0), BOTH)

    assert memory.promoted >= 1
    assert remembered is not None
    assert not remembered.may_act


def test_d20_an_entry_that_is_no_longer_true_is_dropped() -> None:
    """The road changes: what promised much brings the worst, again and again, and is forgotten."""
    memory = _memory()
    _alternate(memory, 120)
    key = memory.look_up(_snapshot(BUSY, 480.0), BOTH)
    assert key is not None
    for number in range(60):
        _lived(memory, BUSY, 1, source="ltm", now_s=500.0 + 2.0 * number)
        _lived(memory, (90.0, 40.0, 90.0, 40.0), 0, now_s=501.0 + 2.0 * number)
    after = memory.look_up(_snapshot(BUSY, 900.0), BOTH)

    assert memory.counts.demotions >= 1
    assert after is not None
    assert not after.may_act


def test_a_staging_is_what_a_store_is_handed() -> None:
    """Between stagings nothing; at one, entries as they will come back, and the trials of their keys."""
    memory = _memory()
    handed: list[Changes] = []
    for number in range(PERIOD + 2):
        _lived(memory, BUSY if number % 2 else EMPTY, 1, now_s=float(number))
        handed.append(memory.take_changes())
    full = [changes for changes in handed if changes]

    assert len(full) == 1
    assert full[0].entries == memory.table.ltm
    assert set(full[0].trials) == set(memory.table.ltm)
    assert all(
        entry is not None and entry.updated_at_s == int(entry.updated_at_s) for entry in full[0].entries.values()
    )


def test_a_life_ends_with_a_staging() -> None:
    """What was learned since the last one is not lost in an orderly end."""
    memory = _memory()
    for number in range(10):
        _lived(memory, BUSY, 1, now_s=float(number))
    memory.stage_now()

    assert len(memory.take_changes().entries) == 1
    assert not memory.table.stm


def test_the_next_life_begins_with_what_was_kept() -> None:
    """Entries and trials of a store are looked up from the first tick on."""
    memory = _memory()
    _alternate(memory, 120)
    memory.stage_now()
    heir = _memory(contents=Contents(dict(memory.table.ltm), dict(memory.trials)))
    mine, theirs = (each.look_up(_snapshot(BUSY, 480.0), BOTH) for each in (memory, heir))

    assert mine == theirs
    assert heir.promoted == memory.promoted >= 1


def test_memory_is_capped_and_the_least_known_go_first() -> None:
    """Fewest visits, then oldest; a store that holds more is told what to remove."""
    entries = {bytes((index, 0, 0, 0)): LtmEntry(0, -1.0, n=index, updated_at_s=5.0) for index in range(6)}
    entries[bytes((5, 0, 0, 0))] = LtmEntry(0, -1.0, n=2, updated_at_s=1.0)
    rules = msgspec.structs.replace(QUICK, most_entries=3)
    memory = _memory(rules=rules, contents=Contents(entries))

    assert {key[0] for key in memory.table.ltm} == {2, 3, 4}
    assert {key[0]: value for key, value in memory.take_changes().entries.items()} == {0: None, 1: None, 5: None}


def test_what_others_know_is_taken_up_where_it_is_more() -> None:
    """Unknown keys and more visits; an own entry that rests on more stays."""
    known, better, new = (bytes((index, 0, 0, 0)) for index in (1, 2, 3))
    own = {known: LtmEntry(0, -1.0, n=9), better: LtmEntry(0, -1.0, n=2)}
    memory = _memory(contents=Contents(own))
    memory.take_shared({known: LtmEntry(1, -5.0, n=8), better: LtmEntry(1, -5.0, n=3), new: LtmEntry(1, -7.0, n=1)})

    assert {key: entry.stage for key, entry in memory.table.ltm.items()} == {known: 0, better: 1, new: 1}
    assert set(memory.take_changes().entries) == {better, new}


def test_trials_of_forgotten_keys_are_forgotten() -> None:
    """A memory does not grow with what it does not keep."""
    stranger = b"\x09\x09\x09\x09"
    memory = _memory(contents=Contents(trials={stranger: Trial(n=3)}))
    for number in range(PERIOD + 2):
        _lived(memory, EMPTY, 1, now_s=float(number))

    assert stranger not in memory.trials
    assert set(memory.trials) <= set(memory.table.ltm) | set(memory.table.stm)


def test_age_is_told_by_the_clock_that_outlasts_lives() -> None:
    """With one of its own, cabinet time means nothing; what is past its age is counted."""
    now_s = [1_000.0]
    key_holder = _memory()
    _lived(key_holder, BUSY, 1)
    _lived(key_holder, BUSY, 1)
    key = next(iter(key_holder.table.stm))
    memory = AgentMemory(
        CROSSING,
        MemoryMode.LIVE,
        REWARD,
        rules=QUICK,
        contents=Contents({key: LtmEntry(1, -1.0, n=50, updated_at_s=1_000.0)}),
        clock_s=lambda: now_s[0],
    )
    fresh = _lived(memory, BUSY, 1, now_s=77.0)
    now_s[0] += 31.0 * 86_400.0
    _lived(memory, BUSY, 1, now_s=78.0)

    assert fresh is not None
    assert fresh.at_s == 1_000.0
    assert memory.counts.stale == 1


def test_an_old_value_is_judged_by_what_happens_now() -> None:
    """However good the days were in which it was learned, memory counts on no more than it sees since."""
    key_holder = _memory()
    _lived(key_holder, BUSY, 1)
    _lived(key_holder, BUSY, 1)
    key = next(iter(key_holder.table.stm))
    stage = key_holder.table.equivalence.carried(_situation(key_holder, BUSY).own, 1)
    memory = _memory(contents=Contents({key: LtmEntry(stage, -1.0, n=500, mean=-1.0, m2=1.0)}))
    for number in range(30):
        _lived(memory, BUSY, 1, now_s=float(number))
    remembered = memory.look_up(_snapshot(BUSY, 30.0), BOTH)

    assert remembered is not None
    assert all(candidate.level < -10.0 for candidate in remembered.candidates)
    assert proposal(remembered, BOTH, QUICK.gate) is None
