"""What is fitted on another device comes to the same, and comes home; a device that is not here is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pretended_gpu import GPU, pretended_gpu

from compression.errors import DeviceError
from compression.fitting.config import PicoConfig
from compression.fitting.importance import action_importance
from compression.fitting.interaction import RECENT, Interactions, fit_interaction
from compression.fitting.pico import fit_mask
from compression.fitting.pico_rate import fit_drivers, fit_pico_rate
from compression.fitting.recorded import RecordedEpisode
from compression.masks import mask_table
from compression.model.header import read_sizes, shipped_model
from compression.model.latent_model import LatentModel, chosen_device

BRIEF = PicoConfig(iterations=2, batch=8, members=1, imagined=1)
STEPS = 12
SIZES = read_sizes(shipped_model("car-racing"))


def episodes() -> list[RecordedEpisode]:
    rng = np.random.default_rng(0)
    table = mask_table(SIZES.blocks, SIZES.blocks // 2)
    found = []
    for original in (True, True, False, False):
        latents = rng.standard_normal((STEPS, SIZES.latents)).astype(np.float32)
        masks = np.ones((STEPS, SIZES.blocks), bool) if original else table[rng.integers(len(table), size=STEPS)]
        received = np.where(np.repeat(masks, SIZES.block_size, axis=1), latents, 0).astype(np.float32)
        found.append(RecordedEpisode(latents, received, rng.integers(SIZES.actions, size=STEPS), masks, original))
    return found


def interactions() -> Interactions:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((STEPS, SIZES.latents)).astype(np.float32)
    actions = rng.integers(SIZES.actions, size=STEPS)
    wanted = np.eye(SIZES.actions, dtype=np.float32)[actions]
    recent = rng.integers(SIZES.actions + 1, size=(STEPS, RECENT))
    kept = np.array([0, 1, np.nan] * (STEPS // 3), np.float32)
    return Interactions(latents, latents, recent, actions, wanted, kept, np.arange(STEPS) % 2)


def mask(objective: str, labels: str = "released") -> Callable[[LatentModel], dict[str, NDArray[np.floating]]]:
    config = replace(BRIEF, objective=objective, labels=labels)
    return lambda model: fit_mask(episodes(), "episode", "hold", model, config)[0]


def importance(model: LatentModel) -> NDArray[np.float64]:
    fit = fit_drivers(episodes(), model, BRIEF)
    return action_importance(fit.drivers, fit.held.x)


FITS: dict[str, Callable[[LatentModel], dict[str, NDArray[np.floating]]]] = {
    "pico": mask("pico"),
    "pico by the paper's labels": mask("pico", "paper"),
    "perceptual": mask("perceptual"),
    "pico-rate": lambda model: fit_pico_rate(episodes(), model, BRIEF)[0],
    "what actions follow from": lambda model: {"weights": importance(model)},
    "interaction": lambda model: fit_interaction(interactions(), model, BRIEF)[0].tensors(),
}


@pytest.mark.parametrize("what", FITS)
def test_what_is_fitted_on_another_device_is_the_same_and_comes_home(what: str, model: LatentModel) -> None:
    here = FITS[what](model)
    with pretended_gpu():
        there = FITS[what](model.on(GPU))
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[name], there[name]) for name in here)


def test_frames_and_latents_pass_another_device(model: LatentModel) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, *SIZES.frame), np.uint8)
    latents = model.encode_frames(frames)
    with pretended_gpu():
        there = model.on(GPU)
        assert np.array_equal(there.encode_frames(frames), latents)
        assert np.array_equal(there.decode_latents(latents), model.decode_latents(latents))
    assert model.on("cpu") is model, "where it is already nothing is copied"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_device_that_is_not_here_is_named_in_one_line() -> None:
    assert chosen_device("auto").type == "cpu"
    with pytest.raises(DeviceError, match=r"^there is no cuda here that PyTorch can use; .* leave out --device$"):
        chosen_device("cuda")
