"""The ego graphs of an episode: how likely each agent was to listen to each neighbour, tick by tick."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from phasemesh.contract.observation import FloatArray
from phasemesh.contract.units import IntersectionId
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Lesson, in_order, replay

SEGMENT_TICKS = 50
"""Ticks that are looked at together; more need more memory and give the same."""
ANY_TEMPERATURE = 0.5
"""That of gradients, of which there are none here."""


class EgoGraph(msgspec.Struct, frozen=True):
    """The edge posteriors of an episode.

    `edges` are pairs of positions in `names`: who listens, and to whom. `posterior` [T, E] is 0 at ticks without a
    fresh message; `times_s` [T] counts from the beginning of the episode.
    """

    names: tuple[IntersectionId, ...]
    edges: tuple[tuple[int, int], ...]
    times_s: FloatArray
    posterior: FloatArray

    @property
    def mean(self) -> FloatArray:
        """The mean posterior of every edge, [E]."""
        found: FloatArray = self.posterior.mean(axis=0)
        return found

    @property
    def rows(self) -> FloatArray:
        """The mean posteriors as ego rows, [A, A]: row i is that of agent i, and 0 outside of its neighbours."""
        rows = np.zeros((len(self.names), len(self.names)), dtype=np.float32)
        for (agent, neighbour), value in zip(self.edges, self.mean, strict=True):
            rows[agent, neighbour] = value
        return rows


def ego_graph_of(actor: Actor, episode: Episode) -> EgoGraph:
    """The ego graphs that `actor` had in `episode`, which it must have played."""
    layout = episode.layout
    agents, places = np.nonzero(layout.has_neighbour)
    return EgoGraph(
        names=layout.names,
        edges=tuple(zip(agents.tolist(), layout.neighbours[agents, places].tolist(), strict=True)),
        times_s=(episode.plan.tick_s * np.arange(episode.ticks)).astype(np.float32),
        posterior=_posterior(actor, episode)[:, agents, places],
    )


def _posterior(actor: Actor, episode: Episode) -> FloatArray:
    """The edge posteriors of all agents, [T, A, K], from what they saw, heard and remembered."""
    nothing = np.zeros(episode.stage.shape, dtype=np.float32)
    with torch.no_grad():
        parts = [
            replay(actor, batch, ANY_TEMPERATURE).probability.numpy()
            for batch in in_order(Lesson(episode, nothing, nothing), SEGMENT_TICKS)
        ]
    found: FloatArray = np.concatenate(parts)
    return found
