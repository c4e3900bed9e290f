"""Bundles: everything that is verified before a policy may score the stages of a street."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from policy_factories import (
    GRAPH,
    TEST_KEY,
    TEST_PUBLIC,
    copy_bundle,
    make_input,
    read_manifest,
    replace_graph,
    shipped_graph,
    sign,
)

from phasemesh.contract.bundle import MANIFEST_NAME, MAX_BUNDLE_BYTES, SIGNATURE_NAME, BundleFile
from phasemesh.contract.errors import BundleError
from phasemesh.contract.tensors import PolicyFault
from phasemesh.controller.policy.bundle import (
    MAX_MANIFEST_BYTES,
    faults_of_bundle,
    find_bundle,
    installed_bundles,
    load_bundle,
)

TRUSTED = (bytes(32), TEST_PUBLIC)
FLIPS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound bundle, signed by the test key."""
    copy_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def assert_refused(folder: Path, *faults: str) -> None:
    """Both ways of looking at the bundle name `faults`, the loading one the first of them."""
    found = faults_of_bundle(folder, TRUSTED)
    for fault in faults:
        assert any(fault in line for line in found), found
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, TRUSTED)
    assert found[0] in str(caught.value)


def test_a_sound_bundle_has_no_faults_and_loads(folder: Path) -> None:
    """Manifest, folder and a digest that names every byte come back."""
    bundle = load_bundle(folder, TRUSTED)

    assert faults_of_bundle(folder, TRUSTED) == []
    assert bundle.manifest == read_manifest(folder)
    assert bundle.folder == folder
    assert bundle.digest == hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest()


def test_a_bundle_without_a_signature_is_refused(folder: Path) -> None:
    """A missing signature is a fault of its own."""
    (folder / SIGNATURE_NAME).unlink()

    assert_refused(folder, "manifest.sig: the bundle is not signed")


@pytest.mark.parametrize("keys", [(), (bytes(32),), (bytes(range(32)),)])
def test_a_signature_by_an_unknown_key_is_refused(folder: Path, keys: tuple[bytes, ...]) -> None:
    """Only the keys that the caller trusts count."""
    with pytest.raises(BundleError, match=r"not the signature of manifest\.json by a trusted key"):
        load_bundle(folder, keys)


@pytest.mark.parametrize("signature", [b"", b"short", bytes(64), bytes(65)])
def test_a_signature_that_is_none_is_refused(folder: Path, signature: bytes) -> None:
    """Rubbish in place of a signature is no crash."""
    (folder / SIGNATURE_NAME).write_bytes(signature)

    assert_refused(folder, "manifest.sig: is not the signature")


def flip(path: Path, content: bytes, bit: int) -> None:
    """Put `content` into `path` with one bit changed."""
    altered = bytearray(content)
    altered[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(altered))


@pytest.mark.parametrize("name", [MANIFEST_NAME, SIGNATURE_NAME, GRAPH])
def test_one_flipped_bit_anywhere_is_refused(folder: Path, name: str) -> None:
    """No bit of manifest, signature or graph may change."""
    content = (folder / name).read_bytes()
    for bit in np.random.default_rng(7).choice(8 * len(content), FLIPS, replace=False).tolist():
        flip(folder / name, content, bit)

        assert faults_of_bundle(folder, TRUSTED), f"bit {bit}"
        with pytest.raises(BundleError):
            load_bundle(folder, TRUSTED)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "flips"), [(MANIFEST_NAME, None), (SIGNATURE_NAME, None), (GRAPH, 3000)])
def test_no_flipped_bit_is_missed(folder: Path, name: str, flips: int | None) -> None:
    """Every bit of manifest and signature, and thousands of the graph drawn by seed, one at a time."""
    content = (folder / name).read_bytes()
    count = 8 * len(content)
    bits = range(count) if flips is None else np.random.default_rng(20).choice(count, flips, replace=False).tolist()
    missed = []
    for bit in bits:
        flip(folder / name, content, bit)
        try:
            load_bundle(folder, TRUSTED)
        except BundleError:
            continue
        missed.append(bit)

    assert missed == []


