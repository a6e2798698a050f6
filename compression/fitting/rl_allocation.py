"""Fits the rl-allocation coder's agent by policy gradient (RL-ASC, equations 12 to 22).

The return of a coded frame, undiscounted, is the decrease of lambda * rate + semantic loss + eta * perceptual loss from
the frame shown before the packet to the one shown after it; only the latter depends on the choices, so it alone is
decoded. Each frame is coded several times, and the mean return of its other codings is the baseline (Kool, van Hoof and
Welling, "Buy 4 REINFORCE samples, get a baseline for free!", 2019), their deviation the unit; RL-ASC has neither. An
entropy bonus that falls to nothing (Williams and Peng, 1991) keeps the agent from settling on the first allocation that
pays. What is shown before a frame is what the agent's own packets have left there: drives run on, a step a round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.coders.rl_allocation import CHOICES, STATE, UNITS, Menu, features_and_levels, menu_for
from compression.coders.road import road_overlap
from compression.masks import BLOCKS
from compression.model.latent_model import Codec


@dataclass(frozen=True)
class AllocationConfig:
    """Settings of the fit."""

    rounds: int = 4000
    """Gradient steps."""
    drives: int = 12
    """Drives that go on at a time in each slot, and so frames a round."""
    codings: int = 12
    """Times that each frame is coded."""
    learning_rate: float = 2e-3
    """Of Adam at first; falls to a tenth."""
    entropy: float = 0.3
    """Weight at first of the entropy of the allocation; falls to nothing."""
    rate_price: float = 1e-4
    """Lambda, for each bit of the features sent."""
    perceptual_price: float = 0.02
    """Eta, for the mean squared distance of the codec's latents of the frames (RL-ASC: VGG features)."""
    stay: int = 60
    """Steps on average until a drive is left for another."""
    slots: tuple[int, ...] = (5, 8, 12, 18, 27, 42, 85, 170)
    """Bits that are trained for; the agent is told which."""
    seed: int = 0


_SMALLEST_DEVIATION = 1e-3
"""Of returns that are told apart."""


class PolicyNetwork(nn.Module):
    """States float32[N, 68] to a score for each choice, float32[N, 4]."""

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
    streams = [_Streams(latents, slot, config, codec, rng) for slot in config.slots]
    smooth = 0.0
    for number in range(config.rounds):
        left = 1 - number / config.rounds
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.1 + 0.9 * left)
        stream = streams[number % len(streams)]
        truth = np.repeat(stream.truth, config.codings, axis=0)
        shown = np.repeat(stream.shown, config.codings, axis=0)
        chosen, log_likely, entropy = _choose(network, stream.menu, truth, shown, rng)
        after, spent = _shown_after(stream.menu, chosen, truth, shown, codec)
        loss = _losses(stream.truth, after, codec, config) + config.rate_price * spent
        weights = torch.from_numpy(_advantages(-loss, config).astype(np.float32))
        bonus = left * config.entropy * entropy.mean()
        optimizer.zero_grad()
        (-(weights * log_likely).mean() - bonus).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        stream.go_on(after[:: config.codings])
        smooth = float(loss.mean()) if not number else 0.99 * smooth + 0.01 * float(loss.mean())
        if number % 100 == 99:
            told = float(entropy.detach().mean())
            slot = stream.menu.bits
            report(f"round {number + 1} of {config.rounds}: loss {smooth:.4f}, entropy {told:.2f} at {slot} bits")
    return {name: value.numpy() for name, value in network.requires_grad_(False).state_dict().items()}


def _advantages(returns: NDArray[np.float64], config: AllocationConfig) -> NDArray[np.float64]:
    """Return how much better each coding's return is than the others' of its frame, in deviations; all [N]."""
    gains = returns.reshape(config.drives, config.codings)
    gains = (gains - gains.mean(axis=1, keepdims=True)) * config.codings / (config.codings - 1)
    advantages: NDArray[np.float64] = gains / np.maximum(gains.std(axis=1, keepdims=True), _SMALLEST_DEVIATION)
    return advantages.reshape(-1)


