"""The receiver's end of a recorded episode: what its packets look like, and all it takes to receive them again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from compression.channel import Downlink, ReceiverEnd
from compression.coders.blocks import CODERS, BlockReceiver, full_layout
from compression.coders.coder import Coder, CoderSettings, Receiver, find_coder
from compression.coders.packet import Layout, layout_for
from compression.coders.packing import packet_bytes
from compression.errors import CoderError, SlotError
from compression.fill import FILLS
from compression.fitting.fitted import LARGEST_FILE, objective_of
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from disk.reading import read_plain
from racer.loop.conditions import ChannelConfig, receiver_settings
from racer.recordings.rerun import Columns, applied_actions
from sessions import EpisodeInfo, SessionInfo, TaskRecord

BLOCK_CONDITIONS = ("full", *(coder.name for coder in CODERS))
"""Conditions of the mask coder."""


class NoReceiverError(Exception):
    """The receiver cannot be had here; the message says why."""


@dataclass(frozen=True)
class PacketFormat:
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
    """Whether every packet obeys the slot."""


def recorded_sizes(task: TaskRecord) -> Sizes:
    """Return what a recording says of the sizes of its latent model; those of its networks it does not know.

    Raises:
        SizeError: If no model has such sizes.
    """
    return Sizes(task.frame, task.latents, task.blocks, len(task.actions), hidden=0, dense=1)


def packet_format(episode: EpisodeInfo, sizes: Sizes) -> PacketFormat:
    """Return what the packets of an episode look like, `raw` excepted, which has none.

    Raises:
        CompressionError: If its condition is not known here, or no packet fits the bits that it names.
    """
    bits = episode.bits_per_step
    if episode.condition in BLOCK_CONDITIONS:
        layout = layout_of(episode, sizes)
        return PacketFormat(layout, layout.slot_bits, layout.bits, layout.packet_bytes, hard=True)
    coder = find_coder(episode.condition)
    if coder.packet_bytes is not None:
        width = coder.packet_bytes(sizes)
        return PacketFormat(None, 8 * width, 8 * width, width, hard=False)
    if bits < (least := coder.least_bits(sizes)):
        raise SlotError(f"condition {coder.name} needs {least} bits per step or more; got {bits}")
    return PacketFormat(None, bits, bits, packet_bytes(bits), hard=True)


def layout_of(episode: EpisodeInfo, sizes: Sizes) -> Layout:
    """Return what a packet of an episode holds, under one of `BLOCK_CONDITIONS`.

    Raises:
        SlotError: If no packet fits the bits that the episode names.
    """
    return full_layout(sizes) if episode.condition == "full" else layout_for(episode.bits_per_step, sizes)


def downlinks(info: SessionInfo, episode: EpisodeInfo, columns: Columns) -> Iterator[Downlink]:
    """Yield what crossed to the receiver in an episode; where one is number 0, the channel began anew.

    Args:
        info: About the session.
        episode: What the episode says of itself.
        columns: What was recorded of it.
    """
    before, seeds = info.task.neutral or 0, columns["stimulus"].tolist()
    actions = applied_actions(episode, columns).tolist()
    rows = zip(columns["packet"], columns["arrived"].tolist(), columns["bits"].tolist(), strict=True)
    number = 0
    for row, (packet, arrived, bits) in enumerate(rows):
        if row and seeds[row] != seeds[row - 1]:  # the next trial of a block
            number, before = 0, info.task.neutral or 0
        yield Downlink(number, packet.tobytes() if arrived else None, before, bits)
        number, before = number + 1, actions[row]


def receiver_end(info: SessionInfo, episode: EpisodeInfo, model: LatentModel, recording: Path) -> ReceiverEnd:
    """Return a fresh receiver's end like the one that an episode's packets were sent to.

    Args:
        info: About the session.
        episode: Whose packets.
        model: That of the recording.
        recording: Its file. What its coder was fitted to is looked for beside the model, and in `masks/` beside the
            folder of the recordings, where a study keeps it.

    Raises:
        NoReceiverError: If the fitted file is not there.
        CompressionError: If the condition is not known here, or no packet fits the bits that it names.
        ValueError: If the fill is unknown, or actions cannot be as late as the configuration says.
    """
    end = ReceiverEnd(_receiver(info, episode, model, recording), episode.noisy)
    end.reset()
    return end


def _receiver(info: SessionInfo, episode: EpisodeInfo, model: LatentModel, recording: Path) -> Receiver:
    if episode.fill not in FILLS:
        raise ValueError(f"fill {episode.fill!r} is unknown")
    if episode.condition in BLOCK_CONDITIONS:
        return BlockReceiver(model, layout_of(episode, model.sizes), episode.fill)  # type: ignore[arg-type]  # checked
    coder = find_coder(episode.condition)
    hashes = info.fitted_sha256.split()
    found = next((path for path in _candidates(coder, model, recording) if _sha256(path) in hashes), None)
    settings = CoderSettings(
        bits=episode.bits_per_step,
        mask_interval=episode.mask_interval,  # type: ignore[arg-type]  # a receiver that minds it says so
        fill=episode.fill,  # type: ignore[arg-type]  # checked above
        rng=np.random.default_rng(0),
        fitted=coder.read(found, model) if found else None,
        action_delay=_known_delay(info),
    )
    try:
        return coder.receiver(model, receiver_settings(settings))
    except CoderError as error:
        raise NoReceiverError(
            f"condition {coder.name} was recorded with a fitted file that is not here: put it into a folder masks/ "
            "beside that of the recordings"
        ) from error


def _known_delay(info: SessionInfo) -> int | None:
    """Return what both ends were told of the delay of actions. Raises ValueError if that cannot be."""
    channel = info.config.get("channel")
    told = channel if isinstance(channel, dict) else {}
    delay, loss = told.get("action_delay", 0), told.get("action_loss", 0)
    if isinstance(delay, bool) or not isinstance(delay, int) or not isinstance(loss, int | float):
        raise ValueError(f"actions cannot be {str(delay)[:40]} steps late and lost at a rate of {str(loss)[:40]}")
    return ChannelConfig(action_delay=delay, action_loss=loss).known_delay


def shipped_hashes(model: LatentModel) -> frozenset[str]:
    """Return the hashes of the fitted files that come with a latent model."""
    return frozenset(_sha256(path) for path in model.folder.glob("*.safetensors")) if model.folder else frozenset()


def _candidates(coder: Coder, model: LatentModel, recording: Path) -> list[Path]:
    """Return the files that a coder may have been used with."""
    if not coder.needs:
        return []
    folder, shipped = recording.absolute().parent.parent / "masks", model.fitted_path(coder.needs)
    beside = [] if folder.is_symlink() else sorted(folder.glob("*.safetensors"))
    fitted = [path for path in beside if not path.is_symlink() and objective_of(path) == coder.needs]
    return [*([shipped] if shipped else []), *fitted]


@lru_cache(maxsize=64)
def _sha256(path: Path) -> str:
    return hashlib.sha256(read_plain(path, LARGEST_FILE)).hexdigest()
