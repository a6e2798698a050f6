"""The recurrent world model: what the next latent will be, given the latents and actions so far.

A GRU with a state h of 256 numbers (World Models use an LSTM of the same size) and a linear prediction of the change
of the latent. Its state is half of what PICO's discriminators see, and its prediction is the `predict` fill.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compression.masks import LATENTS

HIDDEN = 256
ACTIONS = 3


class WorldModel(nn.Module):
    """Predicts latents in the codec's standardised units."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(LATENTS + ACTIONS, HIDDEN)
        self.change = nn.Linear(HIDDEN, LATENTS)

    def forward(self, latents: Tensor, actions: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step.

        Args:
            latents: float32[N, 32], standardised, at this step.
            actions: int64[N] in {-1, 0, 1}, taken on seeing them.
            hidden: float32[N, 256], the state before this step; zeros at the start of an episode.

        Returns:
            The state after this step, float32[N, 256], and the predicted next latents, float32[N, 32].
        """
        one_hot = nn.functional.one_hot(actions + 1, ACTIONS).to(latents.dtype)
        hidden = self.cell(torch.cat([latents, one_hot], dim=1), hidden)
        return hidden, latents + self.change(hidden)
