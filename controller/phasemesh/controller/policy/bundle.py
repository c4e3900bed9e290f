"""Bundles: what is verified before a policy may score the stages of a street, and where bundles are found."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from phasemesh.contract.bundle import MANIFEST_NAME, SIGNATURE_NAME, BundleFile, BundleManifest, faults_of_manifest
from phasemesh.contract.errors import BundleError
from phasemesh.controller.access.signing import is_signed_by_any
from phasemesh.controller.policy.session import OnnxPolicy

ENTRY_POINT_GROUP = "phasemesh.bundles"
"""Each entry point is a function that returns a folder whose sub-folders are bundles."""
MAX_MANIFEST_BYTES = 1_048_576
"""Longest manifest that is read, before anything is known about it."""
SIGNATURE_BYTES = 64


class LoadedBundle(msgspec.Struct, frozen=True):
    """A verified bundle; `digest` is the SHA-256 of its manifest, which names every byte of it."""

    manifest: BundleManifest
    folder: Path
    digest: str

    def policy_for(self, intersection_id: str) -> OnnxPolicy:
        """The policy that the manifest assigns to `intersection_id`, policy 0 without an assignment.

        It looks from the site of `intersection_id`, where the manifest has an embedding of it.

        Raises:
            BundleError: The file was altered since the bundle was loaded, its graph cannot be used, or the bundle was
                made for certain intersections and this is none of them.
        """
        manifest = self.manifest
        index = manifest.assignment.get(intersection_id, 0)
        if intersection_id not in manifest.assignment and manifest.policies[index] in manifest.fixed_sizes:
            raise BundleError(
                f"{self.folder}: has no policy for {intersection_id!r}, only for {', '.join(manifest.assignment)}"
            )
        return self.policy(index, manifest.sites.get(intersection_id))

    def policy(self, index: int, site: tuple[float, ...] | None = None) -> OnnxPolicy:
        """The policy at `index` of the manifest for a `site`; raises BundleError as `policy_for` does."""
        manifest = self.manifest
        path = manifest.policies[index]
        graph = self._verified_bytes(path)
        try:
            return OnnxPolicy(
                graph,
                max_lanes=manifest.max_lanes,
                max_stages=manifest.max_stages,
                fixed_sizes=manifest.fixed_sizes.get(path),
                site=site,
            )
        except BundleError as error:
            raise BundleError(f"{self.folder / path}: {error}") from error

    def _verified_bytes(self, path: str) -> bytes:
        listed = next(file for file in self.manifest.files if file.path == path)
        try:
            with (self.folder / path).open("rb") as file:
                # One byte more than was verified: a file that has grown since is altered, however long it is.
                content = file.read(listed.size_bytes + 1)
        except OSError as error:
            raise BundleError(f"{self.folder / path}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != listed.sha256:
            raise BundleError(f"{self.folder / path}: was altered since the bundle was loaded")
        return content


class _Inspection(msgspec.Struct, frozen=True):
    """What is wrong with a folder, and the bundle in it when its manifest can be read."""

    faults: list[str]
    bundle: LoadedBundle | None


def load_bundle(folder: Path, trusted_keys: Sequence[bytes]) -> LoadedBundle:
    """The bundle in `folder`, after signature, format, spec, budget and every file have been verified.

    Args:
        folder: Where `manifest.json` lies.
        trusted_keys: Raw Ed25519 public keys, one of which must have signed the manifest.

    Raises:
        BundleError: The first fault, and how many more there are.
    """
    found = _inspect(folder, trusted_keys)
    if found.faults or found.bundle is None:
        more = f" (and {len(found.faults) - 1} more)" if len(found.faults) > 1 else ""
        raise BundleError(f"{folder}: {found.faults[0]}{more}")
    return found.bundle


def faults_of_bundle(folder: Path, trusted_keys: Sequence[bytes]) -> list[str]:
    """All reasons why the bundle in `folder` cannot be used, each with its path; a sound one also runs once."""
    found = _inspect(folder, trusted_keys)
    if found.faults or found.bundle is None:
        return found.faults
    return [
        fault for index in range(len(found.bundle.manifest.policies)) if (fault := _policy_fault(found.bundle, index))
    ]


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder of the installed bundle of that name, else the path itself.

    Raises:
        BundleError: Neither an installed bundle nor a folder with a manifest; lists the known names.
    """
    path = Path(name_or_path)
    has_manifest = (path / MANIFEST_NAME).is_file()
    if has_manifest and len(path.parts) > 1:
        return path
    known = installed_bundles()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if has_manifest:
        return path
    names = ", ".join(sorted(known)) or "none"
    raise BundleError(f"{name_or_path}: is no folder with a {MANIFEST_NAME} and no installed bundle; known are {names}")


