from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from racer.tasks.car_racing.frames import FRAME_SIZE, OBSERVATION_SIZE, SCENE_ROWS, frame_from_observation


def overlaps(source: int) -> list[list[Fraction]]:
    """Return how much of each of `source` cells lies in each of the 64 stretches, exactly."""
    size = Fraction(source, FRAME_SIZE)

    def overlap(stretch: int, cell: int) -> Fraction:
        first, last = max(stretch * size, Fraction(cell)), min((stretch + 1) * size, Fraction(cell + 1))
        return max(Fraction(0), last - first)

    return [[overlap(stretch, cell) for cell in range(source)] for stretch in range(FRAME_SIZE)]


ROWS, COLUMNS = (
    np.array([[int(16 * part) for part in row] for row in overlaps(source)])
    for source in (SCENE_ROWS, OBSERVATION_SIZE)
)
"""Sixteenths of a cell, all whole: 84 / 64 = 21 / 16 and 96 / 64 = 24 / 16."""


def area_average(observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average each target pixel's share of the scene in whole numbers, and round (an exact half cannot arise)."""
    sums = np.einsum("ir,jc,rck->ijk", ROWS, COLUMNS, observation[:SCENE_ROWS].astype(int), optimize=True)
    average: NDArray[np.uint8] = ((2 * sums + 21 * 24) // (2 * 21 * 24)).astype(np.uint8)
    return average


def observation(seed: int, most: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(most + 1, size=(96, 96, 3), dtype=np.uint8)


def test_the_weights_used_here_are_whole_and_add_up() -> None:
    for whole, source in ((ROWS, SCENE_ROWS), (COLUMNS, OBSERVATION_SIZE)):
        assert [[Fraction(int(part), 16) for part in row] for row in whole] == overlaps(source)
        assert set(whole.sum(axis=1)) == {16 * source // FRAME_SIZE}
        assert set(whole.sum(axis=0)) == {16}


@given(seed=st.integers(0, 2**32), most=st.sampled_from([1, 2, 3, 254, 255]))
@example(seed=0, most=0)
@settings(max_examples=60)
def test_the_frame_is_the_exact_area_average_rounded(seed: int, most: int) -> None:
    pixels = observation(seed, most)
    frame = frame_from_observation(pixels)
    assert (frame.shape, frame.dtype.name) == ((FRAME_SIZE, FRAME_SIZE, 3), "uint8")
    assert np.array_equal(frame, area_average(pixels))


def test_the_first_pixel_is_what_a_pencil_makes_of_it() -> None:
    # It covers 1 and 5/16 of the first two rows, 1 and 1/2 of the first two columns.
    pixels = np.zeros((96, 96, 3), np.uint8)
    pixels[:2, :2, 0] = [[63, 42], [0, 0]]
    pixels[:2, :2, 1] = [[20, 0], [0, 63]]
    cell = Fraction(21, 16) * Fraction(24, 16)
    assert (63 + Fraction(42, 2)) / cell == Fraction(128, 3)
    assert (20 + 63 * Fraction(5, 32)) / cell == Fraction(955, 63)
    assert frame_from_observation(pixels)[0, 0].tolist() == [43, 15, 0]


def test_the_indicator_bar_leaves_no_trace() -> None:
    whole = observation(1, 255)
    other = whole.copy()
    other[SCENE_ROWS:] = 255 - other[SCENE_ROWS:]
    assert np.array_equal(frame_from_observation(whole), frame_from_observation(other))
    assert np.array_equal(frame_from_observation(whole), frame_from_observation(whole[:SCENE_ROWS]))


def test_the_observation_is_left_as_it_was_and_may_be_a_view() -> None:
    pixels = observation(2, 255)
    before = pixels.copy()
    frame = frame_from_observation(pixels)
    assert np.array_equal(pixels, before)
    assert frame.flags.c_contiguous
    backwards = np.ascontiguousarray(pixels[:, ::-1])[:, ::-1]
    assert np.array_equal(frame_from_observation(backwards), frame)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((83, 96, 3), np.uint8),
        np.zeros((96, 95, 3), np.uint8),
        np.zeros((96, 96, 3), np.float32),
        np.zeros((96, 96, 3), np.int8),
        np.zeros((96, 96), np.uint8),
        np.zeros((1, 96, 96, 3), np.uint8),
        np.zeros((96, 96, 4), np.uint8),
        np.zeros(96, np.uint8),
    ],
    ids=lambda wrong: f"{wrong.dtype}{list(wrong.shape)}",
)
def test_other_shapes_and_dtypes_are_refused_by_name(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected a CarRacing observation, uint8\[96, 96, 3\]; got "):
        frame_from_observation(wrong)
