"""Copies of the process: they go on exactly from where the original is, and leave no trace in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phasemesh.contract.errors import PhasemeshError, ScenarioError
from phasemesh.sim_harness.branch import in_branch


def test_what_a_branch_does_happens_in_it_alone() -> None:
    """It knows everything that was there, and nothing that it changes comes back but its answer."""
    seen = [1.0]

    def work() -> list[float]:
        seen.append(2.0)
        return seen

    assert in_branch(work) == (1.0, 2.0)
    assert seen == [1.0]


def test_files_are_read_on_from_the_same_place_without_moving_the_originals(tmp_path: Path) -> None:
    """As SUMO reads its routes bit by bit; a forked process shares positions otherwise."""
    path = tmp_path / "routes"
    path.write_bytes(bytes(range(10)))
    with path.open("rb", buffering=0) as file:
        file.read(3)

        assert in_branch(lambda: list(file.read(4))) == (3.0, 4.0, 5.0, 6.0)
        assert file.read(1) == b"\x03"


def test_nothing_that_a_branch_writes_reaches_the_disk(tmp_path: Path) -> None:
    """As SUMO writes its trips."""
    path = tmp_path / "trips"
    with path.open("wb", buffering=0) as file:
        file.write(b"real")
        in_branch(lambda: [float(file.write(b"imagined"))])
        file.write(b" still")
    assert path.read_bytes() == b"real still"


def test_an_error_of_the_user_in_a_branch_is_told_in_one_line() -> None:
    """For example what SUMO refuses."""

    def refuse() -> list[float]:
        raise ScenarioError("SUMO stopped: no way")

    with pytest.raises(PhasemeshError, match="looking ahead: SUMO stopped: no way"):
        in_branch(refuse)


def test_a_branch_that_dies_is_noticed() -> None:
    """Whatever killed it."""
    with pytest.raises(PhasemeshError, match="ended with status"):
        in_branch(lambda: os._exit(3))
