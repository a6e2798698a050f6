"""What is lost of pictures: in meaning (equations 5 and 6), pixel by pixel, and of how natural they look together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WINDOW = 7
_SMALL = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def mean_iou(truth: NDArray[np.integer], found: NDArray[np.integer], parts: int) -> NDArray[np.float64]:
    """Return the mean intersection over union, float64[N] in [0, 1], of label maps, int[N, H, W].

    The mean is over the parts that are in either map: equation 6 divides by all, which would reward what is nowhere.
    """
    shares = np.zeros((len(truth), parts))
    there = np.zeros((len(truth), parts), bool)
    for part in range(parts):
        one, other = truth == part, found == part
        either = (one | other).sum(axis=(1, 2))
        there[:, part] = either > 0
        shares[:, part] = (one & other).sum(axis=(1, 2)) / np.maximum(either, 1)
    means: NDArray[np.float64] = shares.sum(1) / np.maximum(there.sum(1), 1)
    return means


def psnr(original: NDArray[np.uint8], shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the peak signal-to-noise ratio, float64[N] in dB, at most 100, of frames, uint8[N, H, W, C]."""
    error = ((original.astype(np.float64) - shown) ** 2).mean(axis=(1, 2, 3))
    ratios: NDArray[np.float64] = 10 * np.log10(255**2 / np.maximum(error, 255**2 * 1e-10))
    return ratios


def ssim(original: NDArray[np.uint8], shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the structural similarity, float64[N], of frames, uint8[N, H, W, C] (Wang et al. 2004).

    Of their brightness, the mean of the channels, in uniform windows of 7 x 7 pixels.
    """
    one, other = original.mean(axis=3), shown.mean(axis=3)
    mean_one, mean_other = _blurred(one), _blurred(other)
    variance_one = _blurred(one**2) - mean_one**2
    variance_other = _blurred(other**2) - mean_other**2
    together = _blurred(one * other) - mean_one * mean_other
    first, second = _SMALL
    similar = (2 * mean_one * mean_other + first) * (2 * together + second)
    similar /= (mean_one**2 + mean_other**2 + first) * (variance_one + variance_other + second)
    means: NDArray[np.float64] = similar.mean(axis=(1, 2))
    return means


def frechet_distance(original: NDArray[np.floating], shown: NDArray[np.floating]) -> float:
    """Return how far two sets of features, float[N, D], are apart as normal distributions (Heusel et al. 2017).

    With a network of the Inception architecture it is the FID; whoever gives features says of what network.
    """
    one, other = np.cov(original, rowvar=False), np.cov(shown, rowvar=False)
    shared = np.sqrt(np.linalg.eigvals(one @ other).real.clip(0)).sum()
    moved = ((original.mean(0) - shown.mean(0)) ** 2).sum()
    return float(moved + np.trace(one) + np.trace(other) - 2 * shared)


def kernel_distance(original: NDArray[np.floating], shown: NDArray[np.floating]) -> float:
    """Return the squared maximum mean discrepancy of two sets of features, float[N, D] (Binkowski et al. 2018).

    Without bias, so that it can be a little below 0, under the kernel (x y / D + 1) ** 3; see `frechet_distance`.
    """

    def kernel(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = (one.astype(np.float64) @ other.T / one.shape[1] + 1) ** 3
        return values

    def within(each: NDArray[np.floating]) -> float:
        values = kernel(each, each)
        return float((values.sum() - np.trace(values)) / (len(each) * (len(each) - 1)))

    return within(original) + within(shown) - 2 * float(kernel(original, shown).mean())


def _blurred(images: NDArray[np.float64]) -> NDArray[np.float64]:
    windows = np.lib.stride_tricks.sliding_window_view(images, (_WINDOW, _WINDOW), axis=(1, 2))
    means: NDArray[np.float64] = windows.mean(axis=(3, 4))
    return means
