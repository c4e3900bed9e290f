"""The experiments of HAMH-PPO (arXiv 2503.07678): what a hyper-action is good for, beside sharing all and nothing.

The paper's own tables are not at hand, so that its claims are judged by order and not by figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.hyper_profile import js_distance
from phasemesh.sim_harness.reproduce import ReproductionRequest
from phasemesh.trainer.actor_spec import Mixing
from phasemesh.trainer.recipe import Recipe, find_recipe
from phasemesh.trainer.reproduction.beside import run_rules
from phasemesh.trainer.reproduction.claims import Claim, is_alike, is_interior, is_less, is_within
from phasemesh.trainer.reproduction.pictures import curves_png, diversity_png, hyper_png, sizes_png
from phasemesh.trainer.reproduction.report_page import Findings, Shown, write_page
from phasemesh.trainer.reproduction.trial import Size, Trial, TrialResult, run_trials

MIXED, SAME, GRID = "mixed3x1", "same3x1", "grid4x4"
METHODS = ("hamh-ppo", "ppo-none", "ppo-full", "ppo-index", "ppo-wide")
HEADS = (1, 8, 64)
"""Beside the 32 of the recipe."""
ITERATIONS = 60
SHORT_BELOW, SHORT_S = 0.1, 600.0
"""At a smaller scale than this episodes are short too: for a look whether everything runs."""
REMARKS = (
    "Maps are generated with SUMO instead of CityFlow's; the policy is phasemesh's own, which scores stages from lanes"
    " and knows how long greens have lasted, so that one network can do more for different sites than the paper's.",
    "Delay stands for the paper's travel time: the same vehicles want the same ways under every controller.",
    "Every site has an embedding of its own from the beginning, so that sites weigh apart before anything is learned.",
    "The maps of Hangzhou, Jinan and New York are not at hand.",
)


def reproduce_hamh(request: ReproductionRequest) -> Path:
    """Run what is missing and write the page; its path is returned."""
    size = size_of(request.scale)
    trials = trials_of()
    found = run_trials(request, trials, size)
    one_each = {trial.place: trial for trial in trials}
    rules = [rule for trial in one_each.values() for rule in run_rules(request, trial, size)]
    findings = Findings("HAMH-PPO, repeated", REMARKS, claims_of(found), tuple(found), tuple(rules), pictures_of(found))
    return write_page(request, size, findings)


def size_of(scale: float) -> Size:
    """The lengths at a share of the full size."""
    return Size(max(1, round(ITERATIONS * scale)), SHORT_S if scale < SHORT_BELOW else None)


def trials_of() -> tuple[Trial, ...]:
    """All methods on all maps, and the ablations where sites differ."""
    main = [
        Trial(method=name, recipe=find_recipe(name), scenario=place)
        for place in (MIXED, SAME, GRID)
        for name in METHODS
    ]
    hamh = find_recipe("hamh-ppo")
    ablations: dict[str, Recipe] = {heads_name(count): _with_heads(hamh, count=count) for count in HEADS}
    ablations |= {
        "strongest head alone": _with_heads(hamh, mixing=Mixing.ARGMAX),
        "even weights": _with_heads(hamh, mixing=Mixing.UNIFORM),
        "no attention": _with_heads(hamh, attends=False),
    }
    return (*main, *(Trial(method=name, recipe=recipe, scenario=MIXED) for name, recipe in ablations.items()))


def heads_name(count: int) -> str:
    """How the ablation with `count` heads is called."""
    return "one head" if count == 1 else f"{count} heads"


def _with_heads(recipe: Recipe, **changes: object) -> Recipe:
    return msgspec.structs.replace(recipe, heads=msgspec.structs.replace(recipe.heads, **changes))


def claims_of(found: Sequence[TrialResult]) -> tuple[Claim, ...]:
    """The paper's claims, judged."""

    def delays(method: str, place: str = MIXED) -> list[float]:
        return delays_of(found, method, place)

    even = f"even weights have {_mean(delays('even weights'))}, one head has {_mean(delays(heads_name(1)))}"
    return (
        is_less("On different sites the hyper-action beats full sharing", delays("hamh-ppo"), delays("ppo-full"), even),
        is_within(
            "and comes to within the spread of no sharing, with one network",
            delays("hamh-ppo"),
            delays("ppo-none"),
            even,
        ),
        is_less("Full sharing ends worse than no sharing", delays("ppo-none"), delays("ppo-full"), _indexed(found)),
        is_alike("A wider shared network does not help", delays("ppo-wide"), delays("ppo-full")),
        is_alike(
            "On the same traffic hyper-action and full sharing agree",
            delays("hamh-ppo", SAME),
            delays("ppo-full", SAME),
        ),
        is_alike(
            "On the same traffic no sharing and full sharing agree", delays("ppo-none", SAME), delays("ppo-full", SAME)
        ),
        is_interior("Of 1, 8, 32 and 64 heads a middle number is best", sizes_of(found), even),
        is_less("Weights are better than the strongest head alone", delays("hamh-ppo"), delays("strongest head alone")),
        is_less("Learned weights are better than even ones", delays("hamh-ppo"), delays("even weights")),
        is_less("Attention to neighbours helps", delays("hamh-ppo"), delays("no attention")),
        is_less(
            "Sites weigh further apart where their demand differs (distances in hundredths)",
            [100.0 * each for each in diversity_of(found, SAME)],
            [100.0 * each for each in diversity_of(found, MIXED)],
        ),
    )


