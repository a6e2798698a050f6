"""Models of what latents are likely: probabilities that add up, finite costs far out, and a model that learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from compression.fitting.rate_models import RATE_MODELS, Factorised, Normal, RateModel, RateModelName


@pytest.mark.parametrize("name", RATE_MODELS)
def test_probabilities_of_all_steps_add_up_to_one(name: RateModelName) -> None:
    model = RATE_MODELS[name](2)
    steps = torch.arange(-30_000, 30_001)[:, None].repeat(1, 2) * model.step
    with torch.inference_mode():
        shares = torch.exp2(-model.bits(steps).double())
    np.testing.assert_allclose(shares.sum(0).numpy(), 1, atol=2e-3)


def test_the_normal_model_is_scipys() -> None:
    latents = np.array([[0.0, 0.4], [-3.0, 6.0]])
    with torch.inference_mode():
        bits = Normal(2).bits(torch.from_numpy(latents)).numpy()
    expected = -np.log2(norm.cdf(latents + 5e-4) - norm.cdf(latents - 5e-4))
    np.testing.assert_allclose(bits, expected, rtol=1e-4)


@pytest.mark.parametrize(("name", "least", "most"), [("normal", 5000, 1e6), ("factorised", 20, 2000)])
def test_a_stray_latent_costs_finite_bits_and_under_the_normal_model_thousands(
    name: RateModelName, least: float, most: float
) -> None:
    model: RateModel = RATE_MODELS[name](1)
    latent = torch.full((1, 1), 100.0, requires_grad=True)
    bits = model.bits(latent)
    bits.sum().backward()
    assert least < float(bits.detach()) < most
    assert latent.grad is not None and 0 < float(latent.grad) < math.inf


def test_a_factorised_model_learns_what_it_is_shown_to_within_five_percent_of_the_entropy() -> None:
    rng = torch.Generator().manual_seed(0)
    numbers = torch.stack([torch.randn(4000, generator=rng) * 3 + 5, torch.bernoulli(torch.full((4000,), 0.1))], 1)
    numbers = numbers.round()
    torch.manual_seed(0)
    model = Factorised(2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(600):
        optimizer.zero_grad()
        rows = numbers[torch.randint(4000, (256,), generator=rng)]
        noise = torch.rand(rows.shape, generator=rng) - 0.5
        model.bits(rows + noise).mean().backward()
        optimizer.step()
    with torch.inference_mode():
        cost = float(model.bits(numbers).mean())
    shares = [np.unique(column, return_counts=True)[1] / 4000 for column in numbers.numpy().T]
    entropy = np.mean([-(share * np.log2(share)).sum() for share in shares])
    assert entropy < cost < 1.05 * entropy
