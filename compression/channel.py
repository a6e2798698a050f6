"""The channel: a sender's end that turns frames into packets, and a receiver's end that turns packets into frames.

What crosses is a `Downlink`: a packet, its number, and the action that the task applied before the frame that it
tells of. A transport lies between the ends, in this process or elsewhere, and may lose packets or change them::

    downlink = sender_end.advance(frame, action)
    arrived = transport.carry(downlink)
    received = receiver_end.show(arrived)      # received.shown: uint8[H, W, C]

`action` is the index of an action; before the first frame nothing was applied, and both ends are told the one that the
task names for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from compression.coders.coder import LatentReceiver, LatentSender, Receiver, Sender
from compression.coders.packing import packet_bytes, value_from_packet
from compression.errors import PacketError
from compression.noise import Link
from compression.uplink import Uplink

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

Made = TypeVar("Made")
Clock = Callable[[], int]
"""Monotonic nanoseconds."""


@dataclass(frozen=True)
class Downlink:
    """A message from the sender's end to the receiver's."""

    step: int
    """Number of the frame in its episode, from 0."""
    packet: bytes | None
    """The packet, padded to its recorded width; None where it was lost on the way."""
    action: int
    """Index of the action that the task applied before this frame."""
    bits: int
    """Bits charged. Where they are fewer than the packet has room for, only its first bytes cross."""
    slots: int = 1
    """Slots of equal size that the packet is made of."""


@dataclass(frozen=True)
class Received:
    """What the receiver's end makes of a downlink."""

    latent: NDArray[np.float32]
    """float32[latents], what is decoded and shown; where no model lies between, that of the frame itself."""
    mask: NDArray[np.bool_]
    """bool[blocks], those of which anything arrived."""
    shown: NDArray[np.uint8] | None
    """uint8[H, W, C], the frame to show; None where it is left to the caller to decode."""
    arrived: bool
    """Whether a packet arrived and still was one: False where it was lost, or noise made nonsense of it."""

    def showing(self, frame: NDArray[np.uint8]) -> Received:
        """Return this with the frame, uint8[H, W, C], that the latent was decoded to."""
        return replace(self, shown=frame)


class SenderEnd:
    """Turns the frames of an episode into downlinks.

    Args:
        sender: Of a coder.
        slot_bits: The most bits of a slot.
        slots: Slots per step.
        padded_bytes: Width of packets that may exceed the slot, which is then not looked at; None where they must not.
        clock: By which the sender is timed.
        uplink: What the sender learns of the actions; all of them at once if left out.
    """

    def __init__(
        self,
        sender: Sender,
        slot_bits: int,
        slots: int = 1,
        padded_bytes: int | None = None,
        clock: Clock = time.monotonic_ns,
        uplink: Uplink | None = None,
    ) -> None:
        self._sender, self._slot_bits, self._slots, self._padded_bytes = sender, slot_bits, slots, padded_bytes
        self._clock = clock
        self._uplink = uplink or Uplink()
        self._step = 0
        self.packet_bytes = packet_bytes(slot_bits, slots) if padded_bytes is None else padded_bytes
        """Width of recorded packets."""
        self.bits = slots * slot_bits if padded_bytes is None else 8 * padded_bytes
        """The most that a step may cost."""
        self.in_latents = isinstance(sender, LatentSender) and type(sender).encode is LatentSender.encode
        """Whether `advance_latent` can be used, because the sender knows nothing of a frame but its latent."""
        self.spent_ns = 0
        """Time that the sender took for the last packet."""

    @property
    def latent(self) -> NDArray[np.float32]:
        """The latent, float32[latents], of the last frame."""
        return self._sender.latent

    def reset(self) -> None:
        """Begin a new episode."""
        self._sender.reset()
        self._uplink.reset()
        self._step = 0

    def advance(self, frame: NDArray[np.uint8], action: int) -> Downlink:
        """Return what there is to say of a frame, uint8[H, W, C]; `action` is the one applied before it."""
        begun = self._clock()
        return self._downlink(self._sender.encode(frame, self._uplink.tell(action)), action, begun)

    def advance_latent(self, latent: NDArray[np.float32], action: int) -> Downlink:
        """Return what there is to say of a frame whose latent, float32[latents], is known.

        Raises:
            TypeError: If the sender needs the frame.
        """
        if not (self.in_latents and isinstance(self._sender, LatentSender)):
            raise TypeError("this sender needs frames, not latents")
        begun = self._clock()
        return self._downlink(self._sender.send(latent, self._uplink.tell(action)), action, begun)

    def _downlink(self, packet: bytes, action: int, begun: int) -> Downlink:
        self.spent_ns = self._clock() - begun
        bits, slots = self.bits, self._slots
        if self._padded_bytes is None:
            try:
                value_from_packet(packet, self._slot_bits, slots)
            except PacketError as error:
                raise AssertionError(f"a sender broke its slot: {error}") from error
        else:
            if len(packet) > self._padded_bytes:
                raise AssertionError(f"a packet of {len(packet)} bytes exceeds the {self._padded_bytes} announced")
            bits, slots, packet = 8 * len(packet), 1, packet.ljust(self._padded_bytes, b"\0")
        self._step += 1
        return Downlink(self._step - 1, packet, action, bits, slots)


