"""A small convolutional network of one layer, whose filters are the centres of patches: what `viewer-convolution` sees.

After A. Coates, H. Lee and A. Y. Ng, "An analysis of single-layer networks in unsupervised feature learning" (AISTATS
2011): patches with their contrast normalised and whitened, k-means for filters, the soft ("triangle") activation, sums
over a grid of regions, and a linear classifier. It also sees coarse colours, which normalised patches say nothing of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

_SIDE, _PATCH, _STRIDE = 32, 6, 3
"""Side of what is seen, side of a filter, and distance between two of its positions, pixels."""
_FILTERS, _REGIONS, _SPOTS = 64, 4, 8
"""How many filters, and in either direction regions over which they are summed and spots whose colour is seen."""
_SAMPLED, _AT_ONCE = 20_000, 100
"""Patches that filters are learnt from, and pictures that are filtered together."""
_CONTRAST, _WHITENING = 0.05, 0.1
"""Added to a patch's standard deviation, and to the variances by which patches are whitened."""

Values = NDArray[np.float32]


class Filters:
    """Learns filters from pictures, and what their responses say of the answer."""

    def __init__(self) -> None:
        from sklearn.cluster import MiniBatchKMeans
        from sklearn.linear_model import LogisticRegression

        self._centres: Any = MiniBatchKMeans(_FILTERS, batch_size=2_048, n_init=1, random_state=4)
        self._readout: Any = LogisticRegression(C=0.01, max_iter=300)

    @staticmethod
    def see(frames: NDArray[np.uint8]) -> Values:
        """Return what is seen of frames, uint8[N, H, W, C]: float32[N, rows, columns, C] in [0, 1], reduced."""
        count, height, width, channels = frames.shape
        factor = max(min(height, width) // _SIDE, 1)
        rows, columns = height // factor, width // factor
        cut = frames[:, : rows * factor, : columns * factor]
        blocks = cut.reshape(count, rows, factor, columns, factor, channels)
        seen: Values = blocks.mean(axis=(2, 4), dtype=np.float32) / np.float32(255)
        return seen

    def learn(self, seen: Values, answers: NDArray[np.int64]) -> None:
        """Learn from pictures, float32[N, rows, columns, C], and their right answers, int64[N]; each occurs."""
        rng = np.random.default_rng(4)
        _, rows, columns, _ = seen.shape
        spots = zip(
            rng.integers(len(seen), size=_SAMPLED),
            rng.integers(rows - _PATCH + 1, size=_SAMPLED),
            rng.integers(columns - _PATCH + 1, size=_SAMPLED),
            strict=True,
        )
        patches = [seen[n, row : row + _PATCH, column : column + _PATCH] for n, row, column in spots]
        flat = _even(np.stack(patches).reshape(_SAMPLED, -1))
        self._mean = flat.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(flat - self._mean, rowvar=False))
        self._whitening = ((vectors / np.sqrt(np.maximum(values, 0) + _WHITENING)) @ vectors.T).astype(np.float32)
        self._centres.fit((flat - self._mean) @ self._whitening)
        self._filters = self._centres.cluster_centers_.astype(np.float32)
        responses = self._responses(seen)
        self._level, self._spread = responses.mean(axis=0), np.maximum(responses.std(axis=0), 1e-3)
        self._readout.fit((responses - self._level) / self._spread, answers)

    def probabilities(self, seen: Values) -> NDArray[np.float64]:
        """Return how probable each answer is to pictures, float32[N, rows, columns, C]: float64[N, answers]."""
        responses = (self._responses(seen) - self._level) / self._spread
        found: NDArray[np.float64] = self._readout.predict_proba(responses).astype(np.float64)
        return found

    def _responses(self, seen: Values) -> Values:
        """Return the filters' responses summed over each region, and the colour of each spot: float32[N, values]."""
        filtered = np.concatenate([self._filtered(seen[n : n + _AT_ONCE]) for n in range(0, len(seen), _AT_ONCE)])
        return np.concatenate([filtered, _summed(seen, _SPOTS)], axis=1)

    def _filtered(self, seen: Values) -> Values:
        windows = sliding_window_view(seen, (_PATCH, _PATCH), axis=(1, 2))[:, ::_STRIDE, ::_STRIDE]
        count, down, across = windows.shape[:3]
        # In the order of the patches that were learnt from: rows, columns, channels.
        flat = _even(np.moveaxis(windows, 3, -1).reshape(count * down * across, -1))
        white = (flat - self._mean) @ self._whitening
        squares = (white**2).sum(axis=1)[:, None] - 2 * white @ self._filters.T + (self._filters**2).sum(axis=1)
        distances = np.sqrt(np.maximum(squares, 0))
        near = np.maximum(distances.mean(axis=1, keepdims=True) - distances, 0).reshape(count, down, across, _FILTERS)
        return _summed(near, _REGIONS)


def _summed(values: Values, parts: int) -> Values:
    """Return values, float32[N, rows, columns, K], summed over a grid of so many parts either way: float32[N, sums]."""
    rows, columns = (np.arange(parts) * side // parts for side in values.shape[1:3])
    summed: Values = np.add.reduceat(np.add.reduceat(values, rows, axis=1), columns, axis=2)
    return summed.reshape(len(values), -1)


def _even(patches: Values) -> Values:
    """Return patches, float32[N, values], of one brightness and contrast each."""
    centred = patches - patches.mean(axis=1, keepdims=True)
    evened: Values = centred / (centred.std(axis=1, keepdims=True) + np.float32(_CONTRAST))
    return evened
