from __future__ import annotations

import pytest

from compression.codec import Codec, load_codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    """Return the shipped weights, whatever they are."""
    return load_codec()
