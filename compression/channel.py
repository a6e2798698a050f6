"""The channel: a sender that turns frames into packets and a receiver that turns packets into frames.

The packet is all that crosses. The receiver is built from the codec's weights and, besides packets, is told only what
the driver did before::

    packet = sender.encode(frame, action)      # bytes
    shown = receiver.decode(packet, action)    # uint8[64, 64, 3]

`action` is the driver's last one, in {-1, 0, 1}; 0 in the first step of an episode.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression.codec import Codec
from compression.fill import FillName
from compression.masks import MaskInterval, MaskPolicy, features_of, mask_index, mask_table
from compression.packet import Layout


class Sender:
    """Encodes frames, picks the mask and packs what it sends.

    Args:
        codec: The shared weights.
        layout: What a packet holds.
        policy: Chooses the blocks.
        interval: `episode` asks the policy once, in the first step; `step` asks it in every step.
    """

    def __init__(self, codec: Codec, layout: Layout, policy: MaskPolicy, interval: MaskInterval) -> None:
        self.layout = layout
        self._codec = codec
        self._policy = policy
        self._interval = interval
        self.reset()

    def reset(self) -> None:
        """Begin a new episode."""
        self._mask: NDArray[np.bool_] | None = None
        self.latent = np.zeros_like(self._codec.mean)
        """float32[32], encoder mean of the last frame."""

    def encode(self, frame: NDArray[np.uint8], action: int) -> bytes:
        """Return the packet for a frame, uint8[64, 64, 3]."""
        self.latent = self._codec.encode_frame(frame)
        if self._mask is None or self._interval == "step":
            self._mask = self._policy.choose(self.latent, self.layout.blocks)
        features = np.flatnonzero(features_of(self._mask))
        symbols = self._codec.quantizer.encode(self.latent, features, self.layout.levels)
        return self.layout.pack(mask_index(self._mask), symbols)


class Receiver:
    """Unpacks, fills in what was not sent and decodes the frame to show.

    Args:
        codec: The shared weights.
        layout: What a packet holds.
        fill: Where missing latents are taken from.
    """

    def __init__(self, codec: Codec, layout: Layout, fill: FillName) -> None:
        self.layout = layout
        self._codec = codec
        self._fill = codec.fill(fill)
        self.reset()

    def reset(self) -> None:
        """Begin a new episode."""
        self._fill.reset()
        self.latent = self._codec.mean.copy()
        """float32[32], what the last shown frame was decoded from."""
        self.mask = np.zeros(mask_table(1).shape[1], bool)
        """bool[8], the blocks that the last packet carried."""

    def receive(self, packet: bytes, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[32], after a packet, without decoding a frame.

        Raises:
            PacketError: If the bytes are no packet of this layout; the receiver's state is then unchanged.
        """
        index, symbols = self.layout.unpack(packet)
        self.mask = mask_table(self.layout.blocks)[index]
        sent = features_of(self.mask)
        values = np.zeros_like(self.latent)
        values[sent] = self._codec.quantizer.decode(symbols, np.flatnonzero(sent), self.layout.levels)
        self.latent = self._fill.complete(values, sent, action, packet)
        return self.latent

    def decode(self, packet: bytes, action: int) -> NDArray[np.uint8]:
        """Return the frame to show, uint8[64, 64, 3], after a packet.

        Raises:
            PacketError: If the bytes are no packet of this layout; the receiver's state is then unchanged.
        """
        return self._codec.decode_latent(self.receive(packet, action))


@dataclass(frozen=True)
class Transmission:
    """One step's journey through a channel."""

    latent: NDArray[np.float32]
    """float32[32], encoder mean of the original frame."""
    received: NDArray[np.float32]
    """float32[32], the latent that `shown` was decoded from; without a codec in between, that of the original."""
    mask: NDArray[np.bool_]
    """bool[8], the blocks that were sent."""
    packet: bytes
    """Exactly the bytes that crossed."""
    bits: int
    """Bits charged."""
    shown: NDArray[np.uint8]
    """uint8[64, 64, 3], the frame to show."""
    sender_ns: int
    """Time spent in the sender."""
    receiver_ns: int
    """Time spent in the receiver."""


class Channel:
    """A sender and a receiver that share nothing but packets and the driver's actions.

    Args:
        sender: Its near end.
        receiver: Its far end.
        clock: Monotonic nanoseconds.
    """

    def __init__(self, sender: Sender, receiver: Receiver, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._sender = sender
        self._receiver = receiver
        self._clock = clock
        self.bits = sender.layout.bits
        self.packet_bytes = sender.layout.packet_bytes

    def reset(self) -> None:
        """Begin a new episode at both ends."""
        self._sender.reset()
        self._receiver.reset()

    def transmit(self, frame: NDArray[np.uint8], action: int) -> Transmission:
        """Carry a frame, uint8[64, 64, 3], across; `action` is the driver's last one."""
        begun = self._clock()
        packet = self._sender.encode(frame, action)
        sent = self._clock()
        shown = self._receiver.decode(packet, action)
        return Transmission(
            latent=self._sender.latent,
            received=self._receiver.latent,
            mask=self._receiver.mask,
            packet=packet,
            bits=self.bits,
            shown=shown,
            sender_ns=sent - begun,
            receiver_ns=self._clock() - sent,
        )


class Bypass:
    """Shows the original frame: nothing crosses, so no bits are charged (condition `raw`).

    Args:
        codec: Encodes the frame for the record.
    """

    bits = 0
    packet_bytes = 0

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def reset(self) -> None:
        """Do nothing."""

    def transmit(self, frame: NDArray[np.uint8], action: int) -> Transmission:
        """Return the frame as it is."""
        latent = self._codec.encode_frame(frame)
        everything = np.ones(mask_table(1).shape[1], bool)
        return Transmission(latent, latent, everything, b"", 0, frame, sender_ns=0, receiver_ns=0)
