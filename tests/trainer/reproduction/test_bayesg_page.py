"""B11, B14: what is played for BayesG, where its own maps are, and how its claims are judged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from trial_results import make_result

from phasemesh.trainer.actor_spec import MaskKind
from phasemesh.trainer.recipe import SharesKind
from phasemesh.trainer.reproduction.bayesg import BASELINES, GRID, claims_of, own_maps, pictures_of, trials_of
from phasemesh.trainer.reproduction.beside import RULES, RuleResult
from phasemesh.trainer.reproduction.claims import Verdict
from phasemesh.trainer.reproduction.trial import TrialResult

pytestmark = [pytest.mark.train, pytest.mark.sumo]
RULE = RuleResult("max-pressure", GRID, (25.0, 25.5, 26.0))


def results(losses: dict[str, float]) -> list[TrialResult]:
    """Two seeds of every method on the grid; those that are not named lose 40."""
    return [
        make_result(each.method, GRID, seed, losses.get(each.method, 40.0) + 0.1 * seed)
        for seed in (1, 2)
        for each in trials_of(((GRID, 1.0),))
    ]


def test_b14_mask_ablations_and_baselines_differ_from_the_paper_in_that_alone() -> None:
    """Same learner, reward, timing and demand for all of them; LToS has that reward as its objective."""
    trials = {each.method: each.recipe for each in trials_of(((GRID, 1.0),))}

    assert set(BASELINES) < set(trials)
    assert len(trials) == 6 + len(BASELINES)
    assert len({(each.learner, each.episodes) for each in trials.values()}) == 1
    assert len({msgspec.structs.replace(each.reward, shares=SharesKind.SPATIAL) for each in trials.values()}) == 1
    assert [name for name, each in trials.items() if each.reward.shares is SharesKind.LEARNED] == ["ltos"]
    assert trials["no mask"].mask.kind is MaskKind.OPEN
    assert trials["random mask"].mask.kind is MaskKind.RANDOM
    assert [trials[f"mask without {part}"].mask for part in ("state", "trajectory", "policy")].count(
        trials["bayesg"].mask
    ) == 0


def test_b14_the_ranking_is_judged_by_what_methods_were_paid() -> None:
    """BayesG before NeurComm before IA2C; on the best rule the paper is silent."""
    found = results({"bayesg": 20.0, "neurcomm": 30.0})
    claims = claims_of(found, [RULE], GRID)

    assert [each.verdict for each in claims[:2]] == [Verdict.HELD, Verdict.HELD]
    assert claims[-1].text == f"{GRID}: bayesg delays less than the best rule, max-pressure (not in the paper)"
    assert claims[-1].verdict is Verdict.HELD
    assert claims_of(results({"bayesg": 50.0}), [RULE], GRID)[0].verdict is Verdict.FAILED


def test_b11_the_papers_maps_are_played_where_they_are_at_hand(tmp_path: Path) -> None:
    """Each folder with its configuration, Monaco at half demand too; without the folder none."""
    for name in ("monaco28", "newyork51"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.sumocfg").touch()

    assert [(Path(path).parent.name, demand) for path, demand in own_maps(str(tmp_path))] == [
        ("newyork51", 1.0),
        ("monaco28", 0.5),
        ("monaco28", 1.0),
    ]
    assert own_maps("") == ()
    assert trials_of(own_maps(str(tmp_path)))[-1].place.endswith("net.sumocfg")
    assert {each.place.rpartition(" ")[2] for each in trials_of(own_maps(str(tmp_path))[1:2])} == {"x0.5"}


def test_every_map_has_its_curves() -> None:
    """One picture a map."""
    assert [each.title for each in pictures_of(results({}))] == [f"Learning curves on {GRID}"]


def test_all_rules_stand_beside() -> None:
    """SUMO's own programs and the policy that ships among them."""
    assert {"fixed", "actuated", "max-pressure", "approach-lost-time", "best"} <= set(RULES)
