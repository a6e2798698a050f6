"""The mask coder: a policy chooses which blocks of features are sent; the receiver fills in the others.

After PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219). There the features cross as floats and the mask
is not counted; here both are one integer below 2**bits, see `compression.coders.packet`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.coders.packet import Layout, layout_for
from compression.errors import CoderError
from compression.fill import FillName
from compression.fitting.mask_file import DEFAULT_MASK, LearnedMask, load_mask
from compression.masks import (
    BLOCKS,
    FixedMask,
    MaskInterval,
    MaskPolicy,
    RandomMasks,
    features_of,
    mask_index,
    mask_table,
)
from compression.model.latent_model import Codec

LEAST_BITS = 4
"""Naming one of 8 blocks takes 3 bits, and a feature of it at least 1."""
FULL_SLOT, FULL_SLOTS = 85, 2
"""Condition `full`: all blocks, in two slots of 85 bits, whatever the slot of the other conditions is."""
_PAPER = "PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219)"


class BlockSender(LatentSender):
    """Picks the mask and packs the features that it sends.

    Args:
        codec: The shared weights.
        layout: What a packet holds.
        policy: Chooses the blocks.
        interval: `episode` asks the policy once, in the first step; `step` asks it in every step.
    """

    def __init__(self, codec: Codec, layout: Layout, policy: MaskPolicy, interval: MaskInterval) -> None:
        super().__init__(codec)
        self.layout = layout
        self._policy = policy
        self._interval = interval
        self._mask: NDArray[np.bool_] | None = None

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._mask = None

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[32]."""
        if self._mask is None or self._interval == "step":
            self._mask = self._policy.choose(latent, self.layout.blocks)
        features = np.flatnonzero(features_of(self._mask))
        symbols = self.codec.quantizer.encode(latent, features, self.layout.levels)
        return self.layout.pack(mask_index(self._mask), symbols)


class BlockReceiver(LatentReceiver):
    """Unpacks, and fills in what was not sent or did not arrive.

    Args:
        codec: The shared weights.
        layout: What a packet holds.
        fill: Where missing latents are taken from.
    """

    def __init__(self, codec: Codec, layout: Layout, fill: FillName) -> None:
        super().__init__(codec)
        self.layout = layout
        self._fill = codec.fill(fill)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._fill.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[32], after a packet; of a lost one, whatever the fill makes of nothing.

        Raises:
            PacketError: If the bytes are no packet of this layout; the receiver's state is then unchanged.
        """
        values = np.zeros_like(self.latent)
        if packet is None:
            sent = np.zeros(len(values), bool)
        else:
            index, symbols = self.layout.unpack(packet)
            self.mask = mask_table(self.layout.blocks)[index]
            sent = features_of(self.mask)
            values[sent] = self.codec.quantizer.decode(symbols, np.flatnonzero(sent), self.layout.levels)
        return self._fill.complete(values, sent, action, packet or b"")


def _receiver(codec: Codec, settings: CoderSettings) -> BlockReceiver:
    return BlockReceiver(codec, layout_for(settings.bits), settings.fill)


def _random_sender(codec: Codec, settings: CoderSettings) -> BlockSender:
    return BlockSender(codec, layout_for(settings.bits), RandomMasks(settings.rng), settings.mask_interval)


def _fitted_sender(codec: Codec, settings: CoderSettings) -> BlockSender:
    if not isinstance(settings.model, LearnedMask):
        raise CoderError("this coder needs a mask file, made by `racer train`")
    return BlockSender(codec, layout_for(settings.bits), settings.model, settings.mask_interval)


def full_ends(codec: Codec, settings: CoderSettings) -> tuple[BlockSender, BlockReceiver]:
    """Return both ends of condition `full`."""
    layout = layout_for(FULL_SLOT, FULL_SLOTS, BLOCKS)
    everything = FixedMask(np.zeros(BLOCKS, np.float32))
    return BlockSender(codec, layout, everything, settings.mask_interval), BlockReceiver(codec, layout, settings.fill)


RANDOM = Coder(
    name="random",
    summary="random blocks",
    source=f"The exploration and the baseline of {_PAPER}; here the mask is paid for and features are quantised.",
    sender=_random_sender,
    receiver=_receiver,
    least_bits=LEAST_BITS,
)
PERCEPTUAL = Coder(
    name="perceptual",
    summary="the blocks that keep the picture alike",
    source=f"The perceptual baseline of {_PAPER}: 1 - mean absolute pixel difference in the discriminator's place.",
    sender=_fitted_sender,
    receiver=_receiver,
    least_bits=LEAST_BITS,
    needs="perceptual",
    load=load_mask,
)
PICO = Coder(
    name="pico",
    summary="the blocks that keep the driver's actions alike",
    source=f"{_PAPER}, algorithm 1; here the mask is paid for and features are quantised.",
    sender=_fitted_sender,
    receiver=_receiver,
    least_bits=LEAST_BITS,
    needs="pico",
    load=load_mask,
    shipped=DEFAULT_MASK,
)
CODERS = (RANDOM, PERCEPTUAL, PICO)