def installed_bundles() -> dict[str, Path]:
    """Folders of all bundles that installed distributions offer, by name."""
    return {path.parent.name: path.parent for root in _roots() for path in sorted(root.glob(f"*/{MANIFEST_NAME}"))}


@functools.cache
def _roots() -> tuple[Path, ...]:
    """The folders that distributions offer; looked up once, since reading all of their metadata takes a megabyte."""
    return tuple(point.load()() for point in metadata.entry_points(group=ENTRY_POINT_GROUP))


def _inspect(folder: Path, trusted_keys: Sequence[bytes]) -> _Inspection:
    try:
        with (folder / MANIFEST_NAME).open("rb") as file:
            signed = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        return _Inspection([f"{MANIFEST_NAME}: cannot be read: {error.strerror}"], None)
    if len(signed) > MAX_MANIFEST_BYTES:
        return _Inspection([f"{MANIFEST_NAME}: is over the budget of {MAX_MANIFEST_BYTES} bytes"], None)
    faults = _signature_faults(folder, signed, trusted_keys)
    try:
        manifest = msgspec.json.decode(signed, type=BundleManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _Inspection([*faults, f"{MANIFEST_NAME}: {error}"], None)
    faults += [f"{MANIFEST_NAME}: {fault}" for fault in faults_of_manifest(manifest)]
    faults += [fault for file in manifest.files if (fault := _file_fault(folder, file))]
    faults += _unlisted_faults(folder, manifest)
    return _Inspection(faults, LoadedBundle(manifest, folder, hashlib.sha256(signed).hexdigest()))


def _signature_faults(folder: Path, signed: bytes, trusted_keys: Sequence[bytes]) -> list[str]:
    try:
        with (folder / SIGNATURE_NAME).open("rb") as file:
            signature = file.read(SIGNATURE_BYTES + 1)
    except OSError as error:
        return [f"{SIGNATURE_NAME}: the bundle is not signed: {error.strerror}"]
    if is_signed_by_any(trusted_keys, signature, signed):
        return []
    return [f"{SIGNATURE_NAME}: is not the signature of {MANIFEST_NAME} by a trusted key"]


def _file_fault(folder: Path, file: BundleFile) -> str | None:
    try:
        return _content_fault(folder.resolve(), (folder / file.path).resolve(), file)
    except (OSError, ValueError, RuntimeError) as error:
        # Paths may hold a null byte, be too long, or be a loop of links.
        return f"{file.path!r}: cannot be read: {error}"


def _content_fault(folder: Path, path: Path, file: BundleFile) -> str | None:
    if not path.is_relative_to(folder):
        return f"{file.path}: leaves the bundle"
    if not path.is_file():
        return f"{file.path}: is missing"
    if path.stat().st_size != file.size_bytes:
        return f"{file.path}: has {path.stat().st_size} bytes, the manifest says {file.size_bytes}"
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return None if digest == file.sha256 else f"{file.path}: was altered, its SHA-256 is not that of the manifest"


def _unlisted_faults(folder: Path, manifest: BundleManifest) -> list[str]:
    listed = {file.path for file in manifest.files}
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx"))
    return [f"{path}: is not listed in the manifest" for path in found if path not in listed]


def _policy_fault(bundle: LoadedBundle, index: int) -> str | None:
    try:
        bundle.policy(index)
    except BundleError as error:
        return str(error)
    return None
