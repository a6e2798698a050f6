"""Simulated impressions: rates of images, what they are estimated to be, and what goes with the change of them.

After Lampinen, So, Eck and Bertsch, "Improving image generative models with human interactions" (2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import linregress, spearmanr
from torch import Tensor, nn

from scripts.studies.gan_networks import BINS, SIDE, Looker

COLD = 0.01
"""The estimator's temperature in use."""
Rate = Callable[[Tensor], Tensor]
"""Rates of images float32[N, 3, 64, 64] in [0, 1]: float32[N] in [0, 1]."""
Row = dict[str, Any]


def objectives(labeller: Looker, seed: int) -> dict[str, Rate]:
    """Return what images are rated by, by name."""
    half, third = SIDE // 2, SIDE // 3
    left, right = slice(0, half), slice(half, SIDE)
    found: dict[str, Rate] = {
        name: _colours([(number, slice(0, SIDE))]) for number, name in enumerate(("red", "green", "blue"))
    }
    found["red left and blue right"] = _colours([(0, left), (2, right)])
    found["green left and red right"] = _colours([(1, left), (0, right)])
    thirds = [slice(0, third), slice(third, 2 * third), slice(2 * third, SIDE)]
    found["green then blue then red thirds"] = _colours(list(zip((1, 2, 0), thirds, strict=True)))
    rng = np.random.default_rng(seed)
    for layer, filters in ((2, 24), (4, 32)):
        order = rng.permutation(filters)
        for number, name in enumerate(("a filter", "another filter")):
            found[f"layer {layer}: {name}"] = _filters(labeller, layer, order[number : number + 1])
        found[f"layer {layer}: 8 filters"] = _filters(labeller, layer, order[:8])
    return found


def estimated(estimator: nn.Module, images: Tensor) -> Tensor:
    """Return estimated rates, float32[N], at the temperature of use."""
    middles = (torch.arange(BINS) + 0.5) / BINS
    rates: Tensor = (estimator(images) / COLD).softmax(1) @ middles
    return rates


def trends(rows: list[Row]) -> list[str]:
    """Return what goes with the change, over objectives (sections 3.2, 4.3.1 and 4.3.2)."""
    if len(rows) < 3:
        return []
    change, believed, spread, d, not_zero = (
        np.array([row[name] for row in rows])
        for name in ("change", "believed_change", "spread_before", "d", "not_zero")
    )
    on_believed, on_spread = linregress(believed, change), linregress(spread, change)
    rose = sum(row["change"] > 0 and float(row["welch_p"]) < 1e-3 for row in rows)
    zeros = f"Spearman {spearmanr(not_zero, d).statistic:.2f}" if np.ptp(not_zero) else "all shares are the same"
    return [
        f"change on believed change: slope {on_believed.slope:.2f}, correlation {on_believed.rvalue:.2f}",
        f"change on the spread before: slope {on_spread.slope:.2f}, {100 * on_spread.rvalue**2:.0f} % of its variance",
        f"share of rates that are not zero and d: {zeros}",
        f"objectives that rose with p < 0.001: {rose} of {len(rows)}",
    ]


def frechet(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the Frechet distance between normal distributions fitted to two sets of points, [N, K] each."""
    means, covariances = zip(*((points.mean(0), np.cov(points.T)) for points in (one, other)), strict=True)
    cross = sqrtm(covariances[0] @ covariances[1]).real
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * cross))


def _filters(labeller: Looker, layer: int, filters: NDArray[np.int64]) -> Rate:
    """Return the norm of filters' activity over that of their whole layer (section 3.1)."""
    layers = nn.Sequential(*list(labeller)[: 3 * layer])

    def rate(images: Tensor) -> Tensor:
        power = layers(images).square().sum((2, 3))
        share: Tensor = power[:, torch.from_numpy(filters)].sum(1) / power.sum(1).clamp_min(1e-9)
        return share.clamp_min(1e-12).sqrt()

    return rate


def _colours(parts: list[tuple[int, slice]]) -> Rate:
    """Return the norm of colours in columns over that of the whole image (section 3.3)."""

    def rate(images: Tensor) -> Tensor:
        light = images.square()
        chosen = torch.stack([light[:, number, :, columns].sum((1, 2)) for number, columns in parts]).sum(0)
        return (chosen / light.sum((1, 2, 3)).clamp_min(1e-9)).sqrt()

    return rate
