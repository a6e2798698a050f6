"""The channel: a sender that turns frames into packets and a receiver that turns packets into frames.

The packet is all that crosses. The receiver is built from the codec's weights and, besides packets, is told only what
the driver did before::

    packet = sender.encode(frame, action)      # bytes
    shown = receiver.decode(packet, action)    # uint8[64, 64, 3]

`action` is the driver's last one, in {-1, 0, 1}; 0 in the first step of an episode. Between the two lies a link, which
may be noisy: the receiver then gets a packet as it arrived, or is told that none did.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import LatentReceiver, LatentSender, Receiver, Sender, packet_bytes
from compression.errors import PacketError
from compression.masks import BLOCKS
from compression.model.latent_model import Codec
from compression.noise import Link

ARRIVED, LOST = b"\x01", b"\x00"
"""First byte of what is recorded of a packet where the link is noisy."""
Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Crossing:
    """One step's journey through a channel, in latents."""

    latent: NDArray[np.float32]
    """float32[32], encoder mean of the original frame."""
    received: NDArray[np.float32]
    """float32[32], the latent that is decoded and shown; without a codec in between, that of the original."""
    mask: NDArray[np.bool_]
    """bool[8], the blocks of which anything arrived."""
    packet: bytes
    """What the receiver was given, to be recorded: see `Channel.recorded`."""
    bits: int
    """Bits charged."""
    lost: bool
    """Whether the packet was lost, or arrived as none."""
    sender_ns: int
    """Time spent in the sender."""
    receiver_ns: int
    """Time spent in the receiver."""


@dataclass(frozen=True)
class Transmission(Crossing):
    """One step's journey through a channel."""

    shown: NDArray[np.uint8]
    """uint8[64, 64, 3], the frame to show."""


class Channel:
    """A sender and a receiver that share nothing but packets and the driver's actions.

    Args:
        sender: Its near end.
        receiver: Its far end.
        slot_bits: The most bits of a slot.
        slots: Slots per step.
        padded_bytes: Width of packets that may exceed the slot, which is then not looked at; None where they must not.
        link: Between the ends; one without noise if left out.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self,
        sender: Sender,
        receiver: Receiver,
        slot_bits: int,
        slots: int = 1,
        padded_bytes: int | None = None,
        link: Link | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._sender = sender
        self._receiver = receiver
        self._slot_bits = slot_bits
        self._slots = slots
        self._padded_bytes = padded_bytes
        self._link = link or Link("none", 0.0, np.random.default_rng(0))
        self._clock = clock
        width = slots * packet_bytes(slot_bits) if padded_bytes is None else padded_bytes
        self.bits = slots * slot_bits if padded_bytes is None else 8 * padded_bytes
        """The most that a step may cost."""
        self.in_latents = (
            isinstance(sender, LatentSender)
            and isinstance(receiver, LatentReceiver)
            and type(sender).encode is LatentSender.encode
            and type(receiver).decode is LatentReceiver.decode
        )
        """Whether `carry` can be used, because both ends know nothing of frames but their latents."""
        self.packet_bytes = width + (len(ARRIVED) if self._link.noisy else 0)
        """Bytes recorded of every packet."""
        self._nothing = LOST + bytes(width)

    def reset(self) -> None:
        """Begin a new episode at both ends."""
        self._sender.reset()
        self._receiver.reset()

    def transmit(self, frame: NDArray[np.uint8], action: int) -> Transmission:
        """Carry a frame, uint8[64, 64, 3], across; `action` is the driver's last one."""
        begun = self._clock()
        packet = self._sender.encode(frame, action)
        sent = self._clock()
        arrived, bits = self._cross(packet)
        shown, lost = self._take(self._receiver.decode, arrived, action)
        return Transmission(
            latent=self._sender.latent,
            received=self._receiver.latent,
            mask=self._receiver.mask,
            packet=self.recorded(arrived),
            bits=bits,
            lost=lost,
            sender_ns=sent - begun,
            receiver_ns=self._clock() - sent,
            shown=shown,
        )

    def carry(self, latent: NDArray[np.float32], action: int) -> Crossing:
        """Carry a frame across whose latent, float32[32], is known, and leave it to the caller to decode what arrives.

        Raises:
            TypeError: If an end needs the frame.
        """
        if not (isinstance(self._sender, LatentSender) and isinstance(self._receiver, LatentReceiver)):
            raise TypeError("this channel's ends need frames, not latents")
        begun = self._clock()
        packet = self._sender.send(latent, action)
        sent = self._clock()
        arrived, bits = self._cross(packet)
        received, lost = self._take(self._receiver.take, arrived, action)
        return Crossing(
            latent=latent,
            received=received,
            mask=self._receiver.mask,
            packet=self.recorded(arrived),
            bits=bits,
            lost=lost,
            sender_ns=sent - begun,
            receiver_ns=self._clock() - sent,
        )

    def recorded(self, arrived: bytes | None) -> bytes:
        """Return what is recorded of a packet: its bytes as they arrived.

        Where the link is noisy, a byte stands before them: 1, or 0 and nothing but zeros for a packet that was lost.
        """
        if not self._link.noisy:
            assert arrived is not None
            return arrived
        return self._nothing if arrived is None else ARRIVED + arrived

    def _cross(self, packet: bytes) -> tuple[bytes | None, int]:
        """Return what arrives of a packet, and what it cost."""
        if self._padded_bytes is not None:
            if len(packet) > self._padded_bytes:
                raise AssertionError(f"a packet of {len(packet)} bytes exceeds the {self._padded_bytes} announced")
            arrived = self._link.carry(packet, 8 * len(packet))
            return None if arrived is None else arrived.ljust(self._padded_bytes, b"\0"), 8 * len(packet)
        width = packet_bytes(self._slot_bits)
        if len(packet) != self._slots * width:
            raise AssertionError(f"a packet of {len(packet)} bytes is not the {self._slots * width} of its slots")
        for start in range(0, len(packet), width):
            used = int.from_bytes(packet[start : start + width], "big").bit_length()
            if used > self._slot_bits:
                raise AssertionError(f"a packet of {used} bits exceeds its slot of {self._slot_bits}")
        return self._link.carry(packet, self._slot_bits, self._slots), self._slots * self._slot_bits

    def _take(
        self, receive: Callable[[bytes | None, int], Shown], arrived: bytes | None, action: int
    ) -> tuple[Shown, bool]:
        """Return what the receiver makes of what arrived, and whether that was no packet, or none after the noise."""
        try:
            return receive(arrived, action), arrived is None
        except PacketError:
            if not self._link.noisy:
                raise
            return receive(None, action), True


