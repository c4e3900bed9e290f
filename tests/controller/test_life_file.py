"""What one life leaves to the next: numbers rise, storms of restarts are slowed down, latches are kept."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller import life_file
from phasemesh.controller.cabinet.sealed_file import FileFault, write_sealed
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.life_file import (
    HIGHEST_BOOT_ID,
    LONGEST_PAUSE_S,
    NO_LIFE,
    RETRY_S,
    SHORT_LIFE_S,
    LifeBook,
    LifeFile,
    kernel_boot,
    next_boot_id,
    next_life,
    pause_after,
    read_life,
    wall_ms,
    write_life,
)

BOOT = "this start of the machine"
YEAR_MS = 365 * 86_400_000
WALL_MS = 1_800_000_000_000
"""A day in 2027."""


def at(now_s: float) -> MonoNs:
    """A monotonic stamp."""
    return MonoNs(round(now_s * NS_PER_S))


def storm(count: int, lived_s: float) -> list[float]:
    """The pauses of `count` lives in a row, each of which works for `lived_s` after its pause."""
    life, now_s, pauses = NO_LIFE, 1000.0, []
    for _ in range(count):
        life, pause_s = next_life(life, BOOT, at(now_s), 1)
        pauses.append(pause_s)
        now_s += pause_s + lived_s
    return pauses


def test_a_first_life_waits_for_nothing() -> None:
    """Nothing is known of any before it."""
    assert next_life(NO_LIFE, BOOT, at(1000.0), 7) == (LifeFile(BOOT, at(1000.0), 0, (), 7), 0.0)


def test_a_storm_is_slowed_down() -> None:
    """Lives that end at once come back after 1, 2, 4, ... seconds, at last once a minute."""
    assert storm(10, 0.5) == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_lives_that_last_are_not_slowed_down() -> None:
    """A restart after ten seconds of work is an ordinary one."""
    assert storm(5, SHORT_LIFE_S) == [0.0] * 5


def test_one_long_life_ends_a_storm() -> None:
    """Whoever has worked once begins again without a pause."""
    life, _ = next_life(LifeFile(BOOT, at(1000.0), 7), BOOT, at(1000.0 + SHORT_LIFE_S), 2)

    assert life.short_lives == 0
    assert next_life(life, BOOT, at(1012.0), 3)[1] == 1.0


def test_a_pause_is_no_part_of_a_life() -> None:
    """A life that dies as soon as its long pause is over was short all the same."""
    life, pause_s = next_life(LifeFile(BOOT, at(1000.0), 6), BOOT, at(1001.0), 2)
    _, next_pause_s = next_life(life, BOOT, at(1001.0 + pause_s + 0.1), 3)

    assert (pause_s, next_pause_s) == (60.0, 60.0)


@pytest.mark.parametrize(("begun_ns", "pause_s"), [(0, 0.0), (1, 1.0)])
def test_a_life_without_a_beginning_is_no_part_of_a_storm(begun_ns: int, pause_s: float) -> None:
    """Zero stands for none; a machine that has just started may begin a life with its first nanosecond."""
    assert next_life(LifeFile(BOOT, MonoNs(begun_ns)), BOOT, at(1.0), 2)[1] == pause_s


@pytest.mark.parametrize("boot", ["another start of the machine", ""])
def test_another_start_of_the_machine_is_no_storm(boot: str) -> None:
    """Monotonic times of before a reboot say nothing about those after it."""
    assert next_life(LifeFile(boot, at(1000.0), 5), BOOT, at(1001.0), 2)[1] == 0.0


def test_what_is_latched_is_handed_on() -> None:
    """Through any number of lives."""
    life, _ = next_life(LifeFile(BOOT, at(1.0), 0, (LadderEvent.CONFIG_DIFFERS,)), BOOT, at(500.0), 2)

    assert life.latched == (LadderEvent.CONFIG_DIFFERS,)


@given(st.integers(0, 10**9))
def test_no_pause_is_longer_than_a_minute(short_lives: int) -> None:
    """Nor negative, nor ever a number that is none."""
    assert 0.0 <= pause_after(short_lives) <= LONGEST_PAUSE_S


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Also where the folder was not there yet, and for nobody else to see."""
    life = LifeFile(BOOT, at(3.0), 2, (LadderEvent.CONFIG_DIFFERS,))
    path = tmp_path / "var" / "state" / "0.life.json"

    assert write_life(path, life) == ""
    assert read_life(path) == life
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["0.life.json"]