def test_a_bundle_of_another_spec_is_refused(folder: Path) -> None:
    """The message says what to do."""
    sign(folder, msgspec.structs.replace(read_manifest(folder), spec_hash="0123456789abcdef"))

    assert_refused(folder, "spec_hash: made for observation spec 0123456789abcdef")


def test_a_bundle_over_its_budget_is_refused(folder: Path) -> None:
    """A (k+1)-th policy is one too many."""
    sign(folder, msgspec.structs.replace(read_manifest(folder), policies=(GRAPH, GRAPH)))

    assert_refused(folder, "policies: 2 are over the budget of 1")


def test_a_bundle_over_its_bytes_is_refused_before_they_are_read(folder: Path) -> None:
    """What the manifest lists is added up; the runtime has a limit of its own that no manifest can raise."""
    manifest = read_manifest(folder)
    sign(folder, msgspec.structs.replace(manifest, byte_budget=1000))
    assert_refused(folder, "bytes are over the budget of 1000")

    monster = BundleFile("memory/seed.bin", "ab" * 32, MAX_BUNDLE_BYTES)
    sign(folder, msgspec.structs.replace(manifest, files=(*manifest.files, monster)))
    assert_refused(folder, f"bytes are over the budget of {MAX_BUNDLE_BYTES}")


def test_a_monstrous_manifest_is_not_read(folder: Path) -> None:
    """Its length alone refuses it, signed or not."""
    signed = (folder / MANIFEST_NAME).read_bytes() + b" " * MAX_MANIFEST_BYTES
    (folder / MANIFEST_NAME).write_bytes(signed)
    (folder / SIGNATURE_NAME).write_bytes(TEST_KEY.sign(signed))

    assert_refused(folder, f"manifest.json: is over the budget of {MAX_MANIFEST_BYTES} bytes")


def test_an_intersection_above_the_size_of_the_bundle_gets_a_fault(folder: Path) -> None:
    """The policy says so at every tick, so that the agent stands on its local plan; smaller ones are served."""
    sign(folder, msgspec.structs.replace(read_manifest(folder), max_lanes=12, max_stages=4))
    policy = load_bundle(folder, TRUSTED).policy(0)
    found = [policy.infer(make_input(lanes, stages)) for lanes, stages in ((12, 4), (13, 4), (12, 5))]

    assert [isinstance(each, PolicyFault) for each in found] == [False, True, True]
    assert found[1] == PolicyFault("13 lanes and 4 stages are over the bundle's max_lanes 12, max_stages 4")


def test_a_missing_file_is_refused(folder: Path) -> None:
    """The fault names the file."""
    (folder / GRAPH).unlink()

    assert_refused(folder, f"{GRAPH}: is missing")


def test_a_file_of_another_size_is_refused(folder: Path) -> None:
    """Truncation is told apart from alteration."""
    (folder / GRAPH).write_bytes(shipped_graph()[:-1])

    assert_refused(folder, f"{GRAPH}: has {len(shipped_graph()) - 1} bytes")


