"""The source tree as the architecture tests see it: rooms, files and parsed modules."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("controller", "trainer", "export", "sim_harness", "deploy")
PORTIONS = {
    "contract": ROOT / "controller/phasemesh/contract",
    "controller": ROOT / "controller/phasemesh/controller",
    "trainer": ROOT / "trainer/phasemesh/trainer",
    "export": ROOT / "export/phasemesh/export",
    "sim_harness": ROOT / "sim_harness/phasemesh/sim_harness",
    "deploy": ROOT / "deploy/phasemesh/deploy",
}
"""The folder of each import package below the namespace `phasemesh`."""


def source_files() -> list[Path]:
    """Every Python file of every room."""
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def files_of_tests() -> list[Path]:
    """Every Python file below tests/."""
    return sorted((ROOT / "tests").rglob("*.py"))


def name_of(path: Path) -> str:
    """The path of a file from the root of the checkout."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def line_count(path: Path) -> int:
    """Lines of a file, blank ones included."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods in a tree, nested ones included."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its `def` to its end, without decorators."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
