"""The style of the house, measured over all source: short functions, docstrings, narrow catches, no wall clock."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest
from source_tree import files_of_tests, functions, length, name_of, parsed, source_files

BROAD_CATCH_ALLOWED = {"controller/phasemesh/controller/cli.py", "controller/phasemesh/controller/process.py"}
"""Entry files of processes, each of which may hold one catch of everything, to end with one clear line."""

BANNED_CLOCKS = {
    "time": {"time", "time_ns", "localtime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
"""Calls that read the wall clock, by the name before their dot."""

SOURCE = [pytest.param(path, id=name_of(path)) for path in source_files()]


def _lengths() -> list[int]:
    return sorted(length(function) for path in source_files() for function in functions(parsed(path)))


def test_the_median_function_is_short() -> None:
    """Half of all functions have at most 12 lines."""
    assert statistics.median(_lengths()) <= 12


def test_nine_in_ten_functions_fit_the_eye() -> None:
    """Nine in ten functions have at most 35 lines."""
    lengths = _lengths()

    assert lengths[int(0.9 * len(lengths))] <= 35


def test_no_function_is_longer_than_a_screen() -> None:
    """The longest function has at most 60 lines."""
    long = [
        f"{name_of(path)}:{function.lineno} {function.name} has {length(function)} lines"
        for path in source_files()
        for function in functions(parsed(path))
        if length(function) > 60
    ]

    assert long == []


@pytest.mark.parametrize("path", SOURCE)
def test_everything_public_has_a_docstring(path: Path) -> None:
    """Modules, public classes, public functions and their public methods say what they are."""
    tree = parsed(path)
    bare = [] if ast.get_docstring(tree) else ["the module"]
    bare += [f"{node.name}:{node.lineno}" for node in _public(tree) if not ast.get_docstring(node)]

    assert bare == []


def _public(
    scope: ast.Module | ast.ClassDef,
) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    found = []
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if _is_overload(node):
            continue
        found.append(node)
        if isinstance(node, ast.ClassDef):
            found += _public(node)
    return found


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(isinstance(decorator, ast.Name) and decorator.id == "overload" for decorator in node.decorator_list)


def test_every_test_states_a_behaviour() -> None:
    """Every test function has a docstring."""
    bare = [
        f"{name_of(path)}:{function.lineno} {function.name}"
        for path in files_of_tests()
        for function in functions(parsed(path))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert bare == []


@pytest.mark.parametrize("path", SOURCE)
def test_no_catch_is_broad(path: Path) -> None:
    """Everything is caught at most once, in the entry file of a process."""
    broad = [
        node.lineno for node in ast.walk(parsed(path)) if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
    ]

    assert len(broad) <= (name_of(path) in BROAD_CATCH_ALLOWED), f"broad catches in lines {broad}"


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"} for kind in kinds)


@pytest.mark.parametrize("path", [path for path in SOURCE if str(path.id).startswith("controller/")])
def test_the_edge_never_reads_the_wall_clock(path: Path) -> None:
    """Neither contract nor controller calls `time.time` or `datetime.now`, under whatever import."""
    assert _wall_clock_reads(parsed(path)) == []


def _wall_clock_reads(tree: ast.Module) -> list[int]:
    reads = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in BANNED_CLOCKS.get(_last_name(node.value), set()):
            reads.append(node.lineno)
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            reads += [node.lineno for alias in node.names if alias.name in BANNED_CLOCKS["time"]]
    return reads


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        ("import time\ntime.time()", True),
        ("from time import time", True),
        ("import datetime\ndatetime.datetime.now()", True),
        ("from datetime import datetime\nread = datetime.now", True),
        ("import time\ntime.monotonic_ns()", False),
        ("clock.now()", False),
    ],
)
def test_reads_of_the_wall_clock_are_found(text: str, is_read: bool) -> None:
    """The search above finds each way to the wall clock and takes no other clock for it."""
    assert bool(_wall_clock_reads(ast.parse(text))) == is_read


@pytest.mark.parametrize(
    ("text", "is_broad"),
    [
        ("except:", True),
        ("except Exception:", True),
        ("except (OSError, BaseException):", True),
        ("except OSError:", False),
    ],
)
def test_broad_catches_are_found(text: str, is_broad: bool) -> None:
    """The search above finds bare, broad and hidden broad catches."""
    tree = ast.parse(f"try:\n    pass\n{text}\n    pass")
    (handler,) = (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))

    assert _is_broad(handler.type) == is_broad
