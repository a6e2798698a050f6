"""Fitted files of coder rl-asc that no training made: they are refused."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import CHANNELS, PARTS, concept_tensors

from compression.fitting.fitted import FittedModel, FittedRecord
from compression.model.sizes import Sizes
from compression.rl_asc.codec import check_rl_asc
from compression.rl_asc.networks import Design

SIZES = Sizes((16, 24, 3), latents=4, blocks=2, actions=2, hidden=0, dense=8)


def fitted(prices: object) -> FittedModel:
    """Return what a file with these prices holds."""
    tensors = concept_tensors(Design(SIZES.frame, len(PARTS), CHANNELS), np.random.default_rng(0))
    tensors["prices"] = np.asarray(prices)
    record = FittedRecord("rl-asc", "ab" * 32, (), (), (), {"parts": list(PARTS), "channels": CHANNELS})
    return FittedModel({name: value.astype(np.float32) for name, value in tensors.items()}, record, repr(prices))


@pytest.mark.parametrize(
    "prices", [np.float32(0.1), np.zeros(0), np.ones((1, 1)) / 2, [0.1, 0.01], [0.0, 0.1], [1.0], np.ones(17) / 2]
)
def test_prices_that_are_none_are_refused(prices: object) -> None:
    with pytest.raises(ValueError, match=r"prices of a bit are not valid|does not hold what rl-asc needs"):
        check_rl_asc(fitted(prices), SIZES)
