"""Latent traversals: what each block of features looks like, one feature moved at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compression.masks import BLOCK_SIZE, BLOCKS, LATENTS
from compression.model.latent_model import Codec
from racer.report.drawing import Illustration, canvas, render

DEVIATIONS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Standard deviations, over the training frames, that a feature is moved by."""
_GAP = 3
_COLUMNS = 2


def traverse(codec: Codec) -> NDArray[np.uint8]:
    """Return the frames, uint8[32, 5, 64, 64, 3], of the mean latent with each feature moved by each deviation."""
    latents = np.tile(codec.mean, (LATENTS, len(DEVIATIONS), 1))
    deviations = np.sqrt(np.diag(codec.covariance))
    for feature in range(LATENTS):
        latents[feature, :, feature] += np.array(DEVIATIONS, np.float32) * deviations[feature]
    frames = codec.decode_latents(latents.reshape(-1, LATENTS).astype(np.float32))
    return frames.reshape(LATENTS, len(DEVIATIONS), *frames.shape[1:])


def draw_traversals(codec: Codec, pico_sends: tuple[float, ...] | None) -> Illustration:
    """Draw every block: a row per feature, a column per deviation.

    Args:
        codec: The weights.
        pico_sends: Fraction of the steps in which `pico` sends each block; None where it was not driven.
    """
    frames = traverse(codec)
    rows = -(-BLOCKS // _COLUMNS)
    with canvas(7.2, 0.4 + 2.95 * rows) as (figure, (placeholder,)):
        placeholder.remove()
        for block, axes in enumerate(figure.subplots(rows, _COLUMNS).flat):
            features = range(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
            tiles = np.pad(frames[list(features)], ((0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
            axes.imshow(np.concatenate([np.concatenate(list(row), axis=1) for row in tiles], axis=0))
            sent = "" if pico_sends is None else f", pico sends it {100 * pico_sends[block]:.0f} %"
            axes.set_title(f"block {block}{sent}", fontsize=9)
            pitch = 64 + _GAP
            axes.set_xticks(
                [i * pitch + 32 for i in range(len(DEVIATIONS))],
                [f"{value:+g}" if value else "0" for value in DEVIATIONS],
            )
            axes.set_yticks([i * pitch + 32 for i in range(BLOCK_SIZE)], [str(feature) for feature in features])
            axes.tick_params(length=0, labelsize=8)
            axes.spines[:].set_visible(False)
        figure.supxlabel("standard deviations from the mean latent", fontsize=9)
        figure.supylabel("feature", fontsize=9)
        table = [
            (
                feature // BLOCK_SIZE,
                feature,
                float(codec.mean[feature]),
                float(codec.covariance[feature, feature] ** 0.5),
            )
            for feature in range(LATENTS)
        ]
        alt = (
            "What the 8 blocks of 4 features look like: the mean latent decoded with one feature at a time moved by -2 "
            "to +2 standard deviations."
        )
        return render(figure, "traversals", alt, ("block", "feature", "mean", "standard_deviation"), table)
