"""Frames side by side: what a latent model keeps of pictures, and what each of its features looks like."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from compression.model.latent_model import LatentModel

DEVIATIONS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Standard deviations, over the training frames, that a feature is moved by."""
GAP = 3
"""White pixels between frames."""
_AMPLIFIED = 4
"""How many times as large as it is a change of a picture is drawn."""
_SHOWN = 10
"""Held-out frames that are drawn above what comes back of them."""


def traverse(model: LatentModel) -> NDArray[np.uint8]:
    """Return the frames, uint8[latents, 5, H, W, C], of the mean latent with each feature moved by each deviation."""
    count = model.sizes.latents
    latents = np.tile(model.mean, (count, len(DEVIATIONS), 1))
    deviations = np.sqrt(np.diag(model.covariance))
    for feature in range(count):
        latents[feature, :, feature] += np.array(DEVIATIONS, np.float32) * deviations[feature]
    frames = model.decode_latents(latents.reshape(-1, count).astype(np.float32))
    return frames.reshape(count, len(DEVIATIONS), *frames.shape[1:])


def draw_reconstructions(model: LatentModel, frames: NDArray[np.uint8]) -> bytes:
    """Return a PNG of held-out frames, uint8[N, H, W, C], above what comes back of them."""
    chosen = np.array(frames[np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).astype(int)])
    return png_of([list(chosen), list(model.decode_latents(model.encode_frames(chosen)))])


def draw_tuning(whole: NDArray[np.uint8], before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bytes:
    """Return a PNG of frames uint8[N, H, W, C] each: with all features, as shown before and after a tuning, the change.

    The change is drawn on grey, four times as large as it is.
    """
    change = np.clip(128.0 + _AMPLIFIED * (after.astype(np.float64) - before), 0, 255).astype(np.uint8)
    chosen = np.linspace(0, len(whole) - 1, min(_SHOWN, len(whole))).astype(int)
    return png_of([list(frames[chosen]) for frames in (whole, before, after, change)])


def draw_traversals(model: LatentModel) -> bytes:
    """Return a PNG of `traverse`: a row for each feature."""
    return png_of([list(row) for row in traverse(model)])


def tiled(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Return one picture, uint8[..., ..., 3], of rows of frames, uint8[H, W, C] each, with white between them."""
    whole = np.concatenate(
        [
            np.concatenate([np.pad(frame, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for frame in row], axis=1)
            for row in rows
        ]
    )[:-GAP, :-GAP]
    # Matplotlib would paint a single channel in colours.
    return np.repeat(whole, 3, axis=2) if whole.shape[2] == 1 else whole


def png_of(rows: list[list[NDArray[np.uint8]]]) -> bytes:
    """Return `tiled` as a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(tiled(rows)).save(file, "PNG", optimize=True)
    return file.getvalue()
