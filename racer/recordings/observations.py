"""The observations of an exported episode: one per action, and the one after the last action, which nobody saw."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression.channel import Downlink
from compression.coders.blocks import BlockSender
from compression.errors import CompressionError
from compression.fill import FILLS
from compression.masks import FixedMask
from compression.model.latent_model import LatentModel
from racer.recordings.footage import model_for
from racer.recordings.receiving import BLOCK_CONDITIONS, downlinks, layout_of, receiver_end
from racer.recordings.rerun import Rerun, RerunError, applied_actions
from sessions import Episode, Session


@dataclass(frozen=True)
class Observations:
    """What a dataset needs of an episode besides its columns."""

    frames: NDArray[np.uint8]
    """uint8[n_steps + 1, H, W, C]."""
    over: bool
    """Whether the trial ended with the last step."""
    last_repeated: bool
    """Whether the last frame is that before it once more, for want of a better one."""


def draw_observations(session: Session, episode: Episode, original: bool, folder: Path | None = None) -> Observations:
    """Return the frames of an episode, done again and decoded.

    Args:
        session: The session.
        episode: One of its episodes, of at least one step.
        original: Whether the original frames are wanted, and not those shown.
        folder: Of the latent model; that of the task if None.

    Raises:
        FootageError, RerunError: If they cannot be had.
        WeightsError: If the folder holds no latent model.
    """
    info = session.info
    model = None
    if not original and episode.info.condition != "raw":
        model = model_for(info, folder, f"episode {episode.index}")
    frames = np.empty((episode.n_steps + 1, *info.task.frame), np.uint8)
    if model is not None:
        # One by one, as in a person's session: a batch may round otherwise, and `racer study run` had batches of six.
        for step, latent in enumerate(episode.received):
            frames[step] = model.decode_latent(latent)
    try:
        rerun = Rerun(info, episode)
    except RerunError:
        if model is None or episode.action.max() >= len(info.task.actions):
            raise
        # What was shown is known all the same, up to the last action.
        frames[-1] = frames[-2]
        return Observations(frames, _finished(episode), last_repeated=True)
    with closing(rerun):
        if model is None:
            for step in range(episode.n_steps + 1):
                frames[step] = rerun.frame(step)
            return Observations(frames, rerun.over, last_repeated=False)
        last = _transmit_last(session, episode, model, rerun.frame(episode.n_steps))
    frames[-1] = frames[-2] if last is None else last
    return Observations(frames, rerun.over, last_repeated=last is None)


def _finished(episode: Episode) -> bool:
    """Return whether the primary metric came as far as it can, for want of the task's own word."""
    primary = episode.task.primary
    return bool(episode[primary.name][-1] == primary.bounds[primary.better == "higher"])


def _transmit_last(
    session: Session, episode: Episode, model: LatentModel, frame: NDArray[np.uint8]
) -> NDArray[np.uint8] | None:
    """Return the frame after the last action as the driver would have seen it, with the last step's mask.

    None where nobody can know, under a coder other than the mask coder or after noise, and where the recorded packets
    do not lead to the recorded latents: nothing can then be added to them.
    """
    info = episode.info
    if info.fill not in FILLS or info.condition not in BLOCK_CONDITIONS or info.noisy:
        return None
    try:
        end = receiver_end(session.info, info, model, session.path)
        for downlink in downlinks(session.info, info, episode):
            received = end.take(downlink)
        if not np.array_equal(received.latent, episode.received[-1]):
            return None
        policy, action = FixedMask(episode.mask[-1].astype(np.float32)), int(applied_actions(info, episode)[-1])
        packet = BlockSender(model, layout_of(info, model.sizes), policy, "episode").encode(frame, action)
        return end.show(Downlink(episode.n_steps, packet, action, info.bits_per_step)).shown
    except CompressionError:
        return None
