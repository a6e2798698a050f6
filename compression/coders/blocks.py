"""The mask coder: a policy chooses which blocks of features are sent; the receiver fills in the others.

After PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219). There the features cross as floats and the mask
is not counted; here both are one integer below 2**bits, see `compression.coders.packet`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.coders.packet import Layout, layout_for, least_bits
from compression.errors import CoderError
from compression.fill import FillName
from compression.masks import (
    FixedMask,
    MaskInterval,
    MaskPolicy,
    RandomMasks,
    RotatingMasks,
    features_of,
    mask_index,
    mask_table,
)
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.fitting.fitted import FittedModel
    from compression.model.latent_model import LatentModel

FULL_SLOT, FULL_FEATURES = 85, 16
"""Condition `full`: all features, in a slot of 85 bits for every 16 of them (the paper's 5.3 bits a feature)."""
_PAPER = "PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219)"


class BlockSender(LatentSender):
    """Picks the mask and packs the features that it sends.

    Args:
        model: The latent model, shared by both ends.
        layout: What a packet holds.
        policy: Chooses the blocks.
        interval: `episode` asks the policy once, in the first step; `step` asks it in every step.
    """

    def __init__(self, model: LatentModel, layout: Layout, policy: MaskPolicy, interval: MaskInterval) -> None:
        super().__init__(model)
        self.layout = layout
        self._policy = policy
        self._interval = interval
        self._mask: NDArray[np.bool_] | None = None

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._mask = None

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[latents]."""
        if self._mask is None or self._interval == "step":
            self._mask = self._policy.choose(latent, self.layout.sent)
        features = np.flatnonzero(features_of(self._mask, self.model.sizes.block_size))
        symbols = self.model.quantizer.encode(latent, features, self.layout.levels)
        return self.layout.pack(mask_index(self._mask), symbols)


class RotationSender(BlockSender):
    """Sends the blocks in turn, from the first in every episode.

    Args:
        model: The latent model, shared by both ends.
        layout: What a packet holds.
    """

    def __init__(self, model: LatentModel, layout: Layout) -> None:
        super().__init__(model, layout, RotatingMasks(model.sizes.blocks), "step")

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._policy = RotatingMasks(self.model.sizes.blocks)


class BlockReceiver(LatentReceiver):
    """Unpacks, and fills in what was not sent or did not arrive.

    Args:
        model: The latent model, shared by both ends.
        layout: What a packet holds.
        fill: Where missing latents are taken from.
    """

    def __init__(self, model: LatentModel, layout: Layout, fill: FillName) -> None:
        super().__init__(model)
        self.layout = layout
        self._fill = model.fill(fill)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._fill.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents], after a packet; of a lost one, whatever the fill makes of nothing.

        Raises:
            PacketError: If the bytes are no packet of this layout; the receiver's state is then unchanged.
        """
        values = np.zeros_like(self.latent)
        if packet is None:
            sent = np.zeros(len(values), bool)
        else:
            index, symbols = self.layout.unpack(packet)
            self.mask = mask_table(self.layout.blocks, self.layout.sent)[index]
            sent = features_of(self.mask, self.model.sizes.block_size)
            values[sent] = self.model.quantizer.decode(symbols, np.flatnonzero(sent), self.layout.levels)
        return self._fill.complete(values, sent, action, packet or b"")


def full_layout(sizes: Sizes) -> Layout:
    """Return what a packet holds under condition `full`: for 32 latents two slots of 85 bits."""
    return layout_for(FULL_SLOT, sizes, -(-sizes.latents // FULL_FEATURES), sizes.blocks)


def full_ends(model: LatentModel, settings: CoderSettings) -> tuple[BlockSender, BlockReceiver]:
    """Return both ends of condition `full`."""
    layout = full_layout(model.sizes)
    return BlockSender(model, layout, _first(model), settings.mask_interval), BlockReceiver(
        model, layout, settings.fill
    )


def _receiver(model: LatentModel, settings: CoderSettings) -> BlockReceiver:
    return BlockReceiver(model, layout_for(settings.bits, model.sizes), settings.fill)


def _first(model: LatentModel) -> FixedMask:
    """Return the policy whose mask is the first blocks, as many as are sent."""
    return FixedMask(np.zeros(model.sizes.blocks, np.float32))


def _first_sender(model: LatentModel, settings: CoderSettings) -> BlockSender:
    return BlockSender(model, layout_for(settings.bits, model.sizes), _first(model), "episode")


def _rotation_sender(model: LatentModel, settings: CoderSettings) -> BlockSender:
    return RotationSender(model, layout_for(settings.bits, model.sizes))


def _random_sender(model: LatentModel, settings: CoderSettings, interval: MaskInterval | None = None) -> BlockSender:
    policy = RandomMasks(model.sizes.blocks, settings.rng)
    return BlockSender(model, layout_for(settings.bits, model.sizes), policy, interval or settings.mask_interval)


def _fixed_sender(model: LatentModel, settings: CoderSettings, blocks: tuple[int, ...]) -> BlockSender:
    if max(blocks) >= model.sizes.blocks or len(set(blocks)) < len(blocks):
        raise CoderError(f"there are no such blocks: name some of 0 to {model.sizes.blocks - 1}, once each")
    # Those named first, as far as they fit, and then the others.
    scores = -np.arange(model.sizes.blocks, dtype=np.float32)
    scores[list(blocks)] += model.sizes.blocks
    return BlockSender(model, layout_for(settings.bits, model.sizes), FixedMask(scores), "episode")


def fixed_coder(name: str) -> Coder:
    """Return the coder that always sends the blocks that its name holds, such as `fixed-0-1-4-6`."""
    blocks = tuple(int(number) for number in name.split("-")[1:])
    return Coder(
        name=name,
        summary=f"blocks {', '.join(map(str, blocks))}, always",
        source="A null row: nothing is learnt and nothing chosen.",
        sender=partial(_fixed_sender, blocks=blocks),
        receiver=_receiver,
        least_bits=_least_bits,
    )


def fixed_coders(sizes: Sizes, slot_bits: int) -> tuple[str, ...]:
    """Return the names of the coders that always send the same half of the blocks: one for each half that there is.

    None where a slot is too small for half of the blocks, or holds more.
    """
    sent = sizes.blocks // 2
    if slot_bits < _least_bits(sizes) or layout_for(slot_bits, sizes).sent != sent:
        return ()
    return tuple("-".join(["fixed", *map(str, np.flatnonzero(mask))]) for mask in mask_table(sizes.blocks, sent))


def _fitted_sender(model: LatentModel, settings: CoderSettings, coder: str) -> BlockSender:
    from compression.fitting.mask_policy import LearnedMask

    policy = LearnedMask(settings.fitted_for(coder), model.sizes)
    return BlockSender(model, layout_for(settings.bits, model.sizes), policy, settings.mask_interval)


def _check_mask(fitted: FittedModel, sizes: Sizes) -> None:
    from compression.fitting.mask_policy import check_mask

    check_mask(fitted, sizes)


def _least_bits(sizes: Sizes) -> int:
    return least_bits(sizes.blocks)


RANDOM = Coder(
    name="random",
    summary="random blocks",
    source=f"The exploration and the baseline of {_PAPER}; here the mask is paid for and features are quantised.",
    sender=_random_sender,
    receiver=_receiver,
    least_bits=_least_bits,
)
PERCEPTUAL = Coder(
    name="perceptual",
    summary="the blocks that keep the picture alike",
    source=f"The perceptual baseline of {_PAPER}: 1 - mean absolute pixel difference in the discriminator's place.",
    sender=partial(_fitted_sender, coder="perceptual"),
    receiver=_receiver,
    least_bits=_least_bits,
    needs="perceptual",
    check=_check_mask,
)
PICO = Coder(
    name="pico",
    summary="the blocks that keep what people do alike",
    source=f"{_PAPER}, algorithm 1; here the mask is paid for and features are quantised.",
    sender=partial(_fitted_sender, coder="pico"),
    receiver=_receiver,
    least_bits=_least_bits,
    needs="pico",
    check=_check_mask,
)
FIRST_BLOCKS = Coder(
    name="first-blocks",
    summary="the first blocks, those that hold the most information, always",
    source="A null row: nothing is learnt and nothing chosen; features are in the order of their information.",
    sender=_first_sender,
    receiver=_receiver,
    least_bits=_least_bits,
)
ROTATION = Coder(
    name="rotation",
    summary="the blocks in turn",
    source="A null row: as many blocks as fit, then the ones after them, whatever is seen.",
    sender=_rotation_sender,
    receiver=_receiver,
    least_bits=_least_bits,
)
RANDOM_STEP = Coder(
    name="random-step",
    summary="random blocks, drawn anew in every step",
    source=f"A null row: `random` with the mask interval of the text of {_PAPER}, whatever the other coders' is.",
    sender=partial(_random_sender, interval="step"),
    receiver=_receiver,
    least_bits=_least_bits,
)
CODERS = (RANDOM, PERCEPTUAL, PICO, FIRST_BLOCKS, ROTATION, RANDOM_STEP)
