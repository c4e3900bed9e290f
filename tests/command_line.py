"""The command `phasemesh` as a process, and the little that tests need around it."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from time import monotonic, sleep

from phasemesh.controller.operator.server import listen

PATIENCE_S = 60.0
"""How long a test waits for what must come; generous, since only failing tests ever wait so long."""
_MAIN = "from phasemesh.controller.cli import main; main()"


def start_phasemesh(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The command with `arguments`, running."""
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run_phasemesh(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the command with `arguments` printed and how it ended."""
    process = start_phasemesh(*arguments, **environment)
    out, err = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def free_ports(count: int) -> tuple[int, ...]:
    """`count` different ports of loopback that nobody holds."""
    listeners = [listen("127.0.0.1", 0) for _ in range(count)]
    try:
        return tuple(int(listener.getsockname()[1]) for listener in listeners)
    finally:
        for listener in listeners:
            listener.close()


def fetch(url: str, token: str = "") -> bytes | None:
    """The body at `url`, asked for with `token`, whatever the status, or None while nobody answers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (only loopback is asked)
    try:
        with closing(urllib.request.urlopen(request, timeout=5.0)) as answer:  # noqa: S310 (likewise)
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as refusal:
        with closing(refusal):
            return refusal.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def eventually(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Whether `condition` comes true within `patience_s`."""
    deadline_s, pause_s = monotonic() + patience_s, 0.02
    while monotonic() < deadline_s:
        if condition():
            return True
        sleep(pause_s)
        # Asking in haste would keep a small machine from doing what is waited for.
        pause_s = min(1.2 * pause_s, 0.25)
    return condition()
