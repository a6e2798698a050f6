from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import GREY, STILL, tiny_model

from compression.model.sizes import Sizes
from racer.training.sheets import DEVIATIONS, GAP, draw_reconstructions, draw_traversals, traverse


@pytest.mark.parametrize("sizes", [GREY, STILL])
def test_a_feature_is_moved_by_its_own_deviations_and_no_other_feature_is(sizes: Sizes, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m", sizes)
    frames = traverse(model)
    assert frames.shape == (sizes.latents, len(DEVIATIONS), *sizes.frame)
    mean = np.array(model.mean)
    for feature, column in ((0, 0), (sizes.latents - 1, 4)):
        latent = mean.copy()
        latent[feature] += DEVIATIONS[column] * np.sqrt(model.covariance[feature, feature])
        difference = frames[feature, column].astype(int) - model.decode_latents(latent[None])[0]
        assert np.abs(difference).max() <= 1, "sums may differ in their last bit"
    middle = DEVIATIONS.index(0.0)
    assert (frames[:, middle] == frames[0, middle]).all() and (frames[:, 0] != frames[:, -1]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(("count", "shown"), [(3, 3), (10, 10), (25, 10)])
def test_reconstructions_are_drawn_below_held_out_frames(count: int, shown: int, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m", GREY)
    height, width, _ = GREY.frame
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros((count, *GREY.frame), np.uint8)
    with Image.open(io.BytesIO(draw_reconstructions(model, frames))) as picture:
        drawn = np.asarray(picture.convert("L"))
    assert drawn.shape == (2 * height + GAP, shown * (width + GAP) - GAP)
    assert drawn[0, :: width + GAP].tolist() == np.linspace(0, count - 1, shown).astype(int).tolist()
    back = model.decode_latents(model.encode_frames(frames[-1:]))[0, :, :, 0]
    assert np.abs(drawn[height + GAP :, -width:].astype(int) - back).max() <= 1
    assert (drawn[height : height + GAP] == 255).all()


def test_traversals_are_drawn_in_a_row_for_each_feature(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m", GREY)
    with Image.open(io.BytesIO(draw_traversals(model))) as picture:
        size = picture.size
    rows, columns = GREY.latents, len(DEVIATIONS)
    assert size == (columns * (GREY.frame[1] + GAP) - GAP, rows * (GREY.frame[0] + GAP) - GAP)
