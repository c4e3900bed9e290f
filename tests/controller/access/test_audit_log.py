"""The audit log: every change is on the disk before it is acted on, and nothing in it can be altered unseen."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gate_client import FAR, WEST, EchoApp, Gate, Town

from phasemesh.contract.errors import InputError
from phasemesh.controller.access.audit import (
    GENESIS,
    MAX_LINE_BYTES,
    AuditEntry,
    AuditFault,
    AuditKind,
    AuditLine,
    AuditLog,
    verify,
)
from phasemesh.controller.access.middleware import MAX_AUDITED_BODY_BYTES, RouteRole
from phasemesh.controller.access.roles import Role

OVERRIDE = f"/v1/cabinets/{WEST}/override"
TABLE = (
    RouteRole("POST", "/v1/cabinets/{cabinet_id:path}/override", Role.OPERATOR),
    RouteRole("POST", "/v1/cabinets/{cabinet_id:path}/repair", Role.MAINTAINER),
)
FULL_DISK = """
import resource, sys
from pathlib import Path
from phasemesh.controller.access.audit import AuditEntry, AuditKind, AuditLog, verify
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
log = AuditLog(path)
entry = AuditEntry(kind=AuditKind.ASKED, who="alice", role="operator", source="", what="POST /", reason="x" * 300)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
faults = [log.append(entry) for _ in range(10)]
print(sum(fault is not None for fault in faults), path.stat().st_size <= 2000, *verify(path).faults)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(log.append(entry), *verify(path).faults)
"""
"""Writes into a file that may not grow, as on a full disk."""


def make_entry(what: str = "POST /v1/cabinets/west/override", **changes: Any) -> AuditEntry:
    """What alice asked for."""
    return AuditEntry(
        **{"kind": AuditKind.ASKED, "who": "alice", "role": "operator", "source": FAR, "what": what, **changes}
    )


def lines_of(path: Path) -> list[AuditLine]:
    """The lines of a log."""
    return [msgspec.json.decode(line, type=AuditLine) for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log that does not exist yet, in a folder that does not either."""
    return tmp_path / "audit" / "cabinets.jsonl"


def write(path: Path, count: int = 5) -> AuditLog:
    """A log of `count` lines."""
    log = AuditLog(path, lambda: 1_767_225_600.25)
    for number in range(count):
        assert log.append(make_entry(reason=f"reason {number}")) is None
    return log


def test_lines_are_numbered_dated_and_chained(path: Path) -> None:
    """Each carries the hash of the one before, the first carries zeros; the file is for its owner only."""
    write(path)
    lines = lines_of(path)
    verdict = verify(path)

    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert {line.at for line in lines} == {"2026-01-01T00:00:00.250+00:00"}
    assert lines[0].previous == GENESIS
    assert len({line.previous for line in lines}) == 5
    assert (verdict.lines, verdict.torn, verdict.faults) == (5, (), ())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_process_goes_on_with_the_same_chain(path: Path) -> None:
    """After a restart, or beside a second service of the same site."""
    first = write(path, 2)
    second = AuditLog(path)
    for log in (second, first, second, first):
        log.append(make_entry())

    assert (verify(path).lines, verify(path).faults) == (6, ())


def test_threads_do_not_break_the_chain(path: Path) -> None:
    """Many at once are written one after the other."""
    log = AuditLog(path)
    threads = [threading.Thread(target=lambda: [log.append(make_entry()) for _ in range(20)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (verify(path).lines, verify(path).faults) == (100, ())


def test_an_empty_log_is_in_order(tmp_path: Path) -> None:
    """Nothing was changed yet."""
    (tmp_path / "log").write_bytes(b"")

    assert verify(tmp_path / "log").head == GENESIS
    assert verify(tmp_path / "log").faults == ()


def test_a_missing_log_is_told() -> None:
    """One line."""
    with pytest.raises(InputError, match="/nowhere/log: cannot be read: No such file"):
        verify(Path("/nowhere/log"))


@pytest.mark.parametrize("line", range(5))
def test_an_altered_line_breaks_the_chain(path: Path, line: int) -> None:
    """Whoever changes a reason must write all that follows again; the last line is held by its noted head."""
    write(path)
    head = verify(path).head
    path.write_bytes(path.read_bytes().replace(b"reason %d" % line, b"excuse %d" % line))
    verdict = verify(path, head)

    assert verdict.faults
    assert "hash" in verdict.faults[0]


@pytest.mark.parametrize("line", range(4))
def test_a_removed_line_breaks_the_chain(path: Path, line: int) -> None:
    """The one after it tells."""
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))

    assert f"line {line + 1}: says that it is number {line + 2}" in verify(path).faults


def test_swapped_and_repeated_lines_break_the_chain(path: Path) -> None:
    """Order counts."""
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    swapped = verify(path).faults
    path.write_bytes(b"".join([*lines, lines[-1]]))

    assert swapped
    assert verify(path).faults


def test_a_cut_end_is_found_by_a_head_that_was_noted(path: Path) -> None:
    """The chain alone cannot know that there was more."""
    write(path)
    head = verify(path).head
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))

    assert verify(path).faults == ()
    assert "the log was cut short or written again" in verify(path, head).faults[0]


