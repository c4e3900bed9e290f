"""Agents that remember, beside others: what they learn before they are measured, and where that is kept.

Each measured run begins with a copy of what its controller learned, so that no seed knows of another.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import MemoryMode
from phasemesh.sim_harness.request import RunRequest

SUFFIXES: dict[str, MemoryMode] = {"+shadow": MemoryMode.SHADOW, "+memory": MemoryMode.LIVE}
"""What the name of a controller ends with when its agents remember."""
MEMORY_FOLDER = "memory"
"""Below the report: what each run knew when it was over."""

Runner = Callable[[Sequence[RunRequest]], int]
"""Runs requests beside each other; how many of them came to their end."""


class Learning(msgspec.Struct, frozen=True):
    """What one controller does on one scenario before it is measured: `lessons` in this order, all in one memory.

    `learned` is the folder of that memory, `copies` those that measured runs begin with.
    """

    lessons: tuple[RunRequest, ...]
    learned: Path
    copies: tuple[Path, ...]


def controller_and_mode(text: str) -> tuple[str, MemoryMode]:
    """The controller that `text` names, and how its agents remember."""
    for suffix, mode in SUFFIXES.items():
        if text.endswith(suffix):
            return text.removesuffix(suffix), mode
    return text, MemoryMode.OFF


def remembering(request: RunRequest, report: Path) -> RunRequest:
    """`request` with its controller's suffix taken off, and a memory of its own below `report` if there was one."""
    controller, mode = controller_and_mode(request.controller)
    if mode is MemoryMode.OFF:
        return request
    folder = report / MEMORY_FOLDER / Path(request.report).name
    return msgspec.structs.replace(request, controller=controller, memory=mode.value, memory_folder=str(folder))


def plan_learning(requests: Sequence[RunRequest], learn_seeds: Sequence[int], report: Path) -> list[Learning]:
    """What must be learned before `requests` are run; raises InputError where nobody would learn from `learn_seeds`."""
    groups: dict[tuple[str, str, str], list[RunRequest]] = {}
    for request in requests:
        if request.memory_folder is not None:
            groups.setdefault((request.scenario, request.controller, request.memory), []).append(request)
    if learn_seeds and not groups:
        raise InputError(f"--learn-seeds: no controller remembers; end its name with {' or '.join(SUFFIXES)}")
    measured = {request.seed for request in requests} & set(learn_seeds)
    if measured:
        raise InputError(f"--learn-seeds: {min(measured)} is measured too; what was learned there would not count")
    if len(set(learn_seeds)) < len(learn_seeds):
        raise InputError("--learn-seeds: one is named twice")
    return [_learning(group, learn_seeds, report) for group in groups.values()]


def _learning(group: Sequence[RunRequest], learn_seeds: Sequence[int], report: Path) -> Learning:
    first = group[0]
    name = Path(first.report).name.removesuffix(f"_{first.seed}")
    learned = report / MEMORY_FOLDER / f"{name}_learned"
    lessons = tuple(
        msgspec.structs.replace(
            first, seed=seed, memory_folder=str(learned), report=str(report / "learning" / f"{name}_{seed}")
        )
        for seed in learn_seeds
    )
    return Learning(lessons, learned, tuple(Path(request.memory_folder or "") for request in group))


def learn(plans: Sequence[Learning], run: Runner) -> bool:
    """Play all lessons, those of one memory one after the other, and hand out copies; False when interrupted.

    What an earlier comparison left in these folders is removed first.
    """
    for folder in (each for plan in plans for each in (plan.learned, *plan.copies)):
        shutil.rmtree(folder, ignore_errors=True)
    for lessons in zip(*(plan.lessons for plan in plans), strict=True):
        if run(lessons) < len(lessons):
            return False
    for plan in plans:
        for copy in plan.copies if plan.learned.is_dir() else ():
            shutil.copytree(plan.learned, copy)
    return True
