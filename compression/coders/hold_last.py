"""The hold-last coder: a better picture at a lower frame rate.

What a teleoperator's video link does when it is narrow: each picture takes several slots to cross and is shown when it
has arrived, already that old; until the next one it is held (compare Sheridan and Ferrell, "Remote manipulative control
with transmission delay", 1963, on what operators make of it). Pictures are those of the coarse coder.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coarse import NAME as COARSE
from compression.coders.coarse import blocks_of, check_coarse, coarse_levels
from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.coders.packing import packet_from_value, symbols_from_value, value_from_packet, value_from_symbols
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

NAME = "hold-last"
FEATURE_BITS = 1.875
"""Bits that a picture should have for each feature, 60 for 32: it is spread over as many slots as that takes."""


def slots_of(bits: int, sizes: Sizes) -> int:
    """Return how many slots of so many bits a picture takes."""
    return ceil(FEATURE_BITS * sizes.latents / bits)


class HoldLastSender(LatentSender):
    """Sends a picture in parts, the most significant first, then the next one."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits, self._slots = settings.bits, slots_of(settings.bits, model.sizes)
        self._levels = coarse_levels(settings.fitted_for(NAME), self._bits * self._slots)
        self._left = self._value = 0

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._left = self._value = 0

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the next part of the picture that is being sent."""
        if not self._left:
            symbols = self.model.quantizer.encode(latent, np.arange(len(latent)), self._levels)
            self._value = value_from_symbols(symbols, self._levels)
            self._left = self._slots
        self._left -= 1
        return packet_from_value(self._value >> (self._left * self._bits) & ((1 << self._bits) - 1), self._bits)


class HoldLastReceiver(LatentReceiver):
    """Shows a picture when all its parts have arrived; one of which a part is lost is never shown."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits, self._slots = settings.bits, slots_of(settings.bits, model.sizes)
        self._levels = coarse_levels(settings.fitted_for(NAME), self._bits * self._slots)
        self._blocks = blocks_of(self._levels, model.sizes)
        self._parts: list[int | None] = []

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._parts = []

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents]. Raises PacketError before anything has changed."""
        parts = [*self._parts, None if packet is None else value_from_packet(packet, self._bits)]
        latent = self.latent
        if len(parts) == self._slots:
            arrived = [part for part in parts if part is not None]
            if len(arrived) == self._slots:
                value = 0
                for part in arrived:
                    value = value << self._bits | part
                symbols = symbols_from_value(value, self._levels)
                latent = self.model.quantizer.decode(symbols, np.arange(len(symbols)), self._levels)
            parts = []
        self._parts = parts
        if packet is not None:
            self.mask = self._blocks
        return latent


HOLD_LAST = Coder(
    name=NAME,
    summary="a better picture, but now and then",
    source=(
        "A narrow video link's lower frame rate (compare Sheridan and Ferrell, 1963, on delayed control); here each "
        f"picture has at least {FEATURE_BITS} bits a feature of the coarse coder."
    ),
    sender=HoldLastSender,
    receiver=HoldLastReceiver,
    needs=COARSE,
    check=check_coarse,
)
