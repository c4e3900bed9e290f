"""H9 to H11: what is played for HAMH-PPO, how its claims are judged, and the page that comes of it."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.image import imread
from trial_results import EVEN, FIRST, make_result

from phasemesh.sim_harness.reproduce import ReproductionRequest
from phasemesh.trainer.actor_spec import Mixing, SharingKind
from phasemesh.trainer.reproduction.beside import RuleResult
from phasemesh.trainer.reproduction.claims import Claim, Verdict
from phasemesh.trainer.reproduction.hamh import (
    GRID,
    HEADS,
    METHODS,
    MIXED,
    SAME,
    apart,
    claims_of,
    diversity_of,
    heads_name,
    pictures_of,
    size_of,
    sizes_of,
    trials_of,
)
from phasemesh.trainer.reproduction.pictures import curves_png
from phasemesh.trainer.reproduction.report_page import Findings, findings_page
from phasemesh.trainer.reproduction.trial import TrialResult, sized

pytestmark = [pytest.mark.train, pytest.mark.sumo]


def results(delays_s: dict[tuple[str, str], float]) -> list[TrialResult]:
    """Two seeds of every trial, a tenth of a second apart; those that are not named end with 40 s."""
    differs = {"a": (FIRST, FIRST), "b": (EVEN, EVEN), "c": (EVEN, EVEN)}
    return [
        make_result(
            each.method,
            each.place,
            seed,
            delays_s.get((each.method, each.place), 40.0) + 0.1 * seed,
            **({"hyper": differs} if each.place == MIXED else {}),
        )
        for seed in (1, 2)
        for each in trials_of()
    ]


def verdicts(found: list[TrialResult]) -> dict[str, Verdict]:
    """What became of every claim, by its text."""
    return {claim.text: claim.verdict for claim in claims_of(found)}


def test_h9_all_ways_of_sharing_are_played_on_all_maps() -> None:
    """With the same learner, reward and episodes, so that sharing alone differs."""
    trials = trials_of()
    played = {(each.method, each.place) for each in trials}
    main = [each for each in trials if each.method in METHODS]

    assert {(method, place) for method in METHODS for place in (MIXED, SAME, GRID)} <= played
    assert len({each.recipe.sharing.kind for each in main}) == len(METHODS)
    assert (
        len({(each.recipe.learner, each.recipe.reward, each.recipe.episodes, each.recipe.mask) for each in main}) == 1
    )


def test_h10_the_table_of_ablations_is_complete() -> None:
    """Four numbers of heads, the strongest head, even weights and no attention, each with nothing else changed."""
    trials = {each.method: each.recipe for each in trials_of() if each.place == MIXED}
    hamh = trials["hamh-ppo"]

    assert {trials[heads_name(count)].heads.count for count in HEADS} | {hamh.heads.count} == {1, 8, 32, 64}
    assert trials["strongest head alone"].heads.mixing is Mixing.ARGMAX
    assert trials["even weights"].heads.mixing is Mixing.UNIFORM
    assert not trials["no attention"].heads.attends
    assert all(each.sharing.kind is SharingKind.HYPER for name, each in trials.items() if name not in METHODS)


def test_h9_what_the_paper_says_holds_where_it_does() -> None:
    """Better than full sharing, as good as none, alike on the same traffic."""
    found = verdicts(results({("hamh-ppo", MIXED): 20.0, ("ppo-none", MIXED): 20.02}))

    assert found["On different sites the hyper-action beats full sharing"] is Verdict.HELD
    assert found["and comes to within the spread of no sharing, with one network"] is Verdict.HELD
    assert found["On the same traffic hyper-action and full sharing agree"] is Verdict.HELD
    assert found["Of 1, 8, 32 and 64 heads a middle number is best"] is Verdict.HELD


def test_h9_what_does_not_hold_is_said_with_what_explains_it() -> None:
    """A hyper-action that is no better fails, and the ablations stand beside it."""
    claims = {each.text: each for each in claims_of(results({("hamh-ppo", MIXED): 60.0}))}
    failed = claims["On different sites the hyper-action beats full sharing"]

    assert failed.verdict is Verdict.FAILED
    assert failed.why == "even weights have 40.2 s, one head has 40.2 s"


def test_h11_sites_that_weigh_alike_are_no_distance_apart() -> None:
    """And those that do not are."""
    found = results({})

    assert diversity_of(found, SAME) == [0.0, 0.0]
    assert all(each > 0.5 for each in diversity_of(found, MIXED))
    assert apart({"a": (FIRST,), "b": (EVEN,), "c": (FIRST,)}) == 0.0


def test_the_sweep_has_every_number_of_heads() -> None:
    """The recipe's own among them."""
    assert {count: len(each) for count, each in sizes_of(results({})).items()} == dict.fromkeys((1, 8, 32, 64), 2)


def test_one_head_is_called_so() -> None:
    """And the others by their number."""
    assert [heads_name(count) for count in HEADS] == ["one head", "8 heads", "64 heads"]


def test_a_training_of_one_iteration_is_seen_in_its_picture() -> None:
    """No line can be drawn, so that there is a dot: more ink than under its curve's name alone."""
    pictures = [curves_png([make_result("m", MIXED, 1, curve_s=curve)]) for curve in ((20.0,), (math.nan,))]
    ink = [int((imread(BytesIO(each))[..., :3].min(axis=-1) < 0.3).sum()) for each in pictures]

    assert ink[0] > ink[1]


def test_the_page_has_claims_rules_and_pictures(tmp_path: Path) -> None:
    """Every method and every rule in one table a map, the best first."""
    found = results({("hamh-ppo", MIXED): 20.0})
    rules = (RuleResult("max-pressure", MIXED, (25.0, 25.0, 25.0)),)
    claims = (*claims_of(found), Claim("<b>", "", Verdict.OPEN))
    findings = Findings("HAMH-PPO", ("remark",), claims, tuple(found), rules, pictures_of(found))
    page = findings_page(ReproductionRequest(tmp_path, 2), size_of(1.0), findings)
    table = page[page.index(f"<h2>{MIXED}</h2>") :]

    assert table.index("hamh-ppo") < table.index("rule max-pressure") < table.index("ppo-full")
    assert page.count("<img") == len(pictures_of(found)) == 7
    assert "&lt;b&gt;" in page
    assert "2 seeds of training, iterations 60, episodes of whole windows" in page


def test_a_small_scale_is_a_short_training() -> None:
    """Whose rate of learning falls over what there is, and whose episodes are short below a tenth."""
    trial = trials_of()[0]

    assert (size_of(0.5).iterations, size_of(0.5).episode_s) == (30, None)
    assert (size_of(0.001).iterations, size_of(0.001).episode_s) == (1, 600.0)
    assert sized(trial, size_of(0.5)).learner.anneal_iterations == 30
    assert sized(trial, size_of(0.001)).episodes.length_s == 600.0
