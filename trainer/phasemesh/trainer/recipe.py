"""Recipes: one TOML file says everything that a training does, so that it can be repeated."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.faults.sensors import SENSOR_TROUBLES
from phasemesh.trainer.actor_spec import (
    UNIVERSAL_ONLY,
    ActorSpec,
    CommunicationKind,
    HeadsSpec,
    MaskKind,
    MaskSpec,
    Mixing,
    NetworkKind,
    SharingKind,
    SiteSpec,
)
from phasemesh.trainer.recipe_ranges import RANGES
from phasemesh.trainer.rewards import RewardKind
from phasemesh.trainer.teacher import check_teacher


class LearnerKind(StrEnum):
    """How the actor is improved; each is one file in `learners`."""

    PPO = "ppo"
    A2C = "a2c"
    DISTIL = "distil"


class Precision(StrEnum):
    """What the networks compute in while they learn; episodes are always played in single precision."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class MaskLoss(StrEnum):
    """What the ego-graph mask is regularised by: the divergence from the prior, or what BayesG prints."""

    KL = "kl"
    PRINTED = "printed"


class SharesKind(StrEnum):
    """Who decides whose reward an agent is paid: the recipe by distance, or each agent as it has learned (LToS)."""

    SPATIAL = "spatial"
    LEARNED = "learned"


class LearnerRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The numbers of the learner; `gamma` and `lambda_` are per tick.

    An update takes `epochs` passes over a `share_per_epoch` of the segments of `segment_ticks` ticks, in batches of
    about `rows_per_batch` rows. The rate of learning falls linearly to `final_rate` of itself over `anneal_iterations`.
    In the first `critic_iterations` only the critic learns. `clip`, `epochs`, `share_per_epoch` and
    `decisions_per_epoch` are PPO's; the last is how many decisions of one episode an epoch looks at, at most, so that
    large cities do not drown small ones. Without `policy_weight` and `entropy_weight` the regulariser of the mask is
    all that an actor learns from.
    """

    kind: LearnerKind = LearnerKind.PPO
    precision: Precision = Precision.FLOAT32
    learning_rate: float = 1e-3
    final_rate: float = 0.1
    anneal_iterations: int = 200
    gamma: float = 0.985
    lambda_: float = msgspec.field(default=0.93, name="lambda")
    clip: float = 0.2
    epochs: int = 4
    share_per_epoch: float = 0.5
    decisions_per_epoch: int = 1_000_000
    segment_ticks: int = 16
    rows_per_batch: int = 48
    policy_weight: float = 1.0
    entropy_weight: float = 0.002
    value_weight: float = 0.5
    max_grad_norm: float = 0.5
    critic_iterations: int = 2


class MaskRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The Bayesian ego graph: `prior` probability of an edge, `weight` of its loss, `temperature` of its gradient.

    `kind` and what the posterior sees are those of `MaskSpec`; only a mask of kind `bayes` learns and has a loss. One
    that `begins_anew` does not take over the layers of the edge posterior from another run or bundle.
    """

    kind: MaskKind = MaskKind.BAYES
    sees_state: bool = True
    sees_trajectory: bool = True
    sees_policy: bool = True
    loss: MaskLoss = MaskLoss.KL
    prior: float = 0.5
    weight: float = 0.01
    temperature: float = 0.5
    begins_anew: bool = False


class SharingRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who has which weights; see `SharingKind`."""

    kind: SharingKind = SharingKind.FULL


class HeadsRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The heads of the critic with sharing `hyper-action`; see `HeadsSpec`.

    The entropy of the hyper-action is rewarded, so that it does not settle on one head too early: a nat is worth
    `entropy_weight` at first and falls to `final_entropy_weight` as the rate of learning does.
    """

    count: int = 32
    mixing: Mixing = Mixing.LEARNED
    attends: bool = True
    entropy_weight: float = 0.01
    final_entropy_weight: float = 0.001


class NetworkRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which network scores the stages; see `NetworkKind`."""

    kind: NetworkKind = NetworkKind.UNIVERSAL


class CommunicationRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an agent hears of its neighbours; see `CommunicationKind`."""

    kind: CommunicationKind = CommunicationKind.MASK


class RewardRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is rewarded, and how it is shared: discount ** hops for agents up to `spatial_reach` neighbours away.

    With `learned` shares this is the objective, and agents are paid what they and their neighbours give away: each its
    reward, in shares that are 1 in all, `first_own_share` for itself at first. A step changes the scores of shares by
    `share_rate` times their correlation with what is gained; with 0 they stay.
    """

    kind: RewardKind = RewardKind.DELAY
    spatial_discount: float = 0.3
    spatial_reach: int = 1
    shares: SharesKind = SharesKind.SPATIAL
    first_own_share: float = 0.6
    share_rate: float = 1.0


class WarmStart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Cloning of `teacher` before the learner begins; no teacher, no warm start.

    Each of `teacher_shares` is a round: an episode on every scenario in which that share of the ticks is played by the
    teacher, then `epochs` passes over all rounds so far. Afterwards scores are multiplied by `sharpness`. Of a range of
    cities each round plays `cities`.
    """

    teacher: str = ""
    teacher_shares: tuple[float, ...] = (1.0, 0.5, 0.0)
    cities: int = 4
    length_s: float = 1800.0
    epochs: int = 10
    segment_ticks: int = 8
    rows_per_batch: int = 64
    learning_rate: float = 3e-3
    sharpness: float = 1.0


class PlannerRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The look-ahead planner that `distil` learns from; an iteration of that learner is a round of it.

    The base is the rule `base` in the first round and the actor from then on; with no rule, or when a training begins
    from another run's weights, it is the actor at once. Each stage is tried for a tick and followed by the base up to
    `horizon_s`; it costs the delay on the approaches of its signal and of those up to `reach` neighbours away, as the
    mean of `futures`. This is done for a share of `looks` of the decisions; of the others only
    those teach something in which nobody comes but who is served.

    The planner leaves the base where that saves more than `margin_veh_s`. Its choices are played in one of `shares` of
    the decisions, a round each, the last one in all rounds that follow. The actor learns stages with probabilities that
    fall by e with every `temperature_veh_s` of cost, at `learning_rate`, and otherwise as in the warm start. A training
    has `rounds` if nobody says else.
    """

    base: str = ""
    horizon_s: float = 40.0
    margin_veh_s: float = 2.0
    futures: int = 1
    reach: int = 1
    looks: float = 1.0
    shares: tuple[float, ...] = (1.0, 0.5)
    temperature_veh_s: float = 5.0
    learning_rate: float = 1e-3
    rounds: int = 3


class EpisodesRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is played: `per_iteration` turns with the weights of one iteration.

    Each turn is the next scenario, played as often as it takes to have `agents` agents in all; a range of cities is
    played once. Demand is drawn from `demand`, message loss from `message_losses`. An episode lasts `length_s` at most,
    one of a range of cities `city_length_s`. `cities` are the first and last of those that `city:*` stands for.
    """

    per_iteration: int = 3
    agents: int = 1
    tick_s: float = 2.0
    length_s: float = 3600.0
    city_length_s: float = 3600.0
    profile: str = "benchmark"
    demand: tuple[float, float] = (0.9, 1.1)
    message_losses: tuple[float, ...] = (0.0,)
    cities: tuple[int, int] = (1, 1000)


class Randomisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The street's faults in training, drawn anew for every episode from its seed; off by default.

    The tick is drawn from `ticks_s`, or is that of the episodes where there are none. The others are ranges, from
    which one value an episode is drawn: `StreetFaults` says what each means. A detector that is out of order is so for
    `outage_s` on average and says what one of `outage_kinds` says, the faults of detectors that the harness knows by
    name. The loss of messages is drawn from `episodes.message_losses`.
    """

    ticks_s: tuple[float, ...] = ()
    detector_noise: tuple[float, float] = (0.0, 0.0)
    detector_outage: tuple[float, float] = (0.0, 0.0)
    outage_s: float = 60.0
    outage_kinds: tuple[str, ...] = ("detector-silent",)
    message_delay: tuple[float, float] = (0.0, 0.0)


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One training: learner x sharing x network x communication x reward, and what it is played on.

    With an `origin`, the folder of a run or a bundle by folder or name, it begins with these weights unless others are
    named where it is asked for.
    """

    origin: str = ""
    learner: LearnerRecipe = LearnerRecipe()
    sharing: SharingRecipe = SharingRecipe()
    heads: HeadsRecipe = HeadsRecipe()
    network: NetworkRecipe = NetworkRecipe()
    communication: CommunicationRecipe = CommunicationRecipe()
    mask: MaskRecipe = MaskRecipe()
    reward: RewardRecipe = RewardRecipe()
    warm_start: WarmStart = WarmStart()
    planner: PlannerRecipe = PlannerRecipe()
    episodes: EpisodesRecipe = EpisodesRecipe()
    randomisation: Randomisation = Randomisation()


