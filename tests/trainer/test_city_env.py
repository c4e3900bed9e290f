"""The city as an environment: PettingZoo's own checks, rewards, ends, and refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.env import CityEnv, CityOptions
from phasemesh.trainer.episode import EpisodePlan
from phasemesh.trainer.networks import UniversalActor

pytestmark = [pytest.mark.train, pytest.mark.sumo]

PROBE = """
import numpy as np
from pettingzoo.test import parallel_api_test
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.trainer.env import CityEnv, CityOptions

env = CityEnv(CityOptions(scenario=find_scenario("grid2x2"), tick_s=2.0, length_s=60.0))
parallel_api_test(env, num_cycles=40)

views, infos = env.reset(seed=3)
assert all(env.observation_space(name).contains(dict(views[name])) for name in env.agents)
ticks, rewards = 0, []
while env.agents:
    illegal = {name: int(np.argmin(views[name]["action_mask"])) for name in env.agents}
    before = {name: infos[name]["observed"].legal for name in env.agents}
    views, reward, ended, cut, infos = env.step(illegal)
    for name, legal in before.items():
        applied = infos[name]["applied"]
        assert applied.is_accepted and legal[applied.requested_stage], "only legal stages reach a cabinet"
    rewards.append(reward)
    ticks += 1
assert ticks == 30 and all(cut.values()) and not any(ended.values())
assert all(value <= 0.0 for reward in rewards for value in reward.values())
assert min(min(reward.values()) for reward in rewards) < -1.0, "traffic has arrived"
assert env.monitor_trips == 0
env.close()
env.close()
"""


@pytest.mark.slow
def test_the_environment_keeps_pettingzoos_interface_and_the_streets_guard() -> None:
    """Spaces, ends by truncation, delay as reward; an illegal wish never reaches a cabinet, and no light is unsafe."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROBE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_agents_are_those_of_the_network_with_spaces_of_their_own() -> None:
    """Known before the first reset."""
    env = CityEnv(CityOptions(scenario=find_scenario("grid2x2")))

    assert len(env.possible_agents) == 4
    assert env.agents == []
    for intersection in env.network.intersections:
        assert env.action_space(intersection.id).n == len(intersection.stages)
        space = env.observation_space(intersection.id)
        assert space["lanes"].shape[0] == len(intersection.lanes)
        assert space["action_mask"].shape == (len(intersection.stages),)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"tick_s": 0.5}, "tick_s"), ({"tick_s": 2.5}, "tick_s"), ({"demand": 0.0}, "demand"), ({"profile": "x"}, "x")],
)
def test_what_cannot_be_played_is_refused(changes: dict[str, float], reason: str) -> None:
    """Before SUMO is started."""
    with pytest.raises(InputError, match=reason):
        CityEnv(CityOptions(scenario=find_scenario("grid2x2"), **changes))


def test_a_scenario_with_files_of_its_own_is_played(tmp_path: Path) -> None:
    """They are loaded once: SUMO refuses a detector that is there twice."""
    grid = find_scenario("grid2x2")
    lane_id = read_network(grid.net_file).controlled[0].zones[0][0].lane_id
    (tmp_path / "loops.add.xml").write_text(
        f'<additional><inductionLoop id="loop" lane="{lane_id}" pos="1" period="60" file="loops.xml"/></additional>'
    )
    routes = ",".join(str(path) for path in grid.route_files)
    config = tmp_path / "own.sumocfg"
    config.write_text(
        f'<configuration><net-file value="{grid.net_file}"/><route-files value="{routes}"/>'
        '<additional-files value="loops.add.xml"/><begin value="0"/><end value="60"/></configuration>'
    )

    (episode,) = Crew(1).play(UniversalActor(), [EpisodePlan(scenario=str(config), seed=1, length_s=20.0)])

    assert episode.ticks == 10
    assert (tmp_path / "loops.xml").exists()
