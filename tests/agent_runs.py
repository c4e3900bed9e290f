"""An agent with all of its process around it, run in a thread of the test."""

from __future__ import annotations

import threading

from command_line import PATIENCE_S
from phasemesh.controller.process import AgentLaunch, AgentProcess
from phasemesh.controller.telemetry.records import TickRecord, read_records


class Alone:
    """The agent of one intersection, whose loop runs in a thread of the test."""

    def __init__(self, launch: AgentLaunch) -> None:
        """Start the loop."""
        assert launch.records is not None
        self._records = launch.records
        self.process = AgentProcess(launch)
        self._thread = threading.Thread(target=self.process.run, daemon=True)
        self._thread.start()

    def ticks(self) -> list[TickRecord]:
        """What has been recorded so far."""
        return [item for item in read_records(self._records)[1] if isinstance(item, TickRecord)]

    def close(self) -> None:
        """Stop the loop and wait for its end."""
        self.process.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
