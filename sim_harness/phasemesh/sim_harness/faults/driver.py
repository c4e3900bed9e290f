"""Faults F2, F9 to F12 and F29 between an agent and its cabinet: readings, answers and commands go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import Snapshot
from phasemesh.controller.adapters.driver import Driver, DriverFault
from phasemesh.sim_harness.faults.schedule import Schedule
from phasemesh.sim_harness.faults.sensors import SENSOR_TROUBLES, disturbed

ANSWERS: dict[str, str] = {
    "driver-timeout": "the cabinet did not answer in time",
    "driver-error": "the cabinet answers 500",
}
"""Means by which the cabinet gives no answer at all, and what the driver then says."""
LIE = "driver-lie"
UNAPPROVED = "guard-dead"
DEAD_LOOP = "dead-loop"
DRIVER_MEANS = frozenset({*ANSWERS, *SENSOR_TROUBLES, LIE, UNAPPROVED, DEAD_LOOP})


def hang() -> None:
    """Never come back, as a thread does that waits for a lock nobody will release."""
    threading.Event().wait()


class ScheduledDriver:
    """Passes everything on to `inner`, except what the faults of `schedule` do to it; tells the time to `schedule`."""

    def __init__(self, inner: Driver, schedule: Schedule, *, on_dead_loop: Callable[[], None] = hang) -> None:
        """Disturb `inner`; `on_dead_loop` is what the loop is caught in."""
        self._inner = inner
        self._schedule = schedule
        self._on_dead_loop = on_dead_loop
        self._last: AppliedCommand | None = None

    def attach(self, boot_id: int) -> DriverFault | None:
        """As in `Driver`."""
        return self._silence() or self._inner.attach(boot_id)

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:
        """As in `Driver`; the readings of the first lane may be those of a broken detector."""
        answer = self._inner.observe(after_step, timeout_s)
        if not isinstance(answer, Snapshot):
            return answer
        self._schedule.tell(answer.now_s)
        if self._schedule.active((DEAD_LOOP,)):
            self._on_dead_loop()
        if (silence := self._silence()) is not None:
            return silence
        troubles = [fault.means for fault in self._schedule.active(SENSOR_TROUBLES)]
        if not troubles:
            return answer
        return msgspec.structs.replace(answer, readings=disturbed(answer.readings, troubles, answer.step))

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`; a cabinet that lies answers as if it obeyed."""
        if (silence := self._silence()) is not None:
            return silence
        if self._schedule.active((UNAPPROVED,)):
            command = msgspec.structs.replace(command, approved_s=None)
        if self._last is not None and self._schedule.active((LIE,)):
            return pretended(command, self._last)
        answer = self._inner.apply(command)
        self._last = answer if isinstance(answer, AppliedCommand) else self._last
        return answer

    def close(self) -> None:
        """As in `Driver`."""
        self._inner.close()

    def _silence(self) -> DriverFault | None:
        for fault in self._schedule.active(ANSWERS):
            return DriverFault(ANSWERS[fault.means])
        return None


def pretended(command: Command, last: AppliedCommand) -> AppliedCommand:
    """The answer of a cabinet that accepts `command` and does nothing; `last` is its last true one."""
    return AppliedCommand(
        step=command.step,
        requested_stage=command.stage,
        stage=command.stage,
        is_accepted=True,
        rule="",
        signal=last.signal,
        lease_until_s=command.decided_s + (last.lease_until_s - last.signal.since_s),
    )
