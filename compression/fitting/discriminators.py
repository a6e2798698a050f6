"""The networks that PICO trains besides the mask policy, and the budget that the policy is trained under."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.masks import BLOCKS, LATENTS
from compression.model.world_model import ACTIONS, HIDDEN


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs))


class ActionDiscriminator(nn.Module):
    """D(a, x) from a 3-way action classifier: the taken action's logit against the log-sum-exp of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = _mlp(HIDDEN + LATENTS, ACTIONS)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """Return the logit of D(a, x), float32[N]."""
        # Dropout, more on h: it holds the last actions, and most actions repeat the last one whatever is shown.
        h, z = x[:, :HIDDEN], x[:, HIDDEN:]
        h, z = functional.dropout(h, 0.5, self.training), functional.dropout(z, 0.2, self.training)
        logits = self.classifier(torch.cat([h, z], 1))
        taken = functional.one_hot(action, ACTIONS).bool()
        others = logits.masked_fill(taken, -torch.inf).logsumexp(1)
        result: Tensor = logits[taken] - others
        return result


class ImageDiscriminator(nn.Module):
    """D(p, x), p being the 8 mask probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _mlp(BLOCKS + HIDDEN + LATENTS, 1)

    def forward(self, mask: Tensor, x: Tensor) -> Tensor:
        """Return the logit of D(p, x), float32[N]."""
        # Dropout: the recordings hold few masks, and the network would rather know an episode by its x.
        result: Tensor = self.layers(torch.cat([mask, functional.dropout(x, 0.5, self.training)], 1))[:, 0]
        return result


def budgeted(scores: Tensor, blocks: int) -> Tensor:
    """Return mask probabilities, float32[N, 8], that sum to `blocks`: sigmoid(score - threshold).

    The threshold is found by bisection; a last Newton step makes the result differentiable through it. Without the
    budget every probability would run to 1 and the order of the scores would mean nothing.
    """
    with torch.no_grad():
        low, high = scores.min(1, keepdim=True).values - 20, scores.max(1, keepdim=True).values + 20
        for _ in range(40):
            middle = (low + high) / 2
            too_many = (scores - middle).sigmoid().sum(1, keepdim=True) > blocks
            low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
        threshold = (low + high) / 2
        slope = ((scores - threshold).sigmoid() * (threshold - scores).sigmoid()).sum(1, keepdim=True).clamp_min(1e-6)
    threshold = threshold + ((scores - threshold).sigmoid().sum(1, keepdim=True) - blocks) / slope
    return (scores - threshold).sigmoid()
