"""Who may import whom: the rules of import-linter, and what a fresh interpreter really loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

FORBIDDEN = {"torch", "onnx", "traci", "libsumo", "sumolib", "sumo_rl", "matplotlib"}
"""Top-level packages that the edge never loads."""

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
names = []
for root in sys.argv[1:]:
    package = importlib.import_module(root)
    names += [root, *(found.name for found in pkgutil.walk_packages(package.__path__, root + "."))]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*names, file=sys.stderr)
"""
"""Imports every module of the packages in its arguments; prints the top-level names that are loaded then."""


def test_the_import_rules_hold() -> None:
    """`lint-imports` finds no rule broken."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("root", ["phasemesh.contract", "phasemesh.controller"])
def test_the_edge_loads_neither_torch_nor_sumo(root: str) -> None:
    """After every module of the room was imported, no heavy package is in `sys.modules`."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, root],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )

    assert done.returncode == 0, done.stderr
    assert root in done.stderr.split()
    assert FORBIDDEN & set(done.stdout.split()) == set()


def test_the_contract_needs_numpy_and_msgspec_alone() -> None:
    """Beside the standard library, the contract loads itself, numpy, msgspec and typing names."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, "phasemesh.contract"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    bare = subprocess.run(
        [sys.executable, "-c", "import sys, pkgutil; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    before = {name.partition(".")[0] for name in bare.stdout.split()}
    loaded = set(done.stdout.split()) - before - set(sys.stdlib_module_names)

    public = {name for name in loaded if not name.startswith("_")}
    assert public - {"typing_extensions"} == {"msgspec", "numpy", "phasemesh"}
