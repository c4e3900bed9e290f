"""The exception tree: what its docstring draws is what there is."""

from __future__ import annotations

import inspect
import re

import pytest

from phasemesh.contract import errors
from phasemesh.contract.errors import InputError, PhasemeshError


def _drawn() -> dict[str, str]:
    """The parent of each exception in the drawing, by the column at which its name begins."""
    parents: dict[str, str] = {}
    open_branches: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([ |+-]*)(\w+Error)\b", line)
        if not found:
            continue
        depth, name = len(found[1]), found[2]
        open_branches = [(column, branch) for column, branch in open_branches if column < depth]
        parents[name] = open_branches[-1][1] if open_branches else "Exception"
        open_branches.append((depth, name))
    return parents


def _real() -> dict[str, str]:
    return {
        name: kind.__bases__[0].__name__
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException)
    }


def test_the_drawn_tree_is_the_real_tree() -> None:
    """Every exception stands in the docstring under its real parent, and nothing else does."""
    assert _drawn() == _real()


def test_all_errors_have_one_root() -> None:
    """One `except` catches everything that phasemesh raises on purpose, and nothing else."""
    for name in _real():
        assert issubclass(getattr(errors, name), PhasemeshError)
    assert PhasemeshError.__bases__ == (Exception,)


@pytest.mark.parametrize("name", sorted(_real()))
def test_each_error_has_one_parent_and_says_what_it_is(name: str) -> None:
    """The tree is a tree, and every branch has a docstring of its own."""
    kind = getattr(errors, name)

    assert len(kind.__bases__) == 1
    assert kind.__doc__
    assert str(kind("one clear line")) == "one clear line"


def test_errors_of_input_are_told_from_errors_of_the_place() -> None:
    """What the user gave and what the machine lacks are different branches."""
    assert not issubclass(errors.MissingExtraError, InputError)
    assert not issubclass(errors.EndpointError, InputError)
    assert issubclass(errors.SiteError, InputError)
