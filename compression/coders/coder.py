"""What a coder is: a sender and a receiver that exchange packets of at most so many bits per step, and a name for them.

A coder is two classes, one for each end, and a `Coder` that names them::

    class MySender(LatentSender):
        def __init__(self, model, settings): ...
        def encode_latent(self, latent, action) -> bytes: ...      # exactly packet_bytes(settings.bits) of them

    class MyReceiver(LatentReceiver):
        def __init__(self, model, settings): ...
        def receive(self, packet, action) -> latent: ...           # packet is None where it was lost

    MINE = Coder("mine", "one line for people", "after whom", MySender, MyReceiver)

One that sends no latents of the model but frames in a form of its own is a `FrameSender` and a `FrameReceiver`.

An installed package offers it under the entry point group `racer.coders` (``mine = "my_package:MINE"``), and `mine` is
a condition wherever there are conditions. The slot is hard: the packet, read as one big-endian integer, lies below
2**bits, everything that the receiver must be told included (`compression.coders.packing` helps). The receiver knows
packets, the actions applied, its settings and the latent model, nothing else. `model.sizes` says how many latents,
blocks and actions there are. `action` is the index of the one that the task applied last, or of the last that a sender
knows of where it learns of them late; in the first step of an episode it is one that both ends know beforehand, and
nothing was done.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from compression.coders import BUILT_IN
from compression.errors import CoderError, MaskError
from compression.masks import MaskInterval
from compression.model.sizes import Sizes

if TYPE_CHECKING:  # the first two import torch, which takes longer than `racer --help` may
    from compression.fill import FillName
    from compression.fitting.fitted import FittedModel
    from compression.model.latent_model import LatentModel

GROUP = "racer.coders"
"""Entry point group of installed coders."""
RESERVED = ("raw", "full")
"""Conditions that are no coders."""


class Sender(Protocol):
    """Turns frames into packets. Its attributes may be read after `encode`."""

    latent: NDArray[np.float32]
    """float32[latents], the model's latent of the last frame, for the record."""

    def reset(self) -> None:
        """Begin a new episode."""

    def encode(self, frame: NDArray[np.uint8], action: int) -> bytes:
        """Return the packet for a frame, uint8[H, W, C]."""


class Receiver(Protocol):
    """Turns packets into frames. Its attributes may be read after `decode`."""

    latent: NDArray[np.float32]
    """float32[latents], what the last frame shown was decoded from."""
    mask: NDArray[np.bool_]
    """bool[blocks], those of which the last packet carried anything; none where it was lost."""

    def reset(self) -> None:
        """Begin a new episode."""

    def decode(self, packet: bytes | None, action: int) -> NDArray[np.uint8]:
        """Return the frame to show, uint8[H, W, C]; of a lost packet, None, what is most likely.

        Raises:
            PacketError: If the bytes are no packet of this coder; the receiver's state is then unchanged.
        """


