"""Rate models: how likely latents are, and so what they cost in bits; they are learned along with the latents."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

RateModelName = Literal["normal", "factorised"]
_MIXED = 5
"""Logistic distributions that make up one of a coordinate's."""
_REACH = 8.0
"""Initial distance from 0 of the outermost ones."""
_FAST = 40.0
"""How much faster than a network's weights their parameters move."""


class RateModel(nn.Module, ABC):
    """Says what numbers cost that were rounded to whole multiples of a step."""

    step: float
    """What latents are rounded to."""

    @abstractmethod
    def bits(self, latents: Tensor) -> Tensor:
        """Return -log2 of the probability of the step around each latent, like them, float32[N, latents]."""


class Normal(RateModel):
    """The published model: mean 0, a learned variance for each coordinate, latents rounded to three digits.

    Bader and von Bachmann (2021), sections 3.2.1 and 4.3.
    """

    step = 1e-3

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(latents))

    def bits(self, latents: Tensor) -> Tensor:
        """Return -log2 P."""
        scale = (_FAST * self.log_scale.double()).exp()
        away = latents.double().abs()
        upper = torch.special.log_ndtr((self.step / 2 - away) / scale)
        lower = torch.special.log_ndtr((-self.step / 2 - away) / scale)
        nats = upper + torch.log(-torch.expm1((lower - upper).clamp_max(-1e-12)))
        bits: Tensor = (-nats / math.log(2)).float()
        return bits


class Factorised(RateModel):
    """A mixture of logistic distributions for each coordinate, fitted as the latents move; they are whole numbers.

    Stands for the factorised prior of J. Balle et al., "Variational Image Compression with a Scale Hyperprior" (ICLR
    2018, appendix 6.1). The tails fall off like exponentials, so that a stray latent costs tens of bits, not thousands.
    """

    step = 1.0

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(latents, _MIXED))
        self.mean = nn.Parameter(torch.linspace(-_REACH, _REACH, _MIXED).repeat(latents, 1) / _FAST)
        self.log_scale = nn.Parameter(torch.full((latents, _MIXED), math.log(2.0) / _FAST))

    def bits(self, latents: Tensor) -> Tensor:
        """Return -log2 P."""
        narrow = (-(_FAST * self.log_scale).clamp(-4, 6)).exp()
        away = latents[..., None] - _FAST * self.mean
        upper, lower = (away + 0.5) * narrow, (away - 0.5) * narrow
        inside = nn.functional.logsigmoid(upper) + nn.functional.logsigmoid(-lower) + torch.log(-torch.expm1(-narrow))
        nats = torch.logsumexp(torch.log_softmax(_FAST * self.weight, 1) + inside, 2)
        bits: Tensor = -nats / math.log(2)
        return bits


RATE_MODELS: dict[RateModelName, type[Normal] | type[Factorised]] = {"normal": Normal, "factorised": Factorised}
