"""`phasemesh train dmil-VARIANT`: one variant of the dual-memory paper, trained and tested on its own queue network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.errors import InputError
from phasemesh.controller.memory.dual import DualMemory
from phasemesh.controller.memory.entries import LtmEntry, ltm_entry
from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.sarsa import best_of
from phasemesh.controller.memory.variants import find_variant
from phasemesh.sim_harness.dmil.cells import MAIN, Cell, Dummies, play_cell
from phasemesh.sim_harness.dmil.play import LAYOUT, Table

PREFIX = "dmil-"
CELL_NAME, MEMORY_NAME = "cell.json", "memory.json"
_SCENARIO = re.compile(r"queue([1-9])x\1")


class LearnedEntry(msgspec.Struct, frozen=True):
    """A key and the best stage that was learned for it, in the frame of the key."""

    key: bytes
    entry: LtmEntry


class LearnedMemory(msgspec.Struct, frozen=True):
    """What a training learned, with all that makes its values comparable: place, rotations, reward and horizon."""

    variant: str
    layout_digest: str
    subgroup: str
    reward: RewardKind
    gamma: float
    entries: tuple[LearnedEntry, ...]


def train_dmil(recipe: str, scenarios: Sequence[str], out: Path, seed: int, episodes: int | None) -> str:
    """Train the dummy, fill the variant's table, test it on the grid; writes both and returns one line.

    Raises InputError for an unknown variant, another scenario than queueNxN, or a folder that cannot be written.
    """
    variant = find_variant(recipe.removeprefix(PREFIX))
    side = _side(scenarios)
    setting = MAIN if episodes is None else msgspec.structs.replace(MAIN, episodes=episodes)
    dummies = Dummies([seed])
    cell = play_cell(dummies, setting, variant, side)
    (table,) = dummies.tables(setting, variant)
    learned = LearnedMemory(
        variant=variant.name,
        layout_digest=LAYOUT.digest,
        subgroup=LAYOUT.subgroup,
        reward=variant.reward,
        gamma=setting.rules.sarsa.gamma,
        entries=_entries(table),
    )
    _write(out, cell, learned)
    return _line(out, cell, len(learned.entries))


def _side(scenarios: Sequence[str]) -> int:
    found = _SCENARIO.fullmatch(scenarios[0]) if len(scenarios) == 1 else None
    if found is None:
        raise InputError(f"--scenarios {','.join(scenarios)}: {PREFIX}* is trained on one of queue1x1 to queue9x9")
    return int(found[1])


def _entries(table: Table) -> tuple[LearnedEntry, ...]:
    if isinstance(table, DualMemory):
        return tuple(LearnedEntry(key, entry) for key, entry in sorted(table.ltm.items()))
    return tuple(LearnedEntry(key, ltm_entry(*best_of(table.rows[key]), 0.0)) for key in sorted(table.rows))


def _write(out: Path, cell: Cell, learned: LearnedMemory) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / CELL_NAME).write_bytes(msgspec.json.encode(cell))
        (out / MEMORY_NAME).write_bytes(msgspec.json.encode(learned))
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}") from error


def _line(out: Path, cell: Cell, entries: int) -> str:
    waiting, arrived = float(np.mean(cell.waiting)), cell.arrived_veh[0]
    return f"{out}: {entries} keys learned; W {waiting:.3f}, {arrived} vehicles arrived, {cell.known:.0%} known"
