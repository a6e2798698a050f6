"""Range coding into a slot: symbols under known probabilities, in as many bits as the slot has (package constriction).

A message is a binary fraction in the range coder's final interval (G. Martin, 1979; constriction by R. Bamler, 2022),
cut to the slot and read with zeros after it. The probabilities follow from whole numbers that both ends hold, so that
both ends round them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.errors import CoderError, PacketError

_WORD = 32
_BEHIND = 2
"""Words after the slot that may decide what its last symbols are."""
_FEW = 0.05
"""Bits that the coder's rounding may take beyond what the probabilities say, of messages that fit a slot."""


@dataclass(frozen=True)
class Symbols:
    """Symbols of one alphabet, in the order in which they are sent."""

    values: NDArray[np.int32]
    """int32[N], below K."""
    counts: NDArray[np.float32]
    """float32[N, K], whole numbers, proportional to the probabilities; 1 or more for every symbol that is sent."""

    @property
    def bits(self) -> float:
        """What the probabilities say that they take."""
        chosen = np.take_along_axis(self.counts, self.values[:, None], axis=1)[:, 0].astype(np.float64)
        return float(np.log2(self.counts.sum(axis=1, dtype=np.float64) / chosen).sum())


def pack(parts: Sequence[Symbols], bits: int, whatever_follows: bool = False) -> int | None:
    """Return the integer below 2**bits that holds symbols; None if they do not fit.

    Args:
        parts: The symbols.
        bits: Of the slot.
        whatever_follows: Whether other bits than zeros may come after it.

    Raises:
        CoderError: If constriction is not installed.
    """
    stream = _stream()
    if sum(part.bits for part in parts) > bits + _FEW:
        return None
    encoder = stream.queue.RangeEncoder()
    for part in parts:
        if len(part.values):
            encoder.encode(part.values, *_model(stream, part.counts))
    words = [int(word) for word in encoder.get_compressed()]
    whole = sum(word << _WORD * place for place, word in enumerate(reversed(words)))
    # The interval holds one of the two fractions of the slot's length around the coder's own.
    spare = _WORD * len(words) - bits
    near = whole >> spare if spare > 0 else whole << -spare
    for value in (near, near + 1):
        ends = (False, True) if whatever_follows else (False,)
        if value < 1 << bits and all(_holds(value, bits, parts, ones) for ones in ends):
            return value
    return None


def shortest(parts: Sequence[Symbols], whatever_follows: bool = False) -> int:
    """Return the fewest bits that hold symbols; see `pack`."""
    bits = max(0, int(sum(part.bits for part in parts)))
    while pack(parts, bits, whatever_follows) is None:
        bits += 1
    return bits


class Reader:
    """Takes symbols out of an integer, in the order in which they were put there.

    Args:
        value: Below 2**bits.
        bits: Of the slot.
        ones: Whether ones come after it and not zeros.

    Raises:
        CoderError: If constriction is not installed.
    """

    def __init__(self, value: int, bits: int, ones: bool = False) -> None:
        self._stream = _stream()
        words = -(-bits // _WORD) + _BEHIND
        spare = _WORD * words - bits
        whole = (value << spare) + ((1 << spare) - 1 if ones else 0)
        split = [whole >> _WORD * place & 0xFFFFFFFF for place in reversed(range(words))]
        self._decoder = self._stream.queue.RangeDecoder(np.array(split, np.uint32))

    def read(self, counts: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return symbols, int32[N].

        Args:
            counts: float32[N, K], as of `Symbols`.

        Raises:
            PacketError: If there are none.
        """
        if not len(counts):
            return np.zeros(0, np.int32)
        try:
            symbols: NDArray[np.int32] = self._decoder.decode(*_model(self._stream, counts))
        except (AssertionError, ValueError) as error:
            raise PacketError("packet holds no symbols of this coder") from error
        return symbols


def _holds(value: int, bits: int, parts: Sequence[Symbols], ones: bool) -> bool:
    reader = Reader(value, bits, ones)
    try:
        return all(np.array_equal(reader.read(part.counts), part.values) for part in parts)
    except PacketError:
        return False


def _model(stream: Any, counts: NDArray[np.float32]) -> tuple[Any, NDArray[np.float64]]:
    exact = counts.astype(np.float64)
    return stream.model.Categorical(perfect=False), exact / exact.sum(axis=1, keepdims=True)


def require_constriction() -> None:
    """Raise CoderError if constriction is not installed."""
    _stream()


def _stream() -> Any:
    try:
        from constriction.constriction import stream
    except ImportError as error:
        raise CoderError(
            "range coding needs the package constriction, which is not installed; nothing was changed: "
            "pip install 'racer[coding]'"
        ) from error
    return stream
