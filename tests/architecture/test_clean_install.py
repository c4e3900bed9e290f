"""The wheel as a user gets it: what is in it, and what the edge loads where nothing else is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from source_tree import PORTIONS, ROOT
from test_imports import FORBIDDEN, IMPORT_EVERYTHING

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

IS_OFFLINE = os.environ.get("PHASEMESH_OFFLINE") == "1"


def _run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=800, env=clean
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    done = _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    if done.returncode != 0:
        pytest.fail(f"the wheel cannot be built:\n{done.stdout}{done.stderr}", pytrace=False)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare_venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel without extras and nothing else."""
    folder = tmp_path_factory.mktemp("venv") / "bare"
    made = _run(sys.executable, "-m", "venv", folder)
    if made.returncode != 0:
        pytest.fail(f"no virtual environment can be made:\n{made.stdout}{made.stderr}", pytrace=False)
    constraints = ROOT / "constraints.txt"
    limits: list[str | Path] = ["-c", constraints] if constraints.exists() else []
    done = _run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, *limits)
    if done.returncode != 0 and IS_OFFLINE:
        pytest.skip("PHASEMESH_OFFLINE=1 and the dependencies of the wheel cannot be fetched from the package index")
    if done.returncode != 0:
        pytest.fail(f"the wheel cannot be installed:\n{done.stdout}{done.stderr}", pytrace=False)
    return folder / "bin"


def test_the_wheel_holds_the_namespace_alone(wheel: Path) -> None:
    """Nothing but `phasemesh/` and the metadata lands in site-packages, and no `__init__.py` closes the namespace."""
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.partition("/")[0] for name in names}

    assert roots == {"phasemesh", f"{wheel.name.split('-')[0]}-{wheel.name.split('-')[1]}.dist-info"}
    assert "phasemesh/__init__.py" not in names


def test_the_wheel_is_typed(wheel: Path) -> None:
    """Every portion brings its `py.typed`."""
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {f"phasemesh/{portion}/py.typed" for portion in PORTIONS} <= names


def test_the_wheel_holds_all_source(wheel: Path) -> None:
    """Each Python file of each portion is in the wheel."""
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [
        path.relative_to(portion.parent.parent).as_posix()
        for portion in PORTIONS.values()
        for path in portion.rglob("*.py")
        if path.relative_to(portion.parent.parent).as_posix() not in names
    ]

    assert missing == []


def test_the_wheel_ships_the_zoo(wheel: Path) -> None:
    """The zoo holds at least one bundle, each with manifest, signature and an ONNX file."""
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("phasemesh/export/zoo/")]
    bundles = {name.removesuffix("manifest.json") for name in names if name.endswith("/manifest.json")}

    assert bundles
    for bundle in bundles:
        assert f"{bundle}manifest.sig" in names
        assert any(name.startswith(bundle) and name.endswith(".onnx") for name in names)


def test_the_installed_edge_loads_neither_torch_nor_sumo(
    bare_venv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without extras, every module of contract and controller imports and nothing heavy comes along."""
    done = _run(
        bare_venv / "python", "-c", IMPORT_EVERYTHING, "phasemesh.contract", "phasemesh.controller", cwd=tmp_path
    )

    loaded = set(done.stdout.split())
    with capsys.disabled():
        print(f"\nin sys.modules of the installed edge: {', '.join(sorted(loaded))}")  # noqa: T201 (for the log of CI)

    assert done.returncode == 0, done.stderr
    assert loaded & FORBIDDEN == set()
    assert {"phasemesh", "numpy", "msgspec"} <= loaded


def test_the_installed_environment_is_consistent(bare_venv: Path, tmp_path: Path) -> None:
    """`pip check` finds no broken requirement."""
    done = _run(bare_venv / "python", "-m", "pip", "check", cwd=tmp_path)

    assert done.returncode == 0, done.stdout


def test_the_command_helps_without_extras(bare_venv: Path, tmp_path: Path) -> None:
    """`phasemesh --help` works on a box that has only what the edge needs."""
    done = _run(bare_venv / "phasemesh", "--help", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "agent" in done.stdout


def test_a_run_without_the_simulator_says_what_is_missing(bare_venv: Path, tmp_path: Path) -> None:
    """`phasemesh run` without the extra `sim` ends with one line that names the extra, and exit code 2."""
    done = _run(bare_venv / "phasemesh", "run", "cologne3", cwd=tmp_path)
    lines = (done.stdout + done.stderr).strip().splitlines()

    assert done.returncode == 2, done.stderr
    assert len(lines) == 1
    assert "sim" in lines[0]
