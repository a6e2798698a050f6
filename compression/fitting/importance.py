"""How much an error of the latent matters: to what the driver does, to the picture, or to whatever follows from it.

Each importance is a matrix W, float64[latents, latents], positive semi-definite with trace 1: a small error e matters
e' W e.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.errors import TrainingError
from compression.fitting.classifiers import Classifiers
from compression.model.latent_model import LatentModel

Matrix = NDArray[np.float64]
_NUDGE = 0.05
"""Standard deviations by which features are moved to see what follows."""


def action_importance(drivers: Classifiers, x: Tensor) -> Matrix:
    """Return how much the action distribution changes: the classifiers' Fisher information about the latent.

    e' W e is, but for a factor, the Kullback-Leibler divergence between the actions that are likely with and without
    the error, averaged over the steps given.

    Args:
        drivers: Models of what drivers do.
        x: float32[N, hidden + latents]: world-model state and latent of each step.

    Raises:
        TrainingError: If nothing changes it.
    """
    latents, hidden = drivers.sizes.latents, drivers.sizes.hidden
    total = np.zeros((latents, latents))
    for member in drivers.members:
        likely = _probabilities(member.classifier, x)

        def log_likely(z: Tensor, member: torch.nn.Module = member) -> Tensor:
            rows: Tensor = member.classifier(torch.cat([x[:, :hidden], z], 1)).log_softmax(1)  # type: ignore[operator]
            return rows

        slopes = _slopes(log_likely, x[:, hidden:])
        total += np.einsum("na,nai,naj->ij", likely, slopes, slopes)
    if not np.trace(total) > 0:
        raise TrainingError("nothing that is seen makes a difference to what was done; record more, or somebody else")
    normalised: Matrix = total / np.trace(total)
    return normalised


def _probabilities(classifier: torch.nn.Module, x: Tensor) -> NDArray[np.float64]:
    """Return the probability of each action, float64[N, actions]."""
    with torch.no_grad():
        probabilities: NDArray[np.float64] = classifier(x).softmax(1).double().cpu().numpy()
    return probabilities


def picture_importance(model: LatentModel, latents: NDArray[np.float32]) -> Matrix:
    """Return how much the decoded pixels change, squared errors added up, averaged over float32[N, latents]."""

    def pixels(z: Tensor) -> Tensor:
        images: Tensor = model.vae.decoder(z)
        return images.flatten(1)

    return sensitivity(pixels, latents)


def sensitivity(outcome: Callable[[Tensor], Tensor], latents: NDArray[np.float32]) -> Matrix:
    """Return how much an outcome of latents changes, squared changes added up, averaged.

    Args:
        outcome: Maps latents, float32[N, latents], to what matters of them, float32[N, outcomes].
        latents: float32[N, latents].
    """
    slopes = _slopes(outcome, torch.from_numpy(latents))
    total = np.einsum("noi,noj->ij", slopes, slopes)
    normalised: Matrix = total / np.trace(total)
    return normalised


def _slopes(outcome: Callable[[Tensor], Tensor], latents: Tensor) -> NDArray[np.float64]:
    """Return the derivatives, float64[N, outcomes, latents], by central differences."""
    with torch.no_grad():
        nudges = _NUDGE * torch.eye(latents.shape[1], device=latents.device)
        columns = [(outcome(latents + nudge) - outcome(latents - nudge)) / (2 * _NUDGE) for nudge in nudges]
    slopes: NDArray[np.float64] = torch.stack(columns, 2).double().cpu().numpy()
    return slopes
