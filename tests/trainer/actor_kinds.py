"""Actors of every network and way of sharing for the town of three signals, and recipes for them."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import torch
from trainer_towns import LINE

from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import (
    UNIVERSAL_ONLY,
    CommunicationKind,
    MaskKind,
    MaskSpec,
    NetworkKind,
    SharingKind,
    SiteSpec,
)
from phasemesh.trainer.recipe import (
    CommunicationRecipe,
    LearnerKind,
    LearnerRecipe,
    MaskRecipe,
    NetworkRecipe,
    Recipe,
    SharingRecipe,
    actor_spec,
)
from phasemesh.trainer.sharing import make_actor, needs_sites

SITES = tuple(SiteSpec(each.id, len(each.lanes), len(each.stages), len(each.neighbours)) for each in LINE)
KINDS = tuple(
    (network, sharing)
    for network, sharing in itertools.product(NetworkKind, SharingKind)
    if network is NetworkKind.UNIVERSAL or sharing not in UNIVERSAL_ONLY
)


def make_recipe(network: NetworkKind, sharing: SharingKind, **learner: Any) -> Recipe:
    """A recipe for small episodes."""
    values: dict[str, Any] = {"kind": LearnerKind.A2C, "segment_ticks": 8, "rows_per_batch": 12, **learner}
    is_baseline = network is NetworkKind.NUMBERED
    return Recipe(
        learner=LearnerRecipe(**values),
        network=NetworkRecipe(kind=network),
        sharing=SharingRecipe(kind=sharing),
        communication=CommunicationRecipe(kind=CommunicationKind.NEURCOMM if is_baseline else CommunicationKind.MASK),
        mask=MaskRecipe(kind=MaskKind.OPEN if is_baseline else MaskKind.BAYES),
    )


def make_town_actor(network: NetworkKind, sharing: SharingKind, seed: int = 0, **mask: Any) -> Actor:
    """An untrained actor for the town, with weights large enough for every input to matter."""
    torch.manual_seed(seed)
    spec = actor_spec(make_recipe(network, sharing), SITES if needs_sites(network, sharing) else ())
    actor = make_actor(msgspec.structs.replace(spec, mask=MaskSpec(**mask)) if mask else spec)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.mul_(2.0)
    return actor
