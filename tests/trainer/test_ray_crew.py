"""A Ray cluster plays the episodes that processes of this machine play, bit by bit; without Ray one line says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from phasemesh.contract.errors import InputError, MissingExtraError, PhasemeshError
from phasemesh.export.rule_weights import random_actor
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.crews import CREWS, CrewKind, hired
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.ray_crew import LOCAL, RayCrew

pytestmark = pytest.mark.train
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: extra `ray`")
PLANS = [EpisodePlan(scenario=name, seed=seed, length_s=60.0) for name, seed in (("cologne1", 9), ("cologne3", 4))]


@pytest.fixture
def cluster() -> Iterator[RayCrew]:
    """A cluster of this machine alone."""
    crew = RayCrew(LOCAL)
    yield crew
    crew.close()


@needs_ray
@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_cluster_plays_what_processes_play(cluster: RayCrew) -> None:
    """Every array of every episode, in the order of the plans, and again with arrays that may be written."""
    actor = random_actor(7)
    here = Crew(1).play(actor, PLANS)
    there = cluster.play(actor, PLANS)

    for first, second in zip(here, there, strict=True):
        assert second.plan == first.plan
        assert second.mean_delay_s == first.mean_delay_s
        for name, array in arrays_of(first).items():
            assert np.array_equal(array, arrays_of(second)[name]), name
            assert arrays_of(second)[name].flags.writeable, name
        torch.from_numpy(second.layout.stage_lanes)
    with pytest.raises(PhasemeshError, match="atlantis"):
        cluster.play(actor, [EpisodePlan(scenario="atlantis", seed=1)])


def arrays_of(episode: Episode) -> dict[str, np.ndarray]:
    """All that was recorded, and the layout."""
    values = {name: getattr(episode, name) for name in episode.__struct_fields__}
    layout = {f"layout {name}": getattr(episode.layout, name) for name in episode.layout.__struct_fields__}
    return {name: value for name, value in (values | layout).items() if isinstance(value, np.ndarray)}


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_cannot_be_joined_is_told() -> None:
    """With the address that was given."""
    with pytest.raises(InputError, match="--ray nowhere"):
        RayCrew("nowhere")


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when a cluster is asked for."""
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtraError, match=r"phasemesh\[ray\]"), hired(1, LOCAL):
        pass
    with hired(2) as crew:
        assert isinstance(crew, Crew)


def test_every_kind_of_crew_is_in_the_table() -> None:
    """Nothing that can be named is missing."""
    assert set(CREWS) == set(CrewKind)
