"""How much of what a latent model encodes tells of what steers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ACROSS = (5, 20, 80)
"""Most alike frames of other trials whose mean is the prediction."""
_WITHIN = (2, 5, 10)
"""The same within a trial, which has fewer."""
_AT_ONCE = 500
"""Frames whose distances are held in memory together."""


def explained(
    latents: NDArray[np.float32], truth: NDArray[np.float64], trials: NDArray[np.int64], parts: int = 4, apart: int = 40
) -> NDArray[np.float64]:
    """Return how much of each feature's variance is explained by what lies behind the frames, float64[L] in [0, 1].

    A frame's features are predicted by their mean over those frames whose truths are most alike, in two ways: from
    frames of other trials, a part of the trials at a time; and from other moments of the same trial, which share its
    colours, so that a feature is found out whose meaning turns round with them. The share is the squared correlation
    of prediction and feature, within a trial times the variance that lies within trials. The best of the two ways and
    of several numbers of frames counts for each feature: rather too much is put down to the truth than too little.

    Args:
        latents: Features, float32[N, L].
        truth: What the trial told beside each frame, such as where the road lay, float64[N, K].
        trials: Which trial each frame is of, int64[N]; the frames of a trial in their order in time, evenly spaced.
        parts: Parts that the trials are split into, 2 or more.
        apart: Frames of a trial that lie between two at least for one to predict the other: so many that little else
            in sight is the same. Trials that are too short for it do without the second way.

    Raises:
        ValueError: If there are fewer trials than parts, or too few frames.
    """
    names = np.unique(trials)
    if not 2 <= parts <= len(names):
        raise ValueError(f"{parts} parts need as many trials, and two or more; got {len(names)}")
    truth = (truth - truth.mean(axis=0)) / np.maximum(truth.std(axis=0), 1e-9)
    features = latents - latents.mean(axis=0, dtype=np.float64)
    across = np.zeros((len(_ACROSS), *features.shape))
    for part in range(parts):
        unseen = np.isin(trials, names[part::parts])
        if (~unseen).sum() <= max(_ACROSS):
            raise ValueError(f"the trials of {parts - 1} parts must have more than {max(_ACROSS)} frames")
        across[:, unseen] = _predicted(truth[unseen], truth[~unseen], features[~unseen], _ACROSS)
    across -= across.mean(axis=1, keepdims=True)

    within, deviations = np.zeros((len(_WITHIN), *features.shape)), np.zeros_like(features)
    for name in names:
        chosen = np.flatnonzero(trials == name)
        if len(chosen) < 2 * apart + max(_WITHIN):
            continue
        deviations[chosen] = features[chosen] - features[chosen].mean(axis=0)
        within[:, chosen] = _predicted(truth[chosen], truth[chosen], deviations[chosen], _WITHIN, apart)
    whole, inner = (features**2).sum(axis=0), (deviations**2).sum(axis=0)
    shares = _correlation(across, features), _correlation(within, deviations) * inner / np.maximum(whole, _TINY)
    return np.asarray(np.maximum(*shares))


_TINY = np.finfo(np.float64).tiny


def _correlation(predicted: NDArray[np.float64], features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best squared correlation of predictions, float64[C, N, L], with features, float64[N, L]; 0 if < 0."""
    together = np.maximum(np.einsum("cnl,nl->cl", predicted, features), 0)
    alone = np.einsum("cnl,cnl->cl", predicted, predicted) * (features**2).sum(axis=0)
    return np.asarray((together**2 / np.maximum(alone, _TINY)).max(axis=0))


def _predicted(
    asked: NDArray[np.float64],
    known: NDArray[np.float64],
    features: NDArray[np.float64],
    counts: tuple[int, ...],
    apart: int = 0,
) -> NDArray[np.float64]:
    """Return the means of the features of the known frames that are most alike, float64[C, N, L].

    Args:
        asked: Truths, float64[N, K].
        known: Those of the known frames, float64[M, K].
        features: Of the known frames, float64[M, L].
        counts: How many of them to take the mean of.
        apart: Where above 0, asked and known are the same frames: how many steps must lie between two of them.
    """
    most, found = max(counts), []
    for rows in np.array_split(np.arange(len(asked)), math.ceil(len(asked) / _AT_ONCE)):
        distance = (known**2).sum(axis=1) - 2 * asked[rows] @ known.T
        if apart:
            distance[np.abs(rows[:, None] - np.arange(len(known))) < apart] = np.inf
        near = np.argpartition(distance, most, axis=1)[:, :most]
        order = np.argsort(np.take_along_axis(distance, near, axis=1), axis=1)
        found.append(np.take_along_axis(near, order, axis=1))
    alike = np.concatenate(found)
    return np.stack([features[alike[:, :count]].mean(axis=1) for count in counts])
