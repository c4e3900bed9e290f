"""Everything around a memory: its store from life to life, its alarms, and what operators are told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.site import MemoryMode
from phasemesh.controller.memory.agent_memory import MemoryRules
from phasemesh.controller.memory.dual import DualMemoryRules, StageWhen
from phasemesh.controller.memory.keeper import MemoryKeeper, identity_of, open_memory
from phasemesh.controller.memory.memory_alarms import MemoryAlarm
from phasemesh.controller.memory.street_reward import RewardRule

CROSSING = make_intersection()
BOTH = (True, True)
RULES = MemoryRules(dual=DualMemoryRules(capacity=10, stage_when=StageWhen.PERIOD, kappa=1.0, min_visits=2))


def _opened(path: Path | None, reward: RewardRule | None = None) -> MemoryKeeper:
    rule = reward or RewardRule()
    identity = identity_of(CROSSING, make_timings(CROSSING), rule, 5.0)
    return open_memory(CROSSING, MemoryMode.LIVE, rule, identity=identity, path=path, rules=RULES)


def _live(keeper: MemoryKeeper, ticks: int) -> None:
    for tick in range(ticks):
        seen = make_snapshot(CROSSING, now_s=float(tick), readings=(make_reading(2.0),) * 4)
        keeper.memory.look_up(seen, BOTH)
        keeper.memory.note(seen, BOTH, "policy", 0)
        keeper.note_tick()


def test_what_one_life_learned_the_next_one_knows(tmp_path: Path) -> None:
    """Staged or not yet, with its trials; and the disk has it while the first still lives."""
    path = tmp_path / "0.memory.sqlite"
    first = _opened(path)
    _live(first, 15)
    for _ in range(500):
        state = first.note_tick()
        if state.unsaved == 0 and path.stat().st_size > 8192:
            break
        time.sleep(0.01)
    first.close()
    first.close()
    second = _opened(path)
    second.close()

    assert (state.ltm, state.has_store, state.store_fault) == (1, True, "")
    assert second.memory.table.ltm == first.memory.table.ltm
    assert second.memory.trials == first.memory.trials
    assert second.memory.trials


def test_d20_another_training_begins_anew_and_says_so(tmp_path: Path) -> None:
    """Values of another discount are no values of this one."""
    path = tmp_path / "0.memory.sqlite"
    first = _opened(path)
    _live(first, 15)
    first.close()
    with capture_logs() as lines:
        second = _opened(path, RewardRule(gamma=0.9))
    second.close()

    assert not second.memory.table.ltm
    assert "gamma 0.985 instead of 0.9" in lines[0]["reason"]


def test_a_memory_without_a_store_lives_in_ram() -> None:
    """Nothing is written, and nobody complains."""
    keeper = _opened(None)
    _live(keeper, 15)
    state = keeper.note_tick()
    keeper.close()

    assert (state.ltm, state.has_store, state.alarms, state.unsaved) == (1, False, (), 0)


def test_d20_a_disk_that_cannot_be_written_is_an_alarm(tmp_path: Path) -> None:
    """Control goes on with what is in RAM; operators see why it is not kept."""
    (tmp_path / "file").write_text("in the way")
    with capture_logs() as lines:
        keeper = _opened(tmp_path / "file" / "memory.sqlite")
    _live(keeper, 15)
    state = keeper.note_tick()
    keeper.close()

    assert lines[0]["event"] == "memory not kept"
    assert "cannot be written" in state.store_fault
    assert state.alarms == (MemoryAlarm.STORE_FAULT,)
    assert state.ltm == 1


@pytest.mark.parametrize("tick_s", [2.0, 10.0])
def test_the_identity_of_a_memory_knows_its_interval(tick_s: float) -> None:
    """The same values mean something else for another time between decisions."""
    mine = identity_of(CROSSING, make_timings(CROSSING), RewardRule(), tick_s)
    other = identity_of(CROSSING, make_timings(CROSSING), RewardRule(), 5.0)

    assert mine.digest() != other.digest()