class _Streams:
    """Drives that go on, and what is shown of them through one slot.

    Args:
        latents: float32[N, T, 32] of drives.
        bits: Slot.
        config: Settings.
        codec: What is shown first is its mean.
        rng: Draws drives and where they begin.
    """

    def __init__(
        self,
        latents: NDArray[np.float32],
        bits: int,
        config: AllocationConfig,
        codec: Codec,
        rng: np.random.Generator,
    ) -> None:
        self.menu = menu_for(bits)
        self._latents, self._rng, self._config, self._nothing = latents, rng, config, codec.mean
        self._drives = np.zeros(config.drives, np.intp)
        self._steps = np.zeros(config.drives, np.intp)
        self.shown = np.tile(self._nothing, (config.drives, 1))
        """float32[drives, 32], what is shown before the step."""
        self._begin(np.ones(config.drives, bool))

    @property
    def truth(self) -> NDArray[np.float32]:
        """The latents of the step, float32[drives, 32]."""
        return self._latents[self._drives, self._steps]

    def go_on(self, shown: NDArray[np.float32]) -> None:
        """Go on by a step; some drives are left for others."""
        self.shown = shown.copy()
        self._steps += 1
        over = self._steps == self._latents.shape[1]
        self._begin(over | (self._rng.random(len(shown)) < 1 / self._config.stay))

    def _begin(self, which: NDArray[np.bool_]) -> None:
        drives, steps = self._latents.shape[:2]
        self._drives[which] = self._rng.integers(drives, size=which.sum())
        self._steps[which] = self._rng.integers(steps, size=which.sum())
        self.shown[which] = self._nothing


def _choose(
    network: PolicyNetwork,
    menu: Menu,
    truth: NDArray[np.float32],
    shown: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int8], Tensor, Tensor]:
    """Let the policy choose at random; returns int8[N, 8], and [N] of its log likelihood and of the entropy."""
    count = len(truth)
    chosen = np.zeros((count, BLOCKS), np.int8)
    log_likely, entropy = torch.zeros(count), torch.zeros(count)
    for block in range(BLOCKS):
        fits = menu.fitting(chosen[:, :block])
        states = torch.from_numpy(menu.states(truth, shown, chosen[:, :block]))
        scores = network(states).masked_fill(~torch.from_numpy(fits), -1e9).log_softmax(1)
        likely = scores.detach().exp().double().numpy()
        draws = (rng.random((count, 1)) > likely.cumsum(1)[:, :-1]).sum(1)
        # Sums that stay below 1 by a rounding error must not let through what does not fit.
        draws = np.where(fits[np.arange(count), draws], draws, likely.argmax(1))
        log_likely = log_likely + scores[torch.arange(count), torch.from_numpy(draws)]
        entropy = entropy - (scores.exp() * scores).sum(1)
        chosen[:, block] = draws
    return chosen, log_likely, entropy


def _shown_after(
    menu: Menu, chosen: NDArray[np.int8], truth: NDArray[np.float32], shown: NDArray[np.float32], codec: Codec
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return what allocations make of what was shown, float32[N, 32], and the bits of the features, float64[N]."""
    after = shown.copy()
    spent = np.zeros(len(truth))
    for row, allocation in enumerate(chosen):
        features, levels = features_and_levels(menu, allocation)
        symbols = codec.quantizer.encode(truth[row], features, levels)
        after[row, features] = codec.quantizer.decode(symbols, features, levels)
        spent[row] = np.log2(levels).sum()
    return after, spent


def _losses(
    truth: NDArray[np.float32], after: NDArray[np.float32], codec: Codec, config: AllocationConfig
) -> NDArray[np.float64]:
    """Return semantic loss plus the priced perceptual loss, float64[N * codings], of what is shown of N frames."""
    original, shown = codec.decode_latents(truth), codec.decode_latents(after)
    known = np.repeat(codec.encode_frames(original), config.codings, axis=0)
    distance = ((codec.encode_frames(shown) - known) ** 2).mean(1)
    overlap = road_overlap(np.repeat(original, config.codings, axis=0), shown)
    losses: NDArray[np.float64] = 1 - overlap + config.perceptual_price * distance
    return losses
