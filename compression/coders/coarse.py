"""The coarse coder: all features in every packet, each at as many levels as it earns.

Reverse water-filling (Cover and Thomas, Elements of Information Theory, section 10.3.3): bits go where a feature's
variance, weighted by what it changes of the picture, stands highest out of the water. There rates are real numbers and
features independent and normal; here levels are whole, and together they name one integer below 2**bits. Features that
earn a single level are shown at their mean.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.coders.levels import allocate, gaussian_losses
from compression.coders.packing import packet_from_value, symbols_from_value, value_from_packet, value_from_symbols
from compression.fitting.fitted import FittedModel, require_shapes
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

NAME = "coarse"


def check_coarse(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a file holds `weights`: squared pixel error for each unit of a feature's squared one."""
    require_shapes(fitted, {"weights": (sizes.latents,)})


@lru_cache(maxsize=256)
def coarse_levels(fitted: FittedModel, bits: int) -> tuple[int, ...]:
    """Return the levels of each feature for a message of so many bits."""
    return allocate(gaussian_losses(fitted.tensors["weights"].astype(np.float64)), bits)


def blocks_of(levels: tuple[int, ...], sizes: Sizes) -> NDArray[np.bool_]:
    """Return the blocks, bool[blocks], of which something is sent at these levels of all features."""
    return np.asarray((np.array(levels) > 1).reshape(sizes.blocks, sizes.block_size).any(axis=1))


class CoarseSender(LatentSender):
    """Sends every feature at its levels."""

    def __init__(self, model: LatentModel, settings: CoderSettings, levels: tuple[int, ...] | None = None) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._levels = levels or coarse_levels(settings.fitted_for(NAME), settings.bits)

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[latents]."""
        symbols = self.model.quantizer.encode(latent, np.arange(len(latent)), self._levels)
        return packet_from_value(value_from_symbols(symbols, self._levels), self._bits)


class CoarseReceiver(LatentReceiver):
    """Shows what arrived; of a lost packet, what the last one said."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._levels = coarse_levels(settings.fitted_for(NAME), settings.bits)
        self._blocks = blocks_of(self._levels, model.sizes)

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents]. Raises PacketError before anything has changed."""
        if packet is None:
            return self.latent
        symbols = symbols_from_value(value_from_packet(packet, self._bits), self._levels)
        self.mask = self._blocks
        return self.model.quantizer.decode(symbols, np.arange(len(symbols)), self._levels)


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
    check=check_coarse,
)
