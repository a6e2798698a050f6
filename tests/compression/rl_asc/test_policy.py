"""By how much a coding of a frame was better than the others of it."""

from __future__ import annotations

import pytest
import torch

from compression.rl_asc.networks import Agent, Design
from compression.rl_asc.policy import Policy, drawn

DESIGN = Design((16, 16, 3), 2, 4)


def policy(prices: int = 2) -> Policy:
    return Policy(Agent(DESIGN), prices, DESIGN.parts)


def test_a_coding_is_compared_with_the_others_of_its_frame() -> None:
    returns = torch.tensor([[1.0, 5.0], [3.0, 5.0], [10.0, 7.0], [10.0, 9.0]])
    gains = policy().advantages(returns, torch.zeros(4, dtype=torch.long), torch.ones(4, 2), 2)
    assert gains[0, 0] == -gains[1, 0] < 0 and gains[2, 0] == gains[3, 0] == 0
    assert gains[:2, 1].tolist() == [0, 0] and gains[3, 1] == -gains[2, 1] > 0


def test_gains_at_a_high_price_and_of_a_large_concept_weigh_no_more_than_others() -> None:
    made = policy()
    returns = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([[1e-3, 1.0], [1e-1, 1e2]])
    which = torch.arange(2).repeat_interleave(32)
    for _ in range(3):
        gains = made.advantages(returns * scale[which], which, torch.ones(64, 2), 4)
    for price in range(2):
        assert gains[which == price].pow(2).mean(0).sqrt().tolist() == pytest.approx([1, 1], rel=1e-3)


def test_what_is_in_no_frame_gains_nothing_and_changes_nothing() -> None:
    made = policy()
    there = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    gains = made.advantages(torch.rand(4, 2), torch.zeros(4, dtype=torch.long), there, 2)
    assert not gains[:, 1].any() and gains[:, 0].any()
    assert (made.square > 0).tolist() == [[True, False], [False, False]]


def test_levels_are_drawn_as_likely_as_they_are_scored() -> None:
    scores = torch.tensor([0.5, 0.3, 0.2, 0.0, 0.0, 0.0]).log().expand(4000, 2, 6)
    chosen = drawn(scores, torch.Generator().manual_seed(0))
    shares = torch.bincount(chosen.flatten(), minlength=6) / chosen.numel()
    assert shares.tolist() == pytest.approx([0.5, 0.3, 0.2, 0, 0, 0], abs=0.03)
