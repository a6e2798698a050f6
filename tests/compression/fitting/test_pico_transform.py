"""Components of the latent: what they are by algebra, and that those which a driver acts by are found and sent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_models import STILL, tiny_model

from compression.coders.coder import CoderSettings, LatentReceiver, LatentSender, find_coder
from compression.errors import TrainingError
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.fitting.importance import Matrix
from compression.fitting.pico_rate import fit_pico_rate
from compression.fitting.pico_transform import components, fit_pico_transform
from compression.fitting.recorded import RecordedEpisode
from compression.model.latent_model import LatentModel

CONFIG = PicoConfig(iterations=150, batch=128)
ANSWERS = 800
TURNED = np.array([3, -2, 2, 3, -3, 2, -2, 3]) / np.sqrt(52)
"""What the made-up person answers by: a little of every feature."""


def spread(rng: np.random.Generator, count: int) -> Matrix:
    root = rng.standard_normal((count, count))
    return root @ root.T + 0.1 * np.eye(count)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24))
def test_components_are_uncorrelated_of_variance_one_and_their_errors_add_up(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    covariance, weights = spread(rng, count), spread(rng, count)
    analysis, synthesis, shares = components(covariance, weights)
    assert np.allclose(analysis @ synthesis, np.eye(count), atol=1e-6)
    assert np.allclose(analysis @ covariance @ analysis.T, np.eye(count), atol=1e-6)
    matters = synthesis.T @ weights @ synthesis
    assert np.allclose(matters / np.trace(matters), np.diag(shares), atol=1e-6)
    assert (np.diff(shares) <= 0).all() and shares.sum() == pytest.approx(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("model"), STILL)


def wanted(model: LatentModel, latents: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return what the person answers, int64[N], 0 or 1, on seeing latents, float32[N, latents]."""
    answers: NDArray[np.int64] = ((latents - model.mean) @ TURNED > 0).astype(np.int64)
    return answers


def drawn(model: LatentModel, rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    return rng.multivariate_normal(model.mean, model.covariance, count).astype(np.float32)


@pytest.fixture(scope="module")
def episodes(model: LatentModel) -> list[RecordedEpisode]:
    latents = drawn(model, np.random.default_rng(1), ANSWERS)
    everything = np.ones((1, STILL.blocks), bool)
    return [
        RecordedEpisode(each[None], each[None], wanted(model, each[None]), everything, original=True)
        for each in latents
    ]


def kept(name: str, tensors: dict[str, NDArray[np.float32]], model: LatentModel, bits: int) -> float:
    """Return how often the person answers as on the original, on seeing what a coder sends of it in so many bits."""
    fitted = FittedModel(tensors, FittedRecord(name, model.sha256, (), (), (), {}), name)
    given_to = CoderSettings(bits, "episode", "hold", np.random.default_rng(0), fitted)
    sender, receiver = find_coder(name).sender(model, given_to), find_coder(name).receiver(model, given_to)
    assert isinstance(sender, LatentSender) and isinstance(receiver, LatentReceiver)
    latents = drawn(model, np.random.default_rng(2), 400)
    shown = np.stack([receiver.take(sender.send(latent, 0), 0) for latent in latents])
    return float((wanted(model, shown) == wanted(model, latents)).mean())


def test_what_decides_is_sent_in_a_bit_though_every_feature_has_a_part_in_it(
    model: LatentModel, episodes: list[RecordedEpisode]
) -> None:
    tensors, summary = fit_pico_transform(episodes, model, CONFIG)
    again, _ = fit_pico_transform(episodes, model, CONFIG)
    assert all(tensors[name].tobytes() == again[name].tobytes() for name in tensors)
    assert summary.quantised == "component" and summary.action_accuracy > 0.9
    levels, _ = fit_pico_rate(episodes, model, CONFIG)
    assert kept("pico-transform", tensors, model, 1) > 0.93
    assert kept("pico-rate", levels, model, 1) < 0.8
    assert kept("pico-rate", levels, model, 4) < 0.93


def test_too_little_to_learn_from_is_refused(model: LatentModel, episodes: list[RecordedEpisode]) -> None:
    with pytest.raises(TrainingError, match="at least 2 episodes"):
        fit_pico_transform(episodes[:1], model, CONFIG)
