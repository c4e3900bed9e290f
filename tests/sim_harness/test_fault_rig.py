"""Faults inside an agent's process: every part is wrapped, and a part that is gone is never skipped in silence."""

from __future__ import annotations

import subprocess
import sys

import pytest

RIG = """
from phasemesh.controller import assembly, process
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.rig import rig_process
PARTS = [(process, name) for name in ("open_driver", "WatchedTransport", "load_policy")]
PARTS.append((assembly, "decision_clock"))
before = [getattr(*part) for part in PARTS]
{change}
rig_process(IntersectionId("a"), (PlannedFault("F8", "clock-jump", ("a",), 0.0, 1.0),))
print(sum(getattr(*part) is not old for part, old in zip(PARTS, before)))
"""
"""Rigs the process that runs it, after `change`, and prints how many parts are others."""


def _rig(change: str = "") -> subprocess.CompletedProcess[str]:
    code = RIG.replace("{change}", change)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_every_part_of_an_agent_is_wrapped() -> None:
    """Driver, transport, policy and clock."""
    done = _rig()

    assert (done.returncode, done.stdout.strip()) == (0, "4"), done.stderr


@pytest.mark.parametrize("part", ["process.open_driver", "process.load_policy", "assembly.decision_clock"])
def test_a_part_that_is_not_there_ends_the_process(part: str) -> None:
    """A renamed part must not turn a fault into nothing."""
    done = _rig(f"del {part}")

    assert done.returncode != 0
    assert "AttributeError" in done.stderr
