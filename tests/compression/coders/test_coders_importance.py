"""What an error of the latent matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compression.fitting.classifiers import Classifiers
from compression.fitting.discriminators import ActionDiscriminator
from compression.fitting.importance import action_importance, picture_importance, road_importance
from compression.model.latent_model import load_codec
from compression.model.world_model import HIDDEN


@pytest.mark.parametrize("importance", [picture_importance, road_importance])
def test_an_importance_has_trace_one_and_no_error_helps(importance) -> None:  # type: ignore[no-untyped-def]
    latents = np.random.default_rng(0).normal(size=(6, 32)).astype(np.float32)
    weight = importance(load_codec(), latents)
    assert np.trace(weight) == pytest.approx(1)
    np.testing.assert_allclose(weight, weight.T, atol=1e-9)
    assert np.linalg.eigvalsh(weight).min() > -1e-9


def test_the_picture_hangs_on_the_first_block_most() -> None:
    latents = np.random.default_rng(0).normal(size=(6, 32)).astype(np.float32)
    blocks = np.diag(picture_importance(load_codec(), latents)).reshape(8, 4).sum(1)
    assert np.argmax(blocks) == 0


def test_actions_hang_on_the_feature_that_the_driver_model_looks_at() -> None:
    torch.manual_seed(0)
    model = ActionDiscriminator().eval()
    first = model.classifier[0]
    with torch.no_grad():
        looked_at = first.weight[:, HIDDEN + 9].clone()
        first.weight[:, HIDDEN:] = 0
        first.weight[:, HIDDEN + 9] = looked_at
    weight = action_importance(Classifiers([model]), torch.randn(20, HIDDEN + 32))
    assert weight[9, 9] == pytest.approx(1)
