"""How much an error of the latent matters: to what the driver does, to where the road is seen, and to the picture.

Each importance is a matrix W, float64[32, 32], positive semi-definite with trace 1: a small error e matters e' W e.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.coders.road import GREEN_EXCESS
from compression.fitting.classifiers import Classifiers
from compression.masks import LATENTS
from compression.model.latent_model import Codec
from compression.model.world_model import HIDDEN

Matrix = NDArray[np.float64]
_NUDGE = 0.05
"""Standard deviations by which features are moved to see what follows."""
_SOFTNESS = 0.05
"""Green excess, of 1, over which grass turns to road: a hard edge has no slope."""
_AHEAD = slice(32, 44)
"""Frame rows of the road about 5 to 13 track units before the car, where it is steered at."""


def action_importance(drivers: Classifiers, x: Tensor) -> Matrix:
    """Return how much the action distribution changes: the classifiers' Fisher information about the latent.

    e' W e is, but for a factor, the Kullback-Leibler divergence between the actions that are likely with and without
    the error, averaged over the steps given.

    Args:
        drivers: Models of what drivers do.
        x: float32[N, 288]: world-model state and latent of each step.
    """
    total = np.zeros((LATENTS, LATENTS))
    for member in drivers.members:
        likely = _probabilities(member.classifier, x)

        def log_likely(latents: Tensor, member: torch.nn.Module = member) -> Tensor:
            rows: Tensor = member.classifier(torch.cat([x[:, :HIDDEN], latents], 1)).log_softmax(1)  # type: ignore[operator]
            return rows

        slopes = _slopes(log_likely, x[:, HIDDEN:])
        total += np.einsum("na,nai,naj->ij", likely, slopes, slopes)
    normalised: Matrix = total / np.trace(total)
    return normalised


def _probabilities(classifier: torch.nn.Module, x: Tensor) -> NDArray[np.float64]:
    """Return the probability of each action, float64[N, 3]."""
    with torch.no_grad():
        probabilities: NDArray[np.float64] = classifier(x).softmax(1).double().numpy()
    return probabilities


def picture_importance(codec: Codec, latents: NDArray[np.float32]) -> Matrix:
    """Return how much the decoded pixels change, squared errors added up, averaged over latents, float32[N, 32]."""

    def pixels(z: Tensor) -> Tensor:
        images: Tensor = codec.vae.decoder(z)
        return images.flatten(1)

    return _sensitivity(pixels, latents)


def road_importance(codec: Codec, latents: NDArray[np.float32]) -> Matrix:
    """Return how much the middle of the road ahead moves, averaged over latents, float32[N, 32]."""

    def middles(z: Tensor) -> Tensor:
        images = codec.vae.decoder(z)[:, :, _AHEAD]
        green = images[:, 1] - torch.maximum(images[:, 0], images[:, 2])
        road = ((GREEN_EXCESS / 255 - green) / _SOFTNESS).sigmoid()
        columns = torch.arange(road.shape[2]) - (road.shape[2] - 1) / 2
        middle: Tensor = (road * columns).sum(2) / road.sum(2).clamp_min(1)
        return middle

    return _sensitivity(middles, latents)


def _sensitivity(outcome: Callable[[Tensor], Tensor], latents: NDArray[np.float32]) -> Matrix:
    slopes = _slopes(outcome, torch.from_numpy(latents))
    total = np.einsum("noi,noj->ij", slopes, slopes)
    normalised: Matrix = total / np.trace(total)
    return normalised


def _slopes(outcome: Callable[[Tensor], Tensor], latents: Tensor) -> NDArray[np.float64]:
    """Return the derivatives, float64[N, outcomes, 32], by central differences."""
    with torch.inference_mode():
        nudges = _NUDGE * torch.eye(LATENTS)
        columns = [(outcome(latents + nudge) - outcome(latents - nudge)) / (2 * _NUDGE) for nudge in nudges]
    slopes: NDArray[np.float64] = torch.stack(columns, 2).double().numpy()
    return slopes
