"""Sleeps, and notes whenever the machine wakes it too late: what no program on this machine can do anything about.

A process of its own, since in that of the simulation a sleeper would wait for the interpreter and not for the machine.
It ends when its input does, and prints how many stalls there were, their sum and the longest, in seconds.

python -m phasemesh.sim_harness.machine_stalls
"""

from __future__ import annotations

import select
import sys
import time

NAP_S = 0.005
"""How long it sleeps between two looks."""
STALL_S = 0.01
"""Waking up later than this is a stall: the comm deadline of a city that runs 20 times as fast as the wall clock."""


def watch() -> tuple[int, float, float]:
    """Watch until the input ends: number of stalls, their sum and the longest, in seconds."""
    count, total_s, longest_s = 0, 0.0, 0.0
    before_s = time.monotonic()
    while not select.select([sys.stdin], [], [], NAP_S)[0]:
        now_s = time.monotonic()
        late_s = now_s - before_s - NAP_S
        before_s = now_s
        if late_s > STALL_S:
            count, total_s, longest_s = count + 1, total_s + late_s, max(longest_s, late_s)
    return count, total_s, longest_s


if __name__ == "__main__":
    print(*watch())  # noqa: T201 (read by whoever started it)
