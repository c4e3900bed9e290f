"""What one life of an agent leaves to the next on the same machine: when it began, and what is latched.

The file is a convenience of the disk, never a condition of control: a missing, damaged or unwritable one counts as the
first life. Times are those of the machine's monotonic clock, which all processes share until the machine restarts.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.access.private_file import write_private
from phasemesh.controller.ladder_table import LadderEvent

SHORT_LIFE_S = 10.0
"""A life that begins sooner than this after the one before it belongs to a storm of restarts (F23)."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
KERNEL_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Names the start of the machine to which monotonic times belong."""


class LifeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest life: the start of the machine, its own beginning there, and how many short lives came before it."""

    kernel_boot: str = ""
    begun_mono_ns: int = 0
    short_lives: int = 0
    latched: tuple[LadderEvent, ...] = ()


NO_LIFE = LifeFile()


def next_life(before: LifeFile, kernel_boot: str, now: MonoNs) -> tuple[LifeFile, float]:
    """The life that begins at `now`, and for how many seconds it keeps away from its cabinet first.

    The pause doubles with every short life in a row; it is no part of the life that it delays.
    """
    lived_s = (now - before.begun_mono_ns) / NS_PER_S
    is_short = before.begun_mono_ns > 0 and before.kernel_boot == kernel_boot and lived_s < SHORT_LIFE_S
    short_lives = before.short_lives + 1 if is_short else 0
    pause_s = pause_after(short_lives)
    begun = now + round(pause_s * NS_PER_S)
    return LifeFile(kernel_boot, begun, short_lives, before.latched), pause_s


def pause_after(short_lives: int) -> float:
    """Seconds to keep away after that many short lives in a row."""
    if short_lives == 0:
        return 0.0
    doublings = min(short_lives - 1, 16)
    return min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)


def read_life(path: Path) -> LifeFile:
    """The newest life as the file at `path` tells; `NO_LIFE` when there is no such file, or no sense in it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LifeFile)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return NO_LIFE


def write_life(path: Path, life: LifeFile) -> str:
    """Put `life` in the file at `path`; the answer says why that was impossible, or is empty."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, msgspec.json.encode(life))
    except OSError as error:
        return f"{path}: cannot be written: {error.strerror}"
    return ""


def kernel_boot() -> str:
    """The name of the present start of the machine; empty where the system does not tell."""
    try:
        return KERNEL_BOOT.read_text().strip()
    except OSError:
        return ""