class LatentSender(ABC):
    """A sender that sends the model's latents.

    Args:
        model: The latent model, shared by both ends.
    """

    def __init__(self, model: LatentModel) -> None:
        self.model = model
        self.latent = np.zeros_like(model.mean)
        """float32[latents], encoder mean of the last frame."""

    def reset(self) -> None:
        """Begin a new episode. Overridden, it calls this one."""
        self.latent = np.zeros_like(self.model.mean)

    def encode(self, frame: NDArray[np.uint8], action: int) -> bytes:
        """Return the packet for a frame, uint8[H, W, C]."""
        return self.send(self.model.encode_frame(frame), action)

    def send(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for the frame whose latent, float32[latents], is known already."""
        self.latent = latent
        return self.encode_latent(latent, action)

    @abstractmethod
    def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
        """Return the packet for a latent, float32[latents]."""


class LatentReceiver(ABC):
    """A receiver that shows what the model decodes from a latent.

    Args:
        model: The latent model, shared by both ends.
    """

    def __init__(self, model: LatentModel) -> None:
        self.model = model
        self.latent = model.mean.copy()
        """float32[latents], what the last shown frame was decoded from."""
        self.mask = np.zeros(self.model.sizes.blocks, bool)
        """bool[blocks], those of which the last packet carried anything. `receive` may replace it, never change it."""

    def reset(self) -> None:
        """Begin a new episode. Overridden, it calls this one."""
        self.latent = self.model.mean.copy()
        self.mask = np.zeros(self.model.sizes.blocks, bool)

    def decode(self, packet: bytes | None, action: int) -> NDArray[np.uint8]:
        """Return the frame to show, uint8[H, W, C].

        Raises:
            PacketError: If the bytes are no packet of this coder; the receiver's state is then unchanged.
        """
        return self.model.decode_latent(self.take(packet, action))

    def take(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents], to show after a packet, without decoding a frame. Raises as `decode`."""
        latent = self.receive(packet, action)
        if packet is None:
            self.mask = np.zeros(self.model.sizes.blocks, bool)
        self.latent = latent
        return latent

    @abstractmethod
    def receive(self, packet: bytes | None, action: int) -> NDArray[np.float32]:
        """Return the latent, float32[latents], to show after a packet; None is a lost one. Sets `mask` if it arrived.

        Raises:
            PacketError: If the bytes are no packet of this coder; the receiver's state is then unchanged.
        """


class FrameSender(ABC):
    """A sender that sends frames in a form of its own.

    Args:
        model: Encodes frames for the record alone.
    """

    def __init__(self, model: LatentModel) -> None:
        self.model = model
        self.latent = np.zeros_like(model.mean)
        """float32[latents], encoder mean of the last frame."""

    def reset(self) -> None:
        """Begin a new episode."""
        self.latent = np.zeros_like(self.model.mean)

    def encode(self, frame: NDArray[np.uint8], action: int) -> bytes:
        """Return the packet for a frame, uint8[H, W, C]."""
        self.latent = self.model.encode_frame(frame)
        return self.encode_frame(frame)

    @abstractmethod
    def encode_frame(self, frame: NDArray[np.uint8]) -> bytes:
        """Return the packet for a frame, uint8[H, W, C]."""


class FrameReceiver(ABC):
    """A receiver that makes each frame of a packet alone; where one was lost, or says nothing, it shows the last.

    Args:
        model: Encodes what is shown for the record, and says what to show before anything has arrived.
    """

    def __init__(self, model: LatentModel) -> None:
        self.model = model
        self.reset()

    def reset(self) -> None:
        """Begin a new episode."""
        self.latent = self.model.mean.copy()
        """float32[latents], what the model makes of the last shown frame."""
        self.mask = np.zeros(self.model.sizes.blocks, bool)
        """bool[blocks], all of them where a frame arrived: its form is no block of the model's."""
        self._shown: NDArray[np.uint8] | None = None

    def decode(self, packet: bytes | None, action: int) -> NDArray[np.uint8]:
        """Return the frame to show, uint8[H, W, C].

        Raises:
            PacketError: If the bytes are no packet of this coder; the receiver's state is then unchanged.
        """
        arrived = None if packet is None else self.decode_frame(packet)
        self.mask = np.full(self.model.sizes.blocks, arrived is not None)
        if arrived is not None:
            self.latent, self._shown = self.model.encode_frame(arrived), arrived
        elif self._shown is None:
            self._shown = self.model.decode_latent(self.latent)
        return self._shown.copy()

    @abstractmethod
    def decode_frame(self, packet: bytes) -> NDArray[np.uint8] | None:
        """Return the frame, uint8[H, W, C], of a packet that arrived; None if it says nothing.

        Raises:
            PacketError: If the bytes are no packet of this coder.
        """


def any_size(sizes: Sizes) -> int:
    """Return 1 for every model."""
    return 1


@dataclass(frozen=True)
class CoderSettings:
    """What both ends are told before they meet."""

    bits: int
    """Slot: the most bits that may cross per step."""
    mask_interval: MaskInterval
    """How often coders that choose blocks choose them: once per episode, or in every step."""
    fill: FillName
    """Where the features that a coder leaves out come from."""
    rng: np.random.Generator
    """For senders that draw by chance. A receiver's generator is seeded alike in every episode."""
    fitted: FittedModel | None = None
    """What the coder's fitted file holds, if it needs one."""
    action_delay: int | None = 0
    """Steps after which the sender learns of an action, None where it never does. A receiver knows its own at once; one
    that has to agree with the sender about what the actions lead to goes by the late ones."""

    def fitted_for(self, coder: str) -> FittedModel:
        """Return what was fitted.

        Args:
            coder: Name of who needs it, for the error.

        Raises:
            CoderError: If nothing was given.
        """
        if self.fitted is None:
            raise CoderError(f"coder {coder} needs a fitted file, and none was given")
        return self.fitted


@dataclass(frozen=True)
class Coder:
    """A sender, a receiver and what people need to know of them."""

    name: str
    """Lower-case letters, digits and hyphens; the name of the condition."""
    summary: str
    """What it shows, in a few words that continue "shows ..."."""
    source: str
    """Who published it where, and what differs here."""
    sender: Callable[[LatentModel, CoderSettings], Sender]
    """Makes the sender."""
    receiver: Callable[[LatentModel, CoderSettings], Receiver]
    """Makes the receiver. It is never given anything of the sender's."""
    least_bits: Callable[[Sizes], int] = any_size
    """The smallest slot that it can use with a model of these sizes."""
    packet_bytes: Callable[[Sizes], int] | None = None
    """Width of its packets, if it does not use the slot: shorter ones are padded with zeros and charged without them.
    0 where nothing is ever sent; None for coders whose packets fill the slot."""
    needs: str | None = None
    """Objective of the fitted file that it needs. One that comes with the latent model serves where none is given."""
    made_by: str = ""
    """The command that makes that file, for whoever has none."""
    check: Callable[[FittedModel, Sizes], None] | None = None
    """Looks at what that file holds; raises ValueError, with a few words, if this coder cannot use it, and CoderError
    if the coder cannot be used here at all."""
    software: tuple[str, ...] = ()
    """Installed packages that decide its packets, besides those that Racer always needs."""

    @property
    def hard(self) -> bool:
        """Whether every packet fills the slot and obeys it."""
        return self.packet_bytes is None

    def silent(self, sizes: Sizes) -> bool:
        """Return whether nothing is ever sent with a model of these sizes."""
        return self.packet_bytes is not None and self.packet_bytes(sizes) == 0

    def read(self, path: Path, model: LatentModel) -> FittedModel:
        """Read the file that this coder needs, fitted for a latent model. Raises MaskError if it is of no use."""
        from compression.fitting.fitted import load_fitted

        return self._usable(path, load_fitted(path, model, self.needs, self.made_by or "racer train"), model.sizes)

    def read_for(self, path: Path, sizes: Sizes) -> FittedModel:
        """Read such a file for frames and actions of these sizes, whatever latent model it was fitted for.

        That is for who makes no use of a latent model. Raises MaskError if it is of no use.
        """
        from compression.fitting.fitted import load_fitted

        return self._usable(path, load_fitted(path, None, self.needs, self.made_by or "racer train"), sizes)

    def _usable(self, path: Path, fitted: FittedModel, sizes: Sizes) -> FittedModel:
        from compression.fitting.fitted import remedy

        try:
            if self.check is not None:
                self.check(fitted, sizes)
        except CoderError:
            raise
        except ValueError as error:
            raise MaskError(f"{path} is damaged: {error}; {remedy(path, self.made_by or 'racer train')}") from error
        return fitted

    def read_shipped(self, model: LatentModel) -> FittedModel | None:
        """Return the fitted file that comes with a latent model, read; None if none does. Raises as `read`."""
        path = model.fitted_path(self.needs) if self.needs else None
        return self.read(path, model) if path else None


_REGISTERED: dict[str, Coder] = {}
_FIXED = re.compile(r"fixed(-[0-9]{1,3})+")


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
    if is_fixed(name):
        from compression.coders.blocks import fixed_coder

        return fixed_coder(name)
    if name not in (installed := _installed()):
        raise CoderError(f"there is no coder {name[:80]!r}; {nearest(name, coder_names())}")
    return _loaded(installed[name])


def is_fixed(name: str) -> bool:
    """Return whether a name is that of a coder which always sends the blocks it names, such as `fixed-0-1-4-6`."""
    return _FIXED.fullmatch(name) is not None


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
