"""Fitted files of coder rl-asc: of earlier versions, and those that no training made."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import CHANNELS, PARTS, concept_tensors

from compression.fitting.fitted import FittedModel, FittedRecord
from compression.model.sizes import Sizes
from compression.rl_asc.codec import check_rl_asc, codec_of
from compression.rl_asc.networks import LEVELS, Design

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


def test_an_agent_from_before_scores_went_by_the_price_chooses_as_it_did() -> None:
    rng, new = np.random.default_rng(0), fitted([1e-4, 1e-2])
    old = dict(new.tensors)
    for name in ("system.agent.decide.4.weight", "system.agent.decide.4.bias"):
        old[name] = rng.standard_normal(old[name][: len(LEVELS)].shape).astype(np.float32)
        new.tensors[name][: len(LEVELS)], new.tensors[name][len(LEVELS) :] = old[name], 0
    before = FittedModel(old, new.record, "old")
    check_rl_asc(before, SIZES)
    frames = rng.integers(256, size=(4, *SIZES.frame), dtype=np.uint8)
    cells, features = codec_of(new, SIZES).look(frames)
    told = [codec_of(each, SIZES).choose(cells, features, 1e-3).tolist() for each in (new, before)]
    assert told[0] == told[1] and np.any(told[0])
