"""Masks: which blocks of neighbouring latents are sent, and the policies that choose them."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

MaskInterval = Literal["episode", "step"]


@lru_cache(maxsize=32)
def mask_table(blocks: int, sent: int) -> NDArray[np.bool_]:
    """Return all masks of `sent` of `blocks` blocks, bool[masks, blocks], in lexicographic order; read-only."""
    rows = list(combinations(range(blocks), sent))
    table = np.zeros((len(rows), blocks), bool)
    for index, chosen in enumerate(rows):
        table[index, list(chosen)] = True
    table.setflags(write=False)
    return table


def mask_index(mask: NDArray[np.bool_]) -> int:
    """Return the index of a mask, bool[blocks], in the `mask_table` of as many blocks as it sends."""
    return int(np.flatnonzero((mask_table(len(mask), int(mask.sum())) == mask).all(axis=1))[0])


def features_of(mask: NDArray[np.bool_], block_size: int) -> NDArray[np.bool_]:
    """Return which latents a mask, bool[blocks], sends: bool[blocks * block_size]."""
    return np.repeat(mask, block_size)


def best_blocks(scores: NDArray[np.float32], sent: int) -> NDArray[np.bool_]:
    """Return the mask, bool[blocks], of the `sent` highest scores, float32[blocks]; of equal ones, the first."""
    mask = np.zeros(len(scores), bool)
    mask[np.argsort(-scores, kind="stable")[:sent]] = True
    return mask


class MaskPolicy(Protocol):
    """Chooses the mask of a step at the sender."""

    def choose(self, latent: NDArray[np.float32], sent: int) -> NDArray[np.bool_]:
        """Return a mask, bool[blocks], with `sent` true, on seeing the original latent, float32[latents]."""


class RandomMasks:
    """Every mask equally likely (the paper's non-adaptive baseline).

    Args:
        blocks: Blocks of the model.
        rng: The source of the choices.
    """

    def __init__(self, blocks: int, rng: np.random.Generator) -> None:
        self._blocks, self._rng = blocks, rng

    def choose(self, latent: NDArray[np.float32], sent: int) -> NDArray[np.bool_]:
        """Return a mask that does not depend on the latent."""
        table = mask_table(self._blocks, sent)
        mask: NDArray[np.bool_] = table[self._rng.integers(len(table))]
        return mask


class FixedMask:
    """Always the same scores, hence the same mask.

    Args:
        scores: float32[blocks], the higher the sooner sent.
    """

    def __init__(self, scores: NDArray[np.float32]) -> None:
        self._scores = scores

    def choose(self, latent: NDArray[np.float32], sent: int) -> NDArray[np.bool_]:
        """Return the mask of the best-scoring blocks."""
        return best_blocks(self._scores, sent)


class RotatingMasks:
    """The blocks in turn, as many neighbours at a time as are sent: of half of them, the first half and the second.

    Args:
        blocks: Blocks of the model.
    """

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._next = 0

    def choose(self, latent: NDArray[np.float32], sent: int) -> NDArray[np.bool_]:
        """Return the mask of the blocks after those of the last one."""
        mask = np.zeros(self._blocks, bool)
        mask[(self._next + np.arange(sent)) % self._blocks] = True
        self._next = (self._next + sent) % self._blocks
        return mask
