"""The networks of `gan_impressions.py`: a GAN, and what looks at its images."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from compression.model.sizes import Sizes
from compression.model.vae import Decoder

LATENTS, SIDE, BINS = 64, 64, 100
"""Of the generator, of an image, of the estimator."""


class Critic(nn.Module):
    """Images to logits of being real, float32[N]: eight convolutions, and the spread of four images in between."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 48, 64)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((3, *widths)):
            layers += [nn.Conv2d(narrow, wide, 3, 2, 1), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(wide, wide, 3, 1, 1), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        last = widths[-1]
        self.head = nn.Sequential(
            nn.Conv2d(last + 1, last, 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(last * 16, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        inside = self.body(images)
        groups = inside.reshape(-1, min(4, len(inside)), *inside.shape[1:])
        spread = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(groups.shape[1])
        told = spread[:, None, None, None].expand(-1, 1, *inside.shape[2:])
        logits: Tensor = self.head(torch.cat([inside, told], 1))[:, 0]
        return logits


class Looker(nn.Sequential):
    """Images to numbers: the estimator, and the labeller that the filters are of."""

    def __init__(self, outputs: int, dropout: float = 0.0) -> None:
        widths = (16, 24, 32, 32)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((3, *widths)):
            layers += [nn.Conv2d(narrow, wide, 3, 2, 1), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(widths[-1] * (SIDE >> len(widths)) ** 2, outputs))


class Pair(nn.Module):
    """A GAN, whose generator is a decoder of latent models; it computes in bfloat16."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.generator, self.critic = Decoder(sizes), Critic()

    def drawn(self, latents: Tensor) -> Tensor:
        """Return images float32[N, 3, 64, 64] of latents float32[N, 64]."""
        with torch.autocast("cpu", torch.bfloat16):
            images: Tensor = self.generator(latents)
        return images.float()
