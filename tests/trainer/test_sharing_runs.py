"""Trainings of every way of sharing on a real city: begun, gone on with, and kept from what they cannot do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from actor_kinds import KINDS
from rich.console import Console

from phasemesh.contract.errors import InputError
from phasemesh.trainer import recipes
from phasemesh.trainer.actor_spec import NetworkKind, SharingKind
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor
from phasemesh.trainer.recipe import find_recipe
from phasemesh.trainer.session import Order, train_in
from phasemesh.trainer.sharing import needs_sites
from phasemesh.trainer.sites import sites_of

pytestmark = [pytest.mark.train, pytest.mark.sumo, pytest.mark.timeout(900)]
TINY = """
[learner]
kind = "a2c"
segment_ticks = 4
rows_per_batch = 16
critic_iterations = 0
[network]
kind = "{network}"
[communication]
kind = "{communication}"
[mask]
kind = "{mask}"
[sharing]
kind = "{sharing}"
[warm_start]
teacher = "approach-lost-time"
teacher_shares = [1.0]
epochs = 1
length_s = 60.0
[episodes]
per_iteration = 1
length_s = 20.0
"""


def make_order(folder: Path, network: NetworkKind, sharing: SharingKind, **changes: object) -> Order:
    """Two short iterations on a small city."""
    path = folder / f"{network}-{sharing}.toml"
    is_baseline = network is NetworkKind.NUMBERED
    mask, communication = ("open", "neurcomm") if is_baseline else ("bayes", "mask")
    path.write_text(TINY.format(network=network, sharing=sharing, mask=mask, communication=communication))
    return Order(**{"recipe": str(path), "scenarios": ("grid2x2",), "iterations": 2, **changes})


@pytest.mark.slow
@pytest.mark.parametrize(("network", "sharing"), KINDS[1:])
def test_a_resumed_training_agrees_with_one_that_was_not(
    tmp_path: Path, network: NetworkKind, sharing: SharingKind
) -> None:
    """Two iterations at once and one by one: the same weights and moments, whoever shares them."""
    console = Console(quiet=True)
    train_in(tmp_path / "a", make_order(tmp_path, network, sharing), console)
    train_in(tmp_path / "b", make_order(tmp_path, network, sharing, iterations=1), console)
    train_in(tmp_path / "b", make_order(tmp_path, network, sharing, is_resumed=True), console)

    with np.load(tmp_path / "a" / CHECKPOINT_NAME) as first, np.load(tmp_path / "b" / CHECKPOINT_NAME) as second:
        assert [name for name in first.files if name != "meta" and not np.array_equal(first[name], second[name])] == []
    spec = load_actor(tmp_path / "a" / CHECKPOINT_NAME)[0].spec
    assert (spec.network, spec.sharing) == (network, sharing)
    assert len(spec.sites) == (4 if needs_sites(network, sharing) else 0)


def test_a_resumed_training_goes_on_with_the_shares_that_it_had_learned(tmp_path: Path) -> None:
    """LToS: two iterations at once and one by one are the same, and its shares have moved."""
    path = tmp_path / "ltos.toml"
    text = (Path(recipes.__file__).parent / "ltos.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("[episodes]\n", "[episodes]\nlength_s = 60.0\n"), encoding="utf-8")
    order = Order(recipe=str(path), scenarios=("grid2x2",), iterations=2)
    console = Console(quiet=True)
    train_in(tmp_path / "a", order, console)
    train_in(tmp_path / "b", msgspec.structs.replace(order, iterations=1), console)
    train_in(tmp_path / "b", msgspec.structs.replace(order, is_resumed=True), console)

    with np.load(tmp_path / "a" / CHECKPOINT_NAME) as first, np.load(tmp_path / "b" / CHECKPOINT_NAME) as second:
        assert [name for name in first.files if name != "meta" and not np.array_equal(first[name], second[name])] == []
        assert np.any(first["shares/slope"])


@pytest.mark.parametrize(("network", "sharing"), [kind for kind in KINDS if needs_sites(*kind)])
def test_certain_intersections_are_no_range_of_cities(
    tmp_path: Path, network: NetworkKind, sharing: SharingKind
) -> None:
    """One line, before anything is written."""
    with pytest.raises(InputError, match="not for a range of cities"):
        train_in(
            tmp_path / "run",
            make_order(tmp_path, network, sharing, scenarios=("city:1-3",)),
            Console(quiet=True),
        )
    assert not (tmp_path / "run").exists()


def test_sites_are_those_of_all_scenarios_and_of_none_where_any_will_do() -> None:
    """By name, lanes and stages; two maps with a name in common are refused."""
    recipe = find_recipe("bayesg-paper")

    assert sites_of(find_recipe("bayesg"), ("grid2x2", "city:*")) == ()
    assert len(sites_of(recipe, ("grid2x2",))) == 4
    assert all(site.lanes > 0 and site.stages > 1 for site in sites_of(recipe, ("grid2x2", "cologne3")))
    with pytest.raises(InputError, match="is in two of them"):
        sites_of(recipe, ("grid2x2", "grid3x3"))
