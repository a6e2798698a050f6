"""Masks: which of the 8 blocks of 4 latents are sent, and the policies that choose them."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

LATENTS = 32
BLOCKS = 8
BLOCK_SIZE = LATENTS // BLOCKS

MaskInterval = Literal["episode", "step"]


@lru_cache(maxsize=BLOCKS)
def mask_table(blocks: int) -> NDArray[np.bool_]:
    """Return all masks of `blocks` of the 8 blocks, bool[C(8, blocks), 8], in lexicographic order; read-only."""
    rows = list(combinations(range(BLOCKS), blocks))
    table = np.zeros((len(rows), BLOCKS), bool)
    for index, chosen in enumerate(rows):
        table[index, list(chosen)] = True
    table.setflags(write=False)
    return table


def mask_index(mask: NDArray[np.bool_]) -> int:
    """Return the index of a mask, bool[8], in `mask_table` of as many blocks as it sends."""
    return int(np.flatnonzero((mask_table(int(mask.sum())) == mask).all(axis=1))[0])


def features_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which latents a mask, bool[8], sends: bool[32]."""
    return np.repeat(mask, BLOCK_SIZE)


def best_blocks(scores: NDArray[np.float32], blocks: int) -> NDArray[np.bool_]:
    """Return the mask, bool[8], of the `blocks` highest of 8 scores; of equal ones, the first."""
    mask = np.zeros(BLOCKS, bool)
    mask[np.argsort(-scores, kind="stable")[:blocks]] = True
    return mask


class MaskPolicy(Protocol):
    """Chooses the mask of a step at the sender."""

    def choose(self, latent: NDArray[np.float32], blocks: int) -> NDArray[np.bool_]:
        """Return a mask, bool[8], with `blocks` true, on seeing the original latent, float32[32]."""


class RandomMasks:
    """Every mask equally likely (the paper's non-adaptive baseline).

    Args:
        rng: The source of the choices.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def choose(self, latent: NDArray[np.float32], blocks: int) -> NDArray[np.bool_]:
        """Return a mask that does not depend on the latent."""
        table = mask_table(blocks)
        mask: NDArray[np.bool_] = table[self._rng.integers(len(table))]
        return mask


class FixedMask:
    """Always the same scores, hence the same mask.

    Args:
        scores: float32[8], the higher the sooner sent.
    """

    def __init__(self, scores: NDArray[np.float32]) -> None:
        self._scores = scores

    def choose(self, latent: NDArray[np.float32], blocks: int) -> NDArray[np.bool_]:
        """Return the mask of the best-scoring blocks."""
        return best_blocks(self._scores, blocks)
