"""Whole numbers in a hard slot: range-coded by tables that both ends read from a file, coarser where they do not fit.

Every coordinate of a latent is a whole number with a table of frequencies of its own. A message begins with a *rung*,
which says how coarsely the coordinates follow: rung 0 sends nothing, the last one every coordinate as it is. In between
a step of 2, 4, ... 64 merges neighbouring numbers, away from the coordinate's median, and the coordinates that come
later, which carry less, go one step coarser than those before. The rung is coded by a table too, one per size of slot.
All of it is one range-coded number (`compression.coders.range_coding`), so that the choice is charged like everything
else; the finest rung that fits the slot is sent. Both ends compute with the file's integers, so no rounding can part
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.coders.packing import packet_from_value, value_from_packet
from compression.coders.range_coding import Reader, Symbols, pack, shortest
from compression.errors import PacketError

TOTAL = 8192
"""Sum of the frequencies of a table: with 16 bits the shortest code of the rarest number is 13 bits."""
MOST_NUMBERS = 255
"""Most numbers in a table."""
STEPS = (1, 2, 4, 8, 16, 32, 64)
"""How many neighbouring numbers are merged, about."""
SHARES = 8, 4, 2, 1
"""The first 1/8, 1/4, 1/2 or all of the coordinates are sent at a step, the others one coarser."""
RUNGS = len(STEPS) * len(SHARES) + 1
SLOTS = (1, 2, 3, 5, 8, 12, 18, 27, 42, 64, 85, 128, 170, 256, 512, 1024)
"""Bits for which there is a table of rungs; other slots use that of the next smaller one."""
Numbers = NDArray[np.int64]
"""int64[N, coordinates]"""


@dataclass(frozen=True, eq=False)
class Ladder:
    """The tables. Malformed ones raise ValueError.

    Args:
        lowest: int64[coordinates], the least number of each table.
        frequencies: int64[coordinates, K], how often each number comes, of `TOTAL`; zero behind the last.
        rungs: int64[slots, RUNGS], how often each rung is sent.
    """

    lowest: NDArray[np.int64]
    frequencies: NDArray[np.int64]
    rungs: NDArray[np.int64]

    def __post_init__(self) -> None:
        counts, rungs = self.frequencies, self.rungs
        if counts.ndim != 2 or not 1 <= counts.shape[1] <= MOST_NUMBERS or self.lowest.shape != counts.shape[:1]:
            raise ValueError("its tables have no known shape")
        if rungs.shape != (len(SLOTS), RUNGS):
            raise ValueError("its tables of rungs have no known shape")
        if min(counts.min(), rungs.min()) < 0 or (counts.sum(1) != TOTAL).any() or (rungs.sum(1) != TOTAL).any():
            raise ValueError(f"its frequencies do not add up to {TOTAL}")
        if (np.diff((counts > 0).astype(np.int8), axis=1) > 0).any() or (counts[:, 0] == 0).any():
            raise ValueError("its tables have gaps")
        if (rungs[:, 0] < least_frequency_of_nothing()).any():
            raise ValueError("its tables of rungs leave no room to send nothing")

    @property
    def size(self) -> int:
        """Coordinates."""
        return len(self.lowest)

    @cached_property
    def highest(self) -> NDArray[np.int64]:
        """int64[coordinates], the greatest number of each table."""
        highest: NDArray[np.int64] = self.lowest + (self.frequencies > 0).sum(1) - 1
        return highest

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """int64[RUNGS, coordinates], index of each one's step under every rung; `len(STEPS)` where it is not sent."""
        place = np.arange(self.size)
        rows = [np.full(self.size, len(STEPS))]
        for index in reversed(range(len(STEPS))):
            rows += [np.where(place < -(-self.size // share), index, index + 1) for share in SHARES]
        return np.stack(rows)

    @cached_property
    def _merged(self) -> tuple[_Merged, ...]:
        return tuple(_Merged.of(self, step) for step in STEPS)

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """float64[steps + 1, coordinates, K], what a number of the table comes to at each step."""
        means = [merged.means for merged in self._merged]
        nothing = (self.frequencies * self._all_numbers).sum(1, keepdims=True) / TOTAL
        return np.stack([*means, np.broadcast_to(nothing, means[0].shape)])

    @cached_property
    def _lengths(self) -> NDArray[np.float64]:
        """float64[steps + 1, coordinates, K], bits that a number of the table takes at each step, about."""
        lengths = [merged.lengths for merged in self._merged]
        return np.stack([*lengths, np.zeros_like(lengths[0])])

    @cached_property
    def _all_numbers(self) -> NDArray[np.int64]:
        return self.lowest[:, None] + np.arange(self.frequencies.shape[1])

    def clipped(self, numbers: Numbers) -> Numbers:
        """Return the nearest numbers, int64[N, coordinates], that are in the tables."""
        return np.clip(numbers, self.lowest, self.highest)

    def received(self, numbers: Numbers, rungs: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what numbers come to, float32[N, coordinates], when each row is sent on its rung, int64[N]."""
        index = self.clipped(numbers) - self.lowest
        values: NDArray[np.float32] = self._values[self.steps[rungs], np.arange(self.size), index].astype(np.float32)
        return values

    def costs(self, numbers: Numbers) -> NDArray[np.float64]:
        """Return how many bits rows take on each rung, float64[N, RUNGS], about, the rung itself not counted."""
        index = self.clipped(numbers) - self.lowest
        lengths = self._lengths[:, np.arange(self.size), index]  # [steps + 1, N, coordinates]
        chosen = self.steps[:, None, :]
        costs: NDArray[np.float64] = np.take_along_axis(lengths, np.broadcast_to(chosen, (RUNGS, *index.shape)), 0)
        total: NDArray[np.float64] = costs.sum(2).T
        return total

    def pack(self, numbers: NDArray[np.int64], bits: int) -> bytes:
        """Return the packet, of a slot of so many bits, that says most of numbers, int64[coordinates]."""
        table = self.rungs[_slot(bits)]
        costs = self.costs(numbers[None])[0] - np.log2(np.maximum(table, 1) / TOTAL)
        for rung in np.flatnonzero((costs <= bits + 1) & (table > 0))[::-1].tolist():
            value = pack(_symbols(self._message(numbers, rung), self._tables(bits, rung)), bits)
            if value is not None:
                return packet_from_value(value, bits)
        return packet_from_value(0, bits)  # rung 0 begins at 0

    def unpack(self, packet: bytes, bits: int) -> NDArray[np.float32]:
        """Return what a packet comes to, float32[coordinates].

        Raises:
            PacketError: If it is none.
        """
        value = value_from_packet(packet, bits)
        reader = Reader(value, bits)
        (rung,) = reader.read(_padded([self.rungs[_slot(bits)]])).tolist()
        if self.rungs[_slot(bits)][rung] == 0:
            raise PacketError("packet names no rung")
        symbols = reader.read(_padded(self._tables(bits, rung)[1:])).tolist()
        latent = self._values[len(STEPS), :, 0].copy()
        for place, symbol in zip(self._sent(rung), symbols, strict=True):
            merged = self._merged[self.steps[rung, place]]
            latent[place] = merged.meaning(int(place), symbol)
        return latent.astype(np.float32)

    def length(self, numbers: NDArray[np.int64]) -> int:
        """Return the bits that numbers, int64[coordinates], take as they are: counted, not summed.

        They are those of the shortest fraction that means the message whatever follows, so that messages can stand one
        behind the other; the rung is coded as in the largest slot.
        """
        message, tables = self._message(numbers, RUNGS - 1), self._tables(SLOTS[-1], RUNGS - 1)
        return shortest(_symbols(message, tables), whatever_follows=True)

    def _sent(self, rung: int) -> NDArray[np.intp]:
        """Return the coordinates of which a rung says anything."""
        steps = self.steps[rung]
        widths = np.array([*(merged.width for merged in self._merged), np.ones(self.size)])
        return np.flatnonzero(widths[steps, np.arange(self.size)] > 1)

    def _message(self, numbers: NDArray[np.int64], rung: int) -> list[int]:
        index = self.clipped(numbers) - self.lowest
        sent = self._sent(rung)
        return [rung, *(int(self._merged[self.steps[rung, place]].cell[place, index[place]]) for place in sent)]

    def _tables(self, bits: int, rung: int) -> list[NDArray[np.int64]]:
        sent = self._sent(rung)
        return [self.rungs[_slot(bits)], *(self._merged[self.steps[rung, place]].counts[place] for place in sent)]


@dataclass(frozen=True, eq=False)
class _Merged:
    """The tables of a ladder at one step."""

    cell: NDArray[np.int64]
    """int64[coordinates, K], the merged number, from 0, of each number of the table."""
    counts: NDArray[np.int64]
    """int64[coordinates, K], how often each merged number comes."""
    width: NDArray[np.int64]
    """int64[coordinates], how many there are of each."""
    means: NDArray[np.float64]
    """float64[coordinates, K], for each number of the table the mean of those that are merged with it."""
    lengths: NDArray[np.float64]
    """float64[coordinates, K], for each number of the table the bits of its merged one."""

    @classmethod
    def of(cls, ladder: Ladder, step: int) -> _Merged:
        counts, numbers = ladder.frequencies, ladder._all_numbers
        median = ladder.lowest + (counts.cumsum(1) * 2 < TOTAL).sum(1)
        away = numbers - median[:, None]
        cell = np.sign(away) * ((2 * np.abs(away) + step - 1) // (2 * step))
        cell = np.where(counts > 0, cell - cell[:, :1], 0)
        rows = np.broadcast_to(np.arange(len(cell))[:, None], cell.shape)
        merged = np.zeros_like(counts)
        np.add.at(merged, (rows, cell), counts)
        sums = np.zeros_like(counts)
        np.add.at(sums, (rows, cell), counts * numbers)
        means = sums / np.maximum(merged, 1)
        lengths = -np.log2(np.maximum(merged, 1) / TOTAL)
        width = cell.max(1) + 1
        return cls(cell, merged, width, means[rows, cell], lengths[rows, cell])

    def meaning(self, place: int, symbol: int) -> float:
        """Return what a merged number of a coordinate comes to. Raises PacketError if there is none."""
        if symbol >= self.width[place]:
            raise PacketError("packet names a number that is in no table")
        return float(self.means[place, int(np.searchsorted(self.cell[place, : self._end(place)], symbol))])

    def _end(self, place: int) -> int:
        return int(np.argmax(self.cell[place])) + 1  # cells rise, and are 0 behind the last number


def least_frequency_of_nothing() -> NDArray[np.int64]:
    """Return how frequent rung 0 must be at least in the table of each slot, int64[slots]: then 0 always means it."""
    return np.array([max(1, TOTAL >> bits) for bits in SLOTS])


def frequencies_of(weights: NDArray[np.floating[Any]], least: int = 1) -> NDArray[np.int64]:
    """Return whole numbers that add up to `TOTAL`, as near to weights, float64[K], as there are, each `least` or more.

    Args:
        weights: 0 or more, not all 0.
        least: 0 or more; `least * K` must not exceed `TOTAL`.
    """
    room = TOTAL - least * len(weights)
    shares = weights / weights.sum() * room
    whole = np.floor(shares).astype(np.int64)
    order = np.argsort(whole - shares, kind="stable")
    whole[order[: room - int(whole.sum())]] += 1
    table: NDArray[np.int64] = whole + least
    return table


def fit_rungs(lowest: NDArray[np.int64], frequencies: NDArray[np.int64], numbers: Numbers) -> NDArray[np.int64]:
    """Return the tables of rungs, int64[slots, RUNGS], for numbers like these, int64[N, coordinates]."""
    least = least_frequency_of_nothing()
    start = np.stack([_rungs_of(np.ones(RUNGS), floor) for floor in least.tolist()])
    costs = Ladder(lowest, frequencies, start).costs(numbers)
    charged = np.ones(start.shape)
    for _ in range(4):
        rows = []
        for charge, bits, floor in zip(charged, SLOTS, least.tolist(), strict=True):
            fits = costs + charge <= bits
            finest = np.where(fits.any(1), RUNGS - 1 - fits[:, ::-1].argmax(1), 0)
            rows.append(_rungs_of(np.bincount(finest, minlength=RUNGS) + 1e-3 * len(numbers) / RUNGS, floor))
        tables = np.stack(rows)
        charged = -np.log2(tables / TOTAL)
    return tables


def _rungs_of(weights: NDArray[np.floating[Any]], floor: int) -> NDArray[np.int64]:
    table = frequencies_of(weights)
    if lacking := max(0, floor - int(table[0])):
        rest = frequencies_of(table[1:].astype(np.float64)) * (TOTAL - floor) // TOTAL
        rest[np.argmax(rest)] += TOTAL - floor - rest.sum()
        table = np.concatenate([[table[0] + lacking], rest])
    return table


def _slot(bits: int) -> int:
    return int(np.searchsorted(SLOTS, bits, side="right")) - 1


def _symbols(message: list[int], tables: list[NDArray[np.int64]]) -> list[Symbols]:
    """Return the rung, and what follows."""
    values = np.array(message, np.int32)
    return [Symbols(values[:1], _padded(tables[:1])), Symbols(values[1:], _padded(tables[1:]))]


def _padded(tables: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Return tables as one matrix, float32[N, K]: they hold whole numbers up to `TOTAL`."""
    matrix = np.zeros((len(tables), max(map(len, tables), default=1)), np.float32)
    for row, table in zip(matrix, tables, strict=True):
        row[: len(table)] = table
    return matrix
