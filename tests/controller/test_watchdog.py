"""A live process with a dead loop ends; one that was only stopped, or is only slow, goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import PATIENCE_S, eventually
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.watchdog import (
    EXIT_LOOP_DEAD,
    LOOK_EVERY_S,
    NOTIFY_EVERY_S,
    Notifier,
    Silence,
    Watchdog,
    longest_silence_s,
    notifier_of,
)


def mono_ns() -> MonoNs:
    """The machine's monotonic clock."""
    return MonoNs(time.monotonic_ns())


def at(now_s: float) -> MonoNs:
    """A monotonic stamp."""
    return MonoNs(round(now_s * NS_PER_S))


@pytest.mark.parametrize(
    ("tick_s", "speed", "limit_s"), [(1.0, 1.0, 10.0), (2.0, 1.0, 10.0), (5.0, 1.0, 25.0), (5.0, 20.0, 10.0)]
)
def test_the_limit_is_five_ticks_and_ten_seconds_at_least(tick_s: float, speed: float, limit_s: float) -> None:
    """In wall time, of which a fast simulation needs less for a tick."""
    assert longest_silence_s(tick_s, speed) == limit_s


class TestSilence:
    """How long nothing was heard of a loop."""

    def test_it_grows_while_nothing_turns(self) -> None:
        """By the time between two looks."""
        silence = Silence(at(0.0))
        silence.look(5, at(0.5))

        assert [silence.look(5, at(0.5 * look)) for look in (2, 3, 4)] == [0.5, 1.0, 1.5]

    def test_one_turn_ends_it(self) -> None:
        """However long it was."""
        silence = Silence(at(0.0))
        for look in range(1, 40):
            silence.look(5, at(0.5 * look))

        assert silence.look(6, at(20.0)) == 0.0

    @given(st.floats(1.0, 1e6))
    def test_a_process_that_was_stopped_was_not_silent(self, stopped_s: float) -> None:
        """Nobody looked meanwhile: a stop, a sleep of the machine and a stall count as one look."""
        silence = Silence(at(0.0))
        silence.look(5, at(0.5))

        assert silence.look(5, at(0.5 + stopped_s)) <= 2.0 * LOOK_EVERY_S


class TestWatchdog:
    """The thread that ends the process."""

    def test_a_loop_that_turns_is_left_alone(self) -> None:
        """For many times the limit."""
        ends: list[int] = []
        watchdog = Watchdog(1.0, lambda _silent_s: None, mono_ns, end=ends.append)
        with closing(watchdog):
            for _ in range(25):
                watchdog.beat()
                time.sleep(0.1)

        assert ends == []

    def test_a_dead_loop_ends_the_process_with_a_last_word(self) -> None:
        """The word tells the silence, the exit code is its own."""
        ends: list[int] = []
        words: list[float] = []
        with closing(Watchdog(1.0, words.append, mono_ns, end=ends.append)):
            assert eventually(lambda: bool(ends))

        assert ends == [EXIT_LOOP_DEAD]
        assert words[0] >= 1.0

    def test_a_word_that_cannot_be_said_does_not_save_the_process(self) -> None:
        """What holds up the loop may hold up the log as well."""
        ends: list[int] = []
        never = threading.Event()
        with closing(Watchdog(0.5, lambda _silent_s: bool(never.wait(PATIENCE_S)), mono_ns, end=ends.append)):
            assert eventually(lambda: bool(ends))
        never.set()

        assert ends == [EXIT_LOOP_DEAD]

    def test_closing_twice_does_nothing(self) -> None:
        """An orderly end leaves no thread."""
        watchdog = Watchdog(10.0, lambda _silent_s: None, mono_ns)
        threads = threading.active_count()
        watchdog.close()
        watchdog.close()

        assert threading.active_count() == threads - 1

    PROGRAM = (
        "import sys, time\n"
        "from phasemesh.controller.watchdog import Watchdog\n"
        "watchdog = Watchdog(float(sys.argv[1]), lambda silent_s: print('dead', flush=True), time.monotonic_ns)\n"
        "turns = int(sys.argv[2])\n"
        "print('begun', flush=True)\n"
        "while True:\n"
        "    turns -= 1\n"
        "    if turns > 0: watchdog.beat()\n"
        "    time.sleep(0.05)\n"
    )

    def start(self, limit_s: float, turns: int) -> subprocess.Popen[str]:
        """A process whose loop turns `turns` times and then lives on without turning."""
        process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, str(limit_s), str(turns)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    def test_a_real_process_ends(self) -> None:
        """With its own exit code, although all its threads live."""
        process = self.start(1.0, turns=3)
        output, _ = process.communicate(timeout=PATIENCE_S)

        assert (process.returncode, output) == (EXIT_LOOP_DEAD, "dead\n")

    def test_a_stopped_process_goes_on(self) -> None:
        """SIGSTOP for longer than the limit, then SIGCONT: nobody is dead."""
        process = self.start(1.5, turns=10_000)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        is_alive = process.poll() is None
        process.kill()
        process.communicate()

        assert is_alive


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager that listens for datagrams."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.settimeout(PATIENCE_S)
    yield listening
    listening.close()


class TestNotifier:
    """What a service manager is told (sd_notify)."""

    def test_ready_turns_and_end(self, manager: socket.socket) -> None:
        """Each in a datagram of its own."""
        times = iter((0.0, 0.0, 0.2, NOTIFY_EVERY_S, NOTIFY_EVERY_S + 0.1, 5.0))
        notifier = Notifier(manager.getsockname(), lambda: at(next(times)))
        notifier.ready()
        for _ in range(5):
            notifier.beat()
        notifier.close()
        notifier.close()

        told = [manager.recv(64) for _ in range(5)]
        assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]

    def test_a_name_without_a_file(self) -> None:
        """Abstract addresses begin with an @."""
        name = f"phasemesh-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(f"\0{name}")
            listening.settimeout(PATIENCE_S)
            notifier = Notifier(f"@{name}", mono_ns)
            notifier.ready()
            told = listening.recv(64)
            notifier.close()

        assert told == b"READY=1"

    def test_a_manager_that_is_gone_is_no_trouble(self, tmp_path: Path) -> None:
        """Nobody is told, and nothing is raised."""
        notifier = Notifier(str(tmp_path / "nobody"), mono_ns)
        notifier.ready()
        notifier.beat()
        notifier.close()

    def test_a_manager_that_is_stuck_holds_up_nobody(self, manager: socket.socket) -> None:
        """Its full queue loses what it does not read."""
        times = iter(range(100_000))
        notifier = Notifier(manager.getsockname(), lambda: at(float(next(times))))
        before_s = time.monotonic()
        for _ in range(2000):
            notifier.beat()
        took_s = time.monotonic() - before_s
        notifier.close()

        assert took_s < 1.0

    @pytest.mark.parametrize(("environment", "is_there"), [({}, False), ({"NOTIFY_SOCKET": ""}, False)])
    def test_who_did_not_ask_is_not_told(self, environment: dict[str, str], is_there: bool) -> None:
        """Without an address there is no notifier."""
        assert (notifier_of(environment, mono_ns) is not None) is is_there

    def test_who_asked_is_told(self, manager: socket.socket) -> None:
        """The loop's turns reach the manager through the watchdog."""
        notifier = notifier_of({"NOTIFY_SOCKET": manager.getsockname()}, mono_ns)
        watchdog = Watchdog(10.0, lambda _silent_s: None, mono_ns, notifier=notifier)
        watchdog.ready()
        watchdog.beat()
        watchdog.close()

        assert [manager.recv(64) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
