"""The manifest of a bundle: every fault with its path, and the golden manifest of format 1."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from phasemesh.contract.bundle import (
    BUNDLE_FORMAT,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    BundleFile,
    BundleManifest,
    Provenance,
    faults_of_manifest,
)
from phasemesh.contract.hyper_profile import HyperProfile
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.tensors import INPUTS, OUTPUTS

GOLDEN = Path(__file__).parent.parent / "golden" / "manifest_v1.json"
GOLDEN_SPEC_HASH = "fff41a89b7b6ae9b"


def _file(path: str, size_bytes: int = 1234) -> BundleFile:
    return BundleFile(path=path, sha256="ab" * 32, size_bytes=size_bytes)


_FILES = tuple(map(_file, ("policies/0.onnx", "policies/1.onnx", "memory/seed.sqlite")))


def _golden_manifest() -> BundleManifest:
    return BundleManifest(
        format=1,
        name="max-pressure",
        spec_hash=GOLDEN_SPEC_HASH,
        inputs=INPUTS,
        outputs=OUTPUTS,
        policies=("policies/0.onnx", "policies/1.onnx"),
        policy_budget=2,
        assignment={"north side": 1, "A0": 0},
        tick_s=5.0,
        is_deterministic=True,
        parity_tolerance=1e-5,
        files=_FILES,
        provenance=Provenance(
            source="rule max_pressure",
            created="2026-01-02",
            tool_versions={"phasemesh": "0.1.0"},
            parity_max_abs=0.0,
            parity_inputs=1000,
            parity_changed_decisions=0,
        ),
        evaluation=({"scenario": "grid-2x2", "seed": 1, "mean_trip_s": 101.5},),
    )


def _manifest(**changes: object) -> BundleManifest:
    return msgspec.structs.replace(_golden_manifest(), spec_hash=SPEC_HASH, **changes)


def test_a_sound_manifest_has_no_fault() -> None:
    """Two policies within their budget, listed and assigned, can be used."""
    assert faults_of_manifest(_manifest()) == []


def test_names_and_format_are_fixed() -> None:
    """The names inside a bundle and its format do not change unnoticed."""
    assert (BUNDLE_FORMAT, MANIFEST_NAME, SIGNATURE_NAME) == (1, "manifest.json", "manifest.sig")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"format": 2}, "format: is 2, this phasemesh reads 1"),
        ({"inputs": INPUTS[1:]}, "inputs, outputs: are not the tensors of the observation spec"),
        ({"outputs": OUTPUTS[::-1]}, "inputs, outputs: are not the tensors of the observation spec"),
        ({"policies": (), "assignment": {}}, "policies: there is none"),
        ({"policy_budget": 1}, "policies: 2 are over the budget of 1"),
        ({"policies": ("policies/9.onnx",), "assignment": {}}, "policies: 'policies/9.onnx' is not in files"),
        ({"assignment": {"A0": 2}}, "assignment[A0]: there is no policy 2"),
        ({"assignment": {"A0": -1}}, "assignment[A0]: there is no policy -1"),
        ({"fixed_sizes": {"policies/9.onnx": {"L": 4}}}, "fixed_sizes[policies/9.onnx]: is no policy"),
        (
            {"fixed_sizes": {"policies/0.onnx": {"T": 4}}},
            "fixed_sizes[policies/0.onnx]: 'T' of 4 is no size of L, S or K",
        ),
        (
            {"fixed_sizes": {"policies/0.onnx": {"L": 0}}},
            "fixed_sizes[policies/0.onnx]: 'L' of 0 is no size of L, S or K",
        ),
        ({"sites": {"A0": (0.5,)}}, "sites[A0]: has 1 numbers, must have 8"),
        (
            {"hyper_profiles": {"A0": HyperProfile(usual=(1.0,), by_bin={}, threshold=0.1)}},
            "hyper_profiles[A0].usual: is no distribution over 8 heads",
        ),
        ({"byte_budget": 16_777_217}, "byte_budget: 16777217 is outside 1 to 16777216"),
        ({"byte_budget": 3701}, "files: 3702 bytes are over the budget of 3701"),
        ({"policy_budget": 65}, "policy_budget: 65 is over 64"),
        ({"max_lanes": 0}, "max_lanes: 0 is less than 1"),
        ({"max_stages": -1}, "max_stages: -1 is less than 1"),
        ({"files": (*_FILES, _file("notes", -1))}, "files: 'notes' has a size of -1 bytes"),
        ({"tick_s": 0.4}, "tick_s: 0.4 s is outside 0.5 to 60 s"),
        ({"tick_s": 61.0}, "tick_s: 61.0 s is outside 0.5 to 60 s"),
        ({"tick_s": math.nan}, "tick_s: nan s is outside 0.5 to 60 s"),
    ],
)
def test_each_fault_is_reported_with_its_path(changes: dict[str, object], fault: str) -> None:
    """Each thing that this runtime cannot use gives exactly one line."""
    assert faults_of_manifest(_manifest(**changes)) == [fault]


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.onnx", "policies/../../outside.onnx", ".."])
def test_a_file_outside_the_bundle_is_a_fault(path: str) -> None:
    """A path that leaves the folder is never followed."""
    manifest = _manifest(files=(*_golden_manifest().files, _file(path)))

    assert faults_of_manifest(manifest) == [f"files: {path!r} leaves the bundle"]


@pytest.mark.parametrize("path", ["policies/0..1.onnx", "a/...b"])
def test_dots_within_a_name_are_no_fault(path: str) -> None:
    """Two dots leave the folder only as a whole step of a path."""
    assert faults_of_manifest(_manifest(files=(*_golden_manifest().files, _file(path)))) == []


def test_another_spec_says_what_to_do_and_hides_its_tensors() -> None:
    """A bundle of another spec has other tensors of course; the one useful line is to export it again."""
    other = msgspec.structs.replace(_golden_manifest(), spec_hash="0123456789abcdef", inputs=())

    assert faults_of_manifest(other) == [
        f"spec_hash: made for observation spec 0123456789abcdef, this phasemesh has {SPEC_HASH}; export again"
    ]


def test_all_faults_come_at_once() -> None:
    """A manifest that is wrong throughout gives a line for every kind of fault."""
    wrong = _manifest(
        format=9,
        outputs=(),
        policies=("a.onnx", "b.onnx"),
        policy_budget=1,
        assignment={"A0": 7},
        tick_s=0.0,
        files=(_file("/b.onnx"),),
    )

    assert [fault.split(":")[0] for fault in faults_of_manifest(wrong)] == [
        "format",
        "inputs, outputs",
        "policies",
        "policies",
        "policies",
        "files",
        "assignment[A0]",
        "tick_s",
    ]


def test_faults_come_in_the_order_of_the_manifest() -> None:
    """Two processes that read the same manifest report the same lines in the same order."""
    paths = [f"../{index}.onnx" for index in range(12)]
    faults = faults_of_manifest(_manifest(files=(*_golden_manifest().files, *map(_file, paths))))

    assert faults == [f"files: {path!r} leaves the bundle" for path in paths]


def test_what_is_as_it_is_by_default_does_not_stand_in_a_manifest() -> None:
    """So that a bundle without fixed sizes and sites is read by every phasemesh of format 1, older ones too."""
    document = msgspec.json.decode(msgspec.json.encode(_manifest()))

    assert not {"fixed_sizes", "sites", "max_lanes"} & set(document)


def test_the_golden_manifest_of_format_1_decodes_for_ever() -> None:
    """A manifest that was written once is read by every later phasemesh that reads format 1."""
    decoded = msgspec.json.decode(GOLDEN.read_bytes(), type=BundleManifest)

    assert decoded == msgspec.structs.replace(_golden_manifest(), inputs=decoded.inputs, outputs=decoded.outputs)
    if SPEC_HASH == GOLDEN_SPEC_HASH:
        assert faults_of_manifest(decoded) == []


def test_a_manifest_survives_json() -> None:
    """A manifest decodes from its JSON to itself."""
    assert msgspec.json.decode(msgspec.json.encode(_manifest()), type=BundleManifest) == _manifest()


def test_an_evaluation_may_be_missing() -> None:
    """A bundle of a fixed rule need not have been evaluated."""
    document = {name: value for name, value in msgspec.to_builtins(_manifest()).items() if name != "evaluation"}

    assert msgspec.convert(document, BundleManifest).evaluation == ()


@pytest.mark.parametrize("name", ["spec_hash", "files", "policy_budget", "provenance"])
def test_a_manifest_without_a_needed_field_is_refused(name: str) -> None:
    """What decides about trust has no default."""
    document = {key: value for key, value in msgspec.to_builtins(_manifest()).items() if key != name}

    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert(document, BundleManifest)
