"""SUMO's own adaptive programs in place of those of a network, for comparison runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from xml.sax.saxutils import quoteattr

from phasemesh.contract.intersection import GREEN_LETTERS
from phasemesh.sim_harness.sumo.network import CityNetwork, SignalSite
from phasemesh.sim_harness.sumo.stages import CHANGING_LETTERS, Step, clearance_steps

MIN_GREEN_S = 5
"""SUMO's usual minimum duration of an actuated step."""
MAX_GREEN_S = 50
"""SUMO's usual maximum duration of an actuated step."""


class ProgramKind(StrEnum):
    """The kinds of adaptive program, by the name that SUMO gives them."""

    ACTUATED = "actuated"
    DELAY_BASED = "delay_based"


def write_programs(network: CityNetwork, kind: ProgramKind, path: Path) -> None:
    """Write to `path` an additional file of SUMO with a program of `kind` for every commanded signal.

    The steps and their order are the network's own; steps that show a green without yellow last `MIN_GREEN_S` to
    `MAX_GREEN_S` seconds, those in which people only finish their way across as long as the network says, as netconvert
    builds such programs. SUMO runs the program that is loaded last.
    """
    programs = "".join(_program(site, kind) for site in network.controlled)
    path.write_text(f"<additional>\n{programs}</additional>\n", encoding="utf-8")


def _program(site: SignalSite, kind: ProgramKind) -> str:
    crossings = frozenset(i for i, movement in enumerate(site.intersection.movements) if movement.is_crossing)
    fixed = clearance_steps(site.own_program, crossings)
    steps = "".join(_step(step, is_fixed=number in fixed) for number, step in enumerate(site.own_program))
    name = quoteattr(site.tls_id)
    return f'  <tlLogic id={name} type="{kind}" programID="phasemesh_{kind}" offset="0">\n{steps}  </tlLogic>\n'


def _step(step: Step, *, is_fixed: bool) -> str:
    state, duration_s = step
    letters = set(state)
    is_free = bool(letters & GREEN_LETTERS) and not letters & CHANGING_LETTERS and not is_fixed
    bounds = f' minDur="{MIN_GREEN_S}" maxDur="{MAX_GREEN_S}"' if is_free else ""
    return f'    <phase duration="{duration_s:g}" state="{state}"{bounds}/>\n'