def test_no_damaged_file_is_trusted(tmp_path: Path) -> None:
    """Cut off after any byte, or with any one bit flipped: nobody knows what it held, and that is told."""
    path = tmp_path / "0.life.json"
    life = LifeFile(BOOT, at(3.0), 2, (LadderEvent.CONFIG_DIFFERS,), 9)
    write_life(path, life)
    whole = path.read_bytes()
    answers = []
    for content in [whole[:length] for length in range(len(whole))] + [
        flipped(whole, bit) for bit in range(8 * len(whole))
    ]:
        path.write_bytes(content)
        answers.append(read_life(path))

    assert [each for each in answers if isinstance(each, LifeFile) and each != life] == []
    assert sum(isinstance(each, FileFault) for each in answers) > len(whole)


def flipped(whole: bytes, bit: int) -> bytes:
    """`whole` with one bit altered."""
    altered = bytearray(whole)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


@pytest.mark.parametrize(
    "body",
    [b"[]", b'{"short_lives": "many"}', b'{"latched": ["nonsense"]}', b'{"highest_boot_id": 4611686018427387904}'],
)
def test_a_sealed_file_without_sense_is_not_trusted(tmp_path: Path, body: bytes) -> None:
    """Its checksum is right and its content is no life."""
    path = tmp_path / "0.life.json"
    write_sealed(path, body)
    found = read_life(path)

    assert isinstance(found, FileFault)
    assert found.reason.startswith(f"{path}: is damaged: ")


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


