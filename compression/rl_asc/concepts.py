"""The bits of RL-ASC: the down-scaled label map, a level for each concept that is there, and its quantised features.

A message begins with whether it is a label map alone. All is range coded (the paper: Huffman codes, and a vector
graphic for the map) under tables of whole numbers that lie in the fitted file. A cell of the map is told by its place
and the cells to its left and above it; a level by its concept and the level told before it; a symbol by its concept,
channel and level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compression.coders.range_coding import Reader, Symbols
from compression.rl_asc.networks import LEVELS, Design

Cells = NDArray[np.int32]
"""int32[h, w], the concept of each cell."""
Levels = NDArray[np.int32]
"""int32[M], indices into `LEVELS`; of concepts that are not there 0."""
MOST_COUNT = 4096.0
_BARE = np.array([[7, 1]], np.float32)
"""Counts of messages with features, and of those of a label map alone: what is left in the smallest slots."""
_PATIENCE = (12.0, 8.0, 6.0, 4.5, 3.0, 2.0, 1.0, 0.5, 0.0)
"""Bits that a cell may cost to be right, in the order in which they are tried."""


@dataclass(frozen=True)
class Message:
    """What is told of one frame."""

    cells: Cells
    levels: Levels
    values: NDArray[np.float32]
    """float32[n, h, w], quantised features."""


class ConceptCode:
    """Symbols of messages, and messages of symbols.

    Args:
        design: Sizes.
        tables: Those of `table_shapes`.
    """

    def __init__(self, design: Design, tables: Mapping[str, NDArray[np.float32]]) -> None:
        self._design = design
        self._map = tables["table.map"]
        level = tables["table.level"]
        shape = design.parts, len(LEVELS) + 1, len(LEVELS)
        self._level = level if level.ndim == len(shape) else np.broadcast_to(level[:, None], shape)
        self._symbols = {level: tables[f"table.symbols{level}"] for level in range(1, len(LEVELS))}

    def map_symbols(self, cells: Cells) -> Symbols:
        """Return a label map's symbols."""
        left, above = neighbours(cells, self._design.parts)
        places = np.arange(cells.size)
        return Symbols(cells.ravel(), self._map[places, left.ravel(), above.ravel()])

    def simpler(self, cells: Cells) -> Iterator[Cells]:
        """Yield ever simpler label maps: parts that cost many bits more than the likeliest one give way to it."""
        for patience in _PATIENCE:
            yield self._simplified(cells, patience)

    def symbols(self, message_cells: Cells, levels: Levels, features: NDArray[np.float32]) -> list[Symbols]:
        """Return all symbols of a frame.

        Args:
            message_cells: Its label map.
            levels: Of the concepts.
            features: float32[n, h, w] in [-1, 1].
        """
        there = np.unique(message_cells)
        bare = not levels[there].any()
        found = [Symbols(np.array([bare], np.int32), _BARE), self.map_symbols(message_cells)]
        if bare:
            return found
        told = levels[there].astype(np.int32)
        found.append(Symbols(told, self._level[there, before(told)]))
        for level in range(1, len(LEVELS)):
            rows, columns = np.nonzero(levels[message_cells] == level)
            count = LEVELS[level]
            chosen = np.floor((features[:, rows, columns].T + 1) * count / 2).clip(0, count - 1).astype(np.int32)
            found.append(Symbols(chosen.ravel(), self._counts(level, message_cells[rows, columns])))
        return found

    def read(self, reader: Reader) -> Message:
        """Return what a packet says. Raises PacketError if it says nothing."""
        design = self._design
        height, width = design.grid
        bare = bool(reader.read(_BARE)[0])
        cells = np.full((height + 1, width + 1), design.parts, np.int32)
        for place in range(height * width):
            row, column = divmod(place, width)
            counts = self._map[place, cells[row + 1, column], cells[row, column + 1]]
            cells[row + 1, column + 1] = reader.read(counts[None])[0]
        cells = cells[1:, 1:]
        there = np.unique(cells)
        levels = np.zeros(design.parts, np.int32)
        if not bare:
            last = len(LEVELS)
            for part in there:
                last = levels[part] = reader.read(self._level[part, last][None])[0]
        values = np.zeros((design.channels, height, width), np.float32)
        for level in range(1, len(LEVELS)):
            rows, columns = np.nonzero(levels[cells] == level)
            chosen = reader.read(self._counts(level, cells[rows, columns])).reshape(len(rows), design.channels)
            values[:, rows, columns] = ((2 * chosen.T + 1 - LEVELS[level]) / LEVELS[level]).astype(np.float32)
        return Message(cells, levels, values)

    def _counts(self, level: int, parts: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the counts, float32[N * n, K], of the symbols of cells of these concepts, int32[N]."""
        counts: NDArray[np.float32] = self._symbols[level][parts].reshape(-1, LEVELS[level])
        return counts

    def _simplified(self, cells: Cells, patience: float) -> Cells:
        """Return a label map that is right where that costs no more bits than this over the likeliest part."""
        simple = np.full((cells.shape[0] + 1, cells.shape[1] + 1), self._design.parts, np.int32)
        for place, part in enumerate(cells.ravel()):
            row, column = divmod(place, cells.shape[1])
            counts = self._map[place, simple[row + 1, column], simple[row, column + 1]]
            likeliest = int(counts.argmax())
            right = np.log2(counts[likeliest] / counts[part]) <= patience
            simple[row + 1, column + 1] = part if right else likeliest
        return simple[1:, 1:].copy()


def neighbours(cells: NDArray[np.integer], parts: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the concepts to the left of and above each cell, int[..., h, w]; M beyond the edge."""
    left, above = np.full_like(cells, parts), np.full_like(cells, parts)
    left[..., :, 1:], above[..., 1:, :] = cells[..., :, :-1], cells[..., :-1, :]
    return left, above


def before(told: Levels) -> NDArray[np.integer]:
    """Return what was told before each level, int32[N]; `len(LEVELS)` before the first."""
    return np.concatenate([[len(LEVELS)], told[:-1]]).astype(np.int32)


def table_shapes(design: Design, plain: bool = False) -> dict[str, tuple[int, ...]]:
    """Return the tables and their shapes; in plain ones levels are told by their concepts alone."""
    height, width = design.grid
    known = design.parts + 1
    return {
        "table.map": (height * width, known, known, design.parts),
        "table.level": (design.parts, *(() if plain else (len(LEVELS) + 1,)), len(LEVELS)),
    } | {f"table.symbols{level}": (design.parts, design.channels, LEVELS[level]) for level in range(1, len(LEVELS))}


def check_tables(tables: Mapping[str, NDArray[np.float32]]) -> None:
    """Raise ValueError unless tables hold whole numbers that a range coder takes."""
    for table in tables.values():
        if not ((table >= 1) & (table <= MOST_COUNT) & (table == np.floor(table))).all():
            raise ValueError("its tables are not counts")


def fit_levels(chosen: Sequence[Levels], parts: Sequence[NDArray[np.integer]], count: int) -> NDArray[np.float32]:
    """Return the table of levels, float32[M, Q + 1, Q].

    What rarely came after a level is told by what is usual for the concept.

    Args:
        chosen: Levels of the concepts that are there, frame by frame.
        parts: Those concepts, ascending.
        count: M.
    """
    met = np.zeros((count, len(LEVELS) + 1, len(LEVELS)))
    for told, there in zip(chosen, parts, strict=True):
        np.add.at(met, (there, before(told), told), 1)
    usual = met.sum(1) + 0.5
    return whole_counts(met + 4 * (usual / usual.sum(1, keepdims=True))[:, None])


def fit_map(cells: NDArray[np.int64], parts: int) -> NDArray[np.float32]:
    """Return the table of label maps, float32[h * w, M + 1, M + 1, M], of maps int64[N, h, w].

    What was rarely met at a place is told by what was met anywhere, and that by how often parts are met at the place.
    """
    count, places = len(cells), cells.shape[1] * cells.shape[2]
    left, above = (each.reshape(count, places) for each in neighbours(cells, parts))
    met = np.zeros((places, parts + 1, parts + 1, parts))
    np.add.at(met, (np.arange(places)[None].repeat(count, 0), left, above, cells.reshape(count, places)), 1)
    anywhere, here = met.sum(0), met.sum((1, 2)) + 0.01
    usual = (anywhere + 4 / parts) / (anywhere.sum(-1, keepdims=True) + 4)
    mixed = usual[None] * np.sqrt(here / here.sum(-1, keepdims=True))[:, None, None]
    mixed /= mixed.sum(-1, keepdims=True)
    return whole_counts(met + 2 * mixed)


def whole_counts(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return whole numbers, float32[..., K], about proportional to weights of 0 and more, the largest `MOST_COUNT`."""
    scaled = weights / np.maximum(weights.max(axis=-1, keepdims=True), 1e-12) * MOST_COUNT
    counts: NDArray[np.float32] = np.maximum(np.round(scaled), 1).astype(np.float32)
    return counts
