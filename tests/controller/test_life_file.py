"""What one life leaves to the next: storms of restarts are slowed down, latches are kept, no disk is a condition."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.life_file import (
    LONGEST_PAUSE_S,
    NO_LIFE,
    SHORT_LIFE_S,
    LifeFile,
    kernel_boot,
    next_life,
    pause_after,
    read_life,
    write_life,
)

BOOT = "this start of the machine"


def at(now_s: float) -> MonoNs:
    """A monotonic stamp."""
    return MonoNs(round(now_s * NS_PER_S))


def storm(count: int, lived_s: float) -> list[float]:
    """The pauses of `count` lives in a row, each of which works for `lived_s` after its pause."""
    life, now_s, pauses = NO_LIFE, 1000.0, []
    for _ in range(count):
        life, pause_s = next_life(life, BOOT, at(now_s))
        pauses.append(pause_s)
        now_s += pause_s + lived_s
    return pauses


def test_a_first_life_waits_for_nothing() -> None:
    """Nothing is known of any before it."""
    assert next_life(NO_LIFE, BOOT, at(1000.0)) == (LifeFile(BOOT, at(1000.0), 0), 0.0)


def test_a_storm_is_slowed_down() -> None:
    """Lives that end at once come back after 1, 2, 4, ... seconds, at last once a minute."""
    assert storm(10, 0.5) == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_lives_that_last_are_not_slowed_down() -> None:
    """A restart after ten seconds of work is an ordinary one."""
    assert storm(5, SHORT_LIFE_S) == [0.0] * 5


def test_one_long_life_ends_a_storm() -> None:
    """Whoever has worked once begins again without a pause."""
    life, _ = next_life(LifeFile(BOOT, at(1000.0), 7), BOOT, at(1000.0 + SHORT_LIFE_S))

    assert life.short_lives == 0
    assert next_life(life, BOOT, at(1012.0))[1] == 1.0


def test_a_pause_is_no_part_of_a_life() -> None:
    """A life that dies as soon as its long pause is over was short all the same."""
    life, pause_s = next_life(LifeFile(BOOT, at(1000.0), 6), BOOT, at(1001.0))
    _, next_pause_s = next_life(life, BOOT, at(1001.0 + pause_s + 0.1))

    assert (pause_s, next_pause_s) == (60.0, 60.0)


@pytest.mark.parametrize("boot", ["another start of the machine", ""])
def test_another_start_of_the_machine_is_no_storm(boot: str) -> None:
    """Monotonic times of before a reboot say nothing about those after it."""
    assert next_life(LifeFile(boot, at(1000.0), 5), BOOT, at(1001.0))[1] == 0.0


def test_what_is_latched_is_handed_on() -> None:
    """Through any number of lives."""
    life, _ = next_life(LifeFile(BOOT, at(1.0), 0, (LadderEvent.CONFIG_DIFFERS,)), BOOT, at(500.0))

    assert life.latched == (LadderEvent.CONFIG_DIFFERS,)


@given(st.integers(0, 10**9))
def test_no_pause_is_longer_than_a_minute(short_lives: int) -> None:
    """Nor negative, nor ever a number that is none."""
    assert 0.0 <= pause_after(short_lives) <= LONGEST_PAUSE_S


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Also where the folder was not there yet, and for nobody else to see."""
    life = LifeFile(BOOT, at(3.0), 2, (LadderEvent.CONFIG_DIFFERS,))
    path = tmp_path / "state" / "0.life.json"

    assert write_life(path, life) == ""
    assert read_life(path) == life
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["0.life.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"short_lives": "many"}', b'{"latched": ["nonsense"]}', b"\xff\x00", bytes(64)]
)
def test_a_damaged_file_counts_as_the_first_life(tmp_path: Path, content: bytes) -> None:
    """A torn write must not keep an agent from its work."""
    path = tmp_path / "0.life.json"
    path.write_bytes(content)

    assert read_life(path) == NO_LIFE


def test_a_missing_file_counts_as_the_first_life(tmp_path: Path) -> None:
    """A new box begins with nothing."""
    assert read_life(tmp_path / "absent.json") == NO_LIFE


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    """The reason comes back as a value."""
    (tmp_path / "file").write_text("in the way")

    assert "cannot be written: " in write_life(tmp_path / "file" / "0.life.json", NO_LIFE)


def test_this_machine_names_its_start() -> None:
    """The name stays the same while the machine runs."""
    assert kernel_boot() == kernel_boot() != ""
