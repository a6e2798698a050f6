"""What a coder is: a sender and a receiver that exchange packets of at most so many bits per step, and a name for them.

A coder is two classes, one for each end, and a `Coder` that names them::

    class MySender(LatentSender):
        def __init__(self, codec, settings): ...
        def encode_latent(self, latent, action) -> bytes: ...      # exactly packet_bytes(settings.bits) of them

    class MyReceiver(LatentReceiver):
        def __init__(self, codec, settings): ...
        def receive(self, packet, action) -> latent: ...           # packet is None where it was lost

    MINE = Coder("mine", "one line for people", "after whom", MySender, MyReceiver)

An installed package offers it under the entry point group `racer.coders` (``mine = "my_package:MINE"``), and `mine` is
a condition wherever there are conditions. The slot is hard: the packet, read as one big-endian integer, lies below
2**bits, everything that the receiver must be told included. The receiver knows packets, the driver's past actions, its
settings and the codec, nothing else. `action` is the driver's last one, in {-1, 0, 1}; 0 in the first step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compression.coders import BUILT_IN
from compression.errors import CoderError, PacketError
from compression.masks import BLOCKS, MaskInterval

if TYPE_CHECKING:  # both import torch, which takes longer than `racer --help` may
    from compression.fill import FillName
    from compression.model.latent_model import Codec

GROUP = "racer.coders"
"""Entry point group of installed coders."""
RESERVED = ("raw", "full")
"""Conditions that are no coders."""


class Sender(Protocol):
    """Turns frames into packets. Its attributes may be read after `encode`."""

    latent: NDArray[np.float32]
    """float32[32], the codec's latent of the last frame, for the record."""

    def reset(self) -> None:
        """Begin a new episode."""

    def encode(self, frame: NDArray[np.uint8], action: int) -> bytes:
        """Return the packet for a frame, uint8[64, 64, 3]."""


class Receiver(Protocol):
    """Turns packets into frames. Its attributes may be read after `decode`."""

    latent: NDArray[np.float32]
    """float32[32], what the last frame shown was decoded from."""
    mask: NDArray[np.bool_]
    """bool[8], the blocks of 4 latents of which the last packet carried anything; none where it was lost."""

    def reset(self) -> None:
        """Begin a new episode."""

    def decode(self, packet: bytes | None, action: int) -> NDArray[np.uint8]:
        """Return the frame to show, uint8[64, 64, 3]; of a lost packet, None, what is most likely.

        Raises:
            PacketError: If the bytes are no packet of this coder; the receiver's state is then unchanged.
        """


