"""Coders that send nothing: what somebody does who sees nothing, and what the receiver knows by itself.

Null rows. A coder is worth what it adds to these: somebody who keeps straight and sees nothing does a good part of many
tasks, and a receiver that knows the game and the actions predicts some of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import Coder, CoderSettings, LatentReceiver, LatentSender
from compression.errors import PacketError
from compression.fill import FillName
from compression.model.sizes import Sizes

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel


class SilentSender(LatentSender):
    """Sends packets of no bytes, which cost nothing."""

    def __init__(self, model: LatentModel, settings: CoderSettings) -> None:
        super().__init__(model)

    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return nothing."""
        return b""


class SilentReceiver(LatentReceiver):
    """Shows what a fill makes of nothing.

    Args:
        model: The latent model.
        fill: Where all latents are taken from.
    """

    def __init__(self, model: LatentModel, fill: FillName) -> None:
        super().__init__(model)
        self._fill = model.fill(fill)
        self._nothing = np.zeros(model.sizes.latents, bool)

    def reset(self) -> None:
        """Begin a new episode."""
        super().reset()
        self._fill.reset()

    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents], that the fill makes of nothing.

        Raises:
            PacketError: If a packet holds anything; the receiver's state is then unchanged.
        """
        if packet:
            raise PacketError(f"a packet of {len(packet)} bytes came where nothing is sent")
        return self._fill.complete(np.zeros_like(self.latent), self._nothing, action, b"")


def _no_bytes(sizes: Sizes) -> int:
    return 0


def _receiver(model: LatentModel, settings: CoderSettings, fill: FillName) -> SilentReceiver:
    return SilentReceiver(model, fill)


BLIND = Coder(
    name="blind",
    summary="the mean frame, always",
    source="A null row: the frame of the latents' mean, whatever happens; nothing is sent.",
    sender=SilentSender,
    receiver=partial(_receiver, fill="hold"),
    packet_bytes=_no_bytes,
)
ZERO_BITS = Coder(
    name="zero-bits",
    summary="what the receiver's world model predicts by itself",
    source="A null row: fill `predict` from the first step on, of nothing but the actions; nothing is sent.",
    sender=SilentSender,
    receiver=partial(_receiver, fill="predict"),
    packet_bytes=_no_bytes,
)
