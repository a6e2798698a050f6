"""What can be read from the latents of a model: how well a simple reader tells each trait of a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RIDGE = 1.0
"""Penalty on the weights, whose inputs have unit variance."""
_LEAST = 50
"""Fewest pictures for which anything is said."""


def readable(
    latents: NDArray[np.float32], traits: NDArray[np.float64], names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Return how well each trait can be read from latents that the reader was not fitted to, by name.

    The reader is ridge regression on the features and their products, fitted to the first half. Of a trait that is 0 or
    1: `accuracy`, averaged over both (guessing: 0.5). Of any other: `explained`, the share of its variance, in [0, 1].
    Empty with fewer than 50 pictures. Traits that are alike in all pictures of a half are left out.

    Args:
        latents: float32[N, L], of pictures in an order without meaning, none of them twice (`distinct`): the reader
            would be asked what it was told.
        traits: float64[N, K].
        names: Of the traits.
    """
    if len(latents) < _LEAST:
        return {}
    inputs = _products(latents.astype(np.float64))
    half = len(inputs) // 2
    mean, std = inputs[:half].mean(axis=0), np.maximum(inputs[:half].std(axis=0), 1e-9)
    inputs = (inputs - mean) / std
    known, asked = inputs[:half], inputs[half:]
    weights = np.linalg.solve(known.T @ known + _RIDGE * np.eye(known.shape[1]), known.T @ traits[:half])
    # Where pictures are few, the products outnumber them: the penalty then decides, and the other half tells.
    read: dict[str, dict[str, float]] = {}
    for column, name in enumerate(names):
        fitted, truth = traits[:half, column], traits[half:, column]
        if fitted.std() == 0 or truth.std() == 0:
            continue
        offset = fitted.mean() - (known @ weights[:, column]).mean()
        said = asked @ weights[:, column] + offset
        if set(np.unique(traits[:, column]).tolist()) <= {0.0, 1.0}:
            # As many are called 1 as are in the half that was fitted to.
            limit = np.quantile(said, 1 - fitted.mean())
            right = [(said[truth == value] > limit).mean() for value in (0.0, 1.0)]
            read[name] = {"accuracy": round(float((1 - right[0] + right[1]) / 2), 3)}
        else:
            error = ((said - truth) ** 2).mean() / truth.var()
            read[name] = {"explained": round(float(max(1 - error, 0.0)), 3)}
    return read


def distinct(frames: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return where each picture of frames, uint8[N, ...], occurs first, ascending, intp[M]."""
    first: dict[bytes, int] = {}
    for index, frame in enumerate(frames):
        first.setdefault(frame.tobytes(), index)
    return np.array(list(first.values()), np.intp)


def _products(latents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return features and the products of any two of them, float64[N, L + L (L + 1) / 2]."""
    first, second = np.triu_indices(latents.shape[1])
    return np.concatenate([latents, latents[:, first] * latents[:, second]], axis=1)
