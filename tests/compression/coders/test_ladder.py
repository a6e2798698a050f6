"""Whole numbers in a hard slot: what fits, what is charged, what any bytes come to, and tables that are none."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_agents import LATENTS, random_ladder

from compression.coders.ladder import RUNGS, SLOTS, STEPS, TOTAL, Ladder, frequencies_of
from compression.coders.packing import packet_from_value, value_from_packet
from compression.errors import PacketError

LADDER = random_ladder()
ENOUGH = 400
"""Bits in which any numbers of the tables fit."""


def any_numbers(wide: int = 0) -> st.SearchStrategy[NDArray[np.int64]]:
    """Numbers of the tables, and beyond them by so much."""
    each = zip((LADDER.lowest - wide).tolist(), (LADDER.highest + wide).tolist(), strict=True)
    return st.tuples(*(st.integers(low, high) for low, high in each)).map(lambda row: np.array(row, np.int64))


@given(any_numbers())
def test_numbers_that_fit_arrive_as_they_are(numbers: NDArray[np.int64]) -> None:
    assert LADDER.unpack(LADDER.pack(numbers, ENOUGH), ENOUGH).tolist() == numbers.tolist()


@given(any_numbers(wide=30), st.integers(1, 128))
def test_no_packet_exceeds_its_slot_and_what_arrives_is_what_one_rung_leaves(
    numbers: NDArray[np.int64], bits: int
) -> None:
    packet = LADDER.pack(numbers, bits)
    assert value_from_packet(packet, bits) < 2**bits
    arrived = LADDER.unpack(packet, bits)
    left = LADDER.received(np.repeat(numbers[None], RUNGS, 0), np.arange(RUNGS))
    assert any((arrived == rung).all() for rung in left)


@given(st.integers(1, 200), st.data())
def test_any_bytes_are_numbers_of_the_tables_or_refused_in_one_line(bits: int, data: st.DataObject) -> None:
    packet = data.draw(st.binary(min_size=(bits + 7) // 8, max_size=(bits + 7) // 8))
    try:
        arrived = LADDER.unpack(packet, bits)
    except PacketError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert ((arrived >= LADDER.lowest) & (arrived <= LADDER.highest)).all()


@given(st.binary(max_size=40))
def test_bytes_of_another_length_are_no_packet(packet: bytes) -> None:
    if len(packet) != 11:
        with pytest.raises(PacketError):
            LADDER.unpack(packet, 85)


@pytest.mark.parametrize("bits", [*range(1, 20), 85, 1024, 4096])
def test_zero_always_means_that_nothing_is_sent(bits: int) -> None:
    nothing = LADDER.unpack(packet_from_value(0, bits), bits)
    np.testing.assert_array_equal(nothing, LADDER.received(np.zeros((1, LATENTS), np.int64), np.zeros(1, np.int64))[0])


@given(any_numbers())
def test_coded_bits_are_counted_and_are_at_most_two_more_than_the_tables_sum_to(numbers: NDArray[np.int64]) -> None:
    rung = -np.log2(LADDER.rungs[-1, -1] / TOTAL)
    assert 0 <= LADDER.length(numbers) - LADDER.costs(numbers[None])[0, -1] - rung < 2.1


def test_a_message_fits_from_its_length_on() -> None:
    numbers = LADDER.highest
    bits = LADDER.length(numbers) + 8  # smaller slots' tables charge more for the finest rung
    assert (LADDER.unpack(LADDER.pack(numbers, bits), bits) == numbers).all()
    assert (LADDER.unpack(LADDER.pack(numbers, bits // 2), bits // 2) != numbers).any()


def test_more_bits_bring_what_arrives_nearer() -> None:
    rng = np.random.default_rng(1)
    rows = np.rint(rng.normal(0, 3, (40, LATENTS)) + (LADDER.lowest + LADDER.highest) / 2).astype(np.int64)
    rows = LADDER.clipped(rows)
    errors = [
        float(np.mean([(LADDER.unpack(LADDER.pack(row, bits), bits) - row) ** 2 for row in rows]))
        for bits in (1, 8, 18, 42, ENOUGH)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0
    assert errors[3] < errors[0] / 4


def test_rungs_send_ever_more_and_the_last_one_everything_as_it_is() -> None:
    numbers = LADDER.clipped(np.random.default_rng(2).integers(-9, 9, (30, LATENTS)))
    costs = LADDER.costs(numbers).mean(0)
    assert costs[0] == 0 and (np.diff(costs) >= 0).all() and len(costs) == RUNGS
    assert (LADDER.steps[-1] == 0).all() and (LADDER.steps[0] == len(STEPS)).all()
    assert (LADDER.received(numbers, np.full(30, RUNGS - 1)) == numbers).all()


def test_packets_are_recorded_and_keep_their_bytes() -> None:
    rng = np.random.default_rng(3)
    digest = hashlib.sha256()
    for bits in (1, 5, 12, 42, 85, 170):
        for _ in range(20):
            digest.update(LADDER.pack(rng.integers(-12, 12, LATENTS), bits))
    assert LADDER.pack(np.arange(-5, 5), 85).hex() == GOLDEN_PACKET
    assert digest.hexdigest().startswith(GOLDEN)


GOLDEN_PACKET, GOLDEN = "0614104e91e157aae00000", "5d128e7d4f823afed22a9e79a617471241ac754a50252299077f15ddaf9aae4d"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60).filter(any))
def test_frequencies_add_up_and_leave_none_out(weights: list[float]) -> None:
    table = frequencies_of(np.array(weights))
    assert table.sum() == TOTAL and table.min() >= 1
    assert table.argmax() == np.argmax(weights) or max(weights) / sum(weights) < 2 / TOTAL + 1.1 * np.median(weights)


def _spoilt(**tables: Any) -> Ladder:
    return replace(LADDER, **tables)


def _changed(table: NDArray[np.int64], place: tuple[int, int], value: int) -> NDArray[np.int64]:
    table = table.copy()
    table[place] = value
    return table


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"lowest": LADDER.lowest[:-1]}, "no known shape"),
        ({"frequencies": np.full((LATENTS, 256), 32)}, "no known shape"),
        ({"frequencies": _changed(LADDER.frequencies, (0, 1), 0)}, "add up"),
        ({"frequencies": _changed(LADDER.frequencies, (0, 1), -1)}, "add up"),
        ({"frequencies": np.roll(LADDER.frequencies, 1, 1)}, "gaps"),
        ({"rungs": LADDER.rungs[1:]}, "no known shape"),
        ({"rungs": np.full((len(SLOTS), RUNGS), TOTAL)}, "add up"),
        ({"rungs": np.roll(LADDER.rungs, 1, 1)}, "leave no room"),
    ],
)
def test_tables_that_are_none_are_refused(tables: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        _spoilt(**tables)
