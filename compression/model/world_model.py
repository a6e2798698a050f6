"""The recurrent world model: what the next latent will be, given the latents and actions so far.

A GRU with a state h (of 256 numbers in the models that Racer brings; World Models use an LSTM of the same size) and a
linear prediction of the change of the latent. Its state is part of what PICO's discriminators see, and its prediction
is the `predict` fill.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compression.model.sizes import Sizes


class WorldModel(nn.Module):
    """Predicts latents in the model's standardised units.

    Args:
        sizes: Those of the latent model; `hidden` is above 0.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.actions, self.hidden = sizes.actions, sizes.hidden
        self.cell = nn.GRUCell(sizes.latents + sizes.actions, sizes.hidden)
        self.change = nn.Linear(sizes.hidden, sizes.latents)

    def forward(self, latents: Tensor, actions: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step.

        Args:
            latents: float32[N, latents], standardised, at this step.
            actions: int64[N], 0 to actions - 1, taken on seeing them.
            hidden: float32[N, hidden], the state before this step; zeros at the start of an episode.

        Returns:
            The state after this step, float32[N, hidden], and the predicted next latents, float32[N, latents].
        """
        one_hot = nn.functional.one_hot(actions, self.actions).to(latents.dtype)
        hidden = self.cell(torch.cat([latents, one_hot], dim=1), hidden)
        return hidden, latents + self.change(hidden)
