"""The pico-rate coder: PICO's idea carried from masks to quantisation.

PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219) learns from a driver's actions which blocks of features
to send; all that are sent, are sent alike. Here the model of the driver says of every feature what each number of
levels would cost: the Kullback-Leibler divergence between the actions likely on seeing the original and on seeing it
quantised so. Levels are then bought greedily until the slot is full, and a feature that earns a single one is not sent:
the fill supplies it. Unlike PICO's mask, the allocation is the same in every step, so no bit is spent on naming it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coarse import CoarseSender, blocks_of
from compression.coders.coder import Coder, CoderSettings, LatentReceiver
from compression.coders.levels import allocate
from compression.coders.packing import symbols_from_value, value_from_packet
from compression.fitting.fitted import FittedModel, require_shapes
from compression.model.quantizer import MOST_LEVELS
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

NAME = "pico-rate"


def check_pico_rate(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a file holds `losses`: nats of divergence that feature i leaves at 1 to 64 levels."""
    require_shapes(fitted, {"losses": (sizes.latents, MOST_LEVELS)})


@lru_cache(maxsize=256)
def levels_of(fitted: FittedModel, bits: int) -> tuple[int, ...]:
    """Return the levels of each feature for a message of so many bits; 1: not sent."""
    return allocate(fitted.tensors["losses"].astype(np.float64), bits)


class PicoRateReceiver(LatentReceiver):
    """Shows what arrived and fills in the features that are never sent."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._levels = levels_of(settings.fitted_for(NAME), settings.bits)
        self._sent = np.array(self._levels) > 1
        self._features = np.flatnonzero(self._sent)
        self._blocks = blocks_of(self._levels, model.sizes)
        self._fill = model.fill(settings.fill)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._fill.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents]. Raises PacketError before anything has changed."""
        values = np.zeros_like(self.latent)
        if packet is None:
            return self._fill.complete(values, np.zeros(len(values), bool), action, b"")
        symbols = symbols_from_value(value_from_packet(packet, self._bits), self._levels)
        decoded = self.model.quantizer.decode(symbols, np.arange(len(symbols)), self._levels)
        values[self._features] = decoded[self._features]
        self.mask = self._blocks
        return self._fill.complete(values, self._sent, action, packet)


def _sender(model: LatentModel, settings: CoderSettings) -> CoarseSender:
    return CoarseSender(model, settings, levels_of(settings.fitted_for(NAME), settings.bits))


PICO_RATE = Coder(
    name=NAME,
    summary="features at as many levels as the driver's actions need",
    source=(
        "After PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219): its model of the driver allots "
        "quantiser levels instead of choosing blocks; the allocation is fixed, so it costs no bits."
    ),
    sender=_sender,
    receiver=PicoRateReceiver,
    needs=NAME,
    check=check_pico_rate,
)
