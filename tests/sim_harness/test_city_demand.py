"""The traffic of generated cities: shapes that keep the mean, and a route file that adds up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from phasemesh.sim_harness.scenarios.city_demand import PERIODS, SHAPES, city_demand, factors_of
from phasemesh.sim_harness.scenarios.city_recipe import DemandShape, city_recipe
from phasemesh.sim_harness.scenarios.city_roads import Entrance
from phasemesh.sim_harness.sumo.xml_stream import elements

WAYS = (
    Entrance("a", 0.25, ((("a", "c"), 1.0),)),
    Entrance("b", 0.75, ((("b", "c"), 0.4), (("b", "e"), 0.6))),
)


def shaped(shape: DemandShape, **changes: object) -> tuple[tuple[float, ...], ...]:
    """The factors of three entrances."""
    recipe = msgspec.structs.replace(city_recipe(1), shape=shape, **{"strength": 0.8, "phase": 0.5, **changes})
    return tuple(factors_of(recipe, entrance, 3) for entrance in range(3))


@pytest.mark.parametrize("shape", list(DemandShape))
@pytest.mark.parametrize("strength", [0.2, 0.9])
@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0])
def test_a_shape_changes_demand_and_keeps_its_mean(shape: DemandShape, strength: float, phase: float) -> None:
    """No demand is negative, and the mean over the window is 1 at every entrance."""
    for factors in shaped(shape, strength=strength, phase=phase):
        assert len(factors) == PERIODS
        assert min(factors) > 0.0
        assert sum(factors) == pytest.approx(PERIODS)


def test_every_shape_is_known() -> None:
    """Whatever the recipe draws can be made."""
    assert set(SHAPES) == set(DemandShape)


def test_shapes_are_what_their_names_say() -> None:
    """A hill; three waves, in turns; one entrance that is flooded for two periods; half rising and half falling."""
    assert {max(factors) / min(factors) for factors in shaped(DemandShape.CONSTANT)} == {1.0}
    hill = shaped(DemandShape.PEAK)[0]
    assert hill.index(max(hill)) in range(4, 8)
    assert shaped(DemandShape.WAVES)[0][0] != pytest.approx(shaped(DemandShape.WAVES)[1][0])
    flooded = [factors for factors in shaped(DemandShape.SURGE) if max(factors) > 2.0 * min(factors)]
    assert len(flooded) == 1
    assert sorted(flooded[0])[-3] < sorted(flooded[0])[-2] == max(flooded[0])
    first, second, _ = shaped(DemandShape.TIDE)
    assert sorted(first) == list(first)
    assert sorted(second, reverse=True) == list(second)


def test_the_route_file_brings_the_demand_that_was_asked_for(tmp_path: Path) -> None:
    """Arrivals of all flows add up to it, in the order of time, each on the ways of its entrance."""
    recipe = msgspec.structs.replace(city_recipe(1), shape=DemandShape.WAVES, truck_share=0.06)
    path = tmp_path / "city.rou.xml"
    path.write_text(city_demand(recipe, WAYS, 1200.0), encoding="utf-8")
    found = list(elements(path))
    flows = [attributes for name, attributes in found if name == "flow"]

    vehicles = [
        float(flow["period"].removeprefix("exp(").removesuffix(")")) * (float(flow["end"]) - float(flow["begin"]))
        for flow in flows
    ]
    assert sum(vehicles) == pytest.approx(1200.0, rel=1e-3)
    assert sum(vehicles[::2]) == pytest.approx(0.25 * 1200.0, rel=1e-3)
    begins = [float(flow["begin"]) for flow in flows]
    assert begins == sorted(begins)
    assert {flow["route"] for flow in flows} == {"a", "b"}
    shares = [float(attributes["probability"]) for name, attributes in found if name == "route"]
    assert shares == [1.0, 0.4, 0.6]
    kinds = {attributes["id"]: float(attributes["probability"]) for name, attributes in found if name == "vType"}
    assert kinds == {"car": 0.94, "truck": 0.06}
