"""Fits the pico-rate coder to recorded behaviour: what quantising a feature costs in the driver's actions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.classifiers import Classifiers, Progress, Samples, fit_classifier
from compression.codec import Codec
from compression.errors import TrainingError
from compression.masks import LATENTS
from compression.packet import MOST_LEVELS
from compression.pico_config import PicoConfig
from compression.recorded import RecordedEpisode
from compression.world_model import HIDDEN

_TRIED = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
"""Levels whose cost is measured; between them it is interpolated."""
_MOST_STEPS = 1500
"""Steps that it is averaged over."""


def fit_pico_rate(
    episodes: list[RecordedEpisode], codec: Codec, config: PicoConfig, progress: Progress = lambda stage, done: None
) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a fitted file. The same episodes and configuration give the same ones.

    Args:
        episodes: Recorded under whatever condition: what was shown and what was done on seeing it.
        codec: Whose latents they hold.
        config: Settings of the driver model; the rest is not looked at.
        progress: Called now and then.

    Raises:
        TrainingError: If there are fewer than two episodes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        drivers, x = fit_drivers(episodes, codec, config, progress)
        losses = divergences(drivers, x, codec)
    progress("done", 1.0)
    return {"losses": losses.astype(np.float32)}


def fit_drivers(
    episodes: list[RecordedEpisode], codec: Codec, config: PicoConfig, progress: Progress
) -> tuple[Classifiers, Tensor]:
    """Fit the model of the driver: PICO's action classifiers, on what was shown. Also returns all x, float32[N, 288].

    Raises:
        TrainingError: If there are fewer than two episodes.
    """
    episodes = [episode for episode in episodes if len(episode.actions)]
    if len(episodes) < 2:
        raise TrainingError(
            f"training needs at least 2 episodes, and there are {len(episodes)}; "
            f"record more with `racer session start --protocol pilot`"
        )
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(episodes), generator=generator).tolist()
    count = min(max(1, round(config.held_out * len(episodes))), len(episodes) - 1)
    held, trained = _samples(episodes, order[:count], codec), _samples(episodes, order[count:], codec)
    drivers = fit_classifier(trained, held, config, generator, progress, "model of the driver", 0)
    return drivers, torch.cat([trained.x, held.x])


def _samples(episodes: list[RecordedEpisode], chosen: list[int], codec: Codec) -> Samples:
    parts = []
    for episode in (episodes[index] for index in chosen):
        states = codec.histories(episode.received[None], episode.actions[None])[0]
        parts.append(np.concatenate([states, episode.received], axis=1))
    x = torch.from_numpy(np.concatenate(parts))
    action = torch.from_numpy(np.concatenate([episodes[index].actions for index in chosen]).astype(np.int64) + 1)
    return Samples(x, action, torch.ones(len(x)))


def divergences(drivers: Classifiers, x: Tensor, codec: Codec) -> NDArray[np.float64]:
    """Return the nats of divergence, float64[32, 64], that quantising one feature at 1 to 64 levels causes.

    Never more than at fewer levels. The state of the world model stays that of the original.
    """
    x = x[:: max(1, len(x) // _MOST_STEPS)]
    likely = drivers.probabilities(x).double()
    measured = np.zeros((LATENTS, len(_TRIED)))
    for feature in range(LATENTS):
        values = x[:, HIDDEN + feature].numpy()
        for column, levels in enumerate(_TRIED):
            table = codec.quantizer.decode(list(range(levels)), np.full(levels, feature), (levels,) * levels)
            nearest = np.searchsorted((table[1:].astype(np.float64) + table[:-1]) / 2, values)
            shown = x.clone()
            shown[:, HIDDEN + feature] = torch.from_numpy(table[nearest])
            instead = drivers.probabilities(shown).double()
            divergence = (likely * (likely.clamp_min(1e-9).log() - instead.clamp_min(1e-9).log())).sum(1).mean()
            measured[feature, column] = float(divergence)
    measured = np.minimum.accumulate(np.maximum(measured, 0), axis=1)
    # Fine quantisation errs by a variance that falls with the square of the levels, and so does the divergence.
    at = 1 / np.arange(1, MOST_LEVELS + 1) ** 2.0
    tried = 1 / np.array(_TRIED) ** 2.0
    return np.stack([np.interp(at, tried[::-1], row[::-1]) for row in measured])
