"""What the agent is taught by: the expected gain of its choices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from compression.rl_asc.networks import LEVELS, Agent, Design
from compression.rl_asc.policy import Policy, drawn

DESIGN = Design((16, 16, 3), 2, 4)
EVEN = torch.zeros(64, 2, len(LEVELS)).log_softmax(2)


def policy(prices: int = 2) -> Policy:
    torch.manual_seed(0)
    return Policy(Agent(DESIGN), prices, DESIGN.parts)


def slopes(made: Policy, gains: Tensor, which: Tensor, there: Tensor, entropy: float = 0.0) -> Tensor:
    scores = EVEN[: len(gains)].clone().requires_grad_()
    made.loss(scores, gains, which, there, entropy).backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    return -scores.grad


def test_likelier_become_the_levels_that_gain_more_than_is_expected() -> None:
    gains = torch.arange(6.0).repeat(4, 2, 1)
    found = slopes(policy(), gains, torch.zeros(4, dtype=torch.long), torch.ones(4, 2))
    assert (found[..., 3:] > 0).all() and (found[..., :3] < 0).all() and (found.diff(dim=2) > 0).all()
    likewise = slopes(policy(), gains + 7, torch.zeros(4, dtype=torch.long), torch.ones(4, 2))
    assert torch.allclose(found, likewise, atol=1e-6)


def test_gains_at_a_high_price_and_of_a_large_concept_weigh_no_more_than_others() -> None:
    gains = torch.randn(64, 2, 6, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([[1e-3, 1.0], [1e-1, 1e2]])
    which = torch.arange(2).repeat_interleave(32)
    found = slopes(policy(), gains * scale[which][..., None], which, torch.ones(64, 2))
    strength = torch.stack([found[which == price].pow(2).mean((0, 2)).sqrt() for price in range(2)])
    assert strength.flatten().tolist() == pytest.approx([float(strength[0, 0])] * 4, rel=1e-3)


def test_what_is_in_no_frame_teaches_nothing() -> None:
    made = policy()
    there = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    found = slopes(made, torch.rand(4, 2, 6), torch.zeros(4, dtype=torch.long), there)
    assert not found[:, 1].any() and found[:, 0].any()
    assert (made.variance > 0).tolist() == [[True, False], [False, False]]


def test_an_agent_learns_to_go_by_the_price() -> None:
    """Each level up brings half as much as the one before, and costs a bit: the dearer, the coarser."""
    prices, generator = torch.tensor([1e-3, 1e-2, 1e-1]), torch.Generator().manual_seed(0)
    brought, bits = 1 - 0.2 ** torch.arange(6.0), torch.arange(6.0)
    made = policy(len(prices))
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    for _ in range(150):
        concepts, masks = torch.rand(8, 2, 4, 2, 2, generator=generator), torch.ones(8, 2, 2, 2)
        which = torch.randint(3, (8,), generator=generator)
        gains = (brought - prices[which][:, None] * bits)[:, None].repeat(1, 2, 1)
        scores = made.agent(concepts, masks, prices[which]).log_softmax(2)
        optimizer.zero_grad()
        made.loss(scores, gains, which, torch.ones(8, 2), 0.1).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    best = (brought - prices[:, None] * bits).argmax(1)
    chosen = made.agent(concepts[:3], masks[:3], prices).argmax(2)
    assert chosen.tolist() == best[:, None].repeat(1, 2).tolist() and len(set(best.tolist())) == 3


def test_levels_are_drawn_as_likely_as_they_are_scored() -> None:
    scores = torch.tensor([0.5, 0.3, 0.2, 0.0, 0.0, 0.0]).log().expand(4000, 2, 6)
    chosen = drawn(scores, torch.Generator().manual_seed(0))
    shares = torch.bincount(chosen.flatten(), minlength=6) / chosen.numel()
    assert shares.tolist() == pytest.approx([0.5, 0.3, 0.2, 0, 0, 0], abs=0.03)