class LatentSender(ABC):
    """A sender that sends the codec's latents.

    Args:
        codec: The shared weights.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.latent = np.zeros_like(codec.mean)
        """float32[32], encoder mean of the last frame."""

    def reset(self) -> None:
        """Begin a new episode. Overridden, it calls this one."""
        self.latent = np.zeros_like(self.codec.mean)

    def encode(self, frame: NDArray[np.uint8], action: int) -> bytes:
        """Return the packet for a frame, uint8[64, 64, 3]."""
        return self.send(self.codec.encode_frame(frame), action)

    def send(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for the frame whose latent, float32[32], is known already."""
        self.latent = latent
        return self.encode_latent(latent, action)

    @abstractmethod
    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[32]."""


class LatentReceiver(ABC):
    """A receiver that shows what the codec decodes from a latent.

    Args:
        codec: The shared weights.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.latent = codec.mean.copy()
        """float32[32], what the last shown frame was decoded from."""
        self.mask = np.zeros(BLOCKS, bool)
        """bool[8], blocks of which the last packet carried anything. `receive` may replace it, never change it."""

    def reset(self) -> None:
        """Begin a new episode. Overridden, it calls this one."""
        self.latent = self.codec.mean.copy()
        self.mask = np.zeros(BLOCKS, bool)

    def decode(self, packet: bytes | None, action: int) -> NDArray[np.uint8]:
        """Return the frame to show, uint8[64, 64, 3].

        Raises:
            PacketError: If the bytes are no packet of this coder; the receiver's state is then unchanged.
        """
        return self.codec.decode_latent(self.take(packet, action))

    def take(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[32], to show after a packet, without decoding a frame. Raises as `decode`."""
        latent = self.receive(packet, action)
        if packet is None:
            self.mask = np.zeros(BLOCKS, bool)
        self.latent = latent
        return latent

    @abstractmethod
    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[32], to show after a packet; None is a lost one. Sets `mask` where it arrived.

        Raises:
            PacketError: If the bytes are no packet of this coder; the receiver's state is then unchanged.
        """


class Fitted(Protocol):
    """What was fitted to behaviour and read from a file."""

    @property
    def sha256(self) -> str:
        """Hash of the file."""

    @property
    def record(self) -> Any:
        """What it was fitted to; has at least `objective`, `participants` and `track_seeds`."""


@dataclass(frozen=True)
class CoderSettings:
    """What both ends are told before they meet."""

    bits: int
    """Slot: the most bits that may cross per step."""
    mask_interval: MaskInterval
    """For coders that choose blocks: once per episode, or in every step."""
    fill: FillName
    """Where coders that leave features out take them from."""
    rng: np.random.Generator
    """For senders that draw by chance. A receiver's generator is seeded alike in every episode."""
    model: Fitted | None = None
    """What the coder's fitted file holds, if it needs one."""


@dataclass(frozen=True)
class Coder:
    """A sender, a receiver and what people need to know of them."""

    name: str
    """Lower-case letters, digits and hyphens; the name of the condition."""
    summary: str
    """What it shows, in a few words that continue "shows ..."."""
    source: str
    """Who published it where, and what differs here."""
    sender: Callable[[Codec, CoderSettings], Sender]
    """Makes the near end."""
    receiver: Callable[[Codec, CoderSettings], Receiver]
    """Makes the far end. Never given anything of the sender's."""
    least_bits: int = 1
    """The smallest slot that it can use."""
    packet_bytes: int | None = None
    """Width of its packets, if they may exceed the slot: shorter ones are padded with zeros and charged without them.
    None for coders that obey it."""
    needs: str | None = None
    """Objective of the fitted file that it needs."""
    load: Callable[[Path, str], Fitted] | None = None
    """Reads that file, made for the codec of this hash; raises MaskError. None: it is a mask."""
    shipped: Path | None = None
    """The fitted file to use where none is given."""

    @property
    def hard(self) -> bool:
        """Whether every packet obeys the slot."""
        return self.packet_bytes is None

    def read(self, path: Path, codec_sha256: str) -> Fitted:
        """Read a fitted file, made for the codec of this hash. Raises MaskError if it is of no use."""
        if self.load is not None:
            return self.load(path, codec_sha256)
        from compression.fitting.mask_file import load_mask

        return load_mask(path, codec_sha256)


def packet_bytes(bits: int) -> int:
    """Return how many bytes a packet of one slot takes."""
    return (bits + 7) // 8


def packet_from_value(value: int, bits: int) -> bytes:
    """Return the packet that holds an integer of at most so many bits, big-endian."""
    if value < 0 or value.bit_length() > bits:
        raise AssertionError(f"a message of {value.bit_length()} bits does not fit {bits}")
    return value.to_bytes(packet_bytes(bits), "big")


def value_from_packet(packet: bytes, bits: int) -> int:
    """Return the integer that a packet holds.

    Raises:
        PacketError: If the bytes are not as many as they should be, or exceed the slot.
    """
    if len(packet) != packet_bytes(bits):
        raise PacketError(f"expected a packet of {packet_bytes(bits)} bytes; got {len(packet)}")
    value = int.from_bytes(packet, "big")
    if value.bit_length() > bits:
        raise PacketError(f"packet exceeds its slot of {bits} bits")
    return value


_REGISTERED: dict[str, Coder] = {}


def register(coder: Coder) -> None:
    """Make a coder known to this process.

    Raises:
        CoderError: If its name is taken.
    """
    if coder.name in coder_names() or coder.name in RESERVED:
        raise CoderError(f"there is a condition {coder.name!r} already; give the coder another name")
    _REGISTERED[coder.name] = coder


def coder_names() -> tuple[str, ...]:
    """Return the names of all coders: built-in ones, installed ones by name, then registered ones. Loads none."""
    return (*BUILT_IN, *_installed(), *(name for name in _REGISTERED))


def find_coder(name: str) -> Coder:
    """Return a coder.

    Raises:
        CoderError: If there is none of this name, or its package cannot be loaded.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        coder: Coder = getattr(import_module(module), attribute)
        return coder
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in (installed := _installed()):
        raise CoderError(f"there is no coder {name[:80]!r}; {nearest(name, coder_names())}")
    return _loaded(installed[name])


def nearest(name: str, names: tuple[str, ...]) -> str:
    """Return what to tell somebody who asked for a name that is none of these."""
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(names)}"


def forget_installed() -> None:
    """Look for installed packages anew when next asked; for programs that install some while they run."""
    _installed.cache_clear()


@lru_cache(maxsize=1)
def _installed() -> dict[str, EntryPoint]:
    """Return the entry points of installed coders by name; none takes the name of another condition."""
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: point for point in found if point.name not in BUILT_IN and point.name not in RESERVED}


def _loaded(point: EntryPoint) -> Coder:
    package = point.dist.name if point.dist else point.value
    try:
        coder = point.load()
    except Exception as error:  # whatever somebody else's package raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CoderError(
            f"coder {point.name} of package {package} cannot be loaded ({reason}); repair or uninstall the package"
        ) from error
    if not isinstance(coder, Coder) or coder.name != point.name:
        raise CoderError(f"package {package} offers no Coder of the name {point.name}; repair or uninstall it")
    return coder
