"""The experiments of BayesG: its mask, its ablations and its baselines, with the errata put right, beside every rule.

The paper has curves and no table; its claims are judged by order. Grid5x5 is generated. The paper's own maps are played
where the environment variable `PHASEMESH_MAPS` names a folder with them, one sub-folder each.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from phasemesh.sim_harness.reproduce import ReproductionRequest
from phasemesh.trainer.actor_spec import MaskKind
from phasemesh.trainer.recipe import Recipe, find_recipe
from phasemesh.trainer.reproduction.beside import RuleResult, run_rules
from phasemesh.trainer.reproduction.claims import Claim, is_less
from phasemesh.trainer.reproduction.pictures import curves_png
from phasemesh.trainer.reproduction.report_page import Findings, Shown, write_page
from phasemesh.trainer.reproduction.trial import Size, Trial, TrialResult, run_trials

MAPS_VARIABLE = "PHASEMESH_MAPS"
GRID = "grid5x5"
BASELINES = ("ia2c", "fprint", "consenet", "commnet", "neurcomm", "ltos")
OWN_MAPS: tuple[tuple[str, float], ...] = (
    ("atsc_grid5x5", 1.0),
    ("newyork51", 1.0),
    ("monaco28", 0.5),
    ("monaco28", 1.0),
)
"""The paper's maps and the shares of their demand that are played."""
ITERATIONS = 60
SHORT_BELOW, SHORT_S = 0.1, 600.0
"""At a smaller scale than this episodes are short too: for a look whether everything runs."""
REMARKS = (
    "Every method learns with the same A2C, reward, timing (profile paper) and sharing of rewards, which is the"
    " objective of ltos; the public code does not give them to its baselines.",
    "The public code's LToS trains no acting policy; here shares of rewards act through learning, see ADR 0018.",
    "The public code trains for a million steps; a training here is as long as the first line says.",
)
NO_MAPS = f"The paper's own maps were not at hand; {MAPS_VARIABLE} names the folder that holds them."


def reproduce_bayesg(request: ReproductionRequest) -> Path:
    """Run what is missing and write the page; its path is returned."""
    size, maps = size_of(request.scale), own_maps(os.environ.get(MAPS_VARIABLE, ""))
    trials = trials_of(((GRID, 1.0), *maps))
    found = run_trials(request, trials, size)
    one_each = {trial.place: trial for trial in trials}
    rules = [rule for trial in one_each.values() for rule in run_rules(request, trial, size)]
    claims = tuple(claim for place in one_each for claim in claims_of(found, rules, place))
    remarks = REMARKS if maps else (*REMARKS, NO_MAPS)
    findings = Findings("BayesG, repeated", remarks, claims, tuple(found), tuple(rules), pictures_of(found))
    return write_page(request, size, findings)


def size_of(scale: float) -> Size:
    """The lengths at a share of the full size."""
    return Size(max(1, round(ITERATIONS * scale)), SHORT_S if scale < SHORT_BELOW else None)


def own_maps(folder: str) -> tuple[tuple[str, float], ...]:
    """The configurations of the paper's maps in `folder`, each with a share of its demand; none without a folder."""
    if not folder:
        return ()
    configurations = {name: sorted((Path(folder) / name).glob("*.sumocfg")) for name, _ in OWN_MAPS}
    return tuple((str(configurations[name][0]), demand) for name, demand in OWN_MAPS if configurations[name])


def trials_of(maps: Sequence[tuple[str, float]]) -> tuple[Trial, ...]:
    """All methods on all maps."""
    paper = find_recipe("bayesg-paper")
    methods: dict[str, Recipe] = {
        "bayesg": paper,
        "no mask": _masked(paper, kind=MaskKind.OPEN),
        "random mask": _masked(paper, kind=MaskKind.RANDOM),
        "mask without state": _masked(paper, sees_state=False),
        "mask without trajectory": _masked(paper, sees_trajectory=False),
        "mask without policy": _masked(paper, sees_policy=False),
        **{name: find_recipe(name) for name in BASELINES},
    }
    return tuple(
        Trial(method=name, recipe=recipe, scenario=scenario, demand=demand)
        for scenario, demand in maps
        for name, recipe in methods.items()
    )


def _masked(recipe: Recipe, **changes: object) -> Recipe:
    return msgspec.structs.replace(recipe, mask=msgspec.structs.replace(recipe.mask, **changes))


def claims_of(found: Sequence[TrialResult], rules: Sequence[RuleResult], place: str) -> tuple[Claim, ...]:
    """The paper's claims on one map, judged by what the methods were paid for: a greater reward is a smaller loss."""

    def losses(method: str) -> list[float]:
        return losses_of(found, method, place)

    def better(first: str, second: str) -> Claim:
        return is_less(
            f"{place}: {first} is paid more than {second} (losses, in hundredths)", losses(first), losses(second)
        )

    orders = (
        ("bayesg", "neurcomm"),
        ("neurcomm", "ia2c"),
        ("bayesg", "no mask"),
        ("bayesg", "random mask"),
        *(("bayesg", f"mask without {part}") for part in ("state", "trajectory", "policy")),
    )
    rule = min((each for each in rules if each.place == place), key=lambda each: sum(each.delays_s))
    own_s = [each.delay_s for each in found if (each.method, each.place) == ("bayesg", place)]
    beside = is_less(
        f"{place}: bayesg delays less than the best rule, {rule.rule} (not in the paper)", own_s, rule.delays_s
    )
    return (*(better(*order) for order in orders), beside)


def losses_of(found: Sequence[TrialResult], method: str, place: str) -> list[float]:
    """What every seed of a method was paid at the end, with its sign changed, in hundredths."""
    chosen = [each for each in found if (each.method, each.place) == (method, place)]
    return [-100.0 * sum(each.final_rewards) / len(each.final_rewards) for each in chosen]


def pictures_of(found: Sequence[TrialResult]) -> tuple[Shown, ...]:
    """The curves of every map."""
    return tuple(
        Shown(
            f"Learning curves on {place}",
            "Mean reward of the episodes that were played; lines are means over seeds, shades their range.",
            curves_png([each for each in found if each.place == place], of_rewards=True),
        )
        for place in dict.fromkeys(each.place for each in found)
    )
