"""The far end of a recorded episode: what its packets look like, and the receiver that they were sent to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from compression.channel import ARRIVED
from compression.coders.blocks import CODERS, FULL_SLOT, FULL_SLOTS, BlockReceiver
from compression.coders.coder import Coder, CoderSettings, Fitted, Receiver, find_coder, packet_bytes
from compression.coders.packet import Layout, layout_for
from compression.errors import CoderError, SlotError
from compression.fill import FILLS
from compression.fitting.fitted import objective_of
from compression.masks import BLOCKS
from compression.model.latent_model import Codec
from racer.loop.conditions import ChannelConfig, receiver_settings
from sessions import EpisodeInfo, SessionInfo

BLOCK_CONDITIONS = ("full", *(coder.name for coder in CODERS))
"""Conditions of the mask coder."""


class FarEndError(Exception):
    """The receiver cannot be had here; the message says why."""


@dataclass(frozen=True)
class Wire:
    """What a recorded packet looks like."""

    layout: Layout | None
    """What a packet of the mask coder holds; None for other coders."""
    slot_bits: int
    """Bits of a slot; of a coder that may exceed it, those of its widest packet."""
    bits: int
    """The most that a step may cost, and what every step costs where the slot is hard."""
    width: int
    """Bytes of a packet, padding included."""
    hard: bool
    noisy: bool
    """Whether a byte before the packet says if it arrived."""

    @property
    def recorded_bytes(self) -> int:
        """Bytes of the recorded packet."""
        return self.width + (len(ARRIVED) if self.noisy else 0)


def is_noisy(info: SessionInfo) -> bool:
    """Return whether packets of a session may have been lost or changed on their way."""
    channel = info.config.get("channel")
    return isinstance(channel, dict) and channel.get("noise", ChannelConfig.noise) != ChannelConfig.noise


def wire_of(info: SessionInfo, episode: EpisodeInfo) -> Wire:
    """Return what the packets of an episode look like, `raw` excepted, which has none.

    Raises:
        CompressionError: If its condition is not known here, or no packet fits the bits that it names.
    """
    noisy, bits = is_noisy(info), episode.bits_per_step
    if episode.condition in BLOCK_CONDITIONS:
        layout = layout_of(episode)
        return Wire(layout, layout.slot_bits, layout.bits, layout.packet_bytes, True, noisy)
    coder = find_coder(episode.condition)
    if coder.packet_bytes is not None:
        most = 8 * coder.packet_bytes
        return Wire(None, most, most, coder.packet_bytes, False, noisy)
    if bits < coder.least_bits:
        raise SlotError(f"condition {coder.name} needs {coder.least_bits} bits per step or more; got {bits}")
    return Wire(None, bits, bits, packet_bytes(bits), True, noisy)


def layout_of(episode: EpisodeInfo) -> Layout:
    """Return what a packet of an episode holds, under one of `BLOCK_CONDITIONS`.

    Raises:
        SlotError: If no packet fits the bits that the episode names.
    """
    if episode.condition == "full":
        return layout_for(FULL_SLOT, FULL_SLOTS, BLOCKS)
    return layout_for(episode.bits_per_step)


def receiver_of(info: SessionInfo, episode: EpisodeInfo, codec: Codec, recording: Path) -> Receiver:
    """Return a fresh receiver like the one that an episode's packets were sent to.

    Args:
        info: About the session.
        episode: Whose packets.
        codec: The weights that it was recorded with.
        recording: Its file. What its coder was fitted to is looked for in the package and in `masks/` beside the folder
            of the recordings, where a study keeps it.

    Raises:
        FarEndError: If its fitted file is not there.
        CompressionError: If its condition is not known here, or no packet fits the bits that it names.
        ValueError: If its fill is unknown.
    """
    if episode.fill not in FILLS:
        raise ValueError(f"fill {episode.fill!r} is unknown")
    if episode.condition in BLOCK_CONDITIONS:
        return BlockReceiver(codec, layout_of(episode), episode.fill)  # type: ignore[arg-type]  # checked above
    coder = find_coder(episode.condition)
    model: Fitted | None = None
    if coder.needs:
        hashes = info.mask_sha256.split()
        found = [path for path in _candidates(coder, recording) if _sha256(path) in hashes]
        model = coder.read(found[0], codec.sha256) if found else None
    settings = CoderSettings(
        bits=episode.bits_per_step,
        mask_interval=episode.mask_interval,  # type: ignore[arg-type]  # a receiver that minds it says so
        fill=episode.fill,  # type: ignore[arg-type]  # checked above
        rng=np.random.default_rng(0),
        model=model,
    )
    try:
        return coder.receiver(codec, receiver_settings(settings))
    except CoderError as error:
        raise FarEndError(
            f"condition {coder.name} was recorded with a fitted file that is not here: put it into a folder masks/ "
            "beside that of the recordings"
        ) from error


def _candidates(coder: Coder, recording: Path) -> list[Path]:
    """Return the files that a coder may have been used with."""
    folder = recording.absolute().parent.parent / "masks"
    beside = [] if folder.is_symlink() else sorted(folder.glob("*.safetensors"))
    fitted = [path for path in beside if not path.is_symlink() and objective_of(path) == coder.needs]
    return [*([coder.shipped] if coder.shipped else []), *fitted]


@lru_cache(maxsize=64)
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
