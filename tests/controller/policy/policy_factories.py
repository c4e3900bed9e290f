"""Inputs of a policy, and bundles that a test may spoil and sign again."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.bundle import MANIFEST_NAME, SIGNATURE_NAME, BundleFile, BundleManifest
from phasemesh.contract.tensors import INPUTS, PolicyInput
from phasemesh.controller.policy.bundle import find_bundle

TEST_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TEST_PUBLIC = TEST_KEY.public_key().public_bytes_raw()
GRAPH = "policies/0.onnx"


def make_input(lanes: int = 12, stages: int = 4, neighbours: int = 4, seed: int = 0) -> PolicyInput:
    """Whole counts up to 100 vehicles, shares of thirds and one current stage; everything else in (0, 1)."""
    generator = np.random.default_rng(seed)
    sizes = {"L": lanes, "S": stages, "K": neighbours}
    arrays = [
        generator.uniform(0.01, 0.99, [size if isinstance(size, int) else sizes[size] for size in spec.shape])
        for spec in INPUTS
    ]
    arrays[0] = np.minimum(generator.integers(0, 101, arrays[0].shape) / 16, 8.0)
    shares = generator.integers(0, 4, (stages, lanes)) / 3
    arrays[1] = np.stack((shares, np.round(1.0 - shares) * (1.0 - shares)), axis=2)
    arrays[2][:, 0] = np.arange(stages) == generator.integers(stages)
    arrays[4] = np.round(arrays[4])
    return PolicyInput(*(array.astype(np.float32) for array in arrays))


def shipped_graph() -> bytes:
    """The ONNX graph of the shipped rule max-pressure."""
    return (find_bundle("max-pressure") / GRAPH).read_bytes()


def copy_bundle(folder: Path) -> BundleManifest:
    """Copy the shipped rule max-pressure to `folder` as a bundle signed by the test key; its manifest."""
    shutil.copytree(find_bundle("max-pressure"), folder)
    manifest = read_manifest(folder)
    sign(folder, manifest)
    return manifest


def read_manifest(folder: Path) -> BundleManifest:
    """The manifest in `folder`, unverified."""
    return msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=BundleManifest)


def sign(folder: Path, manifest: BundleManifest) -> None:
    """Write `manifest` and its signature by the test key to `folder`."""
    signed = msgspec.json.encode(manifest)
    (folder / MANIFEST_NAME).write_bytes(signed)
    (folder / SIGNATURE_NAME).write_bytes(TEST_KEY.sign(signed))


def replace_graph(folder: Path, graph: bytes) -> None:
    """Put `graph` in place of the policy in `folder`, with a manifest that lists and signs it."""
    (folder / GRAPH).write_bytes(graph)
    entry = BundleFile(path=GRAPH, sha256=hashlib.sha256(graph).hexdigest(), size_bytes=len(graph))
    sign(folder, msgspec.structs.replace(read_manifest(folder), files=(entry,)))
