from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from rates_builders import coder, score, scored

from racer.rates.curves import Curve, fit_curves
from racer.rates.grid import NO_NOISE, Noise, RatesConfig, Way, make_grid

CONFIG = RatesConfig(bits=(4, 12, 85), speeds=(50.0,), participants=8, tracks=1)
LOSS = Noise("erasures", 0.1)
PEOPLE = np.linspace(0.8, 1.2, 8)


def of(curves: tuple[Curve, ...], name: str, noise: Noise = NO_NOISE) -> Curve:
    (found,) = [curve for curve in curves if (curve.coder, curve.noise) == (name, noise)]
    return found


def half_saved(way: Way, person: int) -> float:
    """Progress that rises with log bits, less steeply for some people; `thrifty` needs half the bits of `random`."""
    if way.coder in ("raw", "full"):
        return 0.5 * float(PEOPLE[person])
    bits = way.bits * (2 if way.coder == "thrifty" else 1)
    return float(PEOPLE[person]) * 0.05 * float(np.log2(bits))


def test_means_and_shares_of_raw_are_over_people_and_paired() -> None:
    scores, grid = scored(CONFIG, [coder("random")], half_saved)
    curve = of(fit_curves(scores, grid), "random")
    assert [point.bits_mean for point in curve.points] == [4, 12, 85]
    for point in curve.points:
        share = 0.05 * np.log2(point.way.bits) / 0.5
        assert point.progress.value == pytest.approx(0.5 * share)
        assert point.progress.interval is not None and point.of_raw is not None and point.of_raw.interval is not None
        assert point.progress.interval.low < point.progress.value < point.progress.interval.high
        # People differ, but all keep the same share: drawn together with raw, it does not vary at all.
        assert point.of_raw.value == pytest.approx(share)
        assert point.of_raw.interval.high - point.of_raw.interval.low < 1e-12
        assert (point.participants, point.episodes, point.soft, point.of_clean) == (8, 8, False, None)


def test_the_interval_of_the_mean_is_the_percentile_bootstrap_of_scipy() -> None:
    from scipy.stats import bootstrap

    scores, grid = scored(CONFIG, [coder("random")], half_saved)
    point = of(fit_curves(scores, grid), "random").points[0]
    theirs = bootstrap((PEOPLE * 0.1,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert point.progress.interval is not None
    assert point.progress.interval.low == pytest.approx(theirs.low, abs=1e-3)
    assert point.progress.interval.high == pytest.approx(theirs.high, abs=1e-3)


def test_a_coder_that_needs_half_the_bits_differs_by_minus_50_percent() -> None:
    scores, grid = scored(CONFIG, [coder("random"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    difference = of(curves, "thrifty").difference
    assert difference is not None and difference.interval is not None
    assert difference.percent == pytest.approx(-50, abs=0.01)
    # Everybody saves half: the people drawn make no difference.
    assert difference.interval.high - difference.interval.low < 1e-6
    assert 0 < difference.overlap < 1 and difference.reason == ""
    assert [of(curves, name).difference for name in ("raw", "full", "random")] == [None] * 3


def test_where_some_people_never_reach_the_anchor_there_is_a_difference_without_an_interval() -> None:
    def progress(way: Way, person: int) -> float:
        if way.coder == "odd":
            return 0.02 * way.bits**0.2 if person else 0.9
        return half_saved(way, person)

    scores, grid = scored(CONFIG, [coder("random"), coder("odd")], progress)
    difference = of(fit_curves(scores, grid), "odd").difference
    assert difference is not None
    assert difference.percent is not None and difference.interval is None
    assert difference.reason.startswith("no interval: the curves overlap in ")


def test_least_bits_are_the_first_slot_from_which_the_fitted_curve_suffices() -> None:
    def progress(way: Way, person: int) -> float:
        if way.coder == "lucky":
            # 0.96 at 4 bits is luck: at 12 bits it is 0.9, and the fit puts both at 0.93.
            return {4: 0.48, 12: 0.45, 85: 0.497}[way.bits]
        return half_saved(way, person) if way.coder == "random" else 0.5

    scores, grid = scored(CONFIG, [coder("random"), coder("lucky")], progress)
    curves = fit_curves(scores, grid)
    lucky = {least.share: (least.bits, least.low, least.high) for least in of(curves, "lucky").least_bits}
    assert lucky == {0.95: (85, 85, 85), 0.99: (85, 85, 85)}
    assert all(least.bits is least.low is least.high is None for least in of(curves, "random").least_bits)
    assert of(curves, "raw").least_bits == ()


def test_the_interval_of_the_least_bits_spans_what_other_people_would_need() -> None:
    def progress(way: Way, person: int) -> float:
        enough = 4 if person < 4 else 85
        return 0.5 if way.coder in ("raw", "full") or way.bits >= enough else 0.46

    scores, grid = scored(CONFIG, [coder("mixed")], progress)
    least = of(fit_curves(scores, grid), "mixed").least_bits[0]
    assert (least.bits, least.low, least.high) == (4, 4, 85)


def test_progress_under_noise_is_compared_with_the_same_coder_without() -> None:
    def progress(way: Way, person: int) -> float:
        return half_saved(way, person) * (0.9 if way.noise == LOSS else 1)

    scores, grid = scored(replace(CONFIG, noise=(LOSS,)), [coder("random")], progress)
    curves = fit_curves(scores, grid)
    for name in ("random", "full"):
        for point in of(curves, name, LOSS).points:
            assert point.of_clean is not None and point.of_clean.interval is not None
            assert point.of_clean.value == pytest.approx(0.9)
            assert point.of_clean.interval.low == pytest.approx(0.9)
    noisy = of(curves, "random", LOSS).points[0].of_raw
    assert noisy is not None and noisy.value == pytest.approx(0.9 * 0.2), "raw is the one without noise"
    assert [curve.noise for curve in curves] == [NO_NOISE] * 3 + [LOSS] * 2


def test_coders_are_placed_by_the_bits_that_they_really_used() -> None:
    grid = make_grid(CONFIG, [coder("jpeg", padded=900), coder("lazy")])

    def used(way: Way) -> float | None:
        return {"jpeg": 5000.5, "lazy": 0.5 * way.bits}.get(way.coder)

    scores = [score(cell, 0.1, bits=used(cell.way)) for cell in grid.cells]
    curves = fit_curves(scores, grid)
    (jpeg,) = of(curves, "jpeg").points
    assert (jpeg.bits_mean, jpeg.soft) == (5000.5, True)
    assert [(point.way.bits, point.bits_mean) for point in of(curves, "lazy").points] == [(4, 2), (12, 6), (85, 42.5)]
    assert of(curves, "jpeg").difference is None, "there is no `random` to compare with"


def test_one_person_has_no_intervals_and_no_progress_on_raw_no_shares() -> None:
    scores, grid = scored(replace(CONFIG, participants=1), [coder("random"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    difference = of(curves, "thrifty").difference
    assert difference is not None
    assert difference.percent == pytest.approx(-50, abs=0.01) and difference.interval is None
    assert of(curves, "random").points[0].progress.interval is None
    assert of(curves, "thrifty").least_bits[0].low is None
    scores, grid = scored(CONFIG, [coder("random")], lambda way, person: 0.0)
    assert of(fit_curves(scores, grid), "random").points[0].of_raw is None


def test_the_order_of_the_scores_makes_no_difference_and_all_of_it_is_json() -> None:
    scores, grid = scored(replace(CONFIG, noise=(LOSS,)), [coder("random"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    assert fit_curves(scores[::-1], grid) == curves
    json.dumps([asdict(curve) for curve in curves], allow_nan=False)
