"""Fits the pico-rate coder to recorded behaviour: what quantising a feature costs in the driver's actions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.coders.levels import allocate
from compression.errors import TrainingError
from compression.fitting.classifiers import (
    STAGES,
    Classifiers,
    LossPoint,
    Progress,
    Samples,
    fit_classifier,
    repeatable,
)
from compression.fitting.config import PicoConfig
from compression.fitting.recorded import RecordedEpisode, with_histories, with_steps
from compression.model.latent_model import LatentModel
from compression.model.quantizer import MOST_LEVELS

_TRIED = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
"""Levels whose cost is measured; between them it is interpolated."""
_MOST_STEPS = 1500
"""Most steps that the cost is averaged over."""
_FITTED = 0.7
"""Share of the time that fitting the model of the driver takes, about."""
_SUMMARISED = (12, 85)
"""Slots whose levels the summary names."""


@dataclass(frozen=True)
class RateSummary:
    """Result of a fit."""

    steps: int
    """Steps that the model of the driver was fitted to."""
    held_out_episodes: int
    action_accuracy: float
    """Accuracy on the held-out episodes, balanced over the actions."""
    calibration_error: float
    """Expected calibration error on the same episodes."""
    levels: dict[int, tuple[int, ...]]
    """Quantiser levels of each feature or component, by slot in bits; 1 means not sent."""
    quantised: str = "feature"
    """What has levels: `feature` or `component`."""
    curve: tuple[LossPoint, ...] = ()
    """Loss curve of the driver model's fit."""


def fit_pico_rate(
    episodes: list[RecordedEpisode],
    model: LatentModel,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> tuple[dict[str, NDArray[np.float32]], RateSummary]:
    """Return the tensors of a fitted file, and what came of the fit. The same episodes and configuration give the same.

    Args:
        episodes: Recorded under whatever condition: what was shown and what was done on seeing it.
        model: Whose latents they hold.
        config: Settings of the driver model; the rest is not looked at.
        progress: Called now and then.

    Raises:
        TrainingError: If there are fewer than two episodes.
    """
    fit = fit_drivers(episodes, model, config, lambda stage, done: progress(stage, _FITTED * min(STAGES * done, 1)))
    progress("what quantising costs", _FITTED)
    with repeatable(config.seed):
        losses = divergences(fit.drivers, torch.cat([fit.trained.x, fit.held.x]), model).astype(np.float32)
        summary = fit.summary(losses, "feature")
    progress("done", 1.0)
    return {"losses": losses}, summary


@dataclass(frozen=True)
class FittedDrivers:
    """Models of what drivers do, and what they were fitted to."""

    drivers: Classifiers
    trained: Samples
    held: Samples
    held_out_episodes: int

    def summary(self, losses: NDArray[np.float32], quantised: str) -> RateSummary:
        """Return what came of a fit; see `RateSummary` and `compression.coders.levels.allocate`."""
        accuracy, calibration = self.drivers.accuracy(self.held.x, self.held.action)
        levels = {bits: allocate(losses.astype(np.float64), bits) for bits in _SUMMARISED}
        return RateSummary(
            len(self.trained.action),
            self.held_out_episodes,
            accuracy,
            calibration,
            levels,
            quantised,
            self.drivers.curve,
        )


def fit_drivers(
    episodes: list[RecordedEpisode],
    model: LatentModel,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> FittedDrivers:
    """Fit the model of the driver: PICO's action classifiers, on what was shown; the same model for the same arguments.

    Raises:
        TrainingError: If there are fewer than two episodes, or they were not recorded through the model.
    """
    episodes = with_steps(episodes, model.sizes)
    if len(episodes) < 2:
        raise TrainingError(
            f"training needs at least 2 episodes; got {len(episodes)}: "
            "record more with `racer session start --protocol pilot`"
        )
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(episodes), generator=generator).tolist()
    count = min(max(1, round(config.held_out * len(episodes))), len(episodes) - 1)
    held, trained = samples_of(episodes, order[:count], model), samples_of(episodes, order[count:], model)
    with repeatable(config.seed):
        drivers = fit_classifier(trained, held, model.sizes, config, generator, progress, "model of the driver", 0)
    return FittedDrivers(drivers, trained, held, count)


def predicted_actions(
    originals: list[RecordedEpisode], episodes: list[RecordedEpisode], model: LatentModel, config: PicoConfig
) -> list[NDArray[np.float32]]:
    """Return how likely each action is on seeing the original frames of episodes, float32[T, actions] each.

    Args:
        originals: Recorded where all was shown: the model of the driver learns from them.
        episodes: Recorded under whatever condition.
        model: Whose latents they hold.
        config: Settings of the driver model.

    Raises:
        TrainingError: As `fit_drivers`.
    """
    drivers = fit_drivers(originals, model, config).drivers
    seen = [replace(episode, received=episode.latents) for episode in episodes]
    return [drivers.probabilities(samples_of([episode], [0], model).x).cpu().numpy() for episode in seen]


def samples_of(episodes: list[RecordedEpisode], chosen: list[int], model: LatentModel) -> Samples:
    actions = [episodes[index].actions for index in chosen]
    x = torch.from_numpy(with_histories([episodes[index].received for index in chosen], actions, model))
    action = torch.from_numpy(np.concatenate(actions).astype(np.int64))
    return Samples(x.to(model.device), action.to(model.device), torch.ones(len(x), device=model.device))


def divergences(drivers: Classifiers, x: Tensor, model: LatentModel) -> NDArray[np.float64]:
    """Return the nats of divergence, float64[latents, 64], that quantising one feature at 1 to 64 levels causes.

    Never more than at fewer levels. The state of the world model stays that of the original.
    """
    x = x[:: max(1, len(x) // _MOST_STEPS)]
    likely = drivers.probabilities(x).double()
    latents, hidden = model.sizes.latents, model.sizes.hidden
    measured = np.zeros((latents, len(_TRIED)))
    for feature in range(latents):
        values = x[:, hidden + feature].cpu().numpy()
        for column, levels in enumerate(_TRIED):
            table = model.quantizer.decode(list(range(levels)), np.full(levels, feature), (levels,) * levels)
            nearest = np.searchsorted((table[1:].astype(np.float64) + table[:-1]) / 2, values)
            shown = x.clone()
            shown[:, hidden + feature] = torch.from_numpy(table[nearest])
            instead = drivers.probabilities(shown).double()
            divergence = (likely * (likely.clamp_min(1e-9).log() - instead.clamp_min(1e-9).log())).sum(1).mean()
            measured[feature, column] = float(divergence)
    measured = np.minimum.accumulate(np.maximum(measured, 0), axis=1)
    # Fine quantisation errs by a variance that falls with the square of the levels, and so does the divergence.
    at = 1 / np.arange(1, MOST_LEVELS + 1) ** 2.0
    tried = 1 / np.array(_TRIED) ** 2.0
    return np.stack([np.interp(at, tried[::-1], row[::-1]) for row in measured])
