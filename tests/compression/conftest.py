"""The shipped codec and frames for it. No test may depend on the particular values of the weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from compression.masks import LATENTS
from compression.model.latent_model import Codec, load_codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    return load_codec()


@pytest.fixture(scope="session")
def frames(codec: Codec) -> NDArray[np.uint8]:
    """Return 24 frames, uint8[24, 64, 64, 3], as the codec draws them."""
    latents = np.random.default_rng(7).standard_normal((24, LATENTS)).astype(np.float32)
    return codec.decode_latents(latents)
