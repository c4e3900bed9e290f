"""The table of controllers: SUMO's own programs, rules in numpy, local plans, and bundles."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from phasemesh.contract.errors import BundleError, InputError
from phasemesh.contract.site import PlanKind
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.memory.street_reward import RewardRule, reward_rule
from phasemesh.controller.plans.table import DEFAULT_PLAN
from phasemesh.controller.policy.bundle import LoadedBundle, find_bundle, installed_bundles, load_bundle
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.sim_harness.rules import SCORES, ScoreRule, SelfOrganisingRule
from phasemesh.sim_harness.sumo.programs import ProgramKind

BUNDLE_PREFIX = "bundle:"
"""Forces the bundle where a rule has the same name."""


class ControllerKind(StrEnum):
    """Who decides."""

    SUMO = "sumo"
    RULE = "rule"
    PLAN = "plan"
    BUNDLE = "bundle"


class Controller(msgspec.Struct, frozen=True):
    """One controller: SUMO's own control (`program` None: the network's), or a policy for each intersection.

    `make_policy` takes an intersection's id and the control interval in seconds; without one the agents stay on LOCAL.
    `plan` is the local plan of the agents and the own plan of the cabinets, `reward` what a
    memory beside the policy is taught by.
    """

    name: str
    kind: ControllerKind
    tick_s: float
    program: ProgramKind | None = None
    bundle: Path | None = None
    bundle_digest: str = ""
    is_deterministic: bool = True
    make_policy: Callable[[IntersectionId, float], Policy] | None = None
    plan: PlanKind = DEFAULT_PLAN
    reward: RewardRule = RewardRule()


SUMO_PROGRAMS: dict[str, ProgramKind | None] = {
    "fixed": None,
    "actuated": ProgramKind.ACTUATED,
    "delay-based": ProgramKind.DELAY_BASED,
}
"""SUMO's own controls and the type of program that each needs; they run untouched and are only watched."""

RULE_TICK_S: dict[str, float] = {
    "max-pressure": 5.0,
    "max-wave": 5.0,
    "longest-queue": 5.0,
    "sotl": 5.0,
    "approach": 2.0,
    "approach-lost-time": 2.0,
}
"""The rules, each with its default control interval in seconds."""

LOCAL_CITIES: dict[str, PlanKind] = {"local": DEFAULT_PLAN, **{f"local-{kind}": kind for kind in PlanKind}}
"""Cities whose agents have no policy: all of them stay on the rung LOCAL and follow this plan through the guard."""

LOCAL_TICK_S = 2.0
"""The control interval of agents without a policy, which is that of the bundles that ship, in seconds."""

WATCH_TICK_S = 5.0
"""How often signals that run their own programs are looked at."""


def find_controller(text: str) -> Controller:
    """The controller `text`: a rule, SUMO's own, a city in LOCAL, or a bundle's name or path; raises InputError."""
    if text in SUMO_PROGRAMS:
        return Controller(name=text, kind=ControllerKind.SUMO, tick_s=WATCH_TICK_S, program=SUMO_PROGRAMS[text])
    if text in RULE_TICK_S:
        return Controller(text, ControllerKind.RULE, RULE_TICK_S[text], make_policy=_rule_maker(text))
    if text in LOCAL_CITIES:
        return Controller(text, ControllerKind.PLAN, LOCAL_TICK_S, plan=LOCAL_CITIES[text])
    return bundle_controller(text.removeprefix(BUNDLE_PREFIX))


def bundle_controller(name_or_path: str) -> Controller:
    """The bundle `name_or_path` as a controller; raises InputError, naming everything that exists."""
    try:
        folder = find_bundle(name_or_path)
    except BundleError as error:
        raise InputError(f"{error}; rules are {', '.join((*SUMO_PROGRAMS, *RULE_TICK_S, *LOCAL_CITIES))}") from error
    bundle = load_bundle(folder, trusted_keys())
    return Controller(
        name=f"{BUNDLE_PREFIX}{name_or_path}" if name_or_path in RULE_TICK_S else name_or_path,
        kind=ControllerKind.BUNDLE,
        tick_s=bundle.manifest.tick_s,
        bundle=folder,
        bundle_digest=bundle.digest,
        is_deterministic=bundle.manifest.is_deterministic,
        make_policy=_bundle_maker(bundle),
        reward=reward_rule(bundle.manifest),
    )


def known_controllers() -> tuple[str, ...]:
    """Every name that `find_controller` takes without a path."""
    bundles = (f"{BUNDLE_PREFIX}{name}" if name in RULE_TICK_S else name for name in sorted(installed_bundles()))
    return (*SUMO_PROGRAMS, *RULE_TICK_S, *LOCAL_CITIES, *bundles)


def _rule_maker(name: str) -> Callable[[IntersectionId, float], Policy]:
    def make(_intersection_id: IntersectionId, tick_s: float) -> Policy:
        return SelfOrganisingRule(tick_s) if name == "sotl" else ScoreRule(SCORES[name])

    return make


def _bundle_maker(bundle: LoadedBundle) -> Callable[[IntersectionId, float], Policy]:
    def make(intersection_id: IntersectionId, _tick_s: float) -> Policy:
        return bundle.policy_for(intersection_id)

    return make
