from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from compression.coders.blocks import BlockSender
from compression.coders.coder import CoderSettings, LatentReceiver, find_coder
from compression.errors import PacketError
from compression.masks import mask_table
from compression.model.latent_model import LatentModel

STEPS = 6


def settings(bits: int = 85, interval: str = "episode") -> CoderSettings:
    return CoderSettings(bits, interval, "hold", np.random.default_rng(4))  # type: ignore[arg-type]


def masks(name: str, model: LatentModel, bits: int = 85, interval: str = "episode") -> list[list[int]]:
    """Return the blocks that a coder sends in the first steps of its second episode."""
    sender = find_coder(name).sender(model, settings(bits, interval))
    assert isinstance(sender, BlockSender)
    sender.reset()
    latents = np.random.default_rng(0).standard_normal((STEPS, model.sizes.latents)).astype(np.float32)
    sender.send(latents[0], 1)
    sender.reset()
    layout = sender.layout
    sent = [layout.unpack(sender.send(latent, 1))[0] for latent in latents]
    return [np.flatnonzero(mask_table(layout.blocks, layout.sent)[index]).tolist() for index in sent]


def received(name: str, model: LatentModel, actions: list[int]) -> list[NDArray[np.float32]]:
    receiver = find_coder(name).receiver(model, settings())
    assert isinstance(receiver, LatentReceiver)
    receiver.reset()
    return [receiver.take(b"", action) for action in actions]


@pytest.mark.parametrize("interval", ["episode", "step"])
def test_first_blocks_are_the_first_ones_always_and_rotation_goes_through_all(
    model: LatentModel, interval: str
) -> None:
    assert masks("first-blocks", model, interval=interval) == [[0, 1, 2, 3]] * STEPS
    assert masks("rotation", model, interval=interval) == [[0, 1, 2, 3], [4, 5, 6, 7]] * (STEPS // 2)
    assert masks("rotation", model, 5, interval) == [[0], [1], [2], [3], [4], [5]]


def test_random_per_step_draws_anew_whatever_the_interval_of_the_others(model: LatentModel) -> None:
    assert len({tuple(mask) for mask in masks("random", model)}) == 1
    drawn = masks("random-step", model)
    assert len({tuple(mask) for mask in drawn}) > 1
    assert drawn == masks("random", model, interval="step"), "the same dice"


def test_nothing_crosses_to_who_sees_nothing(model: LatentModel) -> None:
    for name in ("blind", "zero-bits"):
        coder = find_coder(name)
        assert coder.silent(model.sizes) and not coder.hard
        sender = coder.sender(model, settings())
        assert sender.encode(np.zeros(model.sizes.frame, np.uint8), 1) == b""
        assert (sender.latent == model.encode_frame(np.zeros(model.sizes.frame, np.uint8))).all()
        with pytest.raises(PacketError, match="1 bytes came where nothing is sent"):
            coder.receiver(model, settings()).decode(b"\0", 1)
    assert not find_coder("jpeg").silent(model.sizes) and not find_coder("random").silent(model.sizes)


def test_who_sees_nothing_sees_the_mean_and_a_world_model_goes_by_the_actions(model: LatentModel) -> None:
    assert all((latent == model.mean).all() for latent in received("blind", model, [0, 1, 2]))
    left, right = (received("zero-bits", model, [1, action, action, action]) for action in (0, 2))
    assert (left[0] == model.mean).all() and (left[0] == right[0]).all()
    assert (left[-1] != right[-1]).any()