class Transport(Protocol):
    """Brings downlinks from one end to the other."""

    def reset(self) -> None:
        """Begin a new episode."""

    def carry(self, downlink: Downlink) -> Downlink:
        """Return what arrives. Step and action always do."""


class InProcess:
    """Both ends are in this process, and nothing happens to packets but what a link's noise does.

    Args:
        link: Does it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def reset(self) -> None:
        """Do nothing: the noise of an episode goes on where that of the last one ended."""

    def carry(self, downlink: Downlink) -> Downlink:
        """Return what arrives."""
        if downlink.packet is None:
            return downlink
        slot_bits = downlink.bits // downlink.slots
        crossing = packet_bytes(slot_bits, downlink.slots)
        arrived = self._link.carry(downlink.packet[:crossing], slot_bits, downlink.slots)
        return replace(downlink, packet=None if arrived is None else arrived + downlink.packet[crossing:])


class ReceiverEnd:
    """Turns downlinks into what is shown.

    Args:
        receiver: Of a coder.
        noisy: Whether what arrives may be no packet any more. It then counts as lost; otherwise it is an error.
        clock: By which the receiver is timed.
    """

    def __init__(self, receiver: Receiver, noisy: bool = False, clock: Clock = time.monotonic_ns) -> None:
        self._receiver, self._clock = receiver, clock
        self._step = 0
        self.noisy = noisy
        """Whether what arrives may be no packet any more."""
        self.in_latents = isinstance(receiver, LatentReceiver) and type(receiver).decode is LatentReceiver.decode
        """Whether what is shown is just what the model decodes from the latent."""
        self.spent_ns = 0
        """Time that the receiver took for the last downlink."""

    def reset(self) -> None:
        """Begin a new episode."""
        self._receiver.reset()
        self._step = 0

    def show(self, downlink: Downlink) -> Received:
        """Return what is shown after a downlink.

        Raises:
            PacketError: If it is not the next one, or holds what is no packet where there is no noise.
        """
        shown, arrived = self._receive(downlink, self._receiver.decode)
        return Received(self._receiver.latent, self._receiver.mask, shown, arrived)

    def take(self, downlink: Downlink) -> Received:
        """Return the same without the frame, unless the receiver cannot do without decoding it. Raises as `show`."""
        if not isinstance(self._receiver, LatentReceiver):
            return self.show(downlink)
        latent, arrived = self._receive(downlink, self._receiver.take)
        return Received(latent, self._receiver.mask, None, arrived)

    def _receive(self, downlink: Downlink, receive: Callable[[bytes | None, int], Made]) -> tuple[Made, bool]:
        if downlink.step != self._step:
            raise PacketError(f"packet {downlink.step} arrived where packet {self._step} was due")
        begun, arrived = self._clock(), downlink.packet is not None
        try:
            made = receive(downlink.packet, downlink.action)
        except PacketError:
            if not self.noisy:
                raise
            arrived = False
            made = receive(None, downlink.action)
        self.spent_ns = self._clock() - begun
        self._step += 1
        return made, arrived


class Channel:
    """Two ends and what lies between them.

    Args:
        sender: The near end.
        transport: Between them.
        receiver: The far end.
    """

    def __init__(self, sender: SenderEnd, transport: Transport, receiver: ReceiverEnd) -> None:
        self.sender, self.transport, self.receiver = sender, transport, receiver
        self.bits = sender.bits
        """The most that a step may cost."""
        self.packet_bytes = sender.packet_bytes
        """Width of recorded packets."""
        self.in_latents = sender.in_latents and receiver.in_latents
        """Whether both ends know nothing of frames but their latents."""

    @property
    def noisy(self) -> bool:
        """Whether packets may be lost or changed."""
        return self.receiver.noisy

    def reset(self) -> None:
        """Begin a new episode."""
        self.sender.reset()
        self.transport.reset()
        self.receiver.reset()

    def transmit(self, frame: NDArray[np.uint8], action: int) -> tuple[Downlink, Received]:
        """Carry a frame, uint8[H, W, C], across; return what arrived and what is shown."""
        arrived = self.transport.carry(self.sender.advance(frame, action))
        return arrived, self.receiver.show(arrived)

    def recorded(self, arrived: Downlink) -> bytes:
        """Return what is recorded of a downlink that arrived: its packet; zeros for one that was lost."""
        return bytes(self.packet_bytes) if arrived.packet is None else arrived.packet


class Bypass:
    """Shows the original frame: nothing crosses, so no bits are charged (condition `raw`).

    Args:
        model: Encodes the frame for the record.
    """

    bits = 0
    packet_bytes = 0
    in_latents = False
    noisy = False

    def __init__(self, model: LatentModel) -> None:
        self._model = model
        self._everything = np.ones(model.sizes.blocks, bool)
        self.nothing = np.zeros_like(model.mean)
        """float32[latents], stands for a latent that nobody asks for."""

    def reset(self) -> None:
        """Do nothing."""

    def transmit(self, frame: NDArray[np.uint8]) -> Received:
        """Return the frame, uint8[H, W, C], as it is."""
        return self.show(frame, self._model.encode_frame(frame))

    def show(self, frame: NDArray[np.uint8], latent: NDArray[np.float32]) -> Received:
        """Return the frame as it is, whose latent, float32[latents], is known."""
        return Received(latent, self._everything.copy(), frame, True)
