"""`phasemesh train`: what cannot be done is one line, before anything is written; what is done can be gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.report_folder import only_writer
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME
from phasemesh.trainer.recipe import find_recipe
from phasemesh.trainer.run_folder import RUN_NAME, TENSORBOARD_NAME, read_curves, read_run
from phasemesh.trainer.session import Order, train_in

pytestmark = [pytest.mark.train, pytest.mark.sumo, pytest.mark.timeout(300)]
CITY = "grid2x2"
SILENT = Console(quiet=True)
TINY = """
[learner]
epochs = 1
segment_ticks = 8
rows_per_batch = 16
critic_iterations = 1
[warm_start]
teacher = "approach-lost-time"
teacher_shares = [1.0]
epochs = 1
length_s = 60.0
[episodes]
per_iteration = 1
length_s = 40.0
message_losses = [0.0, 0.5]
"""
TAUGHT = """
[learner]
kind = "distil"
[planner]
base = "approach-lost-time"
horizon_s = 4.0
[warm_start]
epochs = 1
[episodes]
per_iteration = 1
length_s = 30.0
"""
SCRIPT = """
import sys
if __name__ == "__main__":
    from phasemesh.controller import cli
    from phasemesh.trainer.cli import register
    import typer
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)
    app.callback()(lambda: None)
    cli.make_app = lambda: app
    cli.main()
"""
"""The command line of the product with this room's command alone, as an installed wheel has it among others."""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """The path of a recipe for seconds."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return str(path)


