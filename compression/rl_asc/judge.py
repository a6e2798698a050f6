"""The judge: the task's network H and what it says is lost of a frame.

What of its labels is lost (equations 4 and 6 of arXiv 2208.04094) and, by its features, how far two images are apart
(equation 11), as a share of how far the features of images are from their mean. It is trained on trials of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from compression.rl_asc.networks import Labeller


class Judge:
    """Weighs what is lost against what was paid.

    Args:
        network: H.
        images: float32[N, C, H, W], some by which distances are scaled.
        parts: M.
        perceptual_price: Eta.
    """

    def __init__(self, network: Labeller, images: Tensor, parts: int, perceptual_price: float) -> None:
        self._network, self._parts, self._perceptual_price = network, parts, perceptual_price
        with torch.no_grad():
            self._spread = [seen.var(0).mean() + 1e-6 for seen in network.features(images)]

    def look(self, images: Tensor) -> list[Tensor]:
        """Return what H sees in original images, to hold what is shown against."""
        with torch.no_grad():
            return self._network.features(images)

    def criterion(self, wanted: list[Tensor], labels: Tensor, shown: Tensor, bits: Tensor, price: Tensor) -> Tensor:
        """Return the rate-semantic-perceptual loss, float32[N] (equation 12)."""
        features = self._network.features(shown)
        found = self._network.label(features).argmax(1)
        kept = _mean_iou(labels, found, self._parts)
        return price * bits + 1 - kept + self._perceptual_price * self._apart(wanted, features)

    def gradient(self, wanted: list[Tensor], labels: Tensor, shown: Tensor) -> Tensor:
        """Return the same without bits, of the whole batch, with a gradient: labels by cross-entropy (equation 9)."""
        features = self._network.features(shown)
        semantic = functional.cross_entropy(self._network.label(features), labels)
        return semantic + self._perceptual_price * self._apart(wanted, features).mean()

    def _apart(self, wanted: list[Tensor], features: list[Tensor]) -> Tensor:
        """Return how far originals, as H sees them, are from what is shown, float32[N]."""
        each = [
            ((one - other) ** 2).flatten(1).mean(1) / spread
            for one, other, spread in zip(wanted, features, self._spread, strict=True)
        ]
        return torch.stack(each).mean(0)


def _mean_iou(truth: Tensor, found: Tensor, parts: int) -> Tensor:
    """Return the mean intersection over union, float32[N], over the parts in either of label maps [N, H, W]."""
    each = torch.arange(parts, device=truth.device)[:, None, None]
    one, other = truth[:, None] == each, found[:, None] == each
    both, either = (one & other).sum((2, 3)), (one | other).sum((2, 3))
    return (both / either.clamp_min(1)).sum(1) / (either > 0).sum(1)
