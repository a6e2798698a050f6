"""Imagined exploration: what the receiver would have shown under masks that were not recorded.

A pilot explores a dozen or two masks (of 70, where 4 of 8 blocks are sent), one per episode. What every other one would
have shown follows from the recorded latents alone; only what the driver would have done has to be guessed, by a model
of how they drive.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compression.fill import FillName, HoldFill
from compression.fitting.recorded import RecordedEpisode
from compression.masks import MaskInterval, features_of, mask_table
from compression.model.latent_model import LatentModel


def imagine(
    episode: RecordedEpisode,
    interval: MaskInterval,
    fill: FillName,
    sent: int,
    model: LatentModel,
    rng: np.random.Generator,
) -> RecordedEpisode:
    """Return an episode as it would have been shown under random masks. Its actions are still the recorded ones.

    Args:
        episode: Recorded under whatever mask.
        interval: How often the mask is chosen.
        fill: Where missing features come from.
        sent: Blocks sent.
        model: Whose latents they are. Quantisation, which is fine beside what a mask leaves out, is left out.
        rng: Chooses the masks.
    """
    table = mask_table(model.sizes.blocks, sent)
    count = len(episode.actions)
    chosen = rng.integers(len(table), size=count if interval == "step" else 1)
    masks = np.broadcast_to(table[chosen], (count, table.shape[1])).copy()
    receiver = model.fill(fill)
    if isinstance(receiver, HoldFill):
        sent_features = np.repeat(masks, model.sizes.block_size, axis=1)
        return replace(
            episode, received=receiver.complete_all(episode.latents, sent_features), masks=masks, original=False
        )
    received = np.empty_like(episode.latents)
    action = 0
    for step, latent in enumerate(episode.latents):
        packet = int(rng.integers(2**32)).to_bytes(4, "big")
        received[step] = receiver.complete(latent, features_of(masks[step], model.sizes.block_size), action, packet)
        action = int(episode.actions[step])
    return replace(episode, received=received, masks=masks, original=False)
