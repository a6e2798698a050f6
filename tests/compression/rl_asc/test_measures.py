"""What is lost of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from compression.rl_asc.measures import frechet_distance, kernel_distance, mean_iou, psnr, ssim


def test_mean_iou_is_over_the_parts_that_are_in_either_map() -> None:
    truth = np.zeros((3, 2, 4), int)
    truth[:, :, 2:] = 1
    found = truth.copy()
    found[1, 0, 3] = 0  # 4 of 5, and 3 of 4
    found[2] = 2  # nothing right, and a part that is not there
    assert mean_iou(truth, found, 5) == pytest.approx([1, (4 / 5 + 3 / 4) / 2, 0])


def test_pixels_are_compared_as_the_definitions_say() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(20, 230, (2, 16, 16, 3)).astype(np.uint8)
    assert psnr(frames, frames).tolist() == [100, 100] and ssim(frames, frames) == pytest.approx([1, 1])
    assert psnr(frames, frames + 5) == pytest.approx([20 * np.log10(255 / 5)] * 2)
    noisy = np.clip(frames + rng.normal(0, 60, frames.shape), 0, 255).astype(np.uint8)
    assert (ssim(frames, noisy) < ssim(frames, frames + 5)).all()


def test_sets_of_features_are_as_far_apart_as_their_distributions() -> None:
    rng = np.random.default_rng(0)
    one, same = rng.normal(0, 1, (2, 600, 4))
    moved, wide = one + 2, 3 * one
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, moved) == pytest.approx(4 * 2**2)
    assert frechet_distance(one, wide) == pytest.approx(np.trace(np.cov(one.T)) * 4 + 4 * (one.mean(0) ** 2).sum())
    near, far = kernel_distance(one, same), kernel_distance(one, moved)
    assert abs(near) < 0.1 * kernel_distance(one, wide) and far > 1
    # Of a kernel of degree 1 it would be the squared distance of the means.
    assert kernel_distance(np.eye(2)[:1].repeat(5, 0), np.eye(2)[1:].repeat(5, 0)) == pytest.approx(2 * 1.5**3 - 2)