def test_no_flipped_bit_goes_unseen(path: Path) -> None:
    """Against the head that was noted, one bit anywhere is one too many."""
    write(path, 3)
    head, content = verify(path).head, path.read_bytes()
    unseen = []
    for bit in range(0, 8 * len(content), 5):
        altered = bytearray(content)
        altered[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(altered))
        if not verify(path, head).faults:
            unseen.append(bit)

    assert unseen == []


@pytest.mark.parametrize("kept", [1, 10, 100, -2])
def test_a_torn_line_is_noted_and_the_chain_goes_on(path: Path, kept: int) -> None:
    """Power was lost in the middle of the third line; it stays as it is, and the next line tells of it."""
    write(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + lines[2][:kept])
    before = verify(path)
    assert AuditLog(path).append(make_entry(reason="after")) is None
    after = verify(path)

    assert before.faults == ("line 3: is no line of an audit log",)
    assert (after.lines, after.torn, after.faults) == (5, (3,), ())
    note = msgspec.json.decode(path.read_bytes().splitlines()[3], type=AuditLine)
    assert note.entry.kind is AuditKind.TORN


def test_a_line_that_lost_only_its_end_is_closed(path: Path) -> None:
    """All of it is there, so nothing has to be excused."""
    write(path, 3)
    path.write_bytes(path.read_bytes()[:-1])
    AuditLog(path).append(make_entry())

    assert (verify(path).lines, verify(path).torn, verify(path).faults) == (4, (), ())


def test_a_torn_first_line_is_noted_too(path: Path) -> None:
    """There is nothing before it."""
    path.parent.mkdir()
    path.write_bytes(b'{"number":1,"at":"2026')
    AuditLog(path).append(make_entry())

    assert (verify(path).torn, verify(path).faults) == ((1,), ())


def test_garbage_in_place_of_a_line_is_not_taken_for_a_torn_one(path: Path) -> None:
    """Only a line that says so excuses the one before it."""
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))

    assert "line 2: is no line of an audit log" in verify(path).faults


