"""The table of controllers: names, prefixes, paths, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from city_runs import digest, run_city

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import PlanKind
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.plans.table import DEFAULT_PLAN
from phasemesh.controller.policy.bundle import find_bundle, installed_bundles
from phasemesh.controller.telemetry.records import Rung
from phasemesh.sim_harness.controllers import (
    LOCAL_CITIES,
    RULE_TICK_S,
    SUMO_PROGRAMS,
    ControllerKind,
    bundle_controller,
    find_controller,
    known_controllers,
)
from phasemesh.sim_harness.rules import SCORES, ScoreRule, SelfOrganisingRule
from phasemesh.sim_harness.sumo.programs import ProgramKind

ANYWHERE = IntersectionId("anywhere")


@pytest.mark.parametrize("name", known_controllers())
def test_every_listed_controller_can_be_found_under_its_name(name: str) -> None:
    """What the list offers exists, and a result names it so that it can be found again."""
    assert find_controller(name).name == name


def test_nothing_is_listed_twice() -> None:
    """A bundle that shares its name with a rule is listed with its prefix."""
    names = known_controllers()

    assert len(set(names)) == len(names)
    assert {"fixed", "max-pressure", "bundle:max-pressure", "bundle:approach-lost-time"} <= set(names)


@pytest.mark.parametrize(
    ("name", "program"), [("fixed", None), ("actuated", ProgramKind.ACTUATED), ("delay-based", ProgramKind.DELAY_BASED)]
)
def test_sumos_own_control_is_only_watched(name: str, program: ProgramKind | None) -> None:
    """It names the type of program to load and makes no policy."""
    controller = find_controller(name)

    assert (controller.kind, controller.program, controller.make_policy) == (ControllerKind.SUMO, program, None)


@pytest.mark.parametrize("name", RULE_TICK_S)
def test_every_rule_makes_its_policy_at_its_own_tick(name: str) -> None:
    """The score rules know no tick; self-organising lights count in it."""
    controller = find_controller(name)

    assert (controller.kind, controller.tick_s, controller.bundle) == (ControllerKind.RULE, RULE_TICK_S[name], None)
    assert controller.make_policy is not None
    kind = SelfOrganisingRule if name == "sotl" else ScoreRule
    assert isinstance(controller.make_policy(ANYWHERE, 5.0), kind)


def test_every_score_is_a_rule_and_no_rule_lacks_a_score() -> None:
    """The two tables name the same rules."""
    assert {*SCORES, "sotl"} == RULE_TICK_S.keys()
    assert not RULE_TICK_S.keys() & SUMO_PROGRAMS.keys()


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("local", DEFAULT_PLAN),
        ("local-fixed", PlanKind.FIXED),
        ("local-actuated", PlanKind.ACTUATED),
        ("local-approach", PlanKind.APPROACH),
    ],
)
def test_a_city_in_local_has_a_plan_and_no_policy(name: str, plan: PlanKind) -> None:
    """Its agents tick like those of the bundles that ship, so that a city is compared with itself on a lower rung."""
    controller = find_controller(name)

    assert (controller.kind, controller.plan) == (ControllerKind.PLAN, plan)
    assert (controller.make_policy, controller.bundle) == (None, None)
    assert controller.tick_s == bundle_controller("approach-lost-time").tick_s


def test_every_plan_of_the_contract_can_run_a_city() -> None:
    """Each has a row, beside the default."""
    assert {"local", *(f"local-{kind}" for kind in PlanKind)} == LOCAL_CITIES.keys()


@pytest.mark.parametrize("name", ["actuated", "approach", "approach-lost-time", "bundle:max-pressure"])
def test_whoever_decides_falls_back_on_the_default_plan(name: str) -> None:
    """Agents and cabinets of every other controller have it for bad times."""
    assert find_controller(name).plan is DEFAULT_PLAN


@pytest.mark.sumo
@pytest.mark.slow
def test_a_city_in_local_runs_on_the_plan_that_was_named(tmp_path: Path) -> None:
    """All agents stay on LOCAL, every tick is the plan's, the guard never holds or rejects, and plans differ."""
    names = ("local", *(f"local-{kind}" for kind in PlanKind))
    runs = [run_city(tmp_path / name, "grid3x3", name, seconds=120.0) for name in names]

    assert {(run.ticks, run.fallback_ticks) for run in runs} == {(9 * 60, 9 * 60)}
    assert {each.final_rung for run in runs for each in run.intersections.values()} == {Rung.LOCAL}
    assert set().union(*(run.guard_rejections for run in runs)) <= {"I6", "I7"}
    assert digest(tmp_path / "local") == digest(tmp_path / f"local-{DEFAULT_PLAN}")
    assert len({digest(tmp_path / name) for name in names}) == len(PlanKind)


def test_a_rule_goes_before_the_bundle_of_the_same_name() -> None:
    """The plain name is the rule; the prefix forces the bundle, whose result is named with it."""
    rule, bundle = find_controller("max-pressure"), find_controller("bundle:max-pressure")

    assert (rule.kind, bundle.kind) == (ControllerKind.RULE, ControllerKind.BUNDLE)
    assert bundle.name == "bundle:max-pressure"
    assert bundle.bundle == installed_bundles()["max-pressure"]


def test_a_bundle_brings_its_tick_its_digest_and_a_policy_for_every_intersection() -> None:
    """Whatever a run needs to know of a bundle stands in the controller."""
    controller = bundle_controller("approach-lost-time")

    assert controller.tick_s == 2.0
    assert controller.is_deterministic
    assert len(controller.bundle_digest) == 64
    assert controller.make_policy is not None
    assert hasattr(controller.make_policy(ANYWHERE, 2.0), "infer")


def test_a_bundle_is_also_found_by_its_path(tmp_path: Path) -> None:
    """The path stands in the name, with or without the prefix."""
    folder = tmp_path / "mine"
    shutil.copytree(find_bundle("max-pressure"), folder)

    assert find_controller(str(folder)).bundle == folder
    assert find_controller(f"bundle:{folder}").bundle == folder
    assert find_controller(str(folder)).name == str(folder)


def test_an_unknown_name_is_refused_with_everything_that_exists() -> None:
    """One line names the bundles and the rules."""
    with pytest.raises(
        InputError, match=r"nope: is no folder .* known are approach-lost-time, best, max-pressure"
    ) as refused:
        find_controller("nope")

    assert "rules are fixed, actuated, delay-based, max-pressure" in str(refused.value)
    assert "local, local-fixed, local-actuated, local-approach" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_rule_is_no_bundle() -> None:
    """Where only a bundle will do, the name of a rule that is none is refused."""
    with pytest.raises(InputError, match="sotl: is no folder"):
        bundle_controller("sotl")


def test_a_spoiled_bundle_is_refused(tmp_path: Path) -> None:
    """A bundle is verified before anything is run with it."""
    folder = tmp_path / "mine"
    shutil.copytree(find_bundle("max-pressure"), folder)
    (folder / "manifest.sig").unlink()

    with pytest.raises(InputError, match="not signed"):
        find_controller(str(folder))