def test_a_machine_that_does_not_name_its_start_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one, by which lives are compared all the same."""
    monkeypatch.setattr(life_file, "KERNEL_BOOT", tmp_path / "absent")

    assert kernel_boot() == ""


def test_the_clock_for_people_counts_whole_milliseconds() -> None:
    """Those since 1970, as everybody else counts them."""
    before_ms = time.time_ns() // 10**6
    now_ms = wall_ms()

    assert isinstance(now_ms, int)
    assert before_ms <= now_ms <= time.time_ns() // 10**6


def test_a_clock_that_was_set_back_makes_no_older_life() -> None:
    """A year back, or before 1970: the number is one more than that of the last life."""
    before = LifeFile(highest_boot_id=WALL_MS)

    assert next_boot_id(before, WALL_MS - YEAR_MS) == WALL_MS + 1
    assert next_boot_id(NO_LIFE, -5) == 1


def test_a_clock_that_goes_on_names_the_life() -> None:
    """So that a box with a fresh disk outranks the lives that its predecessor had."""
    assert next_boot_id(LifeFile(highest_boot_id=WALL_MS), WALL_MS + 5) == WALL_MS + 5
    assert 0 < wall_ms() < HIGHEST_BOOT_ID


@given(st.lists(st.integers(-(10**12), 4 * 10**12), min_size=2, max_size=8))
def test_numbers_rise_whatever_the_clock_does(clock_ms: list[int]) -> None:
    """From each life to the next."""
    life, numbers = NO_LIFE, []
    for number, now_ms in enumerate(clock_ms):
        numbers.append(next_boot_id(life, now_ms))
        life, _ = next_life(life, BOOT, at(100.0 * (number + 1)), numbers[-1])

    assert numbers == sorted(set(numbers))


class TestBook:
    """One life with its file."""

    def begin(self, folder: Path, *, boot_id: int | None = None, now_ms: int = WALL_MS) -> LifeBook:
        """The life that begins in `folder`."""
        return LifeBook(folder / "0.life.json", boot_id, at(1000.0), now_ms)

    def test_a_number_that_was_asked_for_is_taken(self, tmp_path: Path) -> None:
        """Even a low one; the lives after it still rise above all there were."""
        numbers = [
            self.begin(tmp_path).boot_id,
            self.begin(tmp_path, boot_id=5).boot_id,
            self.begin(tmp_path, now_ms=WALL_MS - YEAR_MS).boot_id,
        ]

        assert numbers == [WALL_MS, 5, WALL_MS + 1]

    def test_without_a_file_nothing_is_remembered(self) -> None:
        """No number, no storm, no latch, and nothing to complain of."""
        books = [LifeBook(None, None, at(1000.0), WALL_MS) for _ in range(2)]
        books[0].keep((LadderEvent.CONFIG_DIFFERS,), at(1001.0))

        assert [(book.boot_id, book.pause_s, book.fault, book.damage) for book in books] == [(WALL_MS, 0.0, "", "")] * 2

    def test_a_damaged_file_is_latched_until_it_is_reset(self, tmp_path: Path) -> None:
        """Through any number of lives, with the damage set aside for people to look at."""
        path = tmp_path / "0.life.json"
        path.write_bytes(b"torn")
        first, second = self.begin(tmp_path), self.begin(tmp_path)
        latched = [book.life.latched for book in (first, second)]
        second.keep((), at(1100.0))
        third = self.begin(tmp_path)

        assert first.damage.startswith(f"{path}: is damaged: ")
        assert (second.damage, third.damage) == ("", "")
        assert latched == [(LadderEvent.LIFE_UNREADABLE,)] * 2
        assert third.life.latched == ()
        assert (tmp_path / "0.life.json.damaged-0").read_bytes() == b"torn"

    def test_a_file_that_cannot_be_read_is_latched(self, tmp_path: Path) -> None:
        """As what lies in its place is none."""
        (tmp_path / "0.life.json").mkdir()
        book = self.begin(tmp_path)

        assert book.life.latched == (LadderEvent.LIFE_UNREADABLE,)
        assert "cannot be read" in book.damage
        assert "cannot be written" in book.fault

    def test_damage_that_cannot_be_set_aside_is_told_with_the_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both what is wrong with the file and why it still lies there."""
        path = tmp_path / "0.life.json"
        path.write_bytes(b"torn")
        monkeypatch.setattr(life_file, "quarantine", lambda _path: FileFault("no room beside it"))
        damage = self.begin(tmp_path).damage

        assert damage.startswith(f"{path}: is damaged: ")
        assert damage.endswith("; no room beside it")

    def test_a_disk_that_refuses_is_asked_again(self, tmp_path: Path) -> None:
        """Told once, tried once a minute; what is latched meanwhile is not lost when the disk takes it again."""
        folder, latched = tmp_path / "state", (LadderEvent.CONFIG_DIFFERS,)
        folder.write_text("in the way")
        book = self.begin(folder)
        had_fault = bool(book.fault)
        folder.unlink()
        news = [
            book.keep((), at(1000.0 + RETRY_S - 1.0)),
            bool(book.fault),
            book.keep((), at(1000.0 + RETRY_S)),
            bool(book.fault),
            book.keep(latched, at(1100.0)),
        ]

        assert had_fault
        assert news == [False, True, False, False, False]
        assert self.begin(folder).life.latched == latched

    def test_a_disk_that_begins_to_refuse_is_news(self, tmp_path: Path) -> None:
        """Once, and not at every tick."""
        folder = tmp_path / "state"
        book = self.begin(folder)
        (folder / "0.life.json").unlink()
        folder.rmdir()
        folder.write_text("in the way")

        assert book.keep((LadderEvent.CONFIG_DIFFERS,), at(1001.0))
        assert not book.keep((LadderEvent.CONFIG_DIFFERS,), at(1002.0))
