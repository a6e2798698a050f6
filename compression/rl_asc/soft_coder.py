"""Encoder and generator with a quantiser that has a gradient: what stages I and III train."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from compression.rl_asc.critic import Critic
from compression.rl_asc.networks import LEVELS, Classifier, Design, System, centres, symbols_of


class Prior(nn.Module):
    """How likely symbols are, by level, concept and channel: what bits are counted by until there are tables."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        shape = design.parts, design.channels
        self.logits = nn.ParameterList(
            nn.Parameter(torch.zeros(*shape, LEVELS[level])) for level in range(1, len(LEVELS))
        )


class SoftCoder(nn.Module):
    """What stage I trains, a discriminator included, and bits by a prior until there are tables."""

    def __init__(self, design: Design, system: System) -> None:
        super().__init__()
        self.encoder, self.generator = system.encoder, system.generator
        self.classifier, self.prior, self.critic = Classifier(design), Prior(design), Critic(design)

    def quantised(self, features: Tensor, cells: Tensor, softness: float) -> tuple[Tensor, Tensor]:
        """Return values and bits of features at every level, float32[Q, N, n, h, w] each.

        Values are quantised (equation 24), with the gradient of the soft ones (equation 25); bits are those of the soft
        choice among the centres.
        """
        values, bits = [torch.zeros_like(features)], [torch.zeros_like(features)]
        for level, logits in enumerate(self.prior.logits, start=1):
            places = centres(level).to(features.device)
            apart = (features[..., None] - places).abs() * (LEVELS[level] / 2)
            chosen = (-softness * apart).softmax(-1)
            soft = (chosen * places).sum(-1)
            hard = places[symbols_of(features.detach(), level)]
            values.append(soft + (hard - soft).detach())
            taken = -logits.log_softmax(-1) / np.log(2)
            bits.append((chosen * taken[cells].permute(0, 3, 1, 2, 4)).sum(-1))
        return torch.stack(values), torch.stack(bits)


def at_levels(each: Tensor, cells: Tensor, levels: Tensor) -> Tensor:
    """Return what is at the level of each cell's concept, [N, n, h, w], of [Q, N, n, h, w]."""
    of_cell = levels.gather(1, cells.flatten(1)).reshape(cells.shape)
    index = of_cell[None, :, None].expand(1, *each.shape[1:])
    return each.gather(0, index)[0]