def actor_spec(recipe: Recipe, sites: tuple[SiteSpec, ...] = ()) -> ActorSpec:
    """What the actor of `recipe` is made from, for `sites` where it needs to know them."""
    mask, heads = recipe.mask, recipe.heads
    has_heads = recipe.sharing.kind is SharingKind.HYPER
    return ActorSpec(
        network=recipe.network.kind,
        sharing=recipe.sharing.kind,
        communication=recipe.communication.kind,
        sites=sites,
        mask=MaskSpec(
            kind=mask.kind,
            prior=mask.prior if mask.kind is MaskKind.RANDOM else MaskSpec().prior,
            sees_state=mask.sees_state,
            sees_trajectory=mask.sees_trajectory,
            sees_policy=mask.sees_policy,
        ),
        heads=HeadsSpec(count=heads.count, mixing=heads.mixing, attends=heads.attends) if has_heads else HeadsSpec(),
    )


def known_recipes() -> tuple[str, ...]:
    """The names of the recipes that ship."""
    names = (path.name for path in resources.files("phasemesh.trainer.recipes").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def find_recipe(name_or_path: str) -> Recipe:
    """The recipe that ships under that name, or that of a `.toml` file; raises InputError with one line."""
    if name_or_path in known_recipes():
        path = resources.files("phasemesh.trainer.recipes") / f"{name_or_path}.toml"
        return _decoded(path.read_text(encoding="utf-8"), name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise InputError(
            f"there is no recipe {name_or_path!r}; known are {', '.join(known_recipes())} and any path to a .toml"
        )
    try:
        return _decoded(path.read_text(encoding="utf-8"), name_or_path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _decoded(text: str, name: str) -> Recipe:
    try:
        recipe = msgspec.convert(tomllib.loads(text), Recipe)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"recipe {name}: {error}") from error
    faults = faults_of_recipe(recipe)
    if faults:
        raise InputError(f"recipe {name}: {faults[0]} ({len(faults)} faults)")
    return recipe


def faults_of_recipe(recipe: Recipe) -> list[str]:
    """Every number of `recipe` that makes no sense, one sentence each."""
    for rule in (recipe.warm_start.teacher, recipe.planner.base):
        if rule:
            check_teacher(rule)
    sections = {name: getattr(recipe, name) for name in recipe.__struct_fields__}
    empty = [] if recipe.planner.shares else ["planner.shares is empty"]
    return (
        empty
        + _faults_of_network(recipe)
        + _faults_of_randomisation(recipe.randomisation)
        + [
            f"{section}.{name} is {getattr(sections[section], name)}, must be from {low:g} to {high:g}"
            for section, ranges in RANGES.items()
            for name, (low, high) in ranges.items()
            if not all(low <= value <= high for value in _numbers(getattr(sections[section], name)))
        ]
    )


def _faults_of_network(recipe: Recipe) -> list[str]:
    """A network that cannot hear what it should."""
    network, communication = recipe.network.kind, recipe.communication.kind
    if recipe.reward.shares is SharesKind.LEARNED and recipe.sharing.kind is not SharingKind.NONE:
        return [f"reward.shares is learned, for which sharing.kind must be none, not {recipe.sharing.kind}"]
    if recipe.sharing.kind in UNIVERSAL_ONLY and network is not NetworkKind.UNIVERSAL:
        return [f"sharing.kind is {recipe.sharing.kind}, for which network.kind must be universal, not {network}"]
    is_baseline = network is NetworkKind.NUMBERED
    if is_baseline == (communication is CommunicationKind.MASK):
        heard = [kind for kind in CommunicationKind if is_baseline == (kind is not CommunicationKind.MASK)]
        return [f"communication.kind is {communication}, with network.kind {network} it must be {' or '.join(heard)}"]
    if is_baseline and recipe.mask.kind is MaskKind.BAYES:
        return [f"mask.kind is bayes, with network.kind {network} it must be open, closed or random"]
    return []


def _faults_of_randomisation(recipe: Randomisation) -> list[str]:
    """What is no number out of range: kinds of outages that nobody knows, ticks between two steps of a cabinet."""
    unknown = [kind for kind in recipe.outage_kinds if kind not in SENSOR_TROUBLES]
    odd = [tick_s for tick_s in recipe.ticks_s if tick_s != round(tick_s)]
    found = [f"randomisation.outage_kinds has {kind!r}, known are {', '.join(SENSOR_TROUBLES)}" for kind in unknown]
    found += [f"randomisation.ticks_s has {tick_s:g}, must be whole seconds" for tick_s in odd]
    return found if recipe.outage_kinds else [*found, "randomisation.outage_kinds is empty"]


def _numbers(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)
