"""One agent for one intersection on one machine: the lock and what stands in for it."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from command_line import PATIENCE_S
from phasemesh.contract.errors import EndpointError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.instance_lock import InstanceLock

WEST = IntersectionId("west")
HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from phasemesh.controller.instance_lock import InstanceLock\n"
    "lock = InstanceLock(Path(sys.argv[1]), 'west', Path(sys.argv[2]))\n"
    "print('held', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that every agent has."""
    path = tmp_path / "0.secret"
    path.write_text("secret")
    return path


@pytest.fixture
def holder(tmp_path: Path, secret: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "0.lock"), str(secret)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_holder_is_refused(tmp_path: Path, secret: Path) -> None:
    """In one line that names the intersection and the lock."""
    path = tmp_path / "0.lock"
    with (
        closing(InstanceLock(path, WEST, secret)),
        pytest.raises(EndpointError, match="another agent on this machine controls west") as caught,
    ):
        InstanceLock(path, WEST, secret)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_closed_lock_can_be_taken(tmp_path: Path, secret: Path) -> None:
    """Closing twice does nothing more."""
    path = tmp_path / "0.lock"
    first = InstanceLock(path, WEST, secret)
    first.close()
    first.close()

    InstanceLock(path, WEST, secret).close()


def test_another_process_is_refused_until_the_first_is_dead(
    tmp_path: Path, secret: Path, holder: subprocess.Popen[str]
) -> None:
    """A stopped process still holds it; a killed one holds nothing."""
    path = tmp_path / "0.lock"
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(EndpointError, match="another agent"):
        InstanceLock(path, WEST, secret)
    holder.kill()
    holder.wait(PATIENCE_S)

    InstanceLock(path, WEST, secret).close()


def test_a_lock_holds_nothing_that_others_could_read(tmp_path: Path, secret: Path) -> None:
    """It is an empty file of its owner."""
    with closing(InstanceLock(tmp_path / "0.lock", WEST, secret)):
        found = (tmp_path / "0.lock").stat()

    assert (found.st_size, found.st_mode & 0o077) == (0, 0)


def test_a_disk_that_takes_no_new_file_is_no_hindrance(tmp_path: Path, secret: Path) -> None:
    """The secret, which is always there, is locked in its place, and a second agent is refused all the same."""
    path = tmp_path / "file" / "0.lock"
    (tmp_path / "file").write_text("in the way")
    with closing(InstanceLock(path, WEST, secret)), pytest.raises(EndpointError, match="another agent"):
        InstanceLock(path, WEST, secret)


def test_without_any_file_there_is_no_agent(tmp_path: Path) -> None:
    """Where nothing can be locked nobody can be sure to be the only one."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(EndpointError, match="cannot be locked"):
        InstanceLock(tmp_path / "file" / "0.lock", WEST, tmp_path / "absent")


def test_a_refusal_leaves_nothing_open(tmp_path: Path, secret: Path) -> None:
    """However often an agent is refused, it loses no file handle."""
    path = tmp_path / "0.lock"
    with closing(InstanceLock(path, WEST, secret)):
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            with pytest.raises(EndpointError):
                InstanceLock(path, WEST, secret)
        after = len(list(Path("/proc/self/fd").iterdir()))

    assert after == before < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
