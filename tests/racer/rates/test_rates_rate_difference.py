from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import isotonic_regression

from racer.rates.rate_difference import Curve, monotone, rate_difference, rising_curve

SLOTS = np.array([1, 2, 3, 5, 8, 12, 18, 27, 42, 85, 170.0])
progress = arrays.arrays(np.float64, st.integers(1, 11), elements=st.floats(0, 1))


def curve(rates: list[float], values: list[float]) -> Curve:
    return rising_curve(np.array(rates), monotone(np.array(values)))


# The monotone fit ----------------------------------------------------------------------------------------------------


@given(progress)
def test_the_fit_rises_and_is_the_isotonic_regression_of_scipy(values: np.ndarray) -> None:
    fitted = monotone(values)
    assert (np.diff(fitted) >= -1e-12).all()
    np.testing.assert_allclose(fitted, isotonic_regression(values).x, atol=1e-9)


@given(progress)
def test_what_rises_already_is_left_as_it_is_and_the_mean_is_kept(values: np.ndarray) -> None:
    np.testing.assert_allclose(monotone(np.sort(values)), np.sort(values), atol=1e-12)
    assert monotone(values).mean() == pytest.approx(values.mean())


@given(arrays.arrays(np.float64, (4, 7), elements=st.floats(0, 1)))
def test_many_sequences_are_fitted_as_each_of_them_is(values: np.ndarray) -> None:
    np.testing.assert_array_equal(monotone(values), np.stack([monotone(row) for row in values]))


@given(progress)
def test_a_rising_curve_rises_strictly_and_keeps_the_cheapest_point_of_each_plateau(values: np.ndarray) -> None:
    fitted = monotone(values)
    rates, reached = rising_curve(SLOTS[: len(values)], fitted)
    assert (np.diff(rates) > 0).all() and (np.diff(reached) > 0).all()
    for rate, at in zip(rates, reached, strict=True):
        assert rate == SLOTS[np.flatnonzero(fitted >= at - 1e-12)[0]]
    assert rates[0] == SLOTS[0]


# The difference ------------------------------------------------------------------------------------------------------


def test_half_the_bits_for_the_same_progress_are_50_percent_less() -> None:
    anchor = curve([4, 8, 16, 32, 64], [0.1, 0.2, 0.25, 0.4, 0.5])
    found = rate_difference(anchor, (anchor[0] / 2, anchor[1]))
    assert found.percent == pytest.approx(-50)
    assert found.overlap == pytest.approx(1)


def test_the_difference_is_what_it_is_by_hand() -> None:
    # log10 of the rate r is a straight line over progress q, where interpolation has nothing to choose. Both reach
    # progress from 0.05 to 0.2.
    anchor = curve([10, 100, 1000], [0.0, 0.1, 0.2])  # log10 r = 1 + 10 q; its mean there is 2.25
    test = curve([10, 10**1.5, 100], [0.05, 0.15, 0.25])  # log10 r = 1 + 5 (q - 0.05); its mean there is 1.375
    found = rate_difference(anchor, test)
    assert found.percent == pytest.approx(100 * (10 ** (1.375 - 2.25) - 1))
    assert found.overlap == pytest.approx(0.15 / 0.25)


@given(progress.filter(lambda values: np.ptp(values) > 0.01), st.floats(0.1, 10))
def test_scaling_the_bits_scales_the_difference_and_swapping_the_two_inverts_it(values: np.ndarray, by: float) -> None:
    anchor = rising_curve(SLOTS[: len(values)], monotone(values))
    if len(anchor[0]) < 3 or np.diff(anchor[1]).min() < 1e-6:
        return
    test = anchor[0] * by, anchor[1]
    found, inverse = rate_difference(anchor, test).percent, rate_difference(test, anchor).percent
    assert found is not None and inverse is not None
    assert found == pytest.approx(100 * (by - 1), abs=1e-6)
    assert (1 + found / 100) * (1 + inverse / 100) == pytest.approx(1)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (curve([1, 2, 4], [0.6, 0.7, 0.8]), "the fewest bits already bring it further than the other ever comes"),
        (curve([1, 2, 4], [0.0, 0.01, 0.02]), "even the most bits bring it less far than the other's fewest"),
        (curve([5000], [0.3]), "more bits bring the coder no further, so it has no curve"),
        (curve([1, 2, 4], [0.4, 0.3, 0.2]), "more bits bring the coder no further, so it has no curve"),
        (curve([0, 2, 4], [0.2, 0.3, 0.4]), "a rate of 0 bits has no logarithm"),
        (curve([1, 2, 4], [0.29, 0.7, 0.9]), "the curves share less than half of what they reach"),
        (curve([1, 4], [0.1, 0.45]), "all that the curves share lies between two points of one of them"),
    ],
)
def test_where_there_is_no_difference_it_is_said_why(test: Curve, reason: str) -> None:
    found = rate_difference(curve([4, 12, 85], [0.1, 0.3, 0.5]), test)
    assert (found.percent, found.reason) == (None, reason)
    assert 0 <= found.overlap < 1


def test_an_anchor_that_does_not_rise_gives_no_difference() -> None:
    found = rate_difference(curve([4, 12], [0.3, 0.3]), curve([4, 12], [0.2, 0.4]))
    assert (found.percent, found.reason) == (None, "more bits bring the coder compared with no further")


@given(progress, progress)
def test_whatever_the_curves_are_the_answer_is_a_number_or_a_reason(one: np.ndarray, other: np.ndarray) -> None:
    anchor, test = (rising_curve(SLOTS[: len(values)], monotone(values)) for values in (one, other))
    found = rate_difference(anchor, test)
    assert (found.percent is None) == bool(found.reason)
    assert found.percent is None or math.isfinite(found.percent)
    assert 0 <= found.overlap <= 1
