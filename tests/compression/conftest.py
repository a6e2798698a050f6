"""Latent models of several sizes, and frames for them. No test may depend on the particular values of the weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_agents import write_tiny_agent
from tiny_models import GREY, LARGE, STILL, tiny_model

from compression.model.header import shipped_model
from compression.model.latent_model import LatentModel, load_model

TINY = {"grey": GREY, "large": LARGE, "still": STILL}


@pytest.fixture(scope="session")
def model() -> LatentModel:
    """Return the model that ships for car-racing."""
    return load_model(shipped_model("car-racing"))


@pytest.fixture(scope="session", params=["car-racing", *TINY])
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    """Return models of several sizes, one after the other."""
    if request.param == "car-racing":
        return load_model(shipped_model("car-racing"))
    folder = tmp_path_factory.mktemp(request.param)
    made = tiny_model(folder, TINY[request.param])
    write_tiny_agent(made, folder / "agent.safetensors")
    return made


@pytest.fixture(scope="session")
def frames(model: LatentModel) -> NDArray[np.uint8]:
    """Return 24 frames, uint8[24, 64, 64, 3], as the shipped model draws them."""
    return _frames_of(model)


@pytest.fixture(scope="session")
def any_frames(any_model: LatentModel) -> NDArray[np.uint8]:
    """Return 24 frames, uint8[24, H, W, C], as each model draws them."""
    return _frames_of(any_model)


def _frames_of(model: LatentModel) -> NDArray[np.uint8]:
    latents = np.random.default_rng(7).standard_normal((24, model.sizes.latents)).astype(np.float32)
    return model.decode_latents(latents)
