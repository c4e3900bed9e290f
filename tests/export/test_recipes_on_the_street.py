"""Recipes from training to the street: exported, checked, run one process a signal, and replayed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from phasemesh.controller.cli import make_app
from phasemesh.trainer import recipes

pytestmark = [pytest.mark.train, pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(900)]
RECIPES = (
    "hamh-ppo",
    "ppo-full",
    "ppo-index",
    "ppo-wide",
    "ppo-none",
    "consenet",
    "ia2c",
    "fprint",
    "commnet",
    "neurcomm",
    "ltos",
)
_MAIN = "from phasemesh.controller.cli import main; main()"


def run_city(*arguments: str) -> None:
    """`phasemesh run` in a process of its own, whose agents have this test's environment and not an older one."""
    subprocess.run([sys.executable, "-c", _MAIN, "run", *arguments], check=True)


def phasemesh(*arguments: str) -> str:
    """What the command printed; it must end well."""
    done = CliRunner().invoke(make_app(), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working and a configuration folder of its own, so that no key of the developer is used."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def shortened(recipe: str, folder: Path) -> Path:
    """The recipe with episodes of a minute."""
    text = (Path(recipes.__file__).parent / f"{recipe}.toml").read_text(encoding="utf-8")
    path = folder / f"short-{recipe}.toml"
    path.write_text(text.replace("[episodes]\n", "[episodes]\nlength_s = 60.0\n"), encoding="utf-8")
    return path


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_exports_runs_in_processes_and_replays(tmp_path: Path, recipe: str) -> None:
    """Two signals, two processes; every tick that they recorded is decided again without a difference."""
    short = shortened(recipe, tmp_path)
    phasemesh("train", str(short), "--scenarios", "grid2x1", "--iterations", "1", "--out", "run")
    phasemesh("export", "run", "--out", "bundle", "--recorded-ticks", "20")
    checked = phasemesh("check", "bundle")
    run_city("grid2x1", "--bundle", "./bundle", "--seconds", "60", "--report", "report")
    records = sorted((tmp_path / "report" / "records").glob("*.rec"))
    replayed = [phasemesh("replay", str(path), "--bundle", "./bundle") for path in records]

    assert "in order" in checked
    assert len(replayed) == 2
    assert all("replayed without a difference" in each for each in replayed)
