"""Scalar quantisation of the latents with Lloyd-Max tables fitted to the training latents.

One table per feature and number of levels (1 to 64). A table with one level is the feature's mean. Encoding picks the
nearest entry, decoding looks it up: integers and stored numbers only, hence bit-exact everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_LEVELS = 64
"""There are tables for 1 to this many levels."""
CODEBOOK_WIDTH = MOST_LEVELS * (MOST_LEVELS + 1) // 2


class Quantizer:
    """Turns latents into symbols and back.

    Args:
        codebook: float32[features, 2080]: the tables of 1, 2, ..., 64 levels side by side, each ascending.

    Raises:
        ValueError: If the codebook has another shape or a table that does not ascend.
    """

    def __init__(self, codebook: NDArray[np.float32]) -> None:
        if codebook.ndim != 2 or codebook.shape[1] != CODEBOOK_WIDTH or not np.isfinite(codebook).all():
            raise ValueError(f"codebook must be finite float32[features, {CODEBOOK_WIDTH}]")
        features = len(codebook)
        self._tables = np.zeros((MOST_LEVELS + 1, features, MOST_LEVELS), np.float32)
        """Table entries, by levels and feature; only the first `levels` of them mean anything."""
        self._edges = np.full((MOST_LEVELS + 1, features, MOST_LEVELS - 1), np.inf)
        """Boundaries between the entries; there are none beyond the last."""
        for levels in _ALL_LEVELS:
            table = tables_of(codebook, levels)
            if (np.diff(table, axis=1) < 0).any():
                raise ValueError("every table of the codebook must ascend")
            self._tables[levels, :, :levels] = table
            # float64: the midpoint of two neighbouring float32 numbers is exact.
            self._edges[levels, :, : levels - 1] = (table[:, 1:].astype(np.float64) + table[:, :-1]) / 2

    def encode(self, latent: NDArray[np.float32], features: NDArray[np.intp], levels: tuple[int, ...]) -> list[int]:
        """Return the symbols of the chosen features of a latent, float32[features], feature i at `levels[i]` levels."""
        edges = self._edges[list(levels), features]
        symbols: list[int] = (edges < latent[features, None]).sum(axis=1).tolist()
        return symbols

    def decode(self, symbols: list[int], features: NDArray[np.intp], levels: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the values, float32[len(symbols)], that the symbols stand for."""
        values: NDArray[np.float32] = self._tables[list(levels), features, symbols]
        return values


def tables_of(codebook: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """Return the tables of so many levels, float32[features, levels], of a codebook."""
    return codebook[:, _offset(levels) : _offset(levels + 1)]


def fit_codebook(samples: NDArray[np.float32], most_sweeps: int = 200) -> NDArray[np.float32]:
    """Fit all tables to sample latents, float32[N, features].

    Lloyd's algorithm (S. Lloyd, "Least squares quantization in PCM", 1982) from a start at the quantiles of the
    density to the power 1/3, which is optimal for many levels (Panter and Dite, 1951).
    """
    columns = [
        np.concatenate(
            [_lloyd_max(np.sort(samples[:, feature].astype(np.float64)), n, most_sweeps) for n in _ALL_LEVELS]
        )
        for feature in range(samples.shape[1])
    ]
    return np.stack(columns).astype(np.float32)


def _lloyd_max(ordered: NDArray[np.float64], levels: int, most_sweeps: int) -> NDArray[np.float64]:
    """Return the ascending Lloyd-Max table of `levels` entries for sorted samples, float64[N]."""
    cumulative = np.concatenate(([0.0], np.cumsum(ordered)))
    table = _panter_dite(ordered, levels)
    for _ in range(most_sweeps):
        cuts = np.searchsorted(ordered, (table[1:] + table[:-1]) / 2)
        bounds = np.concatenate(([0], cuts, [len(ordered)]))
        counts = np.diff(bounds)
        sums = np.diff(cumulative[bounds])
        moved = np.where(counts > 0, sums / np.maximum(counts, 1), table)
        if np.allclose(moved, table, rtol=0, atol=1e-6):
            break
        table = moved
    return np.sort(table)


def _panter_dite(ordered: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Return a start for Lloyd's algorithm: quantiles of the samples' density to the power 1/3."""
    density, edges = np.histogram(ordered, bins=256)
    mass = np.concatenate(([0.0], np.cumsum(density ** (1 / 3))))
    wanted = (np.arange(levels) + 0.5) / levels * mass[-1]
    start: NDArray[np.float64] = np.interp(wanted, mass, edges)
    return start


def _offset(levels: int) -> int:
    return levels * (levels - 1) // 2


_ALL_LEVELS = range(1, MOST_LEVELS + 1)
