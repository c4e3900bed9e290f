"""One call of `phasemesh report`, from folders of trainings to a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.report.run_curves import RunCurves, read_runs
from phasemesh.trainer.report.shown_day import ShownDay, play_day, shown_scenario
from phasemesh.trainer.report.training_page import write_training_report

FOLDER_NAME = "report"


class Showing(msgspec.Struct, frozen=True, kw_only=True):
    """What is played for a page: `scenario` None is the largest of the run, `length_s` None its whole window."""

    scenario: str | None = None
    seed: int = 1
    length_s: float | None = None
    workers: int = 1


def report_on(folders: Sequence[Path], out: Path | None, showing: Showing | None) -> Path:
    """Write the page about the trainings in `folders` and return its path; without `showing` nothing is played.

    Raises InputError, with one line, for whatever the user can put right.
    """
    runs = read_runs(folders)
    day = None if showing is None else _played(runs[0], showing)
    return write_training_report(out or folders[0] / FOLDER_NAME, runs, day)


def _played(run: RunCurves, showing: Showing) -> ShownDay:
    torch.set_num_threads(1)
    actor, _ = load_actor(run.folder / CHECKPOINT_NAME)
    scenario = showing.scenario or shown_scenario(run.description)
    return play_day(Crew(showing.workers), actor, run.description, scenario, showing.seed, showing.length_s)
