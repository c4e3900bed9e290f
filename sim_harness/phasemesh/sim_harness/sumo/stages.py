"""Stages from the sumo steps of a signal's own program, made safe by the right of way; every alteration is told."""

from __future__ import annotations

import msgspec

from phasemesh.contract.intersection import GREEN_LETTERS, Stage
from phasemesh.sim_harness.sumo.right_of_way import RightOfWay

CHANGING_LETTERS = frozenset("yYuU")
"""Letters of a step that closes or opens movements; such a step is no stage."""
UNGUARDED_LETTERS = {"s": "a turn on red after a stop", "o": "a blinking signal", "O": "a signal that is off"}
"""Letters of SUMO that let vehicles in without a green; no stage shows them."""

Step = tuple[str, float]
"""One row of a SUMO program: state string and duration in seconds."""


class ProgramChange(msgspec.Struct, frozen=True):
    """One difference between the program that a network brings and the stages that are commanded, and its reason."""

    signal: str
    stage: str
    text: str

    def __str__(self) -> str:
        """The change as one line."""
        return f"{self.signal} {self.stage}: {self.text}"


class DerivedStages(msgspec.Struct, frozen=True):
    """The stages of one signal, for each the sumo step that it came from (None: added), and what was changed."""

    stages: tuple[Stage, ...]
    steps: tuple[int | None, ...]
    changes: tuple[ProgramChange, ...]


class _Greens(msgspec.Struct, frozen=True):
    protected: tuple[int, ...]
    permissive: tuple[int, ...]


def green_steps(program: tuple[Step, ...], right: RightOfWay) -> dict[str, int]:
    """The distinct states, without yellow, that show a green to anybody, with the first step of each.

    Steps in which people only finish their way across are left out (`clearance_steps`).
    """
    found: dict[str, int] = {}
    clearances = clearance_steps(program, right.crossings)
    for step, (state, _) in enumerate(program):
        is_green = any(state[index] in GREEN_LETTERS for index in right.needed)
        if is_green and not CHANGING_LETTERS & set(state) and step not in clearances:
            found.setdefault(state, step)
    return found


def clearance_steps(program: tuple[Step, ...], crossings: frozenset[int]) -> dict[int, int]:
    """The steps that differ from one beside them only by crossings that are red, each with that other step."""
    found: dict[int, int] = {}
    for step, (state, _) in enumerate(program):
        for other in ((step - 1) % len(program), (step + 1) % len(program)):
            if _only_closes(program[other][0], state, crossings):
                found.setdefault(step, other)
    return found


