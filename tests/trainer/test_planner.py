"""The planner: what it tries, what it leaves alone, and that it is better than its base."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import numpy as np
import pytest
import torch
from trainer_towns import LINE, random_view

from phasemesh.contract.errors import InputError
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.env import AgentView
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.planner import alternatives, check_planned, choices
from phasemesh.trainer.recipe import PlannerRecipe

pytestmark = [pytest.mark.train, pytest.mark.sumo, pytest.mark.timeout(300)]
CITIES = (1, 1000)
INF = np.inf

PROBE = """
import numpy as np
import torch
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.trainer.env import CityEnv, CityOptions
from phasemesh.trainer.episode import EpisodePlan
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.planner import Planner
from phasemesh.trainer.recipe import PlannerRecipe
from phasemesh.trainer.rollout import Rollout

torch.set_num_threads(1)
torch.manual_seed(0)
env = CityEnv(CityOptions(scenario=find_scenario("grid1x2")))
base = Rollout(UniversalActor(), env.layout, EpisodePlan(scenario="grid1x2", seed=3, is_greedy=True))
planner = Planner(env, base, PlannerRecipe(horizon_s=20.0), share=1.0, seed=3)
two_futures = Planner(env, base, PlannerRecipe(horizon_s=20.0, futures=2), share=1.0, seed=3)
views, _ = env.reset(seed=3)
names, delays = env.layout.names, np.zeros(2)
for tick in range(40):
    stages = base.decide(views, 2 * tick)
    if tick == 30:
        expected = planner.delay_ahead(stages, 60)
        assert (expected == planner.delay_ahead(stages, 60)).all(), "the second copy is as the first"
        assert (expected != two_futures.delay_ahead(stages, 60)).any(), "another future is another one"
    views, rewards, _, _, _ = env.step(dict(zip(names, stages.tolist())))
    if tick >= 30:
        delays -= [rewards[name] for name in names]
env.close()
assert expected.min() > 0.0, "traffic has arrived"
assert (expected == (2.0 * delays).astype(np.float32)).all(), (expected, 2.0 * delays)
"""


@pytest.mark.slow
def test_a_copy_of_the_run_foresees_exactly_what_comes() -> None:
    """Delays of SUMO, cabinets, agents and their messages over ten ticks, to the last bit."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROBE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    """Of one seed: the rule alone, under a planner that nobody listens to, and under one that plays."""
    planner = PlannerRecipe(horizon_s=30.0)
    rule = EpisodePlan(
        scenario="grid1x1", seed=5, length_s=180.0, is_greedy=True, teacher="approach-lost-time", teacher_share=1.0
    )
    ignored = msgspec.structs.replace(rule, planner=msgspec.structs.replace(planner, looks=0.1), planner_share=0.0)
    played = msgspec.structs.replace(rule, planner=planner)
    torch.manual_seed(0)
    return Crew(2).play(UniversalActor(), [rule, ignored, played])


@pytest.mark.slow
def test_planning_never_disturbs_the_real_run(episodes: list[Episode]) -> None:
    """With choices that nobody follows everything comes as without a planner, bit for bit."""
    rule, ignored, _ = episodes
    names = ("lanes", "stage_state", "legal", "current", "told", "hidden", "stage", "log_probability", "reward")

    assert [name for name in names if not np.array_equal(getattr(rule, name), getattr(ignored, name))] == []
    assert rule.mean_delay_s == ignored.mean_delay_s
    assert ignored.deviations > 0.0


@pytest.mark.slow
def test_a_planner_beats_its_base(episodes: list[Episode]) -> None:
    """By a tenth of the delay on a crossroads, without an unsafe light."""
    rule, _, played = episodes

    assert played.mean_delay_s < 0.9 * rule.mean_delay_s
    assert played.monitor_trips == 0
    assert (played.stage == played.taught).all()
    assert (played.costs.min(axis=2) == 0.0).all()


@pytest.mark.slow
def test_what_was_not_looked_at_teaches_nothing_unless_there_is_nothing_to_find(episodes: list[Episode]) -> None:
    """With looks at a tenth of the decisions most that leave several stages to try stay unknown, no others."""
    _, ignored, played = episodes
    is_known = np.isfinite(ignored.costs).any(axis=2)

    assert not is_known.all()
    assert is_known[ignored.legal.sum(axis=2) == 1].all()
    assert np.isfinite(played.costs).any(axis=2).all()


def seen(calls: list[int], legal: list[int], current: int) -> AgentView:
    """A crossroads with left lanes as its agent sees it: vehicles on the lanes `calls` alone."""
    view = random_view(LINE[1], np.random.default_rng(0))
    view["lanes"][:] = 0.0
    view["lanes"][calls] = 1.0
    view["stage_state"][:, 0] = np.arange(4) == current
    view["action_mask"][:] = [stage in legal for stage in range(4)]
    return view


def lanes_served_by(stage: int) -> list[int]:
    """The lanes with a protected green in `stage`."""
    return np.flatnonzero(seen([], [], 0)["stage_lanes"][stage, :, 0] == 1.0).tolist()


def test_only_legal_stages_that_serve_somebody_are_tried() -> None:
    """And the one in force, which costs nothing to keep."""
    calls = [lanes_served_by(stage)[0] for stage in (1, 2)]

    assert alternatives(seen(calls, [0, 1, 2, 3], current=0), 1)[0] == 0
    assert 2 in alternatives(seen(calls, [0, 1, 2, 3], current=0), 1)
    assert alternatives(seen(calls, [1, 2], current=1), 1) == (2,)
    assert alternatives(seen(calls, [1], current=1), 1) == ()


def test_nothing_is_tried_where_the_base_serves_all_who_come() -> None:
    """Nor where nobody comes."""
    assert alternatives(seen(lanes_served_by(1), [0, 1, 2, 3], current=0), 1) == ()
    assert alternatives(seen([], [0, 1, 2, 3], current=0), 1) == ()


def test_the_base_is_left_only_for_more_than_the_margin() -> None:
    """Agents one by one; what was not looked at stays as it is."""
    costs = np.array([[5.0, 2.9, INF], [5.0, 3.1, INF], [INF, INF, INF]], dtype=np.float32)

    assert choices(costs, np.array([0, 0, 2]), margin_veh_s=2.0).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("name", "signals", "reason"),
    [("grid3x3", 9, "has 9 signals, the planner takes up to 8"), ("city:*", 4, "city:7"), ("city:1-9", 4, "city:7")],
)
def test_maps_that_cannot_be_looked_ahead_on_are_refused(name: str, signals: int, reason: str) -> None:
    """Before anything is played."""
    with pytest.raises(InputError, match=reason):
        check_planned(name, CITIES, signals)


def test_maps_of_up_to_eight_signals_are_accepted() -> None:
    """The eighth included."""
    check_planned("cologne8", CITIES, 8)
