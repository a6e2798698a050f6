"""Symbols under known counts, in as many bits as a slot has."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import GREY, tiny_model

from compression.coders.coder import find_coder
from compression.coders.range_coding import Reader, Symbols, pack, shortest
from compression.errors import CoderError, PacketError


@st.composite
def messages(draw: st.DrawFn) -> list[Symbols]:
    """A few groups of symbols, each of an alphabet of its own; some are nearly certain, some nearly impossible."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        count, size = draw(st.integers(0, 40)), draw(st.integers(2, 17))
        counts = np.maximum(np.round(rng.exponential(size=(count, size)) ** 5 * 50).clip(max=4096), 1)
        values = rng.integers(size, size=count) if draw(st.booleans()) else counts.argmax(axis=1)
        parts.append(Symbols(values.astype(np.int32), counts.astype(np.float32)))
    return parts


def read(value: int, bits: int, parts: list[Symbols]) -> list[list[int]]:
    reader = Reader(value, bits)
    return [reader.read(part.counts).tolist() for part in parts]


@given(messages(), st.integers(0, 40))
def test_what_is_packed_is_read_and_takes_at_most_a_bit_more_than_it_says(parts: list[Symbols], spare: int) -> None:
    least = shortest(parts)
    said = sum(part.bits for part in parts)
    assert said - 0.05 <= least <= said + 2
    for bits in {least, least + spare}:
        value = pack(parts, bits)
        assert value is not None and 0 <= value < 2**bits
        assert read(value, bits, parts) == [part.values.tolist() for part in parts]
    if least:
        assert pack(parts, least - 1) is None


@given(messages(), st.binary(max_size=22))
def test_any_bits_are_symbols_or_refused(parts: list[Symbols], data: bytes) -> None:
    try:
        found = read(int.from_bytes(data, "big"), 8 * len(data), parts)
    except PacketError as error:
        assert len(str(error).splitlines()) == 1
    else:
        for symbols, part in zip(found, parts, strict=True):
            assert all(0 <= symbol < part.counts.shape[1] for symbol in symbols)


def test_a_message_keeps_its_bits() -> None:
    counts = np.array([[1, 2, 3, 4], [4096, 1, 1, 1], [7, 7, 7, 7]] * 4, np.float32)
    parts = [Symbols(np.array([3, 0, 1, 0, 0, 2, 2, 0, 3, 1, 0, 0], np.int32), counts)]
    assert (shortest(parts), pack(parts, 17)) == (17, 92570)


def without_constriction(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("constriction"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)


def test_a_missing_package_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    without_constriction(monkeypatch)
    with pytest.raises(CoderError, match="pip install 'racer\\[coding\\]'") as refusal:
        pack([], 8)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_fitted_file_is_refused_before_anything_begins_where_the_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tiny_model(tmp_path, GREY)
    path = model.fitted_path("rl-asc")
    assert path is not None and find_coder("rl-asc").read(path, model)
    without_constriction(monkeypatch)
    with pytest.raises(CoderError, match="is not installed; nothing was changed"):
        find_coder("rl-asc").read(path, model)
