"""Who must have a folder for what outlasts a process: a street, unless somebody says otherwise."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from agent_factories import WEST, Site, make_cabinet, make_site
from cabinet_server import CabinetServer
from command_line import PATIENCE_S, eventually, fetch, free_ports, run_phasemesh, start_phasemesh
from factories import make_intersection
from phasemesh.contract.errors import InputError
from phasemesh.contract.site import Pace
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.site_folder import write_site
from phasemesh.controller.state_folder import NOT_KEPT, is_forgetful, is_of_street

ALONE: dict[IntersectionId, tuple[IntersectionId, ...]] = {WEST: ()}


def make_street(
    folder: Path, cabinet: str = "http://127.0.0.1:1", operator: str = "", pace: Pace = Pace.REALTIME
) -> Site:
    """A site of one intersection under the times of a street."""
    made = make_site(folder, ALONE, cabinet=cabinet, ports=free_ports(1), operator=operator)
    file = msgspec.structs.replace(made.file, profile="street", pace=pace)
    write_site(folder, file, made.entries, made.keypairs)
    return made._replace(file=file)


@pytest.mark.parametrize(
    ("profile", "pace", "is_simulated", "is_street"),
    [
        ("street", Pace.REALTIME, True, True),
        ("benchmark", Pace.REALTIME, False, True),
        ("benchmark", Pace.REALTIME, True, False),
        ("street", Pace.LOCKSTEP, True, False),
    ],
)
def test_what_counts_as_a_street(tmp_path: Path, profile: str, pace: Pace, is_simulated: bool, is_street: bool) -> None:
    """The times of a street by the clock of a street, or no simulation at all."""
    site = make_site(tmp_path, ALONE).file

    changed = msgspec.structs.replace(site, profile=profile, pace=pace, is_simulated=is_simulated)

    assert is_of_street(changed) is is_street


def test_a_street_needs_a_folder_or_a_word(tmp_path: Path) -> None:
    """One of the two, and not both."""
    street = make_street(tmp_path).file
    town = msgspec.structs.replace(street, profile="benchmark")

    assert [
        is_forgetful(street, tmp_path, is_waived=False),
        is_forgetful(street, None, is_waived=True),
        is_forgetful(town, None, is_waived=False),
    ] == [False, True, False]
    with pytest.raises(InputError, match="--state: is missing"):
        is_forgetful(street, None, is_waived=False)
    with pytest.raises(InputError, match="contradicts --no-state"):
        is_forgetful(street, tmp_path, is_waived=True)


@pytest.mark.parametrize("command", ["agent", "cabinet"])
def test_a_street_without_a_folder_is_one_line(tmp_path: Path, command: str) -> None:
    """It names the option, the reason and the way around it."""
    make_street(tmp_path)
    answer = run_phasemesh(command, "--site", str(tmp_path), "--id", WEST)
    (line,) = answer.stderr.splitlines()

    assert answer.returncode == 2
    assert line.startswith("phasemesh: --state: is missing, and two crossings is a street")
    assert line.endswith("--no-state")


def test_a_cabinet_that_will_forget_says_so(tmp_path: Path) -> None:
    """In one line at its start."""
    make_street(tmp_path)
    (port,) = free_ports(1)
    of_site = ("--site", str(tmp_path), "--id", WEST)
    process = start_phasemesh("cabinet", *of_site, "--port", str(port), "--no-state")
    try:
        assert eventually(lambda: fetch(f"http://127.0.0.1:{port}/v1/cabinets") is not None)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)

    assert errors == f"phasemesh: warning: {NOT_KEPT}\n"


def test_an_agent_that_will_forget_says_so(tmp_path: Path) -> None:
    """In its log, and in its health for as long as it lives."""
    (port,) = free_ports(1)
    with closing(CabinetServer(make_cabinet(make_intersection(WEST)))) as server:
        make_street(tmp_path, server.url, f"127.0.0.1:{port}")
        process = start_phasemesh("agent", "--site", str(tmp_path), "--id", WEST, "--no-state")
        try:
            url = f"http://127.0.0.1:{port}/healthz"
            assert eventually(lambda: NOT_KEPT.encode() in (fetch(url) or b""))
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE_S)

    assert sum(NOT_KEPT in line for line in errors.splitlines()) == 1
