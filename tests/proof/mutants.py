"""The mutation run over the code that keeps a street safe: every mutant is killed by a test or named with a reason.

    python tests/proof/mutants.py [--part safety] [--keep FOLDER] [--children N]

Each part of the sources is judged by the tests of its own room, which must be enough to hold it. Needs `mutmut`
(dependency group `proof`). The sources are copied into a scratch tree in which the package is one folder, because
mutmut takes the name of a module from its path. A named survivor stands in `equivalent_mutants.toml`: the function, the
line as it stands, the line as mutated, and why no test can or should tell them apart.

A call with `--keep` goes on where the one before it ended. It judges anew whatever was altered since, and every mutant
that was not killed by then, unless it is named: a test may have been written for it.
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
    """Sources that are mutated together, and the tests that must notice.

    Test files that match `left_out` are not asked: random laws, whose luck is no proof, and whole services, whose
    processes run the sources as they are.
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    left_out: tuple[str, ...] = ()


_CABINET = "src/phasemesh/controller/cabinet"
PARTS = (
    Part(
        "sequencer",
        ("src/phasemesh/contract/command.py",),
        ("tests/contract/test_command.py", "tests/contract/test_crossings.py", "tests/proof/test_shown_lights.py"),
    ),
    Part(
        "safety",
        ("src/phasemesh/controller/safety",),
        ("tests/controller/safety",),
        left_out=("*_laws.py", "*_properties.py"),
    ),
    Part(
        "cabinet",
        tuple(
            f"{_CABINET}/{name}.py"
            for name in (
                "arbiter",
                "cabinet",
                "display",
                "latches",
                "lease",
                "readback",
                "sealed_file",
                "track_clearance",
            )
        ),
        ("tests/controller/cabinet",),
        left_out=("*_machine.py", "*_service.py", "*_standalone_*.py"),
    ),
    Part("lives", ("src/phasemesh/controller/life_file.py",), ("tests/controller/test_life_file.py",)),
)
"""The sequencer that times every change, the guard, the cabinet without its REST service, and what one life of an agent
leaves to the next."""
NAMED = Path(__file__).with_name("equivalent_mutants.toml")
SURVIVED, FAILED = 0, 1
"""Exit codes of pytest for a mutant that no test noticed, and for one that a test did."""
OUT_OF_TIME = frozenset({36, 24, -24, 152, 255})
"""Exit codes by which mutmut tells that the tests did not end; a mutant that never returns is noticed."""
EXIT_SURVIVORS = 1


class Mutant(NamedTuple):
    """One change of one line: the key that mutmut gave it, its function, and the lines before and after."""

    key: str
    function: str
    before: str
    after: str


class Score(NamedTuple):
    """How a run ended; `out_of_time` of the killed made the tests run without end."""

    killed: int
    out_of_time: int
    unchecked: int
    survivors: list[Mutant]


def main() -> int:
    """Mutate, test, and compare the survivors with those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[part.name for part in PARTS], help="mutate this part alone")
    parser.add_argument("--keep", type=Path, help="work in this folder, so that a later call goes on where this ends")
    parser.add_argument("--children", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="mutants at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phasemesh-mutants-") as temporary:
        folder = arguments.keep or Path(temporary)
        parts = [part for part in PARTS if arguments.part in {None, part.name}]
        scores = [_judge(part, folder / part.name, arguments.children) for part in parts]
    return _told(scores, is_whole=not arguments.part)


def _told(scores: list[Score], *, is_whole: bool) -> int:
    """Print what `scores` come to; the exit code. What is named in vain is told after a run over all parts alone."""
    survivors = [mutant for score in scores for mutant in score.survivors]
    named = _named()
    unnamed = [each for each in survivors if _change(each) not in named]
    killed, out_of_time, unchecked = (
        sum(counts)
        for counts in zip(*((each.killed, each.out_of_time, each.unchecked) for each in scores), strict=True)
    )
    sys.stdout.write(
        f"{killed + len(survivors)} mutants checked: {killed} killed, {out_of_time} of them by the time limit,"
        f" {len(survivors) - len(unnamed)} named as equivalent, {len(unnamed)} survived;"
        f" {unchecked} without a verdict\n"
    )
    for each in unnamed:
        sys.stdout.write(f"{each.key}\n  - {each.before}\n  + {each.after}\n")
    stale = named - {_change(each) for each in survivors} if is_whole else set()
    sys.stdout.writelines(
        f"named, but no survivor: {function}\n  - {before}\n  + {after}\n" for function, before, after in sorted(stale)
    )
    return EXIT_SURVIVORS if unnamed or stale or unchecked else 0


def _change(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.function, mutant.before, mutant.after


def _judge(part: Part, folder: Path, children: int) -> Score:
    _forget_survivors(folder)
    _lay_out(folder, part)
    _run(folder, "run", "--max-children", str(children))
    return _score(folder)


def _forget_survivors(folder: Path) -> None:
    """Let every mutant that an earlier call did not see killed be judged anew, unless it is named."""
    named = _named()
    for path in _verdict_files(folder):
        verdicts = json.loads(path.read_text(encoding="utf-8"))
        codes = verdicts["exit_code_by_key"]
        for key in [key for key, code in codes.items() if code not in {FAILED, None}]:
            if codes[key] != SURVIVED or _change(_mutant(folder, key)) not in named:
                codes[key] = None
        path.write_text(json.dumps(verdicts), encoding="utf-8")


def _verdict_files(folder: Path) -> list[Path]:
    return sorted((folder / "mutants").rglob("*.meta"))


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
    ignored = " ".join(f"--ignore-glob={pattern}" for pattern in part.left_out)
    (folder / "pyproject.toml").write_text(
        f"[tool.mutmut]\n"
        f"source_paths = [{listed}]\n"
        f"pytest_add_cli_args_test_selection = [{tests}]\n"
        f'also_copy = ["src", "tests"]\n'
        f"[tool.pytest.ini_options]\n"
        f'pythonpath = ["src", "tests"]\n'
        f'markers = ["sumo: x", "train: x", "slow: x", "maps: x"]\n'
        f"addopts = \"-m 'not sumo and not slow' -p no:cacheprovider {ignored}\"\n"
        f"timeout = 60\n",
        encoding="utf-8",
    )


def _run(folder: Path, *arguments: str) -> None:
    environment = os.environ | {"CI": "1", "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-m", "mutmut", *arguments], cwd=folder, env=environment, check=False)


def _score(folder: Path) -> Score:
    verdicts = [
        (key, code)
        for path in _verdict_files(folder)
        for key, code in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"].items()
    ]
    codes = [code for _, code in verdicts]
    out_of_time = sum(code in OUT_OF_TIME for code in codes)
    killed = codes.count(FAILED) + out_of_time
    survivors = [_mutant(folder, key) for key, code in verdicts if code == SURVIVED]
    return Score(killed, out_of_time, len(codes) - killed - len(survivors), survivors)


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


def _named() -> set[tuple[str, str, str]]:
    """Function, line before and line after of every mutant that is named with a reason."""
    entries = tomllib.loads(NAMED.read_text(encoding="utf-8"))["mutant"]
    return {(entry["function"], entry["before"], entry["after"]) for entry in entries}


if __name__ == "__main__":
    sys.exit(main())
