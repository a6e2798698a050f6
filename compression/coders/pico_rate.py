"""The pico-rate coder: PICO's idea carried from masks to quantisation.

PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219) learns from a driver's actions which blocks of features
to send; all that are sent, are sent alike. Here the model of the driver says of every feature what each number of
levels would cost: the Kullback-Leibler divergence between the actions likely on seeing the original and on seeing it
quantised so. Levels are then bought greedily until the slot is full, and a feature that earns a single one is not sent:
the fill supplies it. Unlike PICO's mask, the allocation is the same in every step, so no bit is spent on naming it.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from compression.coders.coarse import CoarseSender, blocks_of
from compression.coders.coder import Coder, CoderSettings, LatentReceiver, value_from_packet
from compression.coders.packet import MOST_LEVELS
from compression.coders.radix import allocate, symbols_from_value
from compression.fitting.fitted import WEIGHTS, FittedCoder, fitted_coder, load_coder
from compression.masks import LATENTS
from compression.model.latent_model import Codec

NAME = "pico-rate"
SHAPES = {"losses": (LATENTS, MOST_LEVELS)}
"""`losses`: nats of divergence that feature i leaves at 1 to 64 levels."""
load_pico_rate = partial(load_coder, objective=NAME, shapes=SHAPES)


@lru_cache(maxsize=256)
def levels_of(model: FittedCoder, bits: int) -> tuple[int, ...]:
    """Return the levels of each of the 32 features for a message of so many bits; 1: not sent."""
    return allocate(model.tensors["losses"].astype(np.float64), bits)


class PicoRateReceiver(LatentReceiver):
    """Shows what arrived and fills in the features that are never sent."""

    def __init__(self, codec: Codec, settings: CoderSettings) -> None:
        super().__init__(codec)
        self._bits = settings.bits
        self._levels = levels_of(fitted_coder(settings, NAME), settings.bits)
        self._sent = np.array(self._levels) > 1
        self._features = np.flatnonzero(self._sent)
        self._blocks = blocks_of(self._levels)
        self._fill = codec.fill(settings.fill)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._fill.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[32]. Raises PacketError before anything has changed."""
        values = np.zeros_like(self.latent)
        if packet is None:
            return self._fill.complete(values, np.zeros(LATENTS, bool), action, b"")
        symbols = symbols_from_value(value_from_packet(packet, self._bits), self._levels)
        decoded = self.codec.quantizer.decode(symbols, np.arange(LATENTS), self._levels)
        values[self._features] = decoded[self._features]
        self.mask = self._blocks
        return self._fill.complete(values, self._sent, action, packet)


def _sender(codec: Codec, settings: CoderSettings) -> CoarseSender:
    return CoarseSender(codec, settings, levels_of(fitted_coder(settings, NAME), settings.bits))


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
    load=load_pico_rate,
    shipped=WEIGHTS / "pico-rate.safetensors",
)
