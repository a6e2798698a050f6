"""What stages II and III train of the agent: its choices, by what each of their levels would have brought."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compression.rl_asc.networks import Agent

_KEPT = 0.95
"""What each step keeps of the running variances."""
_LEAST = 1e-12


class Policy(nn.Module):
    """An agent, and how far the levels that it hesitates between usually lie apart.

    Args:
        agent: On its device.
        prices: Of a bit, that it is trained for.
        parts: M.
    """

    variance: Tensor
    """float32[P, M], of gains under the agent's own choices at each price, for each concept; 0 of what never was."""

    def __init__(self, agent: Agent, prices: int, parts: int) -> None:
        super().__init__()
        self.agent = agent
        self.register_buffer("variance", torch.zeros(prices, parts))

    def loss(self, scores: Tensor, gains: Tensor, which: Tensor, there: Tensor, entropy: float) -> Tensor:
        """Return minus the expected gain and the entropy of choices, means over the concepts that are there.

        The baseline is the expected gain. What a level gains over it is divided by what is usual at its price for its
        concept: gains grow with the price and the size of a concept a hundredfold, and the agent would learn of what
        is dear and large alone; and once it leaves the worst level alone, the differences among the others count.

        Args:
            scores: float32[N, M, Q], log-probabilities.
            gains: float32[N, M, Q], of each level, all other concepts as they were drawn.
            which: int64[N], the price of each frame.
            there: float32[N, M], 1 for concepts that are in the frame.
            entropy: Weight of the entropy.
        """
        likely = scores.exp()
        expected = likely.detach()
        over = gains - (expected * gains).sum(2, keepdim=True)
        count = torch.zeros_like(self.variance).index_add(0, which, there)
        mean = torch.zeros_like(self.variance).index_add(0, which, (expected * over.pow(2)).sum(2) * there)
        mean = mean / count.clamp_min(1)
        usual = torch.where(self.variance > 0, _KEPT * self.variance + (1 - _KEPT) * mean, mean)
        self.variance.copy_(torch.where(count > 0, usual, self.variance))
        over = over / self.variance[which].clamp_min(_LEAST).sqrt()[:, :, None]
        value: Tensor = -((likely * (over - entropy * scores)).sum(2) * there).sum() / there.sum()
        return value


def drawn(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Return levels drawn by chance, int64[N, M], of log-probabilities float32[N, M, Q]."""
    likely = scores.detach().exp().cpu().flatten(0, 1)
    chosen = torch.multinomial(likely, 1, generator=generator)
    return chosen.reshape(scores.shape[:2]).to(scores.device)
