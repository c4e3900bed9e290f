"""Episodes as a learner reads them: what the critic sees, and batches of short segments to replay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from phasemesh.contract.observation import FloatArray
from phasemesh.contract.units import IntersectionId
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.layout import IntArray, Layout

Index = npt.NDArray[np.int64]


class CriticInput(NamedTuple):
    """The inputs of `Critic.forward`, in its order; leading dimensions [T, A] or [N, B]."""

    lanes: Tensor
    has_lane: Tensor
    current_shares: Tensor
    current_state: Tensor
    neighbours: Tensor
    has_neighbour: Tensor
    offsets: Tensor


class Batch(NamedTuple):
    """Segments of N ticks of one city, in B rows (agents times segments).

    Time comes first, [N, B, ...], except for what does not change in it: `hidden` [B, H] before the first tick,
    `has_lane` [B, L], `stage_lanes` [B, S, L, 2]; `agents` names the intersection of each row. See `Episode`,
    `Batch.critic` for the critic, and `Lesson`.
    """

    lanes: Tensor
    stage_state: Tensor
    legal: Tensor
    messages: Tensor
    valid: Tensor
    noise: Tensor
    hidden: Tensor
    has_lane: Tensor
    stage_lanes: Tensor
    stage: Tensor
    log_probability: Tensor
    taught: Tensor
    costs: Tensor
    advantage: Tensor
    target: Tensor
    agents: tuple[IntersectionId, ...]
    critic: CriticInput

    @property
    def has_choice(self) -> Tensor:
        """Where the guard left more than one stage to choose, [N, B]; elsewhere nothing can be learnt."""
        return self.legal.sum(dim=-1) > 1

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        fields: dict[str, Any] = {
            name: part.to(device) if isinstance(part, Tensor) else part for name, part in self._asdict().items()
        }
        return Batch(**fields | {"critic": CriticInput(*(part.to(device) for part in self.critic))})


class Replayed(NamedTuple):
    """What the actor answers now to a batch.

    Log policy [N, B, S], edge posterior [N, B, K] and hyper-action [N, B, k]; the last has no gradient into what the
    policy hangs on.
    """

    log_policy: Tensor
    probability: Tensor
    hyper: Tensor

    def taken(self, stage: Tensor) -> Tensor:
        """Log probability of `stage` [N, B]."""
        return self.log_policy.gather(-1, stage.unsqueeze(-1)).squeeze(-1)

    @property
    def entropy(self) -> Tensor:
        """Entropy of the policy over legal stages in nats, [N, B]."""
        policy = self.log_policy.exp()
        return -(policy * self.log_policy.clamp(min=-1e4)).sum(dim=-1)


class Lesson(NamedTuple):
    """One episode with what there is to learn from it: advantages and the critic's targets, [T, A] each."""

    episode: Episode
    advantage: FloatArray
    target: FloatArray


def critic_input(episode: Episode) -> CriticInput:
    """What the critic sees of a whole episode, each [T, A, ...]; it hears neighbours even where the street did not."""
    layout, ticks = episode.layout, episode.ticks
    agents = np.arange(len(layout.names))[None, :]
    heard = episode.told[:, layout.neighbours]
    acted = actions_of(episode)[:, layout.neighbours]
    return CriticInput(
        lanes=torch.from_numpy(episode.lanes),
        has_lane=torch.from_numpy(layout.has_lane.astype(np.float32)).expand(ticks, -1, -1),
        current_shares=torch.from_numpy(layout.stage_lanes[agents, episode.current]),
        current_state=torch.from_numpy(episode.stage_state[np.arange(ticks)[:, None], agents, episode.current]),
        neighbours=torch.from_numpy(np.concatenate((heard, acted), axis=-1)),
        has_neighbour=torch.from_numpy(layout.has_neighbour.astype(np.float32)).expand(ticks, -1, -1),
        offsets=torch.from_numpy(_offsets(layout)).expand(ticks, -1, -1),
    )


def _offsets(layout: Layout) -> IntArray:
    """How many rows after each agent its neighbours stand, [A, K]; 0 where there is none."""
    found: IntArray = np.where(layout.has_neighbour, layout.neighbours - np.arange(len(layout.names))[:, None], 0)
    return found


def actions_of(episode: Episode) -> FloatArray:
    """What the stage that each agent wants would serve: lane features, protected and permissive, [T, A, 2F]."""
    agents = np.arange(len(episode.layout.names))[None, :]
    shares = episode.layout.stage_lanes[agents, episode.stage]
    served: FloatArray = np.einsum("talp,talf->tapf", shares, episode.lanes)
    return served.reshape(*episode.stage.shape, -1)


