"""Whoever shares weights with whom, a training becomes a bundle in which every intersection finds its own policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from actor_kinds import SITES, make_town_actor
from test_networks import make_tensors
from test_sharing import unbatched

from phasemesh.contract.errors import BundleError
from phasemesh.contract.tensors import PolicyFault, PolicyInput
from phasemesh.controller.access.signing import own_key
from phasemesh.controller.policy.bundle import faults_of_bundle
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.export.pipeline import Source, export_bundle
from phasemesh.trainer.actor_spec import NetworkKind, SharingKind

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(900)]
NETWORKS = {
    (NetworkKind.UNIVERSAL, SharingKind.INDEX): 1,
    (NetworkKind.UNIVERSAL, SharingKind.HYPER): 1,
    (NetworkKind.UNIVERSAL, SharingKind.WIDE): 1,
    (NetworkKind.UNIVERSAL, SharingKind.CONSENSUS): 3,
    (NetworkKind.UNIVERSAL, SharingKind.NONE): 3,
    (NetworkKind.EGO_GCN, SharingKind.FULL): 2,
    (NetworkKind.EGO_GCN, SharingKind.INDEX): 2,
    (NetworkKind.EGO_GCN, SharingKind.NONE): 3,
    (NetworkKind.NUMBERED, SharingKind.CONSENSUS): 3,
    (NetworkKind.NUMBERED, SharingKind.NONE): 3,
}
"""How many graphs a bundle has: one, one a shape, or one an intersection; the town has three of two shapes."""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration folder of its own, so that no key of the developer is used."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_every_intersection_finds_its_own_policy(tmp_path: Path, kind: tuple[NetworkKind, SharingKind]) -> None:
    """With parity for every graph, and the numbers of its own network and site."""
    actor = make_town_actor(*kind).eval()
    source = Source("town", "town", actor, 5.0, is_deterministic=False, parity_tolerance=2e-3)
    bundle = export_bundle(source, tmp_path / "b", own_key(), created="2026-11-30")
    manifest = bundle.manifest

    assert faults_of_bundle(tmp_path / "b", trusted_keys()) == []
    assert len(manifest.policies) == manifest.policy_budget == NETWORKS[kind]
    assert manifest.provenance.parity_inputs == 1200 * NETWORKS[kind]
    assert manifest.provenance.parity_changed_decisions == 0
    for index, site in enumerate(SITES):
        tensors = make_tensors({"L": site.lanes, "S": site.stages, "K": site.neighbours}, seed=index)
        tensors["site"][:] = 0.0
        output = bundle.policy_for(site.name).infer(PolicyInput(*(part.numpy() for part in tensors.values())))
        network, row = unbatched(actor, site.name)
        with torch.no_grad():
            expected = network(*{**tensors, "site": row}.values())
        assert not isinstance(output, PolicyFault)
        np.testing.assert_allclose(output.stage_logits, expected[0].numpy(), atol=1e-4)
    if kind[0] is not NetworkKind.UNIVERSAL:
        with pytest.raises(BundleError, match="has no policy for 'elsewhere'"):
            bundle.policy_for("elsewhere")
    else:
        bundle.policy_for("elsewhere")
