"""The mutation run over the code that keeps a street safe: every mutant is killed by a test or named with a reason.

    python tests/proof/mutants.py [--part safety] [--keep FOLDER]

Each part of the sources is judged by the tests of its own room, which must be enough to hold it. Needs `mutmut`
(dependency group `proof`). The sources are copied into a scratch tree in which the package is one folder, because
mutmut takes the name of a module from its path. A named survivor stands in `equivalent_mutants.toml`: the function, the
line as it stands, the line as mutated, and why no test can or should tell them apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("controller", "trainer", "export", "sim_harness", "deploy")


class Part(NamedTuple):
    """Sources that are mutated together, and the tests that must notice."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]


PARTS = (
    Part(
        "sequencer",
        ("src/phasemesh/contract/command.py",),
        ("tests/contract/test_command.py", "tests/contract/test_crossings.py", "tests/proof/test_shown_lights.py"),
    ),
    Part("safety", ("src/phasemesh/controller/safety",), ("tests/controller/safety",)),
    Part("cabinet", ("src/phasemesh/controller/cabinet",), ("tests/controller/cabinet",)),
)
"""The sequencer that times every change, the guard, and the cabinet."""
NAMED = Path(__file__).with_name("equivalent_mutants.toml")
SURVIVED, NOT_CHECKED = 0, None
EXIT_SURVIVORS = 1


class Mutant(NamedTuple):
    """One change of one line: the key that mutmut gave it, its function, and the lines before and after."""

    key: str
    function: str
    before: str
    after: str


class Score(NamedTuple):
    """How a run ended."""

    killed: int
    unchecked: int
    survivors: list[Mutant]


def main() -> int:
    """Mutate, test, and compare the survivors with those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[part.name for part in PARTS], help="mutate this part alone")
    parser.add_argument("--keep", type=Path, help="work in this folder, so that a later call goes on where this ends")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phasemesh-mutants-") as temporary:
        folder = arguments.keep or Path(temporary)
        scores = [_judge(part, folder / part.name) for part in PARTS if arguments.part in {None, part.name}]
    score = Score(
        sum(each.killed for each in scores),
        sum(each.unchecked for each in scores),
        [mutant for each in scores for mutant in each.survivors],
    )
    named = {(entry["function"], entry["before"], entry["after"]) for entry in _named()}
    unnamed = [each for each in score.survivors if (each.function, each.before, each.after) not in named]
    checked = score.killed + len(score.survivors)
    sys.stdout.write(
        f"{checked} mutants checked: {score.killed} killed, {len(score.survivors) - len(unnamed)} named as equivalent,"
        f" {len(unnamed)} survived; {score.unchecked} not reached by any test\n"
    )
    for each in unnamed:
        sys.stdout.write(f"{each.key}\n  - {each.before}\n  + {each.after}\n")
    stale = (
        named - {(each.function, each.before, each.after) for each in score.survivors} if not arguments.part else set()
    )
    sys.stdout.writelines(
        f"named, but no survivor: {function}\n  - {before}\n" for function, before, _ in sorted(stale)
    )
    return EXIT_SURVIVORS if unnamed or stale or score.unchecked else 0


def _judge(part: Part, folder: Path) -> Score:
    _lay_out(folder, part)
    _run(folder, "run", "--max-children", str(max(1, (os.cpu_count() or 2) - 1)))
    return _score(folder)


def _lay_out(folder: Path, part: Part) -> None:
    """Copy sources and tests into `folder`, with the configuration of mutmut and pytest."""
    package = folder / "src" / "phasemesh"
    package.mkdir(parents=True, exist_ok=True)
    for room in ROOMS:
        for portion in (ROOT / room / "phasemesh").iterdir():
            if portion.is_dir():
                shutil.copytree(portion, package / portion.name, dirs_exist_ok=True)
    shutil.copytree(ROOT / "tests", folder / "tests", dirs_exist_ok=True)
    listed = ", ".join(f'"{source}"' for source in part.sources)
    tests = ", ".join(f'"{test}"' for test in part.tests)
    (folder / "pyproject.toml").write_text(
        f"[tool.mutmut]\n"
        f"source_paths = [{listed}]\n"
        f"pytest_add_cli_args_test_selection = [{tests}]\n"
        f'also_copy = ["src", "tests"]\n'
        f"[tool.pytest.ini_options]\n"
        f'pythonpath = ["src", "tests"]\n'
        f'markers = ["sumo: x", "train: x", "slow: x", "maps: x"]\n'
        f"addopts = \"-m 'not sumo and not slow'\"\n"
        f"timeout = 60\n",
        encoding="utf-8",
    )


def _run(folder: Path, *arguments: str) -> None:
    environment = os.environ | {"CI": "1", "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-m", "mutmut", *arguments], cwd=folder, env=environment, check=False)


def _score(folder: Path) -> Score:
    killed = unchecked = 0
    survivors = []
    for path in sorted((folder / "mutants").rglob("*.meta")):
        for key, code in json.loads(path.read_text())["exit_code_by_key"].items():
            if code == SURVIVED:
                survivors.append(_mutant(folder, key))
            elif code is NOT_CHECKED:
                unchecked += 1
            else:
                killed += 1
    return Score(killed, unchecked, survivors)


def _mutant(folder: Path, key: str) -> Mutant:
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mutmut", "show", key],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    before, after = ("; ".join(_lines(shown, sign)) for sign in "-+")
    return Mutant(key, key.rpartition("__mutmut_")[0], before, after)


def _lines(diff: str, sign: str) -> Iterator[str]:
    return (line[1:].strip() for line in diff.splitlines() if line.startswith(sign) and not line.startswith(3 * sign))


def _named() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads(NAMED.read_text(encoding="utf-8")).get("mutant", [])
    return found


if __name__ == "__main__":
    sys.exit(main())
