"""Latched faults: each keeps the cabinet in flash until an operator resets it, also across power cuts."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S
from phasemesh.controller.cabinet.sealed_file import FileFault, quarantine, read_sealed, write_sealed

LATCH_FORMAT = 1
FILE_RULE = "latch-file"
"""Latched when the file of the latches cannot be trusted: nobody knows what was latched before the power cut."""
MAX_RESETS = 100
"""Resets that the file remembers; older ones are dropped."""
RETRY_S = 60.0
"""Time between two tries to write what a full or broken disk has refused, in seconds."""
CLEAR_S = 1.0
"""How long a fault must not have been reported before it can be reset, in seconds."""
MAX_DETAIL_CHARS = 500


class LatchedFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One breach: its rule, a sentence, and the time of day at which it was latched, in seconds since midnight."""

    rule: str
    detail: str
    day_s: float


class Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who cleared which rule, why, and at which time of day in seconds since midnight."""

    rule: str
    who: str
    reason: str
    day_s: float


class _LatchFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    latched: tuple[LatchedFault, ...]
    resets: tuple[Reset, ...]


class LatchBook:
    """The latched faults of one cabinet, on disk where it was given a path.

    `rules` are those that are latched, `resets` what was cleared, the oldest first. A disk that cannot be written
    alters nothing about the flash; `file_fault` tells, and the writing is tried again.
    """

    def __init__(self, path: Path | None, now_s: float, day_s: float) -> None:
        """Read what was latched before; a file that cannot be trusted is latched itself and set aside."""
        self._path = path
        self._latched: dict[str, LatchedFault] = {}
        self._reported_s: dict[str, float] = {}
        self._retry_at_s = now_s
        self.rules: tuple[str, ...] = ()
        self.resets: tuple[Reset, ...] = ()
        self.file_fault = ""
        if path is not None:
            self._open(path, now_s, day_s)

    @property
    def latched(self) -> tuple[LatchedFault, ...]:
        """The faults that are latched, the oldest first."""
        return tuple(self._latched.values())

    def latch(self, rule: str, detail: str, now_s: float, day_s: float) -> None:
        """Latch `rule`; of several reports the first is kept."""
        self._reported_s[rule] = now_s
        if rule not in self._latched:
            self._latched[rule] = LatchedFault(rule, detail[:MAX_DETAIL_CHARS], day_s)
            self.rules = tuple(self._latched)
            self._write(now_s)

    def reset(self, rule: str, who: str, reason: str, now_s: float, day_s: float) -> str:
        """Clear `rule`; the answer says in one line why not, or is empty."""
        if rule not in self._latched:
            return f"{rule!r} is not latched"
        if now_s - self._reported_s.get(rule, -math.inf) < CLEAR_S - TIME_EPSILON_S:
            return f"{rule} was breached within the last {CLEAR_S:g} s; its cause still holds"
        del self._latched[rule]
        self.rules = tuple(self._latched)
        self.resets = (*self.resets, Reset(rule, who, reason, day_s))[-MAX_RESETS:]
        self._write(now_s)
        return ""

    def retry(self, now_s: float) -> None:
        """Try again to write what could not be written, once in a while."""
        if self.file_fault and now_s >= self._retry_at_s:
            self._write(now_s)

    def _open(self, path: Path, now_s: float, day_s: float) -> None:
        content = _decoded(path)
        if isinstance(content, _LatchFile):
            self._latched = {fault.rule: fault for fault in content.latched}
            self.rules = tuple(self._latched)
            self.resets = content.resets
        elif isinstance(content, FileFault):
            fault = quarantine(path)
            self.latch(FILE_RULE, f"unreadable latch file: {content.reason}", now_s, day_s)
            self.file_fault = self.file_fault or (fault.reason if fault else "")

    def _write(self, now_s: float) -> None:
        if self._path is None:
            return
        body = msgspec.json.encode(_LatchFile(LATCH_FORMAT, self.latched, self.resets))
        fault = write_sealed(self._path, body)
        self.file_fault = fault.reason if fault else ""
        self._retry_at_s = now_s + RETRY_S


def _decoded(path: Path) -> _LatchFile | FileFault | None:
    body = read_sealed(path)
    if body is None or isinstance(body, FileFault):
        return body
    try:
        content = msgspec.json.decode(body, type=_LatchFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return FileFault(f"{path}: is damaged: {error}")
    if content.format != LATCH_FORMAT:
        return FileFault(f"{path}: has format {content.format}, this phasemesh reads {LATCH_FORMAT}")
    return content
