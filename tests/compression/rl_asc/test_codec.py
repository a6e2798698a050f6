"""Fitted files of coder rl-asc: of earlier versions, and those that no training made."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import CHANNELS, PARTS, concept_tensors

from compression.coders.coder import CoderSettings, find_coder
from compression.coders.range_coding import Reader, pack, shortest
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from compression.rl_asc.codec import check_rl_asc, codec_of
from compression.rl_asc.measures import psnr
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


def shipped(model: LatentModel) -> FittedModel:
    found = find_coder("rl-asc").read_shipped(model)
    assert found is not None
    return found


def test_packets_of_the_shipped_file_keep_their_bytes(model: LatentModel) -> None:
    """Tables alone decide what a message is; the networks may round differently elsewhere."""
    codec, rng, digest = codec_of(shipped(model), model.sizes), np.random.default_rng(0), hashlib.sha256()
    design = codec.design
    for parts in (1, 2, design.parts):
        cells = rng.integers(parts, size=design.grid).astype(np.int32)
        levels = rng.integers(len(LEVELS), size=design.parts).astype(np.int32)
        symbols = codec.code.symbols(cells, levels, rng.uniform(-1, 1, (design.channels, *design.grid)))
        bits = shortest(symbols)
        value = pack(symbols, bits)
        assert value is not None and np.array_equal(codec.code.read(Reader(value, bits)).cells, cells)
        digest.update(f"{bits} {value} ".encode())
    assert digest.hexdigest()[:16] == GOLDEN


GOLDEN = "6eb3dad62077acfc"


def test_the_shipped_file_shows_frames_in_few_bits_and_better_in_more(
    model: LatentModel, frames: NDArray[np.uint8]
) -> None:
    coder, quality = find_coder("rl-asc"), []
    for bits in (12, 85):
        settings = CoderSettings(bits, "episode", "hold", np.random.default_rng(0), shipped(model))
        sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
        sender.reset()
        receiver.reset()
        shown = np.stack([receiver.decode(sender.encode(frame, 1), 1) for frame in frames[:6]])
        quality.append(float(psnr(frames[:6], shown).mean()))
    assert quality == sorted(quality) and quality[0] > 18
