"""Fits the predictive coder: its predictor in closed loop, the growth of its errors, and the directions it reads.

A predictor trained on true latents drifts when it is fed its own corrected predictions. So it is trained on those:
the loop of prediction and readings is run over recorded drives and the predictor follows the gradient of its errors
through it, a reading counting as what it says on average. Between rounds the dynamics of the errors are measured anew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.coders.predictive import ANCHORS, REACH, nearest_anchor
from compression.coders.schedule import LEFT_OVER, Dynamics, Matrix, Reading, Schedule, grown
from compression.errors import TrainingError
from compression.model.latent_model import LatentModel
from compression.model.world_model import WorldModel

Report = Callable[[str], None]
LEAST_STEPS = 4
"""Fewest steps of a drive."""
_SETTLING = 20
"""Steps at a drive's beginning that the dynamics are not measured on, if it has more than these."""


@dataclass(frozen=True)
class PredictiveConfig:
    """Settings of the fit."""

    rounds: int = 240
    """Passes of a batch of drives from their first step to their last."""
    batch: int = 64
    """Drives a round."""
    window: int = 40
    """Steps that a gradient reaches back."""
    learning_rate: float = 7e-4
    """Initial learning rate of Adam; it falls to a tenth."""
    refit_each: int = 25
    """Rounds between two measurements of the dynamics."""
    measured: int = 48
    """Drives that the dynamics are measured on, left out of the training."""
    plain: float = 0.2
    """Share of the plain squared error in the loss; the rest is weighted by importance."""
    directions_at: int = 3
    """Bits per step at whose errors the directions are taken."""
    seed: int = 0


def fit_predictive(
    latents: NDArray[np.float32],
    actions: NDArray[np.integer],
    importance: Matrix,
    model: LatentModel,
    config: PredictiveConfig,
    report: Report = lambda line: None,
    progress: Callable[[float], None] = lambda done: None,
) -> dict[str, NDArray[np.floating]]:
    """Return the tensors of a fitted file.

    Args:
        latents: float32[N, T, latents] of N drives' frames.
        actions: int[N, T], indices of actions, taken on seeing them.
        importance: float64[latents, latents], how much errors matter.
        model: Whose latents they are, and whose world model the fit begins with.
        config: Settings.
        report: Told how the fit goes.
        progress: Told the share of the rounds that is done, now and then.

    Raises:
        TrainingError: If the model has no world model, there are not enough drives, or the predictor goes astray.
    """
    if model.world_model is None:
        raise TrainingError("the predictive coder needs a latent model that has a world model")
    if len(latents) <= config.measured:
        raise TrainingError(f"the predictive coder needs more than {config.measured} drives; got {len(latents)}")
    if latents.shape[1] < LEAST_STEPS:
        raise TrainingError(f"the predictive coder needs drives of {LEAST_STEPS} steps or more; got {latents.shape[1]}")
    size = model.sizes.latents
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(latents))
    measured, trained = order[: config.measured], order[config.measured :]
    z, a = torch.from_numpy(latents), torch.from_numpy(actions.astype(np.int64))
    network = copy.deepcopy(model.world_model).requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    weight = torch.from_numpy(((1 - config.plain) * importance + config.plain * np.eye(size) / size).astype(np.float32))
    start = latents[trained, 0].mean(0)

    def measure(dynamics: list[Dynamics], directions: Matrix) -> list[Dynamics]:
        fitted = []
        for bits, old in zip(ANCHORS, dynamics, strict=True):
            schedule = Schedule(bits, old, directions, model.mean, model.covariance)
            with torch.inference_mode():
                before, after = _run(network, schedule, z[measured], a[measured], torch.from_numpy(start))
            fitted.append(_dynamics(before, after))
            error = float(np.einsum("tni,ij,tnj->", after, importance, after) / (after.size / size))
            report(f"{bits} bits: weighted squared error {error:.4f}")
            if not np.isfinite(error):
                raise TrainingError(f"the predictor diverged at {bits} bits; lower the learning rate")
        return fitted

    dynamics = [Dynamics(0.98 * np.eye(size), 0.05 * np.eye(size)) for _ in ANCHORS]
    directions = _directions(dynamics[0], importance, model)
    for _ in range(3):
        dynamics = measure(dynamics, directions)
        directions = _directions(dynamics[nearest_anchor(config.directions_at)], importance, model)
    for number in range(config.rounds):
        progress(number / config.rounds)
        if number and number % config.refit_each == 0:
            report(f"round {number} of {config.rounds}")
            dynamics = measure(dynamics, directions)
            directions = _directions(dynamics[nearest_anchor(config.directions_at)], importance, model)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - 0.9 * number / config.rounds)
        anchor = number % len(ANCHORS)
        schedule = Schedule(ANCHORS[anchor], dynamics[anchor], directions, model.mean, model.covariance)
        chosen = rng.permutation(trained)[: config.batch]
        _train(network, optimizer, schedule, z[chosen], a[chosen], torch.from_numpy(start), weight, config.window)
    # What ships is rounded to 16 bits: the dynamics are those of the rounded predictor.
    final = network.requires_grad_(False).state_dict()
    stored = {name: value.numpy().astype(np.float16) for name, value in final.items()}
    network.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in stored.items()})
    directions = directions.astype(np.float32).astype(np.float64)
    for _ in range(2):
        dynamics = measure(dynamics, directions)
    return {
        **stored,
        "directions": directions.astype(np.float32),
        "transition": np.stack([part.transition for part in dynamics]).astype(np.float32),
        "innovation": np.stack([part.innovation for part in dynamics]).astype(np.float32),
        "start": start,
    }


