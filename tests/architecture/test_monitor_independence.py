"""The monitor shares no judgement with what it watches: it reads the contract's data and nothing else of ours."""

from __future__ import annotations

import ast

import pytest
from source_tree import PORTIONS, name_of, parsed

FOLDER = PORTIONS["sim_harness"] / "monitor"
OWN = "phasemesh.sim_harness.monitor"
DATA = {
    "phasemesh.contract.intersection": {"Intersection", "Stage", "Turn"},
    "phasemesh.contract.timing": {"StageTiming"},
    "phasemesh.contract.units": {"IntersectionId"},
}
"""The types that the monitor may know, by their module; none of them judges lights."""
JUDGEMENTS = {"may_run_together", "conflicting_pairs", "concurrency", "served", "is_crossing"}
"""Methods and fields of these types that hold a judgement, or another reading of the matrices, of somebody else."""
FILES = sorted(FOLDER.glob("*.py"))


def foreign_names(tree: ast.Module) -> list[str]:
    """What a module takes from phasemesh that is neither of the monitor nor a type of the contract."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    found = [name for name in names if name.partition(".")[0] == "phasemesh"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "phasemesh":
            allowed = DATA.get(node.module or "", set())
            is_own = (node.module or "").startswith(f"{OWN}.")
            found += [f"{node.module}.{alias.name}" for alias in node.names if not is_own and alias.name not in allowed]
    return found


@pytest.mark.parametrize("path", FILES, ids=map(name_of, FILES))
def test_the_monitor_imports_types_of_the_contract_alone(path) -> None:
    """Neither the guard's rules nor the sequencer, the cabinet or the judging functions of the contract."""
    assert foreign_names(parsed(path)) == []


@pytest.mark.parametrize("path", FILES, ids=map(name_of, FILES))
def test_the_monitor_asks_no_type_for_its_judgement(path) -> None:
    """The monitor reads the matrices by itself."""
    used = {node.attr for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}

    assert used & JUDGEMENTS == set()


def test_there_is_a_monitor_to_look_at() -> None:
    """The folder that the tests above look into holds the checks."""
    assert {"checks.py", "city_monitor.py"} <= {path.name for path in FILES}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from phasemesh.contract.intersection import conflicting_pairs", ["conflicting_pairs"]),
        ("from phasemesh.contract.timing import StageTiming, faults_of_timing", ["faults_of_timing"]),
        ("def look():\n    from phasemesh.controller.safety.guard import Guard", ["Guard"]),
        ("from phasemesh.contract import command", ["command"]),
        ("import phasemesh.contract.command", ["command"]),
        ("from phasemesh.sim_harness.sumo.connection import Simulation", ["Simulation"]),
        ("import msgspec\nfrom phasemesh.contract.intersection import Intersection", []),
        (f"from {OWN}.demands import Demands", []),
    ],
)
def test_foreign_names_are_found(text: str, found: list[str]) -> None:
    """The search above sees imports of any form and place."""
    assert [name.rpartition(".")[2] for name in foreign_names(ast.parse(text))] == found
