"""The mask policy that PICO fits: which blocks to send, on seeing the latent."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.fitting.fitted import FittedModel, require_shapes
from compression.masks import best_blocks
from compression.model.sizes import Sizes

_UNITS = 64
_PREFIX = "policy."


class MaskNetwork(nn.Module):
    """f(z): latents float32[N, latents] to scores, float32[N, blocks], the higher the sooner sent (2x64 MLP).

    Args:
        sizes: Those of the latent model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(sizes.latents, _UNITS),
            nn.ReLU(),
            nn.Linear(_UNITS, _UNITS),
            nn.ReLU(),
            nn.Linear(_UNITS, sizes.blocks),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.layers(latents)
        return scores

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return what a fitted file holds of it."""
        return {_PREFIX + name: tensor.detach().numpy() for name, tensor in self.state_dict().items()}


class LearnedMask:
    """A mask policy from a fitted file; a `MaskPolicy`.

    Args:
        fitted: The file, checked.
        sizes: Those of the latent model.
    """

    def __init__(self, fitted: FittedModel, sizes: Sizes) -> None:
        self.fitted = fitted
        with torch.device("meta"):
            self._network = MaskNetwork(sizes)
        weights = {name.removeprefix(_PREFIX): torch.from_numpy(value) for name, value in fitted.tensors.items()}
        self._network.load_state_dict(weights, assign=True)
        self._network.eval().requires_grad_(False)

    def choose(self, latent: NDArray[np.float32], sent: int) -> NDArray[np.bool_]:
        """Return the mask, bool[blocks], of the best-scoring blocks for a latent, float32[latents]."""
        with torch.inference_mode():
            scores = self._network(torch.from_numpy(latent)[None])[0].numpy()
        return best_blocks(scores, sent)


def check_mask(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a file holds a mask policy for a model of these sizes."""
    with torch.device("meta"):
        network = MaskNetwork(sizes)
    require_shapes(fitted, {_PREFIX + name: tuple(value.shape) for name, value in network.state_dict().items()})
    if not (fitted.record.interval and fitted.record.fill):
        raise ValueError("its record does not say how masks were chosen and features filled in")
