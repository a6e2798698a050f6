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

from compression.coders.rl_allocation import CHOICES, UNITS, Menu, features_and_levels, menu_for, state_size
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes

SemanticLoss = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]
"""What is lost of what matters, float64[N] in [0, 1], of frames, uint8[N, H, W, C], when others are shown instead."""


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
    """Initial learning rate of Adam; it falls to a tenth."""
    entropy: float = 0.3
    """Weight at first of the entropy of the allocation; falls to nothing."""
    rate_price: float = 1e-4
    """Lambda, for each bit of the features sent."""
    perceptual_price: float = 0.02
    """Eta, for the mean squared distance of the model's latents of the frames (RL-ASC: VGG features)."""
    stay: int = 60
    """Steps on average until a drive is left for another."""
    slots: tuple[int, ...] = (5, 8, 12, 18, 27, 42, 85, 170)
    """Bits that are trained for; the agent is told which."""
    seed: int = 0


_SMALLEST_DEVIATION = 1e-3
"""Least standard deviation of returns that are told apart."""


class PolicyNetwork(nn.Module):
    """States float32[N, state_size] to a score for each choice, float32[N, 4].

    Args:
        sizes: Those of the latent model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.policy = nn.Sequential(
            nn.Linear(state_size(sizes), UNITS),
            nn.ReLU(),
            nn.Linear(UNITS, UNITS),
            nn.ReLU(),
            nn.Linear(UNITS, CHOICES),
        )

    def forward(self, states: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.policy(states)
        return scores


def fit_rl_allocation(
    latents: NDArray[np.float32],
    model: LatentModel,
    semantic_loss: SemanticLoss,
    config: AllocationConfig,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a fitted file. The same latents and settings give the same ones.

    Args:
        latents: float32[N, T, latents] of drives.
        model: Whose latents they are.
        semantic_loss: Says what matters of a frame.
        config: Settings.
        report: Told how the fit goes.
    """
    rng = np.random.default_rng(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PolicyNetwork(model.sizes)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    streams = [_Streams(latents, slot, config, model, rng) for slot in config.slots]
    smooth = 0.0
    for number in range(config.rounds):
        left = 1 - number / config.rounds
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.1 + 0.9 * left)
        stream = streams[number % len(streams)]
        truth = np.repeat(stream.truth, config.codings, axis=0)
        shown = np.repeat(stream.shown, config.codings, axis=0)
        chosen, log_likely, entropy = _choose(network, stream.menu, truth, shown, rng)
        after, spent = _shown_after(stream.menu, chosen, truth, shown, model)
        loss = _losses(stream.truth, after, model, semantic_loss, config) + config.rate_price * spent
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
        latents: float32[N, T, latents] of drives.
        bits: Slot.
        config: Settings.
        model: What is shown first is its mean.
        rng: Draws drives and where they begin.
    """

    def __init__(
        self,
        latents: NDArray[np.float32],
        bits: int,
        config: AllocationConfig,
        model: LatentModel,
        rng: np.random.Generator,
    ) -> None:
        self.menu = menu_for(bits, model.sizes)
        self._latents, self._rng, self._config, self._nothing = latents, rng, config, model.mean
        self._drives = np.zeros(config.drives, np.intp)
        self._steps = np.zeros(config.drives, np.intp)
        self.shown = np.tile(self._nothing, (config.drives, 1))
        """float32[drives, latents], what is shown before the step."""
        self._begin(np.ones(config.drives, bool))

    @property
    def truth(self) -> NDArray[np.float32]:
        """The latents of the step, float32[drives, latents]."""
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
    """Let the policy choose at random; returns int8[N, blocks], and [N] of its log likelihood and of the entropy."""
    count, blocks = len(truth), menu.sizes.blocks
    chosen = np.zeros((count, blocks), np.int8)
    log_likely, entropy = torch.zeros(count), torch.zeros(count)
    for block in range(blocks):
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
    menu: Menu, chosen: NDArray[np.int8], truth: NDArray[np.float32], shown: NDArray[np.float32], model: LatentModel
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return what allocations make of what was shown, float32[N, latents], and the bits of the features, float64[N]."""
    after = shown.copy()
    spent = np.zeros(len(truth))
    for row, allocation in enumerate(chosen):
        features, levels = features_and_levels(menu, allocation)
        symbols = model.quantizer.encode(truth[row], features, levels)
        after[row, features] = model.quantizer.decode(symbols, features, levels)
        spent[row] = np.log2(levels).sum()
    return after, spent


def _losses(
    truth: NDArray[np.float32],
    after: NDArray[np.float32],
    model: LatentModel,
    semantic_loss: SemanticLoss,
    config: AllocationConfig,
) -> NDArray[np.float64]:
    """Return semantic loss plus the priced perceptual loss, float64[N * codings], of what is shown of N frames."""
    original, shown = model.decode_latents(truth), model.decode_latents(after)
    known = np.repeat(model.encode_frames(original), config.codings, axis=0)
    distance = ((model.encode_frames(shown) - known) ** 2).mean(1)
    lost = semantic_loss(np.repeat(original, config.codings, axis=0), shown)
    losses: NDArray[np.float64] = lost + config.perceptual_price * distance
    return losses
