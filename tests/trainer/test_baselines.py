"""B9: each baseline hears what its paper says that it hears, and nothing else."""

from __future__ import annotations

import pytest
import torch
from actor_kinds import SITES
from test_networks import make_tensors
from torch import Tensor

from phasemesh.contract.observation import POLICY_SIZE, SUMMARY_SIZE
from phasemesh.trainer.actor_spec import ActorSpec, CommunicationKind, MaskKind, MaskSpec, NetworkKind, SharingKind
from phasemesh.trainer.listening import HEARINGS, ListeningNetwork
from phasemesh.trainer.numbered import CELL_SIZE
from phasemesh.trainer.recipe import find_recipe

pytestmark = pytest.mark.train
PARTS = {
    "state": slice(0, SUMMARY_SIZE),
    "policy": slice(SUMMARY_SIZE, SUMMARY_SIZE + POLICY_SIZE),
    "output": slice(SUMMARY_SIZE + POLICY_SIZE, SUMMARY_SIZE + POLICY_SIZE + CELL_SIZE),
    "cell": slice(SUMMARY_SIZE + POLICY_SIZE + CELL_SIZE, None),
}
HEARD: dict[CommunicationKind, set[str]] = {
    CommunicationKind.OWN: set(),
    CommunicationKind.IA2C: {"state"},
    CommunicationKind.FPRINT: {"state", "policy"},
    CommunicationKind.COMMNET: {"output"},
    CommunicationKind.NEURCOMM: {"state", "policy", "output"},
}
MIDDLE = SITES[1]


def make_network(kind: CommunicationKind, mask: MaskSpec | None = None) -> ListeningNetwork:
    """The network of the signal in the middle of the town, which has two neighbours."""
    torch.manual_seed(2)
    spec = ActorSpec(
        network=NetworkKind.NUMBERED,
        communication=kind,
        mask=mask or MaskSpec(kind=MaskKind.OPEN),
        sites=(MIDDLE,),
    )
    return ListeningNetwork(spec)


def tensors_for(seed: int = 0) -> dict[str, Tensor]:
    """Random inputs of the signal in the middle; both neighbours are valid."""
    return make_tensors({"L": MIDDLE.lanes, "S": MIDDLE.stages, "K": 2}, seed)


@pytest.mark.parametrize("kind", list(HEARD))
def test_b9_a_baseline_hears_what_its_paper_says(kind: CommunicationKind) -> None:
    """Parts of the messages that it does not hear have no gradient at all: IA2C ignores what is sent by choice."""
    tensors = tensors_for()
    messages = tensors["neighbour_messages"].requires_grad_()
    scores, following, *_ = make_network(kind)(*tensors.values())
    nothing = 0.0 * messages.sum()
    (gradient,) = torch.autograd.grad(scores.sum() + following.sum() + nothing, messages)

    assert {name for name, part in PARTS.items() if gradient[:, part].any()} == HEARD[kind]


@pytest.mark.parametrize("kind", list(HEARD))
def test_b9_only_commnet_does_not_care_who_is_which_neighbour(kind: CommunicationKind) -> None:
    """It hears a mean; the others have numbered their neighbours, or hear nobody."""
    tensors = tensors_for()
    turned = {**tensors, "neighbour_messages": tensors["neighbour_messages"][[1, 0]]}
    network = make_network(kind)
    with torch.no_grad():
        first, second = network(*tensors.values())[0], network(*turned.values())[0]

    does_not_care = {CommunicationKind.COMMNET, CommunicationKind.OWN}
    assert torch.allclose(first, second, atol=1e-6) == (kind in does_not_care)


@pytest.mark.parametrize("kind", list(HEARD))
def test_a_neighbour_that_is_not_valid_is_not_heard(kind: CommunicationKind) -> None:
    """Whatever it says; its mask and probability are 0, those of the other 1."""
    tensors = tensors_for()
    tensors["neighbour_valid"][0] = 0.0
    other = {**tensors, "neighbour_messages": tensors["neighbour_messages"].clone()}
    other["neighbour_messages"][0] = 3.0
    network = make_network(kind)
    with torch.no_grad():
        first, second = network(*tensors.values()), network(*other.values())

    assert torch.equal(first[0], second[0])
    assert first[2].tolist() == first[3].tolist() == [0.0, 1.0]


def test_a_random_mask_may_stand_before_a_baseline_but_none_that_learns() -> None:
    """There is nothing in these networks that could learn one."""
    drawn = make_network(CommunicationKind.NEURCOMM, MaskSpec(kind=MaskKind.RANDOM, prior=0.2))

    assert drawn(*tensors_for().values())[2].tolist() == pytest.approx([0.2, 0.2])
    with pytest.raises(RuntimeError, match="no mask to learn"):
        make_network(CommunicationKind.NEURCOMM, MaskSpec())(*tensors_for().values())


def test_every_baseline_ships_as_a_recipe() -> None:
    """That differs from the paper's own in nothing but network, what is heard, and the mask."""
    paper = find_recipe("bayesg-paper")

    assert set(HEARINGS) == set(HEARD)
    for kind in HEARINGS:
        is_consensus = kind is CommunicationKind.OWN
        recipe = find_recipe("consenet" if is_consensus else kind)
        assert recipe.communication.kind is kind
        assert (recipe.sharing.kind is SharingKind.CONSENSUS) == is_consensus
        assert (recipe.learner, recipe.sharing, recipe.reward, recipe.episodes) == (
            paper.learner,
            recipe.sharing if is_consensus else paper.sharing,
            paper.reward,
            paper.episodes,
        )
