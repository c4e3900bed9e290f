"""From a source to a signed bundle: actor, graph, parity, manifest, files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.bundle import BUNDLE_FORMAT, BundleManifest, Provenance, TrainingProvenance
from phasemesh.contract.errors import BundleError, InputError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.tensors import INPUTS, OUTPUTS
from phasemesh.controller.access.signing import public_bytes
from phasemesh.controller.policy.bundle import LoadedBundle, load_bundle
from phasemesh.controller.policy.selection import TIE_TOLERANCE
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.export.bundle import bundle_files, write_bundle
from phasemesh.export.onnx import export_onnx
from phasemesh.export.parity import Parity, measure_parity
from phasemesh.export.recorded import RecordedParity, measure_recorded
from phasemesh.export.rule_weights import APPROACH_LOST_TIME, RULE_WEIGHTS, listening_actor, random_actor, rule_actor
from phasemesh.export.training_facts import EvaluationRow, evaluation_rows, training_of
from phasemesh.export.usual_hyper import UsualHyper
from phasemesh.trainer.actor import Actor, Exported
from phasemesh.trainer.actor_spec import Mixing, SharingKind
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.run_folder import RUN_NAME, RunDescription, read_run

PARITY_TOLERANCE = TIE_TOLERANCE
"""Scores may differ by no more than what the choice of a stage calls equal."""
TRAINED_PARITY_TOLERANCE = 2e-3
"""Likewise for trained policies, whose scores reach a thousand on the widest inputs that parity is measured on: single
precision resolves 6e-5 there. No decision may differ all the same."""
RANDOM_TICK_S = 5.0
LISTENING_RULE = APPROACH_LOST_TIME
"""The rule of `listening:SEED`."""
MAX_LANES = 128
MAX_STAGES = 32
"""Largest intersection that an exported policy is used for; the graph itself would take any."""


class Source(msgspec.Struct, frozen=True):
    """What a bundle is made from; a deterministic one takes no noise for its mask.

    `parity_tolerance` is how far any number of the exported graph may be from torch. A trained one has the description
    of its `run`, its `training` and the rows of its `evaluation`, if there was one of these weights.
    """

    text: str
    name: str
    actor: Actor
    tick_s: float
    is_deterministic: bool
    parity_tolerance: float = PARITY_TOLERANCE
    run: RunDescription | None = None
    training: TrainingProvenance | None = None
    evaluation: tuple[EvaluationRow, ...] = ()

    @property
    def has_hyper_action(self) -> bool:
        """Whether its hyper-action was learned, so that it says something."""
        spec = self.actor.spec
        return spec.sharing is SharingKind.HYPER and spec.heads.mixing is Mixing.LEARNED and spec.heads.count > 1


def load_source(text: str) -> Source:
    """The source that `text` names: `rule:NAME`, `listening:SEED`, `random:SEED` or the folder of a training.

    Raises InputError, listing the rules, for anything else, and when the training cannot be used.
    """
    kind, _, rest = text.partition(":")
    if kind == "rule" and rest in RULE_WEIGHTS:
        rule = RULE_WEIGHTS[rest]
        return Source(text, rest, rule_actor(rule), rule.tick_s, is_deterministic=True)
    if kind == "random" and rest.isdecimal():
        return Source(text, f"random-{rest}", random_actor(int(rest)), RANDOM_TICK_S, is_deterministic=False)
    if kind == "listening" and rest.isdecimal():
        actor = listening_actor(LISTENING_RULE, int(rest))
        return Source(text, f"listening-{rest}", actor, LISTENING_RULE.tick_s, is_deterministic=False)
    if (Path(text) / RUN_NAME).is_file():
        return _trained(Path(text))
    rules = ", ".join(f"rule:{name}" for name in RULE_WEIGHTS)
    raise InputError(
        f"{text!r} is no source of a policy; known are {rules}, listening:SEED and random:SEED (a whole number)"
        " and folders of a training"
    )


def _trained(folder: Path) -> Source:
    """The policy of the training in `folder` as it is now; its mask is drawn at the edge as it was in training."""
    run = read_run(folder)
    actor, iterations = load_actor(folder / CHECKPOINT_NAME)
    scenarios = ",".join(run.scenarios)
    text = f"{run.recipe_name} on {scenarios}, seed {run.seed}, {iterations} iterations, revision {run.revision}"
    name = folder.resolve().name
    return Source(
        text,
        name,
        actor.eval(),
        run.recipe.episodes.tick_s,
        is_deterministic=False,
        parity_tolerance=TRAINED_PARITY_TOLERANCE,
        run=run,
        training=training_of(folder, run),
        evaluation=evaluation_rows(folder, iterations),
    )


def export_bundle(
    source: Source,
    folder: Path,
    key: Ed25519PrivateKey,
    *,
    created: str,
    name: str | None = None,
    episodes: Iterable[Episode] = (),
) -> LoadedBundle:
    """Export `source` as a bundle in `folder`, signed with `key`, and load it back as a runtime would.

    Args:
        source: From `load_source`.
        folder: The folder that becomes the bundle.
        key: The private key that signs.
        created: Date of provenance, as in 2026-11-21.
        name: Name of the bundle; that of the source if None.
        episodes: Greedy ones of the actor, in which the graph must want at every tick what was wanted.

    Raises:
        BundleError: The graph does not answer as torch does, or the folder cannot be written.
    """
    exported = source.actor.exported()
    graphs = [_graph(source, each) for each in exported]
    contents = {policy_path(index): graph for index, (graph, _) in enumerate(graphs)}
    usual = UsualHyper()
    watched = usual.watched(episodes) if source.has_hyper_action else episodes
    recorded = _recorded(source, exported, [graph for graph, _ in graphs], watched)
    parities = _together([parity for _, parity in graphs]), recorded
    manifest = msgspec.structs.replace(
        _manifest(source, exported, contents, parities, created),
        name=name or source.name,
        hyper_profiles=usual.profiles(),
    )
    write_bundle(folder, manifest, contents, key)
    return load_bundle(folder, [public_bytes(key)])


def policy_path(index: int) -> str:
    """Where the policy of that index lies in a bundle."""
    return f"policies/{index}.onnx"


def _graph(source: Source, policy: Exported) -> tuple[bytes, Parity]:
    """The graph of one policy and its parity; raises BundleError without it."""
    graph = export_onnx(policy.network, **policy.sizes)
    parity = measure_parity(policy.network, OnnxPolicy(graph, fixed_sizes=policy.sizes), 0, policy.sizes)
    if not parity.max_abs <= source.parity_tolerance or parity.changed_decisions:
        whose = f" for {policy.names[0]}" if policy.names else ""
        raise BundleError(
            f"{source.text}: the exported graph{whose} differs from torch by up to {parity.max_abs:.1e} and changes"
            f" {parity.changed_decisions} of {parity.inputs} decisions"
        )
    return graph, parity


def _recorded(
    source: Source, exported: Sequence[Exported], graphs: Sequence[bytes], episodes: Iterable[Episode]
) -> RecordedParity:
    """The parity of all graphs over `episodes`, each for whom it is; raises BundleError without it."""
    policies = [OnnxPolicy(graph, fixed_sizes=each.sizes) for graph, each in zip(graphs, exported, strict=True)]
    index = {name: place for place, each in enumerate(exported) for name in each.names}
    found = measure_recorded(
        source.actor, lambda name: policies[index.get(name, 0)], episodes, source.actor.site_rows()
    )
    if not found.max_abs <= source.parity_tolerance or found.changed_decisions:
        raise BundleError(
            f"{source.text}: the exported graph differs from torch by up to {found.max_abs:.1e} and changes"
            f" {found.changed_decisions} of {found.ticks} decisions that were recorded"
        )
    return found


def _together(found: Sequence[Parity]) -> Parity:
    """The parity of several graphs."""
    return Parity(
        max_abs=max(each.max_abs for each in found),
        inputs=sum(each.inputs for each in found),
        changed_decisions=sum(each.changed_decisions for each in found),
    )


def _manifest(
    source: Source,
    exported: Sequence[Exported],
    contents: dict[str, bytes],
    parities: tuple[Parity, RecordedParity],
    created: str,
) -> BundleManifest:
    paths, (parity, recorded) = tuple(contents), parities
    return BundleManifest(
        format=BUNDLE_FORMAT,
        name=source.name,
        spec_hash=SPEC_HASH,
        inputs=INPUTS,
        outputs=OUTPUTS,
        policies=paths,
        policy_budget=len(paths),
        assignment={name: index for index, policy in enumerate(exported) for name in policy.names},
        tick_s=source.tick_s,
        is_deterministic=source.is_deterministic,
        parity_tolerance=source.parity_tolerance,
        files=bundle_files(contents),
        provenance=Provenance(
            source=source.text,
            created=created,
            tool_versions={tool: metadata.version(tool) for tool in ("phasemesh", "torch", "onnx", "onnxruntime")},
            parity_max_abs=max(parity.max_abs, recorded.max_abs),
            parity_inputs=parity.inputs,
            parity_changed_decisions=parity.changed_decisions + recorded.changed_decisions,
            parity_recorded_ticks=recorded.ticks,
            training=source.training,
        ),
        evaluation=source.evaluation,
        max_lanes=MAX_LANES,
        max_stages=MAX_STAGES,
        fixed_sizes={path: policy.sizes for path, policy in zip(paths, exported, strict=True) if policy.sizes},
        sites={str(site): row for site, row in source.actor.site_rows().items()},
    )
