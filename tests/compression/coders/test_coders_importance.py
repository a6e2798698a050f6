"""What an error of the latent matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compression.fitting.classifiers import Classifiers
from compression.fitting.discriminators import ActionDiscriminator
from compression.fitting.importance import action_importance, picture_importance, sensitivity
from compression.model.latent_model import LatentModel


def test_an_importance_has_trace_one_and_no_error_helps(any_model: LatentModel) -> None:
    latents = np.random.default_rng(0).normal(size=(6, any_model.sizes.latents)).astype(np.float32)
    weight = picture_importance(any_model, latents)
    assert np.trace(weight) == pytest.approx(1)
    np.testing.assert_allclose(weight, weight.T, atol=1e-9)
    assert np.linalg.eigvalsh(weight).min() > -1e-9


def test_the_sensitivity_of_a_sum_is_that_of_its_terms() -> None:
    weight = sensitivity(lambda z: (z * torch.tensor([2.0, 0, 1])).sum(1, keepdim=True), np.ones((4, 3), np.float32))
    np.testing.assert_allclose(weight, np.outer([2, 0, 1], [2, 0, 1]) / 5, atol=1e-5)


def test_the_picture_hangs_on_the_first_block_most(model: LatentModel) -> None:
    latents = np.random.default_rng(0).normal(size=(6, 32)).astype(np.float32)
    blocks = np.diag(picture_importance(model, latents)).reshape(8, 4).sum(1)
    assert np.argmax(blocks) == 0


def test_actions_hang_on_the_feature_that_the_driver_model_looks_at(any_model: LatentModel) -> None:
    torch.manual_seed(0)
    sizes = any_model.sizes
    seen = sizes.hidden + 3
    driver = ActionDiscriminator(sizes).eval()
    first = driver.classifier[0]
    with torch.no_grad():
        looked_at = first.weight[:, seen].clone()
        first.weight[:, sizes.hidden :] = 0
        first.weight[:, seen] = looked_at
    weight = action_importance(Classifiers([driver]), torch.randn(20, sizes.hidden + sizes.latents))
    assert weight[3, 3] == pytest.approx(1)