@pytest.mark.parametrize("path", ["../secret.onnx", "/etc/hostname", "policies/../../secret.onnx"])
def test_a_path_that_leaves_the_bundle_is_refused(folder: Path, path: str) -> None:
    """Even a signed manifest reads nothing outside its folder."""
    content = b"secret"
    (folder.parent / "secret.onnx").write_bytes(content)
    entry = BundleFile(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    manifest = read_manifest(folder)
    sign(folder, msgspec.structs.replace(manifest, files=(*manifest.files, entry)))

    assert_refused(folder, f"files: {path!r} leaves the bundle", f"{path}: leaves the bundle")


def test_a_link_that_leaves_the_bundle_is_refused(folder: Path) -> None:
    """A symbolic link to an identical graph elsewhere does not count as part of the bundle."""
    outside = folder.parent / "outside.onnx"
    (folder / GRAPH).rename(outside)
    (folder / GRAPH).symlink_to(outside)

    assert_refused(folder, f"{GRAPH}: leaves the bundle")


@pytest.mark.parametrize("path", ["policies/\0.onnx", "x" * 5000])
def test_a_path_that_no_file_can_have_is_refused(folder: Path, path: str) -> None:
    """What the operating system cannot even look up is a fault, not a crash."""
    manifest = read_manifest(folder)
    sign(folder, msgspec.structs.replace(manifest, files=(*manifest.files, BundleFile(path, "", 0))))

    assert_refused(folder, "cannot be read")


def test_a_graph_that_the_manifest_does_not_list_is_refused(folder: Path) -> None:
    """Nothing unsigned may lie beside what is signed."""
    (folder / "policies" / "1.onnx").write_bytes(shipped_graph())

    assert_refused(folder, "policies/1.onnx: is not listed")


@pytest.mark.parametrize("manifest", [b"", b"{", b"[]", b'{"format": 1}', b"\xff\xfe", b'{"format": "1"}'])
def test_a_manifest_that_is_none_is_refused(folder: Path, manifest: bytes) -> None:
    """Garbage in place of a manifest is named with its file."""
    (folder / MANIFEST_NAME).write_bytes(manifest)

    assert_refused(folder, "manifest.sig: is not", "manifest.json: ")


def test_an_unknown_field_of_the_manifest_is_refused(folder: Path) -> None:
    """A manifest of a later phasemesh is not half understood."""
    document = msgspec.json.decode((folder / MANIFEST_NAME).read_bytes())
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.encode({**document, "surprise": 1}))

    assert_refused(folder, "surprise")


def test_a_field_of_another_type_is_refused(folder: Path) -> None:
    """Nothing is converted: the text "1" is not the number 1."""
    document = msgspec.json.decode((folder / MANIFEST_NAME).read_bytes())
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.encode({**document, "format": "1"}))

    assert_refused(folder, "Expected `int`, got `str`")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    """There is nothing else to say about such a folder."""
    assert_refused(tmp_path, "manifest.json: cannot be read")
    assert len(faults_of_bundle(tmp_path, TRUSTED)) == 1


def test_all_faults_are_named_at_once(folder: Path) -> None:
    """One look shows everything that has to be mended, and loading says how much there is."""
    sign(folder, msgspec.structs.replace(read_manifest(folder), spec_hash="0" * 16, tick_s=0.0))
    (folder / SIGNATURE_NAME).unlink()
    (folder / GRAPH).unlink()

    faults = faults_of_bundle(folder, TRUSTED)

    assert [fault.split(":")[0] for fault in faults] == [SIGNATURE_NAME, MANIFEST_NAME, MANIFEST_NAME, GRAPH]
    with pytest.raises(BundleError, match=r"and 3 more"):
        load_bundle(folder, TRUSTED)


def test_a_signed_but_truncated_graph_is_found_before_it_decides(folder: Path) -> None:
    """The check opens every policy; so does an agent at its start."""
    replace_graph(folder, shipped_graph()[:1000])

    faults = faults_of_bundle(folder, TRUSTED)

    assert len(faults) == 1
    assert "onnxruntime cannot load it" in faults[0]
    with pytest.raises(BundleError, match=rf"{GRAPH}: .*onnxruntime cannot load it"):
        load_bundle(folder, TRUSTED).policy_for("crossing")


def test_a_graph_cut_anywhere_is_refused_though_it_is_signed(folder: Path) -> None:
    """Wherever the writing of the file broke off, the reason names the file and no cut crashes the process."""
    graph = shipped_graph()
    cuts = [0, 1, *np.random.default_rng(3).integers(2, len(graph), 30).tolist(), len(graph) - 1]
    for cut in cuts:
        replace_graph(folder, graph[:cut])
        (fault,) = faults_of_bundle(folder, TRUSTED)

        assert GRAPH in fault, cut


