"""What stages II and III train of the agent: its choices, and by how much each was better than others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compression.rl_asc.networks import Agent

_KEPT = 0.95
"""What each step keeps of the running square of gains."""
_LEAST = 1e-12


class Policy(nn.Module):
    """An agent, and how far returns usually lie apart.

    Args:
        agent: On its device.
        prices: Of a bit, that it is trained for.
        parts: M.
    """

    square: Tensor
    """float32[P, M], the running mean square of gains at each price, for each concept; 0 of what never was."""

    def __init__(self, agent: Agent, prices: int, parts: int) -> None:
        super().__init__()
        self.agent = agent
        self.register_buffer("square", torch.zeros(prices, parts))

    def advantages(self, returns: Tensor, which: Tensor, there: Tensor, codings: int) -> Tensor:
        """Return how much better returns are than the same frame's other codings', in usual gains.

        Gains grow with the price of a bit, and with how much of the frame is a concept's, a hundredfold: undivided,
        the agent would learn of what is dear and large alone.

        Args:
            returns: float32[B * K, M], those of a frame's K codings together.
            which: int64[B * K], the price of each.
            there: float32[B * K, M], 1 for concepts that are in the frame.
            codings: K.
        """
        grouped = returns.reshape(-1, codings, returns.shape[1])
        gains = ((grouped - grouped.mean(1, keepdim=True)) * codings / (codings - 1)).reshape(returns.shape) * there
        count = torch.zeros_like(self.square).index_add(0, which, there)
        mean = torch.zeros_like(self.square).index_add(0, which, gains.pow(2)) / count.clamp_min(1)
        usual = torch.where(self.square > 0, _KEPT * self.square + (1 - _KEPT) * mean, mean)
        self.square.copy_(torch.where(count > 0, usual, self.square))
        return gains / self.square[which].clamp_min(_LEAST).sqrt()


def drawn(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Return levels drawn by chance, int64[N, M], of log-probabilities float32[N, M, Q]."""
    likely = scores.detach().exp().cpu().flatten(0, 1)
    chosen = torch.multinomial(likely, 1, generator=generator)
    return chosen.reshape(scores.shape[:2]).to(scores.device)
