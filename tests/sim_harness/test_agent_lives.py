"""The processes of agents end with their harness, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_factories import PAIR, make_site
from command_line import eventually

HARNESS = """
import sys
from pathlib import Path
from phasemesh.sim_harness.agent_processes import AgentProcesses
site, report, name = sys.argv[1:]
agents = AgentProcesses(Path(site), Path(report), (name,), keeps_records=False)
print(agents.start(name).pid, flush=True)
sys.stdin.read()
"""
"""A harness that starts the agent of one intersection and waits."""


@pytest.mark.slow
def test_agents_do_not_outlive_a_killed_harness(tmp_path: Path) -> None:
    """After kill -9 of the harness its agents end by themselves, and so does the forkserver between them."""
    make_site(tmp_path / "site")
    name, log = next(iter(PAIR)), tmp_path / "report" / "logs" / "0.log"
    arguments = [sys.executable, "-c", HARNESS, str(tmp_path / "site"), str(tmp_path / "report"), name]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        agent = Path("/proc") / harness.stdout.readline().strip()
        forkserver = Path("/proc") / _parent(agent)
        assert eventually(lambda: log.exists() and "driver fault" in log.read_text())
        harness.send_signal(signal.SIGKILL)

    assert eventually(lambda: not agent.exists() and not forkserver.exists())


def _parent(process: Path) -> str:
    """The number of the parent of `process`, as proc(5) tells it behind the name in brackets."""
    return (process / "stat").read_text().rpartition(")")[2].split()[1]
