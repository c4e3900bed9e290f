"""What one life of an agent leaves to the next on the same machine: its number, when it began, and what is latched.

A disk is never a condition of control: a missing file counts as the first life, and one that cannot be written is
told and tried again. A file that is there but cannot be trusted may have held a latch (I19), so that it counts as one
until an operator resets it. Times are those of the machine's monotonic clock, which all processes share until the
machine restarts.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec

from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.cabinet.sealed_file import FileFault, quarantine, read_sealed, write_sealed
from phasemesh.controller.ladder_table import LadderEvent

SHORT_LIFE_S = 10.0
"""A life that begins sooner than this after the one before it belongs to a storm of restarts (F23)."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
RETRY_S = 60.0
"""Time between two tries to write what a full or broken disk has refused, in seconds."""
KERNEL_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Names the start of the machine to which monotonic times belong."""
HIGHEST_BOOT_ID = 2**62 - 1
"""Highest number that a life may be given: 64 bits of the wire hold any number of lives after it."""
BootId = Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_BOOT_ID)]


class LifeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest life: the start of the machine, its own beginning there, and how many short lives came before it.

    `highest_boot_id` is the highest number that any life has had so far.
    """

    kernel_boot: str = ""
    begun_mono_ns: int = 0
    short_lives: int = 0
    latched: tuple[LadderEvent, ...] = ()
    highest_boot_id: BootId = 0


NO_LIFE = LifeFile()
UNKNOWN_LIFE = LifeFile(latched=(LadderEvent.LIFE_UNREADABLE,))
"""Stands for a file that cannot be trusted: whatever it held, somebody must look."""


def next_life(before: LifeFile, kernel_boot: str, now: MonoNs, boot_id: int) -> tuple[LifeFile, float]:
    """The life `boot_id` that begins at `now`, and for how many seconds it keeps away from its cabinet first.

    The pause doubles with every short life in a row; it is no part of the life that it delays.
    """
    lived_s = (now - before.begun_mono_ns) / NS_PER_S
    is_short = before.begun_mono_ns > 0 and before.kernel_boot == kernel_boot and lived_s < SHORT_LIFE_S
    short_lives = before.short_lives + 1 if is_short else 0
    pause_s = pause_after(short_lives)
    begun = now + round(pause_s * NS_PER_S)
    highest = max(before.highest_boot_id, boot_id)
    return LifeFile(kernel_boot, begun, short_lives, before.latched, highest), pause_s


def pause_after(short_lives: int) -> float:
    """Seconds to keep away after that many short lives in a row."""
    if short_lives == 0:
        return 0.0
    doublings = min(short_lives - 1, 16)
    return min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)


def next_boot_id(before: LifeFile, wall_ms: int) -> int:
    """The number of the life after `before`: the wall clock in ms, or one more than any so far where that is higher.

    The wall clock only names a life, so that it outranks earlier ones on another disk; nothing is timed by it. A clock
    that was set back must not make this life look older than the last, which cabinet and neighbours would refuse.
    """
    return max(wall_ms, before.highest_boot_id + 1)


def wall_ms() -> int:
    """Milliseconds since 1970 by the clock for people."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000


def read_life(path: Path) -> LifeFile | FileFault:
    """The newest life as the file at `path` tells, `NO_LIFE` when there is none, or why the file cannot be trusted."""
    body = read_sealed(path)
    if body is None:
        return NO_LIFE
    if isinstance(body, FileFault):
        return body
    try:
        return msgspec.json.decode(body, type=LifeFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return FileFault(f"{path}: is damaged: {error}")


def write_life(path: Path, life: LifeFile) -> str:
    """Put `life` in the file at `path`; the answer says why that was impossible, or is empty."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{path}: cannot be written: {error.strerror}"
    fault = write_sealed(path, msgspec.json.encode(life))
    return fault.reason if fault else ""


def kernel_boot() -> str:
    """The name of the present start of the machine; empty where the system does not tell."""
    try:
        return KERNEL_BOOT.read_text().strip()
    except OSError:
        return ""


class LifeBook:
    """One life of an agent, and on disk, where there is a path for it, what the next one must know.

    `boot_id` is the number of this life, `pause_s` for how long it keeps away from its cabinet first. `damage` says why
    the file of the lives before it was not trusted, `fault` why the next life would not learn of this one; both are
    empty when all is well.
    """

    def __init__(self, path: Path | None, boot_id: int | None, now: MonoNs, wall_ms: int) -> None:
        """Begin a life at `now`, as number `boot_id`, or as the next one where that is None."""
        self._path = path
        self.damage = ""
        before = self._before()
        self.boot_id = next_boot_id(before, wall_ms) if boot_id is None else boot_id
        self.life, self.pause_s = next_life(before, kernel_boot(), now, self.boot_id)
        self._write(now)

    def keep(self, latched: tuple[LadderEvent, ...], now: MonoNs) -> bool:
        """Remember at `now` what is latched; whether a disk refused it that had not refused before."""
        had_fault = bool(self.fault)
        if latched != self.life.latched:
            self.life = msgspec.structs.replace(self.life, latched=latched)
            self._write(now)
        elif had_fault and now >= self._retry_at_ns:
            self._write(now)
        return bool(self.fault) and not had_fault

    def _before(self) -> LifeFile:
        if self._path is None:
            return NO_LIFE
        found = read_life(self._path)
        if isinstance(found, LifeFile):
            return found
        aside = quarantine(self._path)
        self.damage = found.reason if aside is None else f"{found.reason}; {aside.reason}"
        return UNKNOWN_LIFE

    def _write(self, now: MonoNs) -> None:
        self.fault = "" if self._path is None else write_life(self._path, self.life)
        self._retry_at_ns = now + round(RETRY_S * NS_PER_S)
