"""The pico-transform coder: what is quantised follows the driver's actions, not only how finely.

`pico` chooses among blocks of the latent model's features and `pico-rate` allots levels to single ones. Where what
actions follow from is spread over all features, no choice among them finds it. Here latents are turned into components
first. For transform coding (Goyal, "Theoretical foundations of transform coding", 2001) of latents of covariance C =
A A' under the squared error e' W e these are the eigenvectors V of A' W A, as z = mean + A V y: they are uncorrelated,
of variance 1, and their errors add up, each times its eigenvalue. W is the Fisher information that the driver's likely
actions carry about the latent (`compression.fitting.importance`), so that e' W e is how far a small error moves them.

Levels are bought for components as `pico-rate` buys them for features; one that earns a single level is shown at its
mean. Where a packet is lost, what the last one said is shown.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.coders.levels import allocate
from compression.coders.packing import packet_from_value, symbols_from_value, value_from_packet, value_from_symbols
from compression.fitting.fitted import FittedModel, require_shapes
from compression.model.quantizer import CODEBOOK_WIDTH, MOST_LEVELS, Quantizer
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

NAME = "pico-transform"


def check_pico_transform(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a file holds components, tables of their levels, and what these leave."""
    latents = sizes.latents
    require_shapes(
        fitted,
        {
            "mean": (latents,),
            "analysis": (latents, latents),
            "synthesis": (latents, latents),
            "codebook": (latents, CODEBOOK_WIDTH),
            "losses": (latents, MOST_LEVELS),
        },
    )
    Quantizer(fitted.tensors["codebook"])


class Transform:
    """Turns latents into the symbols of components and back, at as many levels as a slot buys.

    Args:
        fitted: The coder's file.
        bits: Slot.
    """

    def __init__(self, fitted: FittedModel, bits: int) -> None:
        self.levels = allocate(fitted.tensors["losses"].astype(np.float64), bits)
        """Quantiser levels of each component; 1 means not sent."""
        self._mean = fitted.tensors["mean"].astype(np.float64)
        self._analysis = fitted.tensors["analysis"].astype(np.float64)
        self._synthesis = fitted.tensors["synthesis"].astype(np.float64)
        self._quantizer = Quantizer(fitted.tensors["codebook"])
        self._every = np.arange(len(self.levels))

    def symbols(self, latent: NDArray[np.float32]) -> list[int]:
        """Return the symbols of a latent, float32[latents]."""
        components = (self._analysis @ (latent - self._mean)).astype(np.float32)
        return self._quantizer.encode(components, self._every, self.levels)

    def latent(self, symbols: list[int]) -> NDArray[np.float32]:
        """Return the latent, float32[latents], that symbols stand for."""
        components = self._quantizer.decode(symbols, self._every, self.levels).astype(np.float64)
        latent: NDArray[np.float32] = (self._mean + self._synthesis @ components).astype(np.float32)
        return latent


@lru_cache(maxsize=16)
def transform_of(fitted: FittedModel, bits: int) -> Transform:
    """Return the transform of a file for a slot, made once."""
    return Transform(fitted, bits)


class TransformSender(LatentSender):
    """Sends every component at its levels."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._transform = transform_of(settings.fitted_for(NAME), settings.bits)

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[latents]."""
        symbols = self._transform.symbols(latent)
        return packet_from_value(value_from_symbols(symbols, self._transform.levels), self._bits)


class TransformReceiver(LatentReceiver):
    """Shows what arrived; of a lost packet, what the last one said."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)
        self._bits = settings.bits
        self._transform = transform_of(settings.fitted_for(NAME), settings.bits)

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents]. Raises PacketError before anything has changed."""
        if packet is None:
            return self.latent
        symbols = symbols_from_value(value_from_packet(packet, self._bits), self._transform.levels)
        self.mask = np.ones_like(self.mask)  # a component says something of every feature
        return self._transform.latent(symbols)


PICO_TRANSFORM = Coder(
    name=NAME,
    summary="what the driver's actions follow from, as finely as they need",
    source=(
        "After PICO (Reddy, Dragan and Levine, NeurIPS 2021, arXiv 2108.04219): its model of the driver says which "
        "components of the latent are sent, instead of choosing blocks of features; transform coding (Goyal, 2001)."
    ),
    sender=TransformSender,
    receiver=TransformReceiver,
    needs=NAME,
    check=check_pico_transform,
)
