"""The coarse coder: all features in every packet, each at as many levels as it earns.

Reverse water-filling (Cover and Thomas, Elements of Information Theory, section 10.3.3): bits go where a feature's
variance, weighted by what it changes of the picture, stands highest out of the water. There rates are real numbers and
features independent and normal; here levels are whole, and together they name one integer below 2**bits. Features that
earn a single level are shown at their mean.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import (
    Coder,
    CoderSettings,
    LatentReceiver,
    LatentSender,
    packet_from_value,
    value_from_packet,
)
from compression.coders.radix import allocate, gaussian_losses, symbols_from_value, value_from_symbols
from compression.fitting.fitted import WEIGHTS, FittedCoder, fitted_coder, load_coder
from compression.masks import BLOCK_SIZE, BLOCKS, LATENTS
from compression.model.latent_model import Codec

NAME = "coarse"
SHAPES = {"weights": (LATENTS,)}
"""`weights`: squared pixel error for each unit of a feature's squared error."""
SHIPPED = WEIGHTS / "coarse.safetensors"
load_coarse = partial(load_coder, objective=NAME, shapes=SHAPES)
_ALL = np.arange(LATENTS)


@lru_cache(maxsize=256)
def coarse_levels(model: FittedCoder, bits: int) -> tuple[int, ...]:
    """Return the levels of each of the 32 features for a message of so many bits."""
    return allocate(gaussian_losses(model.tensors["weights"].astype(np.float64)), bits)


def blocks_of(levels: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the blocks, bool[8], of which something is sent."""
    return np.asarray((np.array(levels) > 1).reshape(BLOCKS, BLOCK_SIZE).any(axis=1))


class CoarseSender(LatentSender):
    """Sends every feature at its levels."""

    def __init__(self, codec: Codec, settings: CoderSettings, levels: tuple[int, ...] | None = None) -> None:
        super().__init__(codec)
        self._bits = settings.bits
        self._levels = levels or coarse_levels(fitted_coder(settings, NAME), settings.bits)

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[32]."""
        symbols = self.codec.quantizer.encode(latent, _ALL, self._levels)
        return packet_from_value(value_from_symbols(symbols, self._levels), self._bits)


class CoarseReceiver(LatentReceiver):
    """Shows what arrived; of a lost packet, what the last one said."""

    def __init__(self, codec: Codec, settings: CoderSettings) -> None:
        super().__init__(codec)
        self._bits = settings.bits
        self._levels = coarse_levels(fitted_coder(settings, NAME), settings.bits)
        self._blocks = blocks_of(self._levels)

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[32]. Raises PacketError before anything has changed."""
        if packet is None:
            return self.latent
        symbols = symbols_from_value(value_from_packet(packet, self._bits), self._levels)
        self.mask = self._blocks
        return self.codec.quantizer.decode(symbols, _ALL, self._levels)


COARSE = Coder(
    name=NAME,
    summary="all features, coarsely",
    source=(
        "Reverse water-filling (Cover and Thomas, section 10.3.3) of squared pixel errors; in whole levels of "
        "Lloyd-Max tables, and with no more bits than the slot in any step."
    ),
    sender=CoarseSender,
    receiver=CoarseReceiver,
    needs=NAME,
    load=load_coarse,
    shipped=SHIPPED,
)
