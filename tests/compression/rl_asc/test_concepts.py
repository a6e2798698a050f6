"""The bits of concepts: label maps, levels and features, in slots that nothing exceeds."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_models import concept_tensors

from compression.coders.range_coding import Reader, pack, shortest
from compression.rl_asc.concepts import (
    ConceptCode,
    check_tables,
    fit_levels,
    fit_map,
    neighbours,
    table_shapes,
    whole_counts,
)
from compression.rl_asc.networks import LEVELS, Design

DESIGN = Design((32, 40, 3), 5, 4)


def code_of(plain: bool) -> ConceptCode:
    tensors = concept_tensors(DESIGN, np.random.default_rng(0), plain)
    return ConceptCode(DESIGN, {name: np.asarray(value, np.float32) for name, value in tensors.items()})


CODE = code_of(plain=False)
Frame = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


def frame_of(seed: int) -> Frame:
    """Return a label map, levels and features drawn from a seed."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(rng.integers(1, DESIGN.parts + 1), size=DESIGN.grid).astype(np.int32)
    levels = rng.integers(len(LEVELS), size=DESIGN.parts).astype(np.int32)
    return cells, levels, rng.uniform(-1, 1, (DESIGN.channels, *DESIGN.grid)).astype(np.float32)


@given(st.integers(0, 2**32 - 1))
def test_what_is_told_of_a_frame_is_read(seed: int) -> None:
    cells, levels, features = frame_of(seed)
    parts = CODE.symbols(cells, levels, features)
    bits = shortest(parts)
    value = pack(parts, bits)
    assert value is not None
    message = CODE.read(Reader(value, bits))
    assert np.array_equal(message.cells, cells)
    there = np.isin(np.arange(DESIGN.parts), cells)
    assert np.array_equal(message.levels, np.where(there, levels, 0))
    step = 2 / np.array(LEVELS)[levels[cells]]
    sent = levels[cells] > 0
    assert (np.abs(message.values - features) <= step / 2 + 1e-6)[:, sent].all()
    assert not message.values[:, ~sent].any()


@given(st.integers(0, 2**32 - 1))
def test_ever_simpler_maps_take_fewer_bits_and_the_simplest_hardly_any(seed: int) -> None:
    cells, _, _ = frame_of(seed)
    bits = [CODE.map_symbols(simple).bits for simple in CODE.simpler(cells)]
    assert bits[-1] <= bits[0] <= CODE.map_symbols(cells).bits + 1e-6
    assert bits[-1] < np.log2(DESIGN.parts) * cells.size


@pytest.mark.parametrize(("plain", "golden"), [(True, "fe105535c987724b"), (False, "87dca412709de9a6")])
def test_a_packet_keeps_its_bytes(plain: bool, golden: str) -> None:
    """Only whole numbers decide it; it must never change, or packets recorded before cannot be read."""
    digest, code = hashlib.sha256(), code_of(plain)
    for seed in range(6):
        parts = code.symbols(*frame_of(seed))
        bits = shortest(parts)
        digest.update(f"{bits} {pack(parts, bits)} ".encode())
    assert digest.hexdigest()[:16] == golden


def test_levels_that_are_always_told_alike_take_hardly_any_bits_after_the_first() -> None:
    chosen = [np.full(3, number % 6, np.int32) for number in range(600)]
    table = fit_levels(chosen, [np.array([0, 2, 4])] * len(chosen), DESIGN.parts)
    check_tables({"one": table})
    tables = {name: np.ones(shape, np.float32) for name, shape in table_shapes(DESIGN).items()} | {"table.level": table}
    code = ConceptCode(DESIGN, tables)
    cells = np.resize(np.array([0, 2, 4], np.int32), DESIGN.grid)
    told = code.symbols(cells, np.full(DESIGN.parts, 3, np.int32), np.zeros((4, *DESIGN.grid), np.float32))[2]
    assert told.values.tolist() == [3, 3, 3] and np.log2(6) - 0.1 < told.bits < np.log2(6) + 0.6


def test_a_table_of_maps_makes_maps_like_those_it_was_fitted_to_cheap() -> None:
    rng = np.random.default_rng(0)
    maps = (np.arange(8)[None, None] + rng.integers(-1, 2, (400, 6, 1)) >= 4).astype(np.int64)
    design = Design((48, 64, 3), 2, 4)
    tables = {name: np.ones(shape, np.float32) for name, shape in table_shapes(design).items()}
    tables["table.map"] = fit_map(maps[:300], 2)
    check_tables(tables)
    code = ConceptCode(design, tables)
    told = np.mean([code.map_symbols(each.astype(np.int32)).bits for each in maps[300:]])
    assert np.log2(3) * 6 - 1 < told < np.log2(3) * 6 + 4


def test_neighbours_beyond_the_edge_are_no_part() -> None:
    left, above = neighbours(np.array([[0, 1], [2, 3]]), 4)
    assert left.tolist() == [[4, 0], [4, 2]] and above.tolist() == [[4, 4], [0, 1]]


@pytest.mark.parametrize("wrong", [0.0, 1.5, 5000.0, -1.0])
def test_tables_of_anything_but_counts_are_refused(wrong: float) -> None:
    table = whole_counts(np.random.default_rng(0).exponential(size=(3, 4)))
    check_tables({"one": table})
    table[1, 2] = wrong
    with pytest.raises(ValueError, match="not counts"):
        check_tables({"one": table})