def batches(
    lesson: Lesson, random: np.random.Generator, *, segment_ticks: int, rows: int, share: float = 1.0
) -> Iterator[Batch]:
    """A random `share` of the segments of `lesson` in random order, about `rows` rows a batch.

    The last tick has no tick after it to be judged by and is left out.
    """
    series = _series(lesson)
    ticks, count = lesson.advantage.shape
    starts = _starts(ticks, min(segment_ticks, ticks), share, random)
    per_batch = max(1, rows // count)
    for first in range(0, len(starts), per_batch):
        chosen = starts[first : first + per_batch]
        yield _batch(lesson.episode, series, chosen[None, :] + np.arange(min(segment_ticks, ticks))[:, None])


def in_order(lesson: Lesson, segment_ticks: int) -> Iterator[Batch]:
    """All ticks of `lesson` from the first to the last, a row for each agent."""
    series, ticks = _series(lesson), len(lesson.advantage)
    for first in range(0, ticks, segment_ticks):
        yield _batch(lesson.episode, series, np.arange(first, min(ticks, first + segment_ticks))[:, None])


def _starts(ticks: int, length: int, share: float, random: np.random.Generator) -> Index:
    """First ticks of segments that do not overlap, from a random offset, in random order."""
    offset = int(random.integers(0, ticks % length + 1))
    starts = offset + length * random.permutation((ticks - offset) // length)
    kept: Index = starts[: max(1, round(share * len(starts)))]
    return kept


def _series(lesson: Lesson) -> dict[str, Tensor]:
    """What a batch holds for every tick and agent as it stands in the episode, [T, A, ...]."""
    episode = lesson.episode
    names = ("lanes", "stage_state", "legal", "noise", "stage", "log_probability", "taught", "costs")
    found = {name: torch.from_numpy(getattr(episode, name)) for name in names}
    valid = torch.from_numpy(episode.valid.astype(np.float32))
    return found | {
        "valid": valid,
        "advantage": torch.from_numpy(lesson.advantage),
        "target": torch.from_numpy(lesson.target),
    }


def _batch(episode: Episode, series: dict[str, Tensor], ticks: Index) -> Batch:
    """The segments whose ticks are the columns of `ticks` [N, C]; rows are segments times agents."""
    layout, columns = episode.layout, ticks.shape[1]
    at = torch.from_numpy(ticks)
    cut = {name: tensor[at].flatten(1, 2) for name, tensor in series.items()}
    critic = critic_input(_excerpt(episode, ticks))
    return Batch(
        **cut,
        messages=torch.from_numpy(heard_messages(episode, ticks)).flatten(1, 2),
        hidden=torch.from_numpy(episode.hidden[ticks[0]]).flatten(0, 1),
        has_lane=torch.from_numpy(layout.has_lane.astype(np.float32)).repeat(columns, 1),
        stage_lanes=torch.from_numpy(layout.stage_lanes).repeat(columns, 1, 1, 1),
        agents=layout.names * columns,
        critic=CriticInput(*(part.reshape(len(ticks), -1, *part.shape[2:]) for part in critic)),
    )


def _excerpt(episode: Episode, ticks: Index) -> Episode:
    """The ticks that a batch holds, one after the other, as an episode of their own."""
    names = ("lanes", "stage_state", "current", "told", "stage")
    return msgspec.structs.replace(episode, **{name: getattr(episode, name)[ticks.reshape(-1)] for name in names})


def heard_messages(episode: Episode, ticks: Index) -> FloatArray:
    """The messages heard at `ticks` [N, C], [N, C, A, K, D]; zeros where there was nothing fresh."""
    told_at = np.maximum(ticks[..., None, None] - episode.age[ticks], 0)
    rows: FloatArray = episode.told[told_at, episode.layout.neighbours]
    heard: FloatArray = rows * episode.valid[ticks][..., None]
    return heard


def replay(actor: Actor, batch: Batch, temperature: float | None) -> Replayed:
    """Let `actor` decide the ticks of `batch` again from the recorded inputs, mask noise included.

    The mask passes the gradient of its relaxed sample at `temperature`, none for None.
    """
    acting = actor.acting(batch.agents)
    encoded = acting.encode(batch.lanes, batch.has_lane, batch.stage_lanes, batch.messages)
    hidden, scores, probability, hyper = batch.hidden, [], [], []
    for tick, seen in enumerate(_by_tick(encoded)):
        decided = acting.decide(
            seen,
            batch.stage_state[tick],
            batch.legal[tick],
            batch.valid[tick],
            batch.noise[tick],
            hidden,
            temperature=temperature,
        )
        hidden = decided.hidden
        scores.append(decided.scores)
        probability.append(decided.probability)
        # The value may change how an agent is judged, not how it acts.
        hyper.append(acting.hyper(hidden.detach()))
    # Ratios of probabilities need single precision, whatever the network computes in.
    return Replayed(
        torch.log_softmax(torch.stack(scores).float(), dim=-1),
        torch.stack(probability).float(),
        torch.stack(hyper).float(),
    )


def _by_tick(encoded: Any) -> Iterator[Any]:  # noqa: ANN401 (a tuple of tensors that differs from network to network)
    """The ticks of a segment, all cut at once: each cut by itself would have a gradient as large as the segment."""
    return (type(encoded)(*parts) for parts in zip(*(part.unbind(0) for part in encoded), strict=True))


def masked_mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of `values` over the entries that are `where`; 0 when there are none."""
    weights = where.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1.0)
