"""The patch discriminator of stages I and III, at two scales (Park et al. 2019), and what it teaches the generator."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from compression.rl_asc.networks import Design

_SLOPE = 0.2
_SCALES = 2


class Critic(nn.Module):
    """Tells original frames from made ones, patch by patch, on seeing what lies where.

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        widths = (design.frame[2] + design.parts, 16, 24, 32)
        self.down = nn.ModuleList(
            nn.Conv2d(one, other, 4, 2, 1) for _ in range(_SCALES) for one, other in pairwise(widths)
        )
        self.out = nn.ModuleList(nn.Conv2d(widths[-1], 1, 3, padding=1) for _ in range(_SCALES))

    def forward(self, images: Tensor, masks: Tensor) -> list[list[Tensor]]:
        """Return what is seen at each scale, layer by layer, last how real each patch is, float32[N, 1, h, w].

        Args:
            images: float32[N, C, H, W] in [0, 1].
            masks: float32[N, M, h, w].
        """
        values = torch.cat([images - 0.5, functional.interpolate(masks, images.shape[-2:], mode="nearest")], 1)
        seen, depth = [], len(self.down) // _SCALES
        for scale, out in enumerate(self.out):
            inner, layers = functional.avg_pool2d(values, 2) if scale else values, []
            for number in range(depth):
                inner = self.down[scale * depth + number](inner)
                inner = functional.leaky_relu(functional.group_norm(inner, 1) if number else inner, _SLOPE)
                layers.append(inner)
            seen.append([*layers, out(inner)])
        return seen


def critic_losses(critic: Critic, images: Tensor, shown: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the critic's hinge loss, the generator's (equation 32 of arXiv 2208.04094), and that of its features.

    The first has a gradient in the critic alone, the others in `shown` alone, so that one step takes all three. The
    last is the mean absolute difference of what the critic sees in frames and in what is shown of them (Wang et al.
    2018).
    """
    original, made = critic(images, masks), critic(shown.detach(), masks)
    hinge = torch.stack(
        [
            functional.relu(1 - real[-1]).mean() + functional.relu(1 + fake[-1]).mean()
            for real, fake in zip(original, made, strict=True)
        ]
    ).mean()
    frozen = {name: value.detach() for name, value in critic.named_parameters()}
    tried: list[list[Tensor]] = functional_call(critic, frozen, (shown, masks))
    fooling = -torch.stack([each[-1].mean() for each in tried]).mean()
    matching = torch.stack(
        [
            (one.detach() - other).abs().mean()
            for real, fake in zip(original, tried, strict=True)
            for one, other in zip(real[:-1], fake[:-1], strict=True)
        ]
    ).mean()
    return hinge, fooling, matching
