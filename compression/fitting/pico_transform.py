"""Fits the pico-transform coder to recorded behaviour: the components of the latent that actions follow from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compression.fitting.classifiers import STAGES, Progress, repeatable
from compression.fitting.config import PicoConfig
from compression.fitting.importance import Matrix, action_importance
from compression.fitting.pico_rate import RateSummary, fit_drivers, samples_of
from compression.fitting.recorded import RecordedEpisode, with_steps
from compression.model.latent_model import LatentModel
from compression.model.quantizer import MOST_LEVELS, fit_codebook, tables_of

_MOST_STEPS = 3000
"""Steps that the Fisher information is averaged over."""
_FITTED = 0.7
"""Share of the time that fitting the model of the driver takes, about."""
_LEAST_VARIANCE = 1e-6
"""Least variance of the latents along any direction, as a share of the largest."""


def fit_pico_transform(
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
    progress("what actions follow from", _FITTED)
    kept = with_steps(episodes, model.sizes)
    originals = [replace(episode, received=episode.latents) for episode in kept]
    with repeatable(config.seed):
        x = samples_of(originals, list(range(len(originals))), model).x
        weights = action_importance(fit.drivers, x[:: max(1, len(x) // _MOST_STEPS)])
    analysis, synthesis, shares = components(model.covariance.astype(np.float64), weights)
    progress("tables", (1 + _FITTED) / 2)
    latents = np.concatenate([episode.latents for episode in kept]).astype(np.float64)
    values = ((latents - model.mean) @ analysis.T).astype(np.float32)
    codebook = fit_codebook(values)
    losses = (shares[:, None] * _squared_errors(values, codebook)).astype(np.float32)
    with repeatable(config.seed):
        summary = fit.summary(losses, "component")
    progress("done", 1.0)
    return {
        "mean": model.mean,
        "analysis": analysis.astype(np.float32),
        "synthesis": synthesis.astype(np.float32),
        "codebook": codebook,
        "losses": losses,
    }, summary


def components(covariance: Matrix, weights: Matrix) -> tuple[Matrix, Matrix, NDArray[np.float64]]:
    """Return the components of latents by how much an error along them matters, the most first.

    Args:
        covariance: float64[latents, latents], C.
        weights: float64[latents, latents], W: an error e matters e' W e.

    Returns:
        analysis: float64[latents, latents]: y = analysis (z - mean), uncorrelated and of variance 1.
        synthesis: float64[latents, latents]: z = mean + synthesis y.
        shares: float64[latents], what a squared error of 1 in each component matters, descending, of sum 1.
    """
    variances, axes = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.maximum(variances, _LEAST_VARIANCE * variances.max()))
    root, inverse = axes * deviations, (axes / deviations).T
    matters, vectors = np.linalg.eigh(root.T @ weights @ root)
    order = np.argsort(-matters, kind="stable")
    shares, vectors = np.maximum(matters[order], 0), vectors[:, order]
    # Of the two signs, that with which the largest number of a component is positive: LAPACKs differ.
    largest = np.abs(root @ vectors).argmax(0)
    vectors *= np.sign((root @ vectors)[largest, np.arange(len(order))])
    return vectors.T @ inverse, root @ vectors, shares / shares.sum()


def _squared_errors(values: NDArray[np.float32], codebook: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean squared errors, float64[components, 64], that 1 to 64 levels leave; never more at more levels."""
    errors = np.zeros((values.shape[1], MOST_LEVELS))
    for levels in range(1, MOST_LEVELS + 1):
        for component, table in enumerate(tables_of(codebook, levels).astype(np.float64)):
            own = values[:, component].astype(np.float64)
            nearest = np.searchsorted((table[1:] + table[:-1]) / 2, own)
            errors[component, levels - 1] = np.square(own - table[nearest]).mean()
    return np.minimum.accumulate(errors, axis=1)