def _only_closes(before: str, after: str, crossings: frozenset[int]) -> bool:
    changed = [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    return bool(changed) and all(
        index in crossings and before[index] in GREEN_LETTERS and after[index] == "r" for index in changed
    )


def derive_stages(signal: str, program: tuple[Step, ...], right: RightOfWay) -> DerivedStages:
    """The safe stages of `signal`: those of its own green steps, and one for each movement that they leave out."""
    found: dict[_Greens, tuple[str, int | None]] = {}
    changes = _merged(signal, program, right)
    for state, step in green_steps(program, right).items():
        greens = _split(_compatible(_wanted(state, right), right), right)
        name, told = f"step {step}", _told(state, greens, right)
        if greens in found:
            told.append(f"shows the same as {found[greens][0]}")
        found.setdefault(greens, (name, step))
        changes += [ProgramChange(signal, name, text) for text in told]
    for number, (greens, missing) in enumerate(_added(tuple(found), right), start=1):
        name = f"added {number}"
        found[greens] = (name, None)
        changes.append(ProgramChange(signal, name, f"{_list(missing)} would be served by no stage"))
    return DerivedStages(
        stages=tuple(Stage(name, greens.protected, greens.permissive) for greens, (name, _) in found.items()),
        steps=tuple(step for _, step in found.values()),
        changes=(*changes, *_idle(signal, program, right)),
    )


def _merged(signal: str, program: tuple[Step, ...], right: RightOfWay) -> list[ProgramChange]:
    """Steps that become part of the stage beside them, since the end of a walk is timed by the stage itself."""
    changes = []
    for step, other in clearance_steps(program, right.crossings).items():
        closed = [index for index in sorted(right.crossings) if program[step][0][index] != program[other][0][index]]
        text = (
            f"no stage of its own, since it is step {other} with {_list(closed)} red; each walk ends with a clearance"
        )
        changes.append(ProgramChange(signal, f"step {step}", text))
    return changes


def _wanted(state: str, right: RightOfWay) -> list[int]:
    """The movements that a state shows green, the firmest claims first: protected before permissive, then through."""
    green = [index for index in sorted(right.needed) if state[index] in GREEN_LETTERS]
    return sorted(green, key=lambda index: (state[index] != "G", index in right.turning, index))


def _compatible(claims: list[int], right: RightOfWay) -> list[int]:
    kept: list[int] = []
    for index in claims:
        if all(right.are_compatible(index, other) for other in kept):
            kept.append(index)
    return kept


def _split(green: list[int], right: RightOfWay) -> _Greens:
    permissive = {
        index for index in green if index in right.outside or any(right.yields_to[index][other] for other in green)
    }
    return _Greens(tuple(sorted(set(green) - permissive)), tuple(sorted(permissive)))


def _told(state: str, greens: _Greens, right: RightOfWay) -> list[str]:
    """What differs between a state and the greens derived from it, one line a kind."""
    served = {*greens.protected, *greens.permissive}
    dropped = [i for i in sorted(right.needed) if state[i] in GREEN_LETTERS and i not in served]
    weakened = [i for i in greens.permissive if state[i] == "G"]
    raised = [i for i in greens.protected if state[i] == "g" and i not in right.crossings]
    told = [f"movement {i} red, since it conflicts with {_list(_opponents(i, served, right))}" for i in dropped]
    if weakened:
        told.append(f"{_list(weakened)} permissive (g), since foes that have the right of way are green too")
    if raised:
        told.append(f"{_list(raised)} protected (G), since nothing that it gives way to is green")
    for letter, meaning in UNGUARDED_LETTERS.items():
        if letter in state:
            shown = [index for index, shown in enumerate(state) if shown == letter]
            told.append(f"{_list(shown)} red, since no stage shows {meaning} ({letter})")
    return told


def _opponents(index: int, served: set[int], right: RightOfWay) -> list[int]:
    return [other for other in sorted(served) if not right.are_compatible(index, other)]


def _added(stages: tuple[_Greens, ...], right: RightOfWay) -> list[tuple[_Greens, list[int]]]:
    """Stages for the movements that `stages` leave out, filled up with what runs beside, and which these are."""
    served = {index for greens in stages for index in (*greens.protected, *greens.permissive)}
    missing = sorted(right.needed - served)
    added = []
    while missing:
        others = sorted(right.needed - set(missing), key=lambda index: (index in right.turning, index))
        green = _beside(missing[0], [*missing[1:], *others], right)
        added.append((_split(green, right), [index for index in missing if index in green]))
        missing = [index for index in missing if index not in green]
    return added


def _beside(first: int, others: list[int], right: RightOfWay) -> list[int]:
    """`first` and those of `others` that are compatible with all before them and never make `first` give way."""
    kept = [first]
    for index in others:
        if not right.yields_to[first][index] and all(right.are_compatible(index, other) for other in kept):
            kept.append(index)
    return kept


def _idle(signal: str, program: tuple[Step, ...], right: RightOfWay) -> list[ProgramChange]:
    """The indices that the program shows green although nobody needs them: they stay red."""
    shown = {
        index
        for state, _ in program
        for index, letter in enumerate(state)
        if letter in GREEN_LETTERS and index not in right.needed
    }
    if not shown:
        return []
    return [ProgramChange(signal, "all stages", f"{_list(sorted(shown))} red, since no vehicle needs it")]


def _list(indices: list[int] | tuple[int, ...]) -> str:
    plural = "movements" if len(indices) > 1 else "movement"
    return f"{plural} {', '.join(map(str, indices))}"
