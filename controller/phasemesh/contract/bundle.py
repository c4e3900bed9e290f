"""The manifest of a bundle: what it holds, for which observation spec, how it was made and tested.

A bundle is a folder: `manifest.json`, `manifest.sig` (Ed25519 over the bytes of the manifest) and the files that
the manifest lists with their hashes. docs/bundle-format.md is the authoritative description.
"""

from __future__ import annotations

from typing import Any

import msgspec

from phasemesh.contract.hyper_profile import HyperProfile, faults_of_profile
from phasemesh.contract.observation import SITE_SIZE, SPEC_HASH
from phasemesh.contract.tensors import INPUTS, OUTPUTS, SIZE_LETTERS, TensorSpec

BUNDLE_FORMAT = 1
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
MAX_POLICIES = 64
"""Most policies of any bundle, whatever its own budget says."""
MAX_BUNDLE_BYTES = 16_777_216
"""Most bytes of all files of a bundle together, whatever its own budget says: what a small box can hold in memory."""


class BundleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a bundle, by its path inside the folder, SHA-256 and size."""

    path: str
    sha256: str
    size_bytes: int


class TrainingProvenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The training behind a bundle, enough to do it again: `recipe` holds all numbers of the recipe by section.

    `revision` is that of git, with a + where files differed; `tool_versions` are those of the training.
    """

    recipe_name: str
    recipe: dict[str, Any]
    scenarios: tuple[str, ...]
    seed: int
    iterations: int
    minutes: float
    revision: str
    tool_versions: dict[str, str]


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a bundle comes from: the rule or run, the versions, and the parity that was measured at export.

    Parity is over `parity_inputs` random inputs and `parity_recorded_ticks` ticks of agents that were played.
    """

    source: str
    created: str
    tool_versions: dict[str, str]
    parity_max_abs: float
    parity_inputs: int
    parity_changed_decisions: int
    parity_recorded_ticks: int = 0
    training: TrainingProvenance | None = None


class BundleManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The manifest; what is as it is by default does not stand in it.

    `policies` names the ONNX files in the order of their index, at most `policy_budget` of them; `assignment` maps
    an intersection to its policy, all others use policy 0. `tick_s` is the control interval it was made for.
    `byte_budget` bounds the files together; `max_lanes` and `max_stages` are the largest intersection that it was
    made for, None for any.

    `fixed_sizes` maps the path of a policy to the sizes that its graph is bound to, by the letters L, S and K; such a
    policy is for the intersections that are assigned to it and for no others. `sites` are embeddings of intersections,
    [E] each; whoever it does not name has zeros. `hyper_profiles` are the usual hyper-actions of intersections, which a
    drift monitor compares with; they change no decision.
    """

    format: int
    name: str
    spec_hash: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    policies: tuple[str, ...]
    policy_budget: int
    assignment: dict[str, int]
    tick_s: float
    is_deterministic: bool
    parity_tolerance: float
    files: tuple[BundleFile, ...]
    provenance: Provenance
    evaluation: tuple[dict[str, float | int | str], ...] = ()
    byte_budget: int = MAX_BUNDLE_BYTES
    max_lanes: int | None = None
    max_stages: int | None = None
    fixed_sizes: dict[str, dict[str, int]] = {}
    sites: dict[str, tuple[float, ...]] = {}
    hyper_profiles: dict[str, HyperProfile] = {}


def faults_of_manifest(manifest: BundleManifest) -> list[str]:
    """All reasons why this runtime cannot use `manifest`, each with its path; empty when there are none."""
    faults = []
    if manifest.format != BUNDLE_FORMAT:
        faults.append(f"format: is {manifest.format}, this phasemesh reads {BUNDLE_FORMAT}")
    if manifest.spec_hash != SPEC_HASH:
        faults.append(
            f"spec_hash: made for observation spec {manifest.spec_hash}, this phasemesh has {SPEC_HASH}; export again"
        )
    elif (manifest.inputs, manifest.outputs) != (INPUTS, OUTPUTS):
        faults.append("inputs, outputs: are not the tensors of the observation spec")
    return faults + _policy_faults(manifest) + _size_faults(manifest) + _site_faults(manifest)


def _site_faults(manifest: BundleManifest) -> list[str]:
    faults = [
        f"sites[{name}]: has {len(row)} numbers, must have {SITE_SIZE}"
        for name, row in manifest.sites.items()
        if len(row) != SITE_SIZE
    ]
    for name, profile in manifest.hyper_profiles.items():
        faults += faults_of_profile(name, profile)
    for path, sizes in manifest.fixed_sizes.items():
        if path not in manifest.policies:
            faults.append(f"fixed_sizes[{path}]: is no policy")
        faults += [
            f"fixed_sizes[{path}]: {letter!r} of {size} is no size of L, S or K"
            for letter, size in sizes.items()
            if letter not in SIZE_LETTERS or size < 1
        ]
    return faults


def _size_faults(manifest: BundleManifest) -> list[str]:
    faults = []
    if not 0 < manifest.byte_budget <= MAX_BUNDLE_BYTES:
        faults.append(f"byte_budget: {manifest.byte_budget} is outside 1 to {MAX_BUNDLE_BYTES}")
    faults += [
        f"files: {file.path!r} has a size of {file.size_bytes} bytes" for file in manifest.files if file.size_bytes < 0
    ]
    size_bytes = sum(file.size_bytes for file in manifest.files)
    if size_bytes > manifest.byte_budget:
        faults.append(f"files: {size_bytes} bytes are over the budget of {manifest.byte_budget}")
    for name, limit in (("max_lanes", manifest.max_lanes), ("max_stages", manifest.max_stages)):
        if limit is not None and limit < 1:
            faults.append(f"{name}: {limit} is less than 1")
    return faults


def _policy_faults(manifest: BundleManifest) -> list[str]:
    faults = []
    listed = {file.path for file in manifest.files}
    if not manifest.policies:
        faults.append("policies: there is none")
    if len(manifest.policies) > manifest.policy_budget:
        faults.append(f"policies: {len(manifest.policies)} are over the budget of {manifest.policy_budget}")
    if manifest.policy_budget > MAX_POLICIES:
        faults.append(f"policy_budget: {manifest.policy_budget} is over {MAX_POLICIES}")
    faults += [f"policies: {path!r} is not in files" for path in manifest.policies if path not in listed]
    faults += [
        f"files: {file.path!r} leaves the bundle"
        for file in manifest.files
        if file.path.startswith("/") or ".." in file.path.split("/")
    ]
    faults += [
        f"assignment[{name}]: there is no policy {index}"
        for name, index in manifest.assignment.items()
        if not 0 <= index < len(manifest.policies)
    ]
    if not 0.5 <= manifest.tick_s <= 60.0:
        faults.append(f"tick_s: {manifest.tick_s} s is outside 0.5 to 60 s")
    return faults
