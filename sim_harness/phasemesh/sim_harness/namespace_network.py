"""The network of one harness while it lasts: made and removed by `ip` of iproute2, under a lock of the machine.

What dead harnesses left behind is removed before anything is made. A process has one network at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.namespaces import (
    FLAG,
    NetworkPlan,
    free_block,
    inner_lines,
    outer_lines,
    owner_of,
    plan_network,
    power_line,
    removal_lines,
    silence_line,
)

NAMESPACES = Path("/var/run/netns")
"""Where iproute2 keeps the namespaces that have a name (ip-netns(8))."""
DEVICES = Path("/sys/class/net")
LOCK = Path("/run/phasemesh-namespaces.lock")
"""Held while namespaces are made or removed, so that two harnesses take different addresses."""
NEEDED_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
"""Bits of `CapEff` in /proc/PID/status (capabilities(7))."""
IP_TIMEOUT_S = 60.0
TRIAL = (IntersectionId("a trial"), IntersectionId("its neighbour"))


class NamespaceNetwork:
    """A network that stands; made by `opened_network`."""

    def __init__(self, plan: NetworkPlan) -> None:
        """Speak for the network of `plan`, which must have been made."""
        self.plan = plan

    def namespace_of(self, name: IntersectionId) -> Path:
        """What the process of the agent `name` has to enter."""
        return NAMESPACES / self.plan.homes[name].name

    def plug(self, name: IntersectionId, *, is_in: bool) -> None:
        """Take the agent `name` from the network, or connect it again; raises InputError when `ip` refuses."""
        _ip([power_line(self.plan.homes[name], is_up=is_in)])

    def silence(self, peer: IntersectionId, port: int, readers: Sequence[IntersectionId], *, is_silent: bool) -> None:
        """Let `readers` hear nothing of `peer`, which publishes at `port`, or hear it again; raises InputError."""
        lines = [silence_line(self.plan.homes[name], port, is_silent=is_silent) for name in readers]
        _ip(lines, inside=self.plan.homes[peer].name)


@contextmanager
def opened_network(names: Sequence[IntersectionId], note: Callable[[str], None]) -> Iterator[NamespaceNetwork]:
    """A network for the agents `names`, removed at the end, and at once when it cannot be made; `note` tells of rests.

    Raises:
        InputError: `ip` cannot make it.
    """
    owner = os.getpid()
    try:
        with _only_one():
            _remove(lambda pid: pid == owner or not Path(f"/proc/{pid}").exists())
            plan = plan_network(owner, names, free_block(_routed()))
            _make(plan)
        yield NamespaceNetwork(plan)
    finally:
        with _only_one():
            rest = _remove(lambda pid: pid == owner)
        if rest:
            note(f"{FLAG}: could not be removed: {', '.join(rest)}; the next run with {FLAG} tries again")


def check_namespaces() -> None:
    """Make a network of two agents and remove it at once.

    Raises:
        InputError: This user or machine cannot, in one line.
    """
    fault = machine_fault(shutil.which("ip"), _capabilities())
    if fault:
        raise InputError(fault)
    with opened_network(TRIAL, lambda _rest: None) as network:
        for is_silent in (True, False):
            network.silence(TRIAL[0], 1, TRIAL[1:], is_silent=is_silent)


def machine_fault(ip: str | None, capabilities: int) -> str:
    """Why namespaces cannot be made by the program `ip` (None if not found) with `capabilities`; empty if they can."""
    if ip is None:
        return f"{FLAG}: the command ip is not on the PATH; install iproute2, or leave {FLAG} out"
    missing = [name for name, bit in NEEDED_CAPABILITIES.items() if not capabilities >> bit & 1]
    if missing:
        return f"{FLAG}: making network namespaces needs root ({', '.join(missing)}); run as root, or leave {FLAG} out"
    return ""


def _capabilities() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))


@contextmanager
def _only_one() -> Iterator[None]:
    try:
        handle = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(f"{FLAG}: {LOCK} cannot be opened: {error.strerror}; run as root") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(plan: NetworkPlan) -> None:
    _ip(outer_lines(plan))
    for home in plan.homes.values():
        _ip(inner_lines(plan, home), inside=home.name)


def _remove(is_over: Callable[[int], bool]) -> list[str]:
    """Remove what belongs to processes that are over; what is still there afterwards."""
    devices, namespaces = (_owned(folder, is_over) for folder in (DEVICES, NAMESPACES))
    if devices or namespaces:
        _run(["-force", "-batch", "-"], removal_lines(devices, namespaces))
    return [name for folder in (DEVICES, NAMESPACES) for name in _owned(folder, is_over)]


def _owned(folder: Path, is_over: Callable[[int], bool]) -> list[str]:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if (owner := owner_of(name)) is not None and is_over(owner)]


def _routed() -> list[str]:
    """All destinations that this machine has routes to, its own addresses among them."""
    done = _run(["-json", "-4", "route", "show", "table", "all"])
    return [str(row["dst"]) for row in json.loads(done.stdout or "[]")]


def _ip(lines: Sequence[str], inside: str = "") -> None:
    """Let `ip` do `lines` in the namespace `inside`, or here; raises InputError with its own words."""
    done = _run([*(("-netns", inside) if inside else ()), "-batch", "-"], lines)
    if done.returncode:
        said = "; ".join(line.strip() for line in done.stderr.splitlines()) or f"exit code {done.returncode}"
        raise InputError(f"{FLAG}: ip cannot make or change the network of the agents: {said}; leave {FLAG} out")


def _run(arguments: Sequence[str], lines: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    text = "".join(f"{line}\n" for line in lines)
    return subprocess.run(  # noqa: S603 (fixed words, numbers and names of our own)
        [shutil.which("ip") or "ip", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=IP_TIMEOUT_S,
        start_new_session=True,  # Ctrl-C must not end it half-way.
    )