def test_a_signed_graph_of_another_spec_is_told_by_its_tensors(folder: Path) -> None:
    """A manifest may name the right spec over a graph of another; what is loaded is looked at itself."""
    replace_graph(folder, shipped_graph().replace(b"mask_noise", b"mask_voice"))

    (fault,) = faults_of_bundle(folder, TRUSTED)

    assert f"{GRAPH}: the ONNX graph: inputs are" in fault
    assert "must be lanes, stage_lanes" in fault


def test_a_graph_that_has_grown_since_is_refused(folder: Path) -> None:
    """Bytes behind what was verified are an alteration too."""
    bundle = load_bundle(folder, TRUSTED)
    with (folder / GRAPH).open("ab") as file:
        file.write(b"more")

    with pytest.raises(BundleError, match="altered since"):
        bundle.policy_for("crossing")


def test_a_graph_altered_after_loading_is_refused(folder: Path) -> None:
    """What was verified is what runs."""
    bundle = load_bundle(folder, TRUSTED)
    (folder / GRAPH).write_bytes(shipped_graph().replace(b"Softmax", b"Softmix"))

    with pytest.raises(BundleError, match="altered since"):
        bundle.policy_for("crossing")


def test_a_graph_removed_after_loading_is_refused(folder: Path) -> None:
    """A file that vanished is one clear line too."""
    bundle = load_bundle(folder, TRUSTED)
    (folder / GRAPH).unlink()

    with pytest.raises(BundleError, match="cannot be read"):
        bundle.policy_for("crossing")


def test_an_intersection_gets_the_policy_that_it_is_assigned(folder: Path) -> None:
    """The assignment chooses; whoever it does not name gets policy 0."""
    other = (find_bundle("approach-lost-time") / GRAPH).read_bytes()
    (folder / "policies" / "1.onnx").write_bytes(other)
    manifest = read_manifest(folder)
    entry = BundleFile("policies/1.onnx", hashlib.sha256(other).hexdigest(), len(other))
    sign(
        folder,
        msgspec.structs.replace(
            manifest,
            policies=(GRAPH, "policies/1.onnx"),
            policy_budget=2,
            assignment={"north": 1},
            files=(*manifest.files, entry),
        ),
    )
    bundle = load_bundle(folder, TRUSTED)

    logits = {name: bundle.policy_for(name).infer(make_input()).stage_logits for name in ("north", "south")}

    assert not np.allclose(logits["north"], logits["south"])
    np.testing.assert_array_equal(logits["south"], bundle.policy(0).infer(make_input()).stage_logits)
    np.testing.assert_array_equal(logits["north"], bundle.policy(1).infer(make_input()).stage_logits)


def test_a_bundle_for_certain_intersections_has_no_policy_for_others(folder: Path) -> None:
    """A policy that is bound to the lanes of one intersection would read another's as its own."""
    manifest = read_manifest(folder)
    sign(folder, msgspec.structs.replace(manifest, fixed_sizes={GRAPH: {"L": 4}}, assignment={"north": 0}))
    bundle = load_bundle(folder, TRUSTED)

    with pytest.raises(BundleError, match="has no policy for 'south', only for north"):
        bundle.policy_for("south")
    with pytest.raises(BundleError, match=rf"{GRAPH}: .*'lanes' .* must be .*\[4, 18\]"):
        bundle.policy_for("north")


def test_shipped_bundles_are_found_by_name() -> None:
    """The zoo is offered through the entry points of the distribution."""
    assert {"max-pressure", "approach-lost-time"} <= set(installed_bundles())
    assert find_bundle("max-pressure") == installed_bundles()["max-pressure"]


def test_a_bundle_is_found_by_its_path(folder: Path) -> None:
    """As a path or as text."""
    assert find_bundle(folder) == folder
    assert find_bundle(str(folder)) == folder


@pytest.mark.parametrize("name", ["max-presure", "", "/nowhere"])
def test_an_unknown_bundle_is_refused_with_the_known_names(name: str) -> None:
    """A slip of the pen is easy to mend."""
    with pytest.raises(BundleError, match=r"known are .*max-pressure"):
        find_bundle(name)