def _train(
    model: WorldModel,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    latents: Tensor,
    actions: Tensor,
    start: Tensor,
    weight: Tensor,
    window: int,
) -> None:
    """Run drives from first to last step, a gradient step after each window."""
    hidden, shown = torch.zeros(len(latents), model.hidden), start.expand(len(latents), -1)
    loss = torch.zeros(())
    for step in range(latents.shape[1]):
        truth = latents[:, step]
        if step:
            hidden, shown = model(shown, actions[:, step - 1], hidden)
            shown = shown.clamp(-REACH, REACH)
            error = shown - truth
            loss = loss + ((error @ weight) * error).sum(1).mean()
        for reading in schedule[step]:
            shown = _learn(shown, truth, reading)
        if step % window == window - 1:
            optimizer.zero_grad()
            (loss / window).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            hidden, shown, loss = hidden.detach(), shown.detach(), torch.zeros(())


def _run(
    model: WorldModel, schedule: Schedule, latents: Tensor, actions: Tensor, start: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the errors, float32[T, N, latents], of every step before its readings and after them."""
    hidden, shown = torch.zeros(len(latents), model.hidden), start.expand(len(latents), -1)
    before, after = [], []
    for step in range(latents.shape[1]):
        truth = latents[:, step]
        if step:
            hidden, shown = model(shown, actions[:, step - 1], hidden)
            shown = shown.clamp(-REACH, REACH)
        before.append(shown - truth)
        for reading in schedule[step]:
            shown = _learn(shown, truth, reading)
        after.append(shown - truth)
    return torch.stack(before).numpy(), torch.stack(after).numpy()


def _learn(shown: Tensor, truth: Tensor, reading: Reading) -> Tensor:
    """Return what is shown after a reading, float32[N, latents]: `predictive.dequantise` of batches, with gradients."""
    direction, gain = torch.from_numpy(reading.direction), torch.from_numpy(reading.gain)
    predicted, actual = shown @ direction, truth @ direction
    centre = predicted.detach() if reading.centre is None else torch.full_like(predicted, reading.centre)
    symbol = ((actual - centre) / reading.step).floor().add(reading.levels // 2).clamp(0, reading.levels - 1)
    middle = (symbol - reading.levels // 2 + 0.5) * reading.step
    if reading.centre is None:
        # Quantisation has no slope; on average a reading tells this part of the difference.
        difference = actual - predicted
        said = middle + (1 - LEFT_OVER[reading.depth - 1]) * (difference - difference.detach())
    else:
        low = torch.where(symbol == 0, -torch.inf, centre + middle - reading.step / 4)
        high = torch.where(symbol == reading.levels - 1, torch.inf, centre + middle + reading.step / 4)
        said = torch.minimum(torch.maximum(predicted, low), high) - predicted
    return shown + said[:, None] * gain


def _dynamics(before: NDArray[np.float32], after: NDArray[np.float32]) -> Dynamics:
    """Return how errors grow from after one step's readings to before the next one's, by ridge regression."""
    size = after.shape[2]
    skipped = min(_SETTLING, len(after) - LEAST_STEPS)
    x = after[skipped:-1].reshape(-1, size).astype(np.float64)
    y = before[skipped + 1 :].reshape(-1, size).astype(np.float64)
    transition: Matrix = np.asarray(np.linalg.solve(x.T @ x + 1e-3 * len(x) * np.eye(size), x.T @ y).T, np.float64)
    rest = y - x @ transition.T
    return Dynamics(transition, rest.T @ rest / len(rest))


def _directions(dynamics: Dynamics, importance: Matrix, model: LatentModel) -> Matrix:
    """Return the directions, float64[latents, latents], in which weighted errors are independent at few bits.

    The importance is W = R R'; rows are the eigenvectors of R' P R, of the steady covariance P of the errors, times R'.
    """
    values, vectors = np.linalg.eigh(importance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    bits, steps, steady = 3, 150, 50
    prior = model.covariance.astype(np.float64)
    unsure, total = prior, np.zeros_like(prior)
    for step in range(steps):
        if step:
            unsure = grown(unsure, dynamics, prior)
        if step >= steps - steady:
            total += unsure / steady
        for _ in range(bits):
            _, axes = np.linalg.eigh(root.T @ unsure @ root)
            direction = root @ axes[:, -1]
            told = unsure @ direction
            unsure = unsure - (1 - LEFT_OVER[0]) / float(direction @ told) * np.outer(told, told)
    _, axes = np.linalg.eigh(root.T @ total @ root)
    directions: Matrix = (root @ axes).T[::-1].copy()
    return directions
