"""B1 and B2: the ego-graph mask is the posterior that it says it is, and its regulariser pulls towards the prior."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from phasemesh.trainer.ego_mask import bernoulli_entropy, hard_mask, kl_to_prior, printed_penalty, relaxed_mask

pytestmark = pytest.mark.train
EVEN_NOISE = ((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000).requires_grad_(False)
"""Noise spread evenly over (0, 1), so that means over it are expectations."""


def descend(penalty, start: float, prior: float = 0.2, steps: int = 500) -> float:
    """The probability of one edge after descending `penalty` with no other loss."""
    logit = torch.logit(torch.tensor([start], dtype=torch.float64)).requires_grad_()
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(penalty(torch.sigmoid(logit), prior, torch.ones(1)).sum(), logit)
        with torch.no_grad():
            logit -= gradient
    return torch.sigmoid(logit).item()


@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.5])
def test_b1_the_mean_of_the_samples_is_the_posterior(logit: float) -> None:
    """The noise is logistic: with one Gumbel alone the mean at 0 would be 0.632."""
    mask = hard_mask(torch.full_like(EVEN_NOISE, logit), EVEN_NOISE, None)

    assert mask.mean().item() == pytest.approx(torch.sigmoid(torch.tensor(logit)).item(), abs=1e-4)


@pytest.mark.parametrize("logit", [-1.0, 0.0, 2.0])
def test_b1_the_gradient_is_that_of_the_expectation(logit: float) -> None:
    """At low temperature the mean gradient agrees with the finite difference of the expected sample."""
    parameter = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    hard_mask(parameter.expand_as(EVEN_NOISE), EVEN_NOISE, 0.05).mean().backward()

    low, high = (relaxed_mask(torch.tensor(logit + d), EVEN_NOISE, 0.05).mean() for d in (-1e-3, 1e-3))
    assert parameter.grad is not None
    assert parameter.grad.item() == pytest.approx((high - low).item() / 2e-3, rel=1e-3)
    assert parameter.grad.item() == pytest.approx(
        (torch.sigmoid(parameter) * (1 - torch.sigmoid(parameter))).item(), rel=0.02
    )


def test_b1_the_mask_of_an_update_is_that_of_a_rollout() -> None:
    """Bit for bit 0 or 1: the temperature changes the gradient and nothing else."""
    logits = torch.randn(1000, generator=torch.Generator().manual_seed(0), requires_grad=True)
    noise = torch.rand(1000, generator=torch.Generator().manual_seed(1)).clamp(1e-6, 1 - 1e-6)

    assert torch.equal(hard_mask(logits, noise, 0.5), hard_mask(logits, noise, None))


@pytest.mark.parametrize("prior", [0.2, 0.5, 0.8])
def test_b2_a_posterior_equal_to_the_prior_costs_nothing_and_stays(prior: float) -> None:
    """Divergence and gradient are zero."""
    probability = torch.tensor([prior], dtype=torch.float64, requires_grad=True)
    divergence = kl_to_prior(probability, prior, torch.ones(1))
    divergence.backward()

    assert divergence.item() == pytest.approx(0.0, abs=1e-12)
    assert probability.grad is not None
    assert probability.grad.item() == pytest.approx(0.0, abs=1e-9)


def test_b2_without_a_task_the_mask_descends_to_its_prior() -> None:
    """From 0.5 to 0.2, and not to 0.054 as with the printed sign of the entropy."""
    assert descend(kl_to_prior, 0.5) == pytest.approx(0.2, abs=1e-3)
    assert descend(printed_penalty, 0.5) == pytest.approx(0.054, abs=2e-3)


@pytest.mark.parametrize(("prior", "printed"), [(0.2, 0.054), (0.8, 0.946)])
def test_b2_what_is_printed_has_another_optimum_than_the_prior(prior: float, printed: float) -> None:
    """Wherever the descent begins; the divergence ends at the prior."""
    for start in (0.02, 0.5, 0.97):
        assert descend(printed_penalty, start, prior) == pytest.approx(printed, abs=2e-3)
        assert descend(kl_to_prior, start, prior) == pytest.approx(prior, abs=1e-3)


def test_edges_to_nobody_cost_nothing() -> None:
    """Only valid edges count."""
    probability = torch.tensor([0.9, 0.2])

    assert kl_to_prior(probability, 0.2, torch.tensor([0.0, 1.0])).item() == pytest.approx(0.0, abs=1e-6)


def test_the_entropy_of_an_even_edge_is_one_bit() -> None:
    """In nats."""
    entropy: Tensor = bernoulli_entropy(torch.tensor([0.5, 1.0]))

    torch.testing.assert_close(entropy, torch.tensor([0.6931, 0.0]), atol=1e-4, rtol=0)
