"""`phasemesh export` from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from phasemesh.contract.bundle import SIGNATURE_NAME
from phasemesh.contract.errors import BundleError, InputError
from phasemesh.controller.access.signing import own_key
from phasemesh.controller.policy.bundle import faults_of_bundle, find_bundle, load_bundle
from phasemesh.controller.policy.trust import SHIPPED_KEYS, read_keys, trusted_keys
from phasemesh.export import pipeline
from phasemesh.export.cli import register
from phasemesh.export.parity import Parity
from phasemesh.export.pipeline import export_bundle, load_source
from phasemesh.export.zoo import folder as zoo_folder

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration folder of its own, so that no key of the developer is used."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips the seconds that tracing takes: the graph is the shipped one, its parity taken for granted."""
    graph = (find_bundle("max-pressure") / pipeline.policy_path(0)).read_bytes()
    monkeypatch.setattr(pipeline, "export_onnx", lambda _: graph)
    monkeypatch.setattr(pipeline, "measure_parity", lambda *_: Parity(0.0, 1, 0))


def call(*arguments: str) -> Result:
    """Run the command as the shell would."""
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["export", *arguments])


def test_a_random_policy_becomes_a_bundle_that_its_maker_trusts(tmp_path: Path) -> None:
    """With provenance, the noise that it wants, a sound signature, and one line of summary."""
    result = call("random:7", "--out", str(tmp_path / "b"), "--name", "chance", "--created", "2026-11-21")

    manifest = load_bundle(tmp_path / "b", trusted_keys()).manifest
    assert result.exit_code == 0
    assert result.output.count("\n") == 1
    assert faults_of_bundle(tmp_path / "b", trusted_keys()) == []
    assert (manifest.name, manifest.is_deterministic, manifest.tick_s) == ("chance", False, 5.0)
    assert (manifest.provenance.source, manifest.provenance.created) == ("random:7", "2026-11-21")
    assert manifest.provenance.parity_changed_decisions == 0
    assert manifest.provenance.parity_max_abs < manifest.parity_tolerance
    assert set(manifest.provenance.tool_versions) == {"phasemesh", "torch", "onnx", "onnxruntime"}


def test_a_listening_rule_becomes_a_bundle(tmp_path: Path) -> None:
    """It takes noise for its mask and keeps the tick of its rule."""
    call("listening:1", "--out", str(tmp_path / "b"))
    manifest = load_bundle(tmp_path / "b", trusted_keys()).manifest

    assert (manifest.name, manifest.is_deterministic, manifest.tick_s) == ("listening-1", False, 2.0)


@pytest.mark.parametrize("name", ["max-pressure", "approach-lost-time"])
def test_shipped_bundles_are_what_the_command_makes(tmp_path: Path, name: str) -> None:
    """The same weights and manifest, apart from graph bytes, hashes and tool versions of other releases."""
    made = export_bundle(load_source(f"rule:{name}"), tmp_path / "b", own_key(), created="2026-11-21").manifest
    shipped = load_bundle(find_bundle(name), read_keys(SHIPPED_KEYS)).manifest

    for field in ("name", "spec_hash", "policies", "policy_budget", "assignment", "tick_s", "is_deterministic"):
        assert getattr(made, field) == getattr(shipped, field), field
    if made.provenance.tool_versions == shipped.provenance.tool_versions:
        assert made.files == shipped.files


@pytest.mark.usefixtures("quick")
def test_the_date_follows_source_date_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds can be reproduced."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    call("rule:max-pressure", "--out", str(tmp_path / "b"))

    assert load_bundle(tmp_path / "b", trusted_keys()).manifest.provenance.created == "2001-09-09"


@pytest.mark.parametrize(
    "source",
    ["", "rule:", "rule:max-presure", "random:", "random:-1", "random:x", "listening:", "listening:x", "max-pressure"],
)
def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path: Path, source: str) -> None:
    """One line, before anything is written."""
    error = call(source, "--out", str(tmp_path / "b")).exception

    assert isinstance(error, InputError)
    assert "rule:max-pressure" in str(error)
    assert not (tmp_path / "b").exists()


def test_a_date_that_is_none_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    error = call("rule:max-pressure", "--out", str(tmp_path / "b"), "--created", "yesterday").exception

    assert isinstance(error, InputError)
    assert not (tmp_path / "b").exists()


@pytest.mark.usefixtures("quick")
def test_a_key_that_was_named_signs(tmp_path: Path) -> None:
    """And a missing one is never made up."""
    own_key()
    path = tmp_path / "config" / "phasemesh" / "signing.key"
    elsewhere = path.rename(tmp_path / "other.key")

    call("rule:max-pressure", "--out", str(tmp_path / "b"), "--key", str(elsewhere))

    assert faults_of_bundle(tmp_path / "b", trusted_keys()) == []
    assert not path.exists()
    assert isinstance(call("rule:max-pressure", "--out", "b", "--key", str(path)).exception, InputError)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("parity", [Parity(2e-4, 10, 0), Parity(0.0, 10, 1), Parity(float("nan"), 10, 0)])
def test_a_graph_without_parity_is_never_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parity: Parity
) -> None:
    """Neither numbers nor decisions may differ."""
    monkeypatch.setattr(pipeline, "measure_parity", lambda *_: parity)

    with pytest.raises(BundleError, match="differs from torch"):
        export_bundle(load_source("rule:max-pressure"), tmp_path / "b", own_key(), created="2026-11-21")
    assert not (tmp_path / "b").exists()


def test_no_private_key_lies_in_the_repository() -> None:
    """Bundles of the zoo hold signatures only."""
    names = {path.name for path in zoo_folder().rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}

    assert names == {"manifest.json", SIGNATURE_NAME, "0.onnx"}
