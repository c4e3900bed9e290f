"""The file that survives power cuts: replaced as a whole, sealed, held by one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit_factories import full_disk

from phasemesh.contract.errors import InputError
from phasemesh.controller.cabinet.sealed_file import (
    MAX_QUARANTINED,
    FileFault,
    hold,
    quarantine,
    read_sealed,
    write_sealed,
)

BODY = b'{"a": [1, 2, 3]}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "state.json"


def test_what_was_written_is_read(path: Path) -> None:
    """The body comes back byte for byte."""
    assert write_sealed(path, BODY) is None
    assert read_sealed(path) == BODY


def test_a_file_that_never_was_is_no_fault(path: Path) -> None:
    """Nothing has been written yet, which is not damage."""
    assert read_sealed(path) is None


def test_no_shortened_file_is_trusted(path: Path) -> None:
    """A file cut off after any byte is damaged."""
    write_sealed(path, BODY)
    whole = path.read_bytes()
    answers = []
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        answers.append(read_sealed(path))

    assert all(isinstance(answer, FileFault) for answer in answers)
    assert len(answers) == len(whole)


def test_no_altered_file_is_trusted(path: Path) -> None:
    """Any one bit flipped is found, or leaves the body as it was."""
    write_sealed(path, BODY)
    whole = path.read_bytes()
    trusted = []
    for bit in range(8 * len(whole)):
        altered = bytearray(whole)
        altered[bit // 8] ^= 1 << bit % 8
        path.write_bytes(altered)
        answer = read_sealed(path)
        if not isinstance(answer, FileFault):
            trusted.append(answer)

    assert set(trusted) <= {BODY}


def test_a_power_cut_while_writing_leaves_the_old_version(path: Path) -> None:
    """However much of a draft was written, only the rename makes it count, and the next writing replaces it."""
    write_sealed(path, BODY)
    draft = path.with_name("state.json.new")
    for length in range(len(path.read_bytes())):
        draft.write_bytes(path.read_bytes()[:length])
        assert read_sealed(path) == BODY
    write_sealed(path, b"[]")

    assert read_sealed(path) == b"[]"
    assert not draft.exists()


def test_a_full_disk_is_a_value(path: Path) -> None:
    """What cannot be written is told in one line, and the old version stays."""
    write_sealed(path, BODY)
    with full_disk():
        fault = write_sealed(path, b"[]")

    assert fault == FileFault(f"{path}: cannot be written: File too large")
    assert read_sealed(path) == BODY


def test_a_folder_that_is_not_there_is_a_value(tmp_path: Path) -> None:
    """Nothing is raised, since control goes on."""
    fault = write_sealed(tmp_path / "gone" / "state.json", BODY)

    assert isinstance(fault, FileFault)
    assert "cannot be written: No such file or directory" in fault.reason


def test_what_cannot_be_read_is_a_value(tmp_path: Path) -> None:
    """A folder in place of the file is told in one line."""
    fault = read_sealed(tmp_path)

    assert fault == FileFault(f"{tmp_path}: cannot be read: Is a directory")


def test_quarantine_keeps_both_names(path: Path) -> None:
    """The damaged file stays in its place, so that a power cut cannot make it look absent."""
    path.write_bytes(b"{")

    assert quarantine(path) is None
    assert path.read_bytes() == path.with_name("state.json.damaged-0").read_bytes() == b"{"


def test_quarantine_ends_somewhere(path: Path) -> None:
    """A disk that damages every file is not filled with copies."""
    path.write_bytes(b"{")
    answers = [quarantine(path) for _ in range(MAX_QUARANTINED + 1)]

    assert answers[:-1] == [None] * MAX_QUARANTINED
    assert isinstance(answers[-1], FileFault)
    assert len(list(path.parent.iterdir())) == MAX_QUARANTINED + 1


def test_quarantine_of_nothing_is_a_value(path: Path) -> None:
    """A file that is gone cannot be set aside, which is told."""
    fault = quarantine(path)

    assert isinstance(fault, FileFault)
    assert "cannot be set aside" in fault.reason


def test_one_process_holds_a_file(path: Path) -> None:
    """The second is refused until the first lets go, and replacing the file alters nothing about it."""
    first = hold(path)
    write_sealed(path, BODY)
    with pytest.raises(InputError, match="another process serves this cabinet"):
        hold(path)
    first.close()
    hold(path).close()


def test_a_lock_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The folder must be there."""
    with pytest.raises(InputError, match=r"state\.json\.lock: cannot be made"):
        hold(tmp_path / "gone" / "state.json")
