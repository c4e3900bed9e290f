"""Drives `CityEnv` with one ONNX policy an agent, as the street does, and writes down what every agent saw and did.

python street_probe.py BUNDLE SCENARIO SECONDS SEED OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.command import AppliedCommand
from phasemesh.contract.observation import HIDDEN_SIZE, SITE_SIZE
from phasemesh.contract.tensors import PolicyFault, PolicyInput
from phasemesh.controller.policy.bundle import load_bundle
from phasemesh.controller.policy.noise import mask_noise
from phasemesh.controller.policy.selection import choose_stage, stage_probabilities
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.trainer.env import AgentView, CityEnv, CityOptions
from phasemesh.trainer.messages import Inbox, told_by


class Seen(msgspec.Struct):
    """One agent at one tick; arrays as bytes in single precision."""

    agent: str
    lanes: bytes
    stage_state: bytes
    messages: bytes
    legal: tuple[bool, ...]
    stage: int
    applied: AppliedCommand


class Driver:
    """What the agents carry, and their policies."""

    def __init__(self, env: CityEnv, bundle: Path, seed: int) -> None:
        """One policy for each agent of `env`."""
        loaded = load_bundle(bundle, trusted_keys())
        self.env, self.seed = env, seed
        self.policies = {name: loaded.policy_for(name) for name in env.possible_agents}
        self.inbox = Inbox(env.layout, env.options.tick_s)
        self.hidden = np.zeros((len(env.possible_agents), HIDDEN_SIZE), dtype=np.float32)
        self.policy = np.zeros(env.layout.has_stage.shape, dtype=np.float32)

    def decide(self, views: dict[str, AgentView], step: int) -> tuple[dict[str, int], dict[str, np.ndarray]]:
        """Every agent's wish, each from its own inputs, and the messages that each heard."""
        summary = np.stack([views[name]["summary"] for name in self.env.possible_agents])
        told = told_by(summary, self.policy, self.hidden)
        held, _ = self.inbox.take(told, np.zeros(self.env.layout.neighbours.shape, dtype=bool))
        heard = {
            name: held[index, : max(1, int(self.env.layout.has_neighbour[index].sum()))]
            for index, name in enumerate(self.env.possible_agents)
        }
        return {
            name: self._ask(index, name, views[name], heard[name], step)
            for index, name in enumerate(self.env.possible_agents)
        }, heard

    def _ask(self, index: int, name: str, view: AgentView, heard: np.ndarray, step: int) -> int:
        is_there = self.env.layout.has_neighbour[index, : len(heard)]
        output = self.policies[name].infer(
            PolicyInput(
                lanes=view["lanes"],
                stage_lanes=view["stage_lanes"],
                stage_state=view["stage_state"],
                neighbour_messages=heard,
                neighbour_valid=is_there.astype(np.float32),
                mask_noise=mask_noise(self.seed, name, step, len(heard)),
                hidden=self.hidden[index],
                site=np.zeros(SITE_SIZE, dtype=np.float32),
            )
        )
        assert not isinstance(output, PolicyFault)
        legal = tuple(bool(flag) for flag in view["action_mask"])
        self.hidden[index] = output.hidden_next
        self.policy[index, : len(legal)] = stage_probabilities(output.stage_logits, legal)
        return choose_stage(output.stage_logits, legal, int(view["stage_state"][:, 0].argmax()))


def main(bundle: str, scenario: str, seconds: str, seed: str, out: str) -> None:
    """Play, and write one `Seen` an agent and tick."""
    env = CityEnv(CityOptions(scenario=find_scenario(scenario), tick_s=5.0, length_s=float(seconds)))
    driver = Driver(env, Path(bundle), int(seed))
    views, _ = env.reset(seed=int(seed))
    seen, step = [], 0
    while env.agents:
        before = views
        stages, heard = driver.decide(views, step)
        views, _, _, _, infos = env.step(stages)
        step += env.steps_per_tick
        seen += [
            Seen(
                agent=name,
                lanes=before[name]["lanes"].tobytes(),
                stage_state=before[name]["stage_state"].tobytes(),
                messages=heard[name].tobytes(),
                legal=tuple(bool(flag) for flag in before[name]["action_mask"]),
                stage=stages[name],
                applied=infos[name]["applied"],
            )
            for name in env.possible_agents
        ]
    env.close()
    Path(out).write_bytes(msgspec.msgpack.encode(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