def arrived(recorded: bytes, noisy: bool) -> bytes | None:
    """Return the packet that was recorded, None if it was lost: the inverse of `Channel.recorded`.

    Raises:
        PacketError: If the first byte of a noisy link's says neither.
    """
    if not noisy:
        return recorded
    if recorded[:1] == LOST and not any(recorded):
        return None
    if recorded[:1] != ARRIVED:
        raise PacketError("the byte before the packet says neither that it arrived nor that it was lost")
    return recorded[1:]


def receive_again(receiver: Receiver, packet: bytes | None, action: int, noisy: bool) -> None:
    """Let a receiver's `latent` and `mask` become what they were when a packet arrived, without decoding its frame.

    Raises:
        PacketError: If it is none and no noise can have been the reason.
    """
    take = receiver.take if isinstance(receiver, LatentReceiver) else receiver.decode
    try:
        take(packet, action)
    except PacketError:
        if not noisy:
            raise
        take(None, action)


class Bypass:
    """Shows the original frame: nothing crosses, so no bits are charged (condition `raw`).

    Args:
        codec: Encodes the frame for the record.
    """

    bits = 0
    packet_bytes = 0
    in_latents = False

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def reset(self) -> None:
        """Do nothing."""

    def transmit(self, frame: NDArray[np.uint8], action: int) -> Transmission:
        """Return the frame as it is."""
        return self.show(frame, self._codec.encode_frame(frame))

    def show(self, frame: NDArray[np.uint8], latent: NDArray[np.float32]) -> Transmission:
        """Return the frame as it is, whose latent, float32[32], is known."""
        return Transmission(
            latent=latent,
            received=latent,
            mask=np.ones(BLOCKS, bool),
            packet=b"",
            bits=0,
            lost=False,
            sender_ns=0,
            receiver_ns=0,
            shown=frame,
        )