def delays_of(found: Sequence[TrialResult], method: str, place: str) -> list[float]:
    """The mean delay of every seed of a method on a map."""
    return [each.delay_s for each in found if (each.method, each.place) == (method, place)]


def sizes_of(found: Sequence[TrialResult]) -> dict[int, list[float]]:
    """The delays on the map of different sites by the number of heads."""
    return {count: delays_of(found, heads_name(count), MIXED) for count in HEADS} | {
        32: delays_of(found, "hamh-ppo", MIXED)
    }


def diversity_of(found: Sequence[TrialResult], place: str) -> list[float]:
    """How far the first and the last site weigh apart, for every seed: the mean distance over an episode."""
    return [apart(each.hyper) for each in found if (each.method, each.place) == ("hamh-ppo", place)]


def apart(hyper: dict[str, tuple[tuple[float, ...], ...]]) -> float:
    """The mean Jensen-Shannon distance of the first and the last intersection over the parts of an episode."""
    first, *_, last = hyper.values()
    return float(np.mean([js_distance(one, other) for one, other in zip(first, last, strict=True)]))


def pictures_of(found: Sequence[TrialResult]) -> tuple[Shown, ...]:
    """Curves of every map, the sweep, and what sites weigh."""
    curves = [
        Shown(
            f"Learning curves on {place}",
            "Mean delay of the episodes that were played; lines are means over seeds, shades their range.",
            curves_png([each for each in found if each.place == place and each.method in METHODS]),
        )
        for place in (MIXED, SAME, GRID)
    ]
    weights = [
        Shown(
            f"Weights of two sites on {each.place}",
            "The hyper-actions of the first and the last site over an episode, in the eight places of the contract.",
            hyper_png(each.hyper),
        )
        for each in found
        if each.method == "hamh-ppo" and each.seed == 1 and each.place in (MIXED, SAME)
    ]
    points = {place: diversity_of(found, place) for place in (SAME, MIXED)}
    return (
        *curves,
        Shown("Number of heads", "Delay at the end on the map of different sites.", sizes_png(sizes_of(found))),
        *weights,
        Shown("Personalisation and diversity of demand", "The distance of two sites' weights.", diversity_png(points)),
    )


def _indexed(found: Sequence[TrialResult]) -> str:
    return f"with an index alone {_mean(delays_of(found, 'ppo-index', MIXED))}"


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1f} s" if values else "nothing"
