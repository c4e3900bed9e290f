"""Ends a process whose decision loop no longer turns: a live process with a dead loop is worse than none (F29).

Only the loop itself feeds the watchdog, never a server or another thread. Where a service manager watches too
(systemd's sd_notify protocol), it is told of the same turns.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable

from phasemesh.contract.units import NS_PER_S, MonoNs

EXIT_LOOP_DEAD = 4
"""Exit code of a process whose decision loop was dead."""
MIN_SILENCE_S = 10.0
SILENT_TICKS = 5
LOOK_EVERY_S = 0.5
LAST_WORDS_S = 1.0
"""Time that the last line of the log may take; what holds up the loop may hold up the log as well."""
NOTIFY_EVERY_S = 1.0


def longest_silence_s(tick_s: float, speed: float) -> float:
    """Wall seconds without a turn after which a loop with that tick and speed is dead."""
    return max(MIN_SILENCE_S, SILENT_TICKS * tick_s / speed)


class Silence:
    """Counts for how long no turn was seen; a time in which nobody looked counts as one look at most."""

    def __init__(self, now: MonoNs) -> None:
        """Begin with a loop that has just turned."""
        self._beats = -1
        self._looked_ns = now
        self._silent_s = 0.0

    def look(self, beats: int, now: MonoNs) -> float:
        """The seconds of silence at `now`, when the loop had turned `beats` times.

        A process that was stopped, or a machine that slept, must not be taken for a dead loop when it goes on.
        """
        passed_s = min((now - self._looked_ns) / NS_PER_S, 2.0 * LOOK_EVERY_S)
        self._looked_ns = now
        self._silent_s = 0.0 if beats != self._beats else self._silent_s + passed_s
        self._beats = beats
        return self._silent_s


class Watchdog:
    """Watches one loop from a thread of its own; the loop calls `beat` at every turn."""

    def __init__(
        self,
        limit_s: float,
        on_death: Callable[[float], None],
        clock: Callable[[], MonoNs],
        *,
        notifier: Notifier | None = None,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        """After `limit_s` without a turn, call `on_death` with the seconds of silence, then `end` the process."""
        self._limit_s = limit_s
        self._on_death = on_death
        self._clock = clock
        self._notifier = notifier
        self._end = end
        self._beats = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def ready(self) -> None:
        """The process has taken up its work."""
        if self._notifier is not None:
            self._notifier.ready()

    def beat(self) -> None:
        """The loop turned."""
        self._beats += 1
        if self._notifier is not None:
            self._notifier.beat()

    def close(self) -> None:
        """Stop watching; calling it again does nothing."""
        self._is_over.set()
        self._thread.join()
        if self._notifier is not None:
            self._notifier.close()

    def _watch(self) -> None:
        silence = Silence(self._clock())
        while not self._is_over.wait(LOOK_EVERY_S):
            silent_s = silence.look(self._beats, self._clock())
            if silent_s >= self._limit_s:
                self._give_up(silent_s)
                return

    def _give_up(self, silent_s: float) -> None:
        last_words = threading.Thread(target=self._on_death, args=(silent_s,), daemon=True)
        last_words.start()
        last_words.join(LAST_WORDS_S)
        self._end(EXIT_LOOP_DEAD)


class Notifier:
    """Tells a service manager that the process is ready and that its loop turns; never waits, never fails."""

    def __init__(self, address: str, clock: Callable[[], MonoNs]) -> None:
        """Send datagrams to `address`, as in the environment variable NOTIFY_SOCKET."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._clock = clock
        self._next_ns = clock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def ready(self) -> None:
        """The process has taken up its work."""
        self._send(b"READY=1")

    def beat(self) -> None:
        """The loop turned; told at most once in `NOTIFY_EVERY_S`."""
        now = self._clock()
        if now >= self._next_ns:
            self._next_ns = MonoNs(now + round(NOTIFY_EVERY_S * NS_PER_S))
            self._send(b"WATCHDOG=1")

    def close(self) -> None:
        """The process is about to end; calling it again does nothing."""
        if self._socket.fileno() >= 0:
            self._send(b"STOPPING=1")
            self._socket.close()

    def _send(self, message: bytes) -> None:
        # A manager that does not listen will act on the silence; there is nobody else to tell.
        with contextlib.suppress(OSError):
            self._socket.sendto(message, self._address)


def notifier_of(environment: dict[str, str] | os._Environ[str], clock: Callable[[], MonoNs]) -> Notifier | None:
    """The notifier that `environment` asks for, or None."""
    address = environment.get("NOTIFY_SOCKET", "")
    return Notifier(address, clock) if address else None
