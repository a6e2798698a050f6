"""The networks that PICO trains besides the mask policy, and the budget that the policy is trained under."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.model.sizes import Sizes


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs))


def _half_dropped(x: Tensor, training: bool) -> Tensor:
    """Return dropout at one half of x. A number takes one random bit; torch draws 53, a fifth of the fit."""
    if not training:
        return x
    drawn = torch.empty(-(-x.numel() // 8), dtype=torch.uint8).random_()
    kept = torch.from_numpy(np.unpackbits(drawn.numpy(), count=x.numel())).view(x.shape)
    return x * kept.to(x.device, x.dtype).mul_(2)


class ActionDiscriminator(nn.Module):
    """D(a, x) from an action classifier: the taken action's logit against the log-sum-exp of the others.

    Args:
        sizes: Those of the latent model.
        alone: Whether each action has a logit by itself: what is asked is not which one was taken.
    """

    def __init__(self, sizes: Sizes, alone: bool = False) -> None:
        super().__init__()
        self.sizes, self.alone = sizes, alone
        self.classifier = _mlp(sizes.hidden + sizes.latents, sizes.actions)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """Return the logit of D(a, x), float32[N]."""
        # Dropout, more on h: it holds the last actions, and most actions repeat the last one whatever is shown.
        h, z = x[:, : self.sizes.hidden], x[:, self.sizes.hidden :]
        h, z = _half_dropped(h, self.training), functional.dropout(z, 0.2, self.training)
        logits = self.classifier(torch.cat([h, z], 1))
        taken = functional.one_hot(action, self.sizes.actions).bool()
        result: Tensor = logits[taken]
        return result if self.alone else result - logits.masked_fill(taken, -torch.inf).logsumexp(1)

    def probabilities(self, x: Tensor) -> Tensor:
        """Return D(a, x) of every action, float32[N, actions]: the sigmoid of what `forward` returns of each."""
        logits: Tensor = self.classifier(x)
        return logits.sigmoid() if self.alone else logits.softmax(1)


class ImageDiscriminator(nn.Module):
    """D(p, x), p being the mask probabilities, float32[N, blocks].

    Args:
        sizes: Those of the latent model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = _mlp(sizes.blocks + sizes.hidden + sizes.latents, 1)

    def forward(self, mask: Tensor, x: Tensor) -> Tensor:
        """Return the logit of D(p, x), float32[N]."""
        # Dropout: the recordings hold few masks, and the network would rather know an episode by its x.
        result: Tensor = self.layers(torch.cat([mask, _half_dropped(x, self.training)], 1))[:, 0]
        return result


def budgeted(scores: Tensor, blocks: int) -> Tensor:
    """Return mask probabilities, float32[N, blocks], that sum to `blocks`: sigmoid(score - threshold).

    The threshold is found by bisection; a last Newton step makes the result differentiable through it. Without the
    budget every probability would run to 1 and the order of the scores would mean nothing.
    """
    with torch.no_grad():
        low, high = scores.min(1, keepdim=True).values - 20, scores.max(1, keepdim=True).values + 20
        for _ in range(24):  # to the last bits of a float32; the step below does the rest
            middle = (low + high) / 2
            too_many = (scores - middle).sigmoid().sum(1, keepdim=True) > blocks
            low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
        threshold = (low + high) / 2
        slope = ((scores - threshold).sigmoid() * (threshold - scores).sigmoid()).sum(1, keepdim=True).clamp_min(1e-6)
    threshold = threshold + ((scores - threshold).sigmoid().sum(1, keepdim=True) - blocks) / slope
    return (scores - threshold).sigmoid()
