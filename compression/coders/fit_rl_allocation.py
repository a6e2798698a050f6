"""Fits the rl-allocation coder's agent by policy gradient (RL-ASC, equations 12 to 22).

The return of an episode, undiscounted, is the decrease of lambda * rate + semantic loss + eta * perceptual loss from
the frame shown before the packet to the one shown after it; only the latter depends on the choices, so it alone is
decoded. Each frame is coded several times, and the mean return of its other codings is the baseline (Kool, van Hoof and
Welling, "Buy 4 REINFORCE samples, get a baseline for free!", 2019); RL-ASC has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.codec import Codec
from compression.coders.rl_allocation import CHOICES, STATE, UNITS, Menu, features_and_levels
from compression.coders.road import road_overlap
from compression.masks import BLOCK_SIZE, BLOCKS, LATENTS


@dataclass(frozen=True)
class AllocationConfig:
    """Settings of the fit."""

    rounds: int = 500
    """Gradient steps."""
    frames: int = 24
    """Frames a round."""
    codings: int = 4
    """Times that each is coded."""
    learning_rate: float = 1e-3
    """Of Adam."""
    rate_price: float = 1e-4
    """Lambda, for each bit of the features sent."""
    perceptual_price: float = 0.02
    """Eta, for the mean squared distance of the codec's latents of the frames (RL-ASC: VGG features)."""
    oldest: int = 12
    """Steps within which most blocks were sent before."""
    stale: float = 0.4
    """Share of blocks that were sent at any time before."""
    slots: tuple[int, ...] = (8, 12, 18, 27, 42, 85, 170)
    """Bits that are trained for; the agent is told which."""
    seed: int = 0


class PolicyNetwork(nn.Module):
    """States float32[N, 82] to a score for each choice, float32[N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = nn.Sequential(
            nn.Linear(STATE, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, CHOICES)
        )

    def forward(self, states: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.policy(states)
        return scores


def fit_rl_allocation(
    latents: NDArray[np.float32],
    codec: Codec,
    config: AllocationConfig,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a fitted file. The same latents and settings give the same ones.

    Args:
        latents: float32[N, T, 32] of drives.
        codec: Whose latents they are.
        config: Settings.
        report: Told how the fit goes.
    """
    rng = np.random.default_rng(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PolicyNetwork()
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    smooth = 0.0
    for number in range(config.rounds):
        menu = Menu(config.slots[number % len(config.slots)])
        drives = rng.integers(len(latents), size=config.frames)
        steps = rng.integers(config.oldest, latents.shape[1], size=config.frames)
        # Each block was last sent at a time of its own, some long ago: what is never sent must be seen to be wrong.
        ages = rng.integers(1, config.oldest, (config.frames, BLOCKS))
        ages = np.where(rng.random(ages.shape) < config.stale, rng.integers(1, steps + 1, (BLOCKS, len(steps))).T, ages)
        features = np.arange(LATENTS)
        before = latents[drives[:, None], steps[:, None] - np.repeat(ages, BLOCK_SIZE, axis=1), features]
        truth = np.repeat(latents[drives, steps], config.codings, axis=0)
        shown = np.repeat(_shown_before(before, menu, codec, rng), config.codings, axis=0)
        chosen, log_likely, after, spent = _code(network, menu, truth, shown, codec, rng)
        loss = _losses(truth, after, codec, config.perceptual_price) + config.rate_price * spent
        gains = -loss.reshape(config.frames, config.codings)
        advantage = (gains - gains.mean(1, keepdims=True)) * config.codings / (config.codings - 1)
        advantage = advantage / max(float(advantage.std()), 1e-6)
        weights = torch.from_numpy(advantage.reshape(-1).astype(np.float32))
        optimizer.zero_grad()
        (-(weights * log_likely).mean()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        smooth = float(loss.mean()) if not number else 0.98 * smooth + 0.02 * float(loss.mean())
        if number % 100 == 99:
            report(f"round {number + 1} of {config.rounds}: loss {smooth:.4f}, last choices {chosen[0]}")
    return {name: value.numpy() for name, value in network.requires_grad_(False).state_dict().items()}


def _shown_before(
    latents: NDArray[np.float32], menu: Menu, codec: Codec, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return latents, float32[N, 32], as some packet will have shown them: quantised at levels that the menu offers."""
    everything = np.arange(latents.shape[1])
    shown = np.empty_like(latents)
    for row, latent in enumerate(latents):
        levels = tuple(1 << int(depth) for depth in rng.choice(menu.depths[1:], len(everything)))
        shown[row] = codec.quantizer.decode(codec.quantizer.encode(latent, everything, levels), everything, levels)
    return shown


def _code(
    network: PolicyNetwork,
    menu: Menu,
    truth: NDArray[np.float32],
    shown: NDArray[np.float32],
    codec: Codec,
    rng: np.random.Generator,
) -> tuple[list[list[int]], Tensor, NDArray[np.float32], NDArray[np.float64]]:
    """Let the policy choose at random; returns choices, their log likelihood, what is shown then, and bits spent."""
    count = len(truth)
    chosen: list[list[int]] = [[] for _ in range(count)]
    left = np.full(count, menu.payload)
    log_likely = torch.zeros(count)
    for _ in range(menu.blocks):
        states = [menu.state(truth[i], shown[i], chosen[i], int(left[i])) for i in range(count)]
        fits = torch.tensor([[choice < menu.fitting(int(bits)) for choice in range(CHOICES)] for bits in left])
        scores = network(torch.from_numpy(np.stack(states))).masked_fill(~fits, -torch.inf).log_softmax(1)
        likely = scores.detach().exp().double().numpy()
        draws = (rng.random((count, 1)) > likely.cumsum(1)[:, :-1]).sum(1)
        draws = np.minimum(draws, fits.sum(1).numpy() - 1)
        log_likely = log_likely + scores[torch.arange(count), torch.from_numpy(draws)]
        for i, choice in enumerate(draws.tolist()):
            chosen[i].append(choice)
            left[i] -= BLOCK_SIZE * menu.depths[choice]
    after = shown.copy()
    for i in range(count):
        features, levels = features_and_levels(menu, chosen[i])
        symbols = codec.quantizer.encode(truth[i], features, levels)
        after[i, features] = codec.quantizer.decode(symbols, features, levels)
    return chosen, log_likely, after, (menu.payload - left).astype(np.float64)


def _losses(
    truth: NDArray[np.float32], after: NDArray[np.float32], codec: Codec, perceptual_price: float
) -> NDArray[np.float64]:
    """Return semantic loss plus the priced perceptual loss, float64[N], of what is shown."""
    original, shown = codec.decode_latents(truth), codec.decode_latents(after)
    distance = ((codec.encode_frames(shown) - codec.encode_frames(original)) ** 2).mean(1)
    losses: NDArray[np.float64] = 1 - road_overlap(original, shown) + perceptual_price * distance
    return losses