def test_a_full_disk_is_a_fault_and_leaves_no_half_line(tmp_path: Path) -> None:
    """What does not fit is not there at all, and once there is room the chain goes on."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "log")], capture_output=True, text=True, check=True, timeout=60
    )
    first, second = done.stdout.splitlines()

    assert first.split()[1:] == ["True"]
    assert 0 < int(first.split()[0]) < 10
    assert second == "None"


def test_a_log_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    """The reason names the file."""
    (tmp_path / "file").write_text("in the way")
    fault = AuditLog(tmp_path / "file" / "log").append(make_entry())

    assert isinstance(fault, AuditFault)
    assert str(tmp_path / "file" / "log") in fault.reason


def test_a_monstrous_entry_is_a_fault(path: Path) -> None:
    """The file stays readable."""
    log = write(path, 1)

    assert log.append(make_entry(request="x" * MAX_LINE_BYTES)) is not None
    assert log.append(make_entry()) is None
    assert (verify(path).lines, verify(path).faults) == (2, ())


class TestTheGate:
    """What the gate writes down."""

    def ask(self, gate: Gate, holder: str | None, body: bytes = b'{"kind": "hold", "reason": "works"}', **more: Any):
        """An override at the west."""
        return gate.ask("POST", OVERRIDE, holder, body=body, address=FAR, **more)

    def test_an_override_is_written_before_and_after(self, tmp_path: Path, path: Path) -> None:
        """Who, from where, what, why, the request itself, what was shown before and after, and what came of it."""
        sights = iter(("own_plan", "manual"))
        gate = Gate(Town(tmp_path), TABLE, log=AuditLog(path), sight=lambda name: {"at": name, "mode": next(sights)})
        answer = self.ask(gate, "operator")
        asked, done = (line.entry for line in lines_of(path))

        assert (answer.status, answer.body) == (200, b"reached")
        assert (asked.kind, asked.who, asked.role, asked.source) == (AuditKind.ASKED, "operator", "operator", FAR)
        assert (asked.what, asked.reason) == (f"POST {OVERRIDE}", "works")
        assert asked.request == {"kind": "hold", "reason": "works"}
        assert (asked.before, asked.status) == ({"at": WEST, "mode": "own_plan"}, None)
        assert (done.kind, done.after, done.status) == (AuditKind.DONE, {"at": WEST, "mode": "manual"}, 200)
        assert gate.echo.bodies == [b'{"kind": "hold", "reason": "works"}']
        assert verify(path).faults == ()

    def test_it_is_on_the_disk_before_it_is_acted_on(self, tmp_path: Path, path: Path) -> None:
        """A power cut in the middle of an override leaves the line that tells who asked for it."""
        counts = []

        class Looking(EchoApp):
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                counts.append(verify(path).lines)
                await super().__call__(scope, receive, send)

        self.ask(Gate(Town(tmp_path), TABLE, app=Looking(), log=AuditLog(path)), "operator")

        assert counts == [1]
        assert verify(path).lines == 2

    def test_an_override_that_cannot_be_audited_is_refused(self, tmp_path: Path) -> None:
        """The app never sees it; reads go on."""
        (tmp_path / "file").write_text("in the way")
        table = (*TABLE, RouteRole("GET", "/v1/phase", Role.VIEWER))
        gate = Gate(Town(tmp_path), table, log=AuditLog(tmp_path / "file" / "log"))
        answer = self.ask(gate, "operator")

        assert answer.status == 503
        assert "refused, since it cannot be audited" in answer.reason
        assert gate.echo.seen == []
        assert gate.ask("GET", "/v1/phase", "viewer").status == 200

    def test_an_override_that_may_not_be_asked_for_is_written_down_too(self, tmp_path: Path, path: Path) -> None:
        """Who tried is known by name; strangers, who could fill the disk, are only counted."""
        gate = Gate(Town(tmp_path), TABLE, log=AuditLog(path))
        statuses = [self.ask(gate, holder).status for holder in ("viewer", "agent", None, "wrong")]
        entries = [line.entry for line in lines_of(path)]

        assert statuses == [403, 403, 401, 401]
        assert [(entry.kind, entry.who, entry.status) for entry in entries] == [
            (AuditKind.REFUSED, "viewer", 403),
            (AuditKind.REFUSED, "agent", 403),
        ]
        assert gate.echo.seen == []

    def test_reading_is_not_written_down(self, tmp_path: Path, path: Path) -> None:
        """Only what changes something is."""
        gate = Gate(Town(tmp_path), (RouteRole("GET", "/v1/phase", Role.VIEWER),), log=AuditLog(path))
        gate.ask("GET", "/v1/phase", "maintainer")

        assert not path.exists()

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"\xff", b"[" * 60_000, b'{"reason": 5}', b'"text"', b'{"reason": "\\ud800"}']
    )
    def test_whatever_the_body_is_it_is_written_down(self, tmp_path: Path, path: Path, body: bytes) -> None:
        """The app judges it; the log holds what was sent."""
        gate = Gate(Town(tmp_path), TABLE, log=AuditLog(path))

        assert self.ask(gate, "operator", body).status == 200
        assert gate.echo.bodies == [body]
        assert (verify(path).lines, verify(path).faults) == (2, ())

    def test_a_body_in_parts_is_put_together(self, tmp_path: Path, path: Path) -> None:
        """The app gets it whole."""
        gate = Gate(Town(tmp_path), TABLE, log=AuditLog(path))
        self.ask(gate, "operator", parts=(b'{"reason":', b' "two parts"}', b""))

        assert gate.echo.bodies == [b'{"reason": "two parts"}']
        assert lines_of(path)[0].entry.reason == "two parts"

    @pytest.mark.parametrize("parts", [(bytes(MAX_AUDITED_BODY_BYTES + 1),), (bytes(MAX_AUDITED_BODY_BYTES), b"x")])
    def test_a_body_that_is_too_long_is_refused(self, tmp_path: Path, path: Path, parts: tuple[bytes, ...]) -> None:
        """Neither the log nor the app gets it."""
        gate = Gate(Town(tmp_path), TABLE, log=AuditLog(path))

        assert self.ask(gate, "operator", parts=parts).status == 413
        assert not path.exists()

    def test_a_failing_app_leaves_its_outcome(self, tmp_path: Path, path: Path) -> None:
        """A status that was never sent is none, and the fault goes on to the server."""

        async def failing(_scope: Any, _receive: Any, _send: Any) -> None:
            raise RuntimeError("broken")

        gate = Gate(Town(tmp_path), TABLE, app=failing, log=AuditLog(path))
        with pytest.raises(RuntimeError, match="broken"):
            self.ask(gate, "operator")

        assert [line.entry.kind for line in lines_of(path)] == [AuditKind.ASKED, AuditKind.DONE]
        assert lines_of(path)[1].entry.status is None

    def test_a_row_for_maintainers_is_for_no_operator(self, tmp_path: Path, path: Path) -> None:
        """The role of the row is asked for, not just any that may change something."""
        gate = Gate(Town(tmp_path), TABLE, log=AuditLog(path))
        repair = f"/v1/cabinets/{WEST}/repair"

        assert [gate.ask("POST", repair, holder).status for holder in ("operator", "maintainer")] == [403, 200]


def test_a_folder_in_place_of_the_file_is_a_fault(path: Path) -> None:
    """It is told like any other log that cannot be written."""
    path.mkdir(parents=True)

    assert AuditLog(path).append(make_entry()) is not None
    assert list(path.iterdir()) == []
