from __future__ import annotations

import pytest

from compression.model.latent_model import Codec, load_codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    """Return the shipped weights, whatever they are."""
    return load_codec()
