"""The observations of an exported episode: one per action, and the one after the last action, which nobody saw."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression.coders.blocks import BlockReceiver, BlockSender
from compression.errors import CompressionError
from compression.fill import FILLS
from compression.masks import FixedMask
from compression.model.latent_model import Codec
from racer.recordings.far_end import BLOCK_CONDITIONS, is_noisy, layout_of
from racer.recordings.footage import check_codec
from racer.recordings.rerun import Rerun, RerunError
from racer.tasks.car_racing.frames import FRAME_SIZE
from racer.tasks.car_racing.track import ACTIONS
from sessions import Episode, SessionInfo


@dataclass(frozen=True)
class Observations:
    """What a dataset needs of an episode besides its columns."""

    frames: NDArray[np.uint8]
    """uint8[n_steps + 1, 64, 64, 3]."""
    over: bool
    """Whether the road or the field came to its end with the last step."""
    last_repeated: bool
    """Whether the last frame is that before it once more, for want of a better one."""


def draw_observations(info: SessionInfo, episode: Episode, codec: Codec, original: bool) -> Observations:
    """Return the frames of an episode, driven again and decoded.

    Args:
        info: Of the session.
        episode: One of its episodes, of at least one step.
        codec: Decodes what was shown.
        original: Whether the original frames are wanted, and not those shown.

    Raises:
        FootageError, RerunError: If they cannot be had.
    """
    raw = episode.info.condition == "raw"
    if not (original or raw):
        check_codec(info, codec, f"episode {episode.index}")
    frames = np.empty((episode.n_steps + 1, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    try:
        rerun = Rerun(info, episode)
    except RerunError:
        if original or raw or not np.isin(episode.action, ACTIONS).all():
            raise
        # What was shown is known all the same, up to the last action.
        _decode(frames, episode, codec)
        frames[-1] = frames[-2]
        return Observations(frames, bool(episode.progress[-1] >= 1), last_repeated=True)
    with closing(rerun):
        if original or raw:
            for step in range(episode.n_steps + 1):
                frames[step] = rerun.frame(step)
            return Observations(frames, rerun.over, last_repeated=False)
        _decode(frames, episode, codec)
        last = _transmit_last(info, episode, codec, rerun.frame(episode.n_steps))
    frames[-1] = frames[-2] if last is None else last
    return Observations(frames, rerun.over, last_repeated=last is None)


def _decode(frames: NDArray[np.uint8], episode: Episode, codec: Codec) -> None:
    # One by one, as in the session: a batch may round otherwise.
    for step, latent in enumerate(episode.received):
        frames[step] = codec.decode_latent(latent)


def _transmit_last(
    session: SessionInfo, episode: Episode, codec: Codec, frame: NDArray[np.uint8]
) -> NDArray[np.uint8] | None:
    """Return the frame after the last action as the driver would have seen it, with the last step's mask.

    None where nobody can know, under a coder other than the mask coder or after noise, and where the recorded packets
    do not lead to the recorded latents: nothing can then be added to them.
    """
    info = episode.info
    if info.fill not in FILLS or info.condition not in BLOCK_CONDITIONS or is_noisy(session):
        return None
    try:
        layout = layout_of(info)
        receiver = BlockReceiver(codec, layout, info.fill)  # type: ignore[arg-type]  # checked above
        action = 0
        for packet, following in zip(episode.packet, episode.action.tolist(), strict=True):
            latent = receiver.receive(packet.tobytes(), action)
            action = following
        if not np.array_equal(latent, episode.received[-1]):
            return None
        sent = episode.mask[-1].astype(np.float32)
        packet = BlockSender(codec, layout, FixedMask(sent), "episode").encode(frame, action)
        return receiver.decode(packet, action)
    except CompressionError:
        return None