def order(recipe: str, **changes: Any) -> Order:
    """One iteration on a small city."""
    return Order(**{"recipe": recipe, "scenarios": (CITY,), "iterations": 1, **changes})


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command as the shell would run it, running."""
    script = folder / "train.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command said and how it ended."""
    process = begin(folder, *arguments)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipe": "bayes"}, "bayesg"),
        ({"scenarios": ("atlantis",)}, "atlantis"),
        ({"scenarios": ()}, "--scenarios"),
        ({"scenarios": (CITY, CITY)}, "--scenarios"),
        ({"device": "tpu"}, "--device"),
        ({"iterations": None}, "--minutes"),
        ({"is_resumed": True}, "holds no training"),
        ({"origin": Path("nowhere")}, "nowhere: holds no training"),
        ({"recipe": "teach", "scenarios": ("grid3x3",)}, "has 9 signals, the planner takes up to 8"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(
    tmp_path: Path, recipe: str, changes: dict[str, Any], reason: str
) -> None:
    """One line that names the option."""
    with pytest.raises(InputError) as caught:
        train_in(tmp_path / "run", msgspec.structs.replace(order(recipe), **changes), SILENT)
    assert reason in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_command_ends_with_exit_code_2_and_one_line(tmp_path: Path) -> None:
    """Without a traceback."""
    done = call(tmp_path, "bayesg", "--scenarios", "atlantis", "--out", str(tmp_path / "run"), "--iterations", "1")

    assert done.returncode == 2
    assert done.stderr.startswith("phasemesh: unknown scenario 'atlantis'")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_run_that_is_resumed_agrees_with_one_that_was_not(tmp_path: Path, recipe: str) -> None:
    """Two iterations at once with two workers, and one by one with one: the same weights, curves and draws."""
    once = call(
        tmp_path, recipe, "--scenarios", CITY, "--out", str(tmp_path / "a"), "--iterations", "2", "--workers", "2"
    )
    assert once.returncode == 0, once.stderr
    for iterations, flags in (("1", ()), ("2", ("--resume",))):
        done = call(
            tmp_path, recipe, "--scenarios", CITY, "--out", str(tmp_path / "b"), "--iterations", iterations, *flags
        )
        assert done.returncode == 0, done.stderr

    first, second = (np.load(tmp_path / name / CHECKPOINT_NAME) for name in ("a", "b"))
    names = [name for name in first.files if name != "meta"]
    assert set(first.files) == set(second.files)
    assert [name for name in names if not np.array_equal(first[name], second[name])] == []
    rows = [[(row.iteration, row.delay_s, row.stats) for row in read_curves(tmp_path / name)] for name in ("a", "b")]
    assert rows[0] == rows[1]
    assert [row[0] for row in rows[0]] == [0, 1]
    assert_a_run_folder_is_whole(tmp_path / "a")
    assert_refusals(tmp_path / "a", recipe)


@pytest.mark.slow
def test_ctrl_c_ends_a_training_that_can_be_gone_on_with(tmp_path: Path, recipe: str) -> None:
    """Exit code 130 without a traceback, and every iteration so far on the disk."""
    arguments = (recipe, "--scenarios", CITY, "--out", str(tmp_path / "run"))
    process = begin(tmp_path, *arguments, "--iterations", "1000")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()

    assert lines[0].startswith("warm start 1")
    assert (process.returncode, "Traceback" in err) == (130, False)
    done = read_curves(tmp_path / "run")[-1].iteration + 1
    gone_on = call(tmp_path, *arguments, "--iterations", str(done + 1), "--resume")
    assert gone_on.returncode == 0, gone_on.stderr
    assert [row.iteration for row in read_curves(tmp_path / "run")] == list(range(done + 1))


@pytest.mark.slow
def test_a_planner_teaches_in_rounds_that_another_training_begins_with(tmp_path: Path, recipe: str) -> None:
    """A round from the rule, one from the actor after a resume; then the weights go into a run of another learner."""
    path = tmp_path / "taught.toml"
    path.write_text(TAUGHT)
    taught = order(str(path), scenarios=("grid1x1",))
    train_in(tmp_path / "a", taught, SILENT)
    train_in(tmp_path / "a", msgspec.structs.replace(taught, is_resumed=True, iterations=2), SILENT)
    begun = order(recipe, scenarios=("grid1x1",), iterations=0, origin=tmp_path / "a")
    train_in(tmp_path / "b", begun, SILENT)

    rows = read_curves(tmp_path / "a")
    assert [row.iteration for row in rows] == [0, 1]
    assert all(row.stats.policy_loss > 0.0 and row.stats.agreement > 0.0 for row in rows)
    first, second = (np.load(tmp_path / name / CHECKPOINT_NAME) for name in ("a", "b"))
    assert all(np.array_equal(first[name], second[name]) for name in first.files if name.startswith("actor/"))
    origin = read_run(tmp_path / "b").origin
    assert origin is not None
    assert origin.iteration == 2
    with pytest.raises(InputError, match="--from"):
        train_in(tmp_path / "b", msgspec.structs.replace(begun, is_resumed=True), SILENT)


def assert_a_run_folder_is_whole(folder: Path) -> None:
    """It says what was asked for, with what it was made, and holds TensorBoard's files; nothing unsafe was shown."""
    run = read_run(folder)
    assert (run.recipe_name, run.scenarios, run.seed) == ("tiny", (CITY,), 1)
    assert run.recipe.episodes.length_s == 40.0
    assert set(run.tool_versions) == {"phasemesh", "torch", "eclipse-sumo", "numpy"}
    assert list((folder / TENSORBOARD_NAME).iterdir()) != []
    assert sum(row.monitor_trips for row in read_curves(folder)) == 0


def assert_refusals(folder: Path, recipe: str) -> None:
    """A run is neither overwritten nor gone on with as another one, nor by two at once."""
    with pytest.raises(InputError, match="--resume"):
        train_in(folder, order(recipe), SILENT)
    with pytest.raises(InputError, match="another seed"):
        train_in(folder, order(recipe, is_resumed=True, seed=2), SILENT)
    with (
        only_writer(folder),
        pytest.raises(InputError, match="another training is writing"),
        only_writer(folder, "--out", "training"),
    ):
        pass
    (folder / RUN_NAME).write_text("{")
    with pytest.raises(InputError, match=RUN_NAME):
        read_run(folder)


def test_the_recipe_of_a_test_is_without_fault(recipe: str) -> None:
    """Or the tests above would fail for another reason than theirs."""
    assert find_recipe(recipe).episodes.length_s == 40.0
