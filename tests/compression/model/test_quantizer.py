from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compression.model.quantizer import CODEBOOK_WIDTH, Quantizer, fit_codebook

FIRST = np.array([0])


def table_of(codebook: NDArray[np.float32], feature: int, levels: int) -> NDArray[np.float32]:
    """Return a table of a codebook, whose tables of 1, 2, 3, ... levels lie side by side."""
    start = sum(range(levels))
    return codebook[feature, start : start + levels]


def even_codebook() -> NDArray[np.float32]:
    """Return float32[2, 2080]: n levels are n numbers centred on 0, one apart; twice that for the second feature."""
    row = np.concatenate([np.arange(levels) - (levels - 1) / 2 for levels in range(1, 65)])
    return np.stack([row, 2 * row]).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> NDArray[np.float32]:
    """Return the codebook of 40,000 standard normal samples."""
    return fit_codebook(np.random.default_rng(11).standard_normal((40_000, 1)).astype(np.float32))


def distortion(codebook: NDArray[np.float32], levels: int) -> float:
    """Return the mean squared error on 20,000 other standard normal samples."""
    quantizer = Quantizer(codebook)
    samples = np.random.default_rng(12).standard_normal(20_000).astype(np.float32)
    features, counts = np.zeros(len(samples), np.intp), (levels,) * len(samples)
    symbols = [quantizer.encode(samples[i : i + 1], FIRST, (levels,))[0] for i in range(len(samples))]
    return float(((quantizer.decode(symbols, features, counts) - samples) ** 2).mean())


def test_golden_symbols_and_values() -> None:
    quantizer = Quantizer(even_codebook())
    latent = np.array([0.6, 0.6], np.float32)
    features, levels = np.array([0, 1, 0, 0]), (4, 4, 1, 3)
    # 4 levels: -1.5, -0.5, 0.5, 1.5, and twice that for feature 1; 3 levels: -1, 0, 1.
    symbols = quantizer.encode(latent, features, levels)
    assert symbols == [2, 2, 0, 2]
    values = quantizer.decode(symbols, features, levels)
    assert values.dtype == np.float32
    assert values.tolist() == [0.5, 1.0, 0.0, 1.0]


@settings(max_examples=150)
@given(st.floats(-200, 200, width=32), st.integers(1, 64), st.sampled_from([0, 1]))
def test_the_symbol_is_that_of_the_nearest_entry(value: float, levels: int, feature: int) -> None:
    codebook = even_codebook()
    (symbol,) = Quantizer(codebook).encode(np.full(2, value, np.float32), np.array([feature]), (levels,))
    distances = np.abs(table_of(codebook, feature, levels).astype(np.float64) - value)
    assert distances[symbol] == distances.min()


@settings(max_examples=60)
@given(st.floats(-6, 6, width=32), st.integers(1, 64))
def test_quantising_twice_changes_nothing(fitted: NDArray[np.float32], value: float, levels: int) -> None:
    quantizer = Quantizer(fitted)
    once = quantizer.decode(quantizer.encode(np.array([value], np.float32), FIRST, (levels,)), FIRST, (levels,))
    twice = quantizer.decode(quantizer.encode(once, FIRST, (levels,)), FIRST, (levels,))
    assert once.tobytes() == twice.tobytes()


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan, -1e30, 1e30])
@pytest.mark.parametrize("levels", [1, 2, 30, 64])
def test_any_number_gets_a_symbol_in_range(value: float, levels: int) -> None:
    (symbol,) = Quantizer(even_codebook()).encode(np.full(2, value, np.float32), FIRST, (levels,))
    assert 0 <= symbol < levels


def test_one_level_is_the_mean() -> None:
    samples = np.random.default_rng(3).gamma(2.0, size=(5000, 3)).astype(np.float32)
    codebook = fit_codebook(samples)
    for feature in range(3):
        assert table_of(codebook, feature, 1)[0] == pytest.approx(samples[:, feature].mean(dtype=np.float64), abs=1e-5)


# J. Max, "Quantizing for minimum distortion", 1960, table I: the least mean squared error on a standard Gaussian.
@pytest.mark.parametrize(("levels", "least"), [(2, 0.3634), (4, 0.1175), (8, 0.03454), (16, 0.009497), (32, 0.002499)])
def test_fitted_tables_reach_the_least_distortion_of_a_gaussian(
    fitted: NDArray[np.float32], levels: int, least: float
) -> None:
    assert distortion(fitted, levels) == pytest.approx(least, rel=0.06)


@pytest.mark.parametrize("levels", [30, 31, 35, 40])
def test_fitted_tables_beat_equiprobable_bins(fitted: NDArray[np.float32], levels: int) -> None:
    samples = np.sort(np.random.default_rng(11).standard_normal(40_000))
    centres = [part.mean() for part in np.array_split(samples, levels)]
    equiprobable = even_codebook()[:1].copy()
    start = sum(range(levels))
    equiprobable[0, start : start + levels] = centres
    assert distortion(fitted, levels) < 0.5 * distortion(equiprobable, levels)


def test_more_levels_lower_the_distortion(fitted: NDArray[np.float32]) -> None:
    errors = [distortion(fitted, levels) for levels in (1, 2, 3, 5, 10, 20, 40, 64)]
    assert errors == sorted(errors, reverse=True)


def test_few_distinct_samples_still_give_a_valid_codebook() -> None:
    samples = np.array([[0.0], [0.0], [1.0], [5.0]], np.float32)
    codebook = fit_codebook(samples)
    quantizer = Quantizer(codebook)
    decoded = [quantizer.decode(quantizer.encode(row, FIRST, (64,)), FIRST, (64,))[0] for row in samples]
    assert np.allclose(decoded, samples[:, 0], atol=1e-5)


def test_fitting_twice_gives_the_same_codebook() -> None:
    samples = np.random.default_rng(5).standard_normal((500, 2)).astype(np.float32)
    assert fit_codebook(samples).tobytes() == fit_codebook(samples[::-1].copy()).tobytes()


def swap_two_entries(codebook: NDArray[np.float32]) -> NDArray[np.float32]:
    damaged = codebook.copy()
    damaged[1, [435, 440]] = damaged[1, [440, 435]]  # both in the table of 30 levels
    return damaged


def put_nan(codebook: NDArray[np.float32]) -> NDArray[np.float32]:
    damaged = codebook.copy()
    damaged[0, 100] = np.nan
    return damaged


def put_infinity(codebook: NDArray[np.float32]) -> NDArray[np.float32]:
    damaged = codebook.copy()
    damaged[0, CODEBOOK_WIDTH - 1] = np.inf
    return damaged


@pytest.mark.parametrize(
    "damage",
    [
        swap_two_entries,
        put_nan,
        put_infinity,
        lambda codebook: codebook[:, :-1],
        lambda codebook: codebook[0],
        lambda codebook: codebook.T,
        lambda codebook: codebook[..., None],
    ],
)
def test_a_damaged_codebook_is_refused(damage: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    Quantizer(even_codebook())
    with pytest.raises(ValueError):
        Quantizer(damage(even_codebook()))
