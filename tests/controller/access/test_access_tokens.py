"""Bearer tokens: what is kept of them, who may read the files, and how they are found again."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import msgspec
import pytest

from phasemesh.contract.errors import SiteError
from phasemesh.controller.access.roles import GRANTS, Principal, Role
from phasemesh.controller.access.tokens import (
    TokenEntry,
    TokenFile,
    add_token,
    agent_token_path,
    find_token,
    give_agent_token,
    known_tokens,
    new_token,
    read_agent_token,
    read_tokens,
    remove_token,
    tokens_path,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site with a folder of keys and nothing else."""
    (tmp_path / "keys").mkdir()
    return tmp_path


@pytest.fixture
def path(folder: Path) -> Path:
    """The tokens of intersection 0."""
    return tokens_path(folder, 0)


def test_tokens_cannot_be_guessed() -> None:
    """32 bytes of randomness each, with a mark by which a leaked one is found."""
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {53}
    assert all(token.startswith("phasemesh-") for token in tokens)


def test_only_the_hash_is_kept(path: Path) -> None:
    """The file holds the SHA-256 of the token and not the token."""
    token = new_token()
    add_token(path, token, "alice", Role.OPERATOR)

    assert token.encode() not in path.read_bytes()
    assert read_tokens(path).tokens == (
        TokenEntry("alice", Role.OPERATOR, hashlib.sha256(token.encode()).hexdigest(), None),
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_token_ends_the_old_one_of_the_same_name(path: Path) -> None:
    """Whoever loses a token gets another, and the lost one is worth nothing."""
    old, new = new_token(), new_token()
    add_token(path, old, "alice", Role.OPERATOR)
    add_token(path, new, "alice", Role.VIEWER, expires_s=5.0)
    known = known_tokens({"west": read_tokens(path)})

    assert find_token(known, old.encode()) is None
    found = find_token(known, new.encode())
    assert found is not None
    assert (found.principal.name, found.principal.roles, found.expires_s) == ("alice", {"west": Role.VIEWER}, 5.0)


def test_a_token_can_be_ended(path: Path) -> None:
    """Who ends one that is not there learns who is."""
    add_token(path, new_token(), "alice", Role.VIEWER)
    add_token(path, new_token(), "bob", Role.VIEWER)
    remove_token(path, "alice")

    assert [entry.name for entry in read_tokens(path).tokens] == ["bob"]
    with pytest.raises(SiteError, match=r"no token of 'alice'; known is bob"):
        remove_token(path, "alice")


def test_no_file_means_no_tokens(path: Path) -> None:
    """Nobody is let in where nobody was given a token."""
    assert read_tokens(path) == TokenFile()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    """The line says how to mend it."""
    add_token(path, new_token(), "alice", Role.VIEWER)
    path.chmod(mode)

    with pytest.raises(SiteError, match=f"chmod 600 {path}"):
        read_tokens(path)


SHA = "ab" * 32


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"\xff", "Expected|decode|invalid"),
        (b'{"format": 1, "people": []}', "unknown field `people`"),
        (b'{"format": 2}', "format: is 2"),
        (msgspec.json.encode({"format": 1, "tokens": [{"name": "a", "role": "king", "sha256": SHA}]}), "king"),
        (msgspec.json.encode({"format": 1, "tokens": [{"name": "", "role": "viewer", "sha256": SHA}]}), "name: must"),
        (msgspec.json.encode({"format": 1, "tokens": [{"name": "a\n", "role": "viewer", "sha256": SHA}]}), "printable"),
        (
            msgspec.json.encode({"format": 1, "tokens": [{"name": "a", "role": "viewer", "sha256": "AB" * 32}]}),
            "sha256",
        ),
        (
            msgspec.json.encode({"format": 1, "tokens": [{"name": "a", "role": "viewer", "sha256": SHA}] * 2}),
            "'a' is there twice",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(path: Path, content: bytes, reason: str) -> None:
    """The line names the file and what is wrong with it."""
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(SiteError, match=reason):
        read_tokens(path)


def test_a_name_that_is_none_is_refused(path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(SiteError, match="name: must have 1 to 64 printable characters"):
        add_token(path, new_token(), "x" * 65, Role.VIEWER)
    assert not path.exists()


def test_one_token_may_count_for_several_intersections(folder: Path) -> None:
    """With a role of its own at each, until the first of its ends."""
    token = new_token()
    for number, role, end_s in ((0, Role.OPERATOR, 9.0), (1, Role.VIEWER, 7.0)):
        add_token(tokens_path(folder, number), token, "alice", role, end_s)
    known = known_tokens({"a": read_tokens(tokens_path(folder, 0)), "b": read_tokens(tokens_path(folder, 1))})

    assert len(known) == 1
    assert known[0].principal == Principal("alice", {"a": Role.OPERATOR, "b": Role.VIEWER})
    assert known[0].expires_s == 7.0


def test_an_agent_has_a_token_of_its_own(folder: Path) -> None:
    """Its file is for its owner only, and what it holds is known by its hash as an agent's."""
    give_agent_token(folder, 3)
    token = read_agent_token(folder, 3)
    found = find_token(known_tokens({"x": read_tokens(tokens_path(folder, 3))}), token.encode())

    assert stat.S_IMODE(agent_token_path(folder, 3).stat().st_mode) == 0o600
    assert found is not None
    assert found.principal.roles == {"x": Role.AGENT}


def test_an_agent_without_a_token_sends_none(folder: Path) -> None:
    """A cabinet that asks for none is driven without one."""
    assert read_agent_token(folder, 0) == ""


@pytest.mark.parametrize(("content", "mode"), [(b"two words", 0o600), (b"x" * 300, 0o600), (b"ok", 0o644)])
def test_a_token_that_is_none_is_refused(folder: Path, content: bytes, mode: int) -> None:
    """Neither one that could break a header nor one that others can read is sent."""
    path = agent_token_path(folder, 0)
    path.write_bytes(content)
    path.chmod(mode)

    with pytest.raises(SiteError, match=r"0\.agent"):
        read_agent_token(folder, 0)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Tokens are made in a site."""
    with pytest.raises(SiteError, match="cannot write the tokens"):
        add_token(tokens_path(tmp_path, 0), new_token(), "alice", Role.VIEWER)


@pytest.mark.parametrize(
    ("role", "demands"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.OPERATOR, {Role.VIEWER, Role.OPERATOR, Role.PREEMPTOR}),
        (Role.MAINTAINER, {Role.VIEWER, Role.OPERATOR, Role.MAINTAINER, Role.PREEMPTOR}),
        (Role.PREEMPTOR, {Role.PREEMPTOR}),
        (Role.AGENT, {Role.VIEWER, Role.AGENT}),
    ],
)
def test_each_role_grants_what_is_written_and_no_more(role: Role, demands: set[Role]) -> None:
    """Viewer < operator < maintainer; an agent drives its cabinet, which no person does; a railway only calls."""
    holder = Principal("x", {"west": role})

    assert {demand for demand in Role if holder.may(demand, "west")} == demands == GRANTS[role]
    assert {demand for demand in Role if holder.may(demand, None)} == demands
    assert {demand for demand in Role if holder.may(demand, "east")} == set()
