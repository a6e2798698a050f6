from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from rates_builders import CONFIG as WHOLE
from rates_builders import SIZES, SPEC, coder, score, scored

from racer.rates.curves import Curve
from racer.rates.curves import fit_curves as fit
from racer.rates.driving import CellScore
from racer.rates.grid import NO_NOISE, Grid, Noise, OperatingPoint, make_grid, sweep_settings
from racer.rates.write import curve_numbers

CONFIG = replace(
    WHOLE, settings=sweep_settings("car-racing", ["speed=50"]), bits=(4, 12, 85), participants=8, episodes=1
)
LOSS = Noise("erasures", 0.1)
PEOPLE = np.linspace(0.8, 1.2, 8)


def fit_curves(scores: list[CellScore], grid: Grid) -> tuple[Curve, ...]:
    return fit(scores, grid, SPEC)


def of(curves: tuple[Curve, ...], name: str, noise: Noise = NO_NOISE) -> Curve:
    (found,) = [curve for curve in curves if (curve.coder, curve.noise) == (name, noise)]
    return found


def half_saved(point: OperatingPoint, person: int) -> float:
    """Progress that rises with log bits, less steeply for some people; `thrifty` needs half the bits of `random`."""
    if point.coder in ("raw", "full"):
        return 0.5 * float(PEOPLE[person])
    bits = point.bits * (2 if point.coder == "thrifty" else 1)
    return float(PEOPLE[person]) * 0.05 * float(np.log2(bits))


def test_means_and_shares_of_raw_are_over_people_and_paired() -> None:
    scores, grid = scored(CONFIG, [coder("random")], half_saved)
    curve = of(fit_curves(scores, grid), "random")
    assert [point.bits_mean for point in curve.points] == [4, 12, 85]
    for point in curve.points:
        share = 0.05 * np.log2(point.bits) / 0.5
        assert point.metrics["progress"].value == pytest.approx(0.5 * share)
        assert (
            point.metrics["progress"].interval is not None
            and point.of_raw is not None
            and point.of_raw.interval is not None
        )
        assert (
            point.metrics["progress"].interval.low
            < point.metrics["progress"].value
            < point.metrics["progress"].interval.high
        )
        # People differ, but all keep the same share: drawn together with raw, it does not vary at all.
        assert point.of_raw.value == pytest.approx(share)
        assert point.of_raw.interval.high - point.of_raw.interval.low < 1e-12
        assert (point.participants, point.episodes, point.soft, point.of_clean) == (8, 8, False, None)


def test_the_interval_of_the_mean_is_the_percentile_bootstrap_of_scipy() -> None:
    from scipy.stats import bootstrap

    scores, grid = scored(CONFIG, [coder("random")], half_saved)
    point = of(fit_curves(scores, grid), "random").points[0]
    theirs = bootstrap((PEOPLE * 0.1,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert point.metrics["progress"].interval is not None
    assert point.metrics["progress"].interval.low == pytest.approx(theirs.low, abs=1e-3)
    assert point.metrics["progress"].interval.high == pytest.approx(theirs.high, abs=1e-3)


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
    def progress(point: OperatingPoint, person: int) -> float:
        if point.coder == "odd":
            return 0.02 * point.bits**0.2 if person else 0.9
        return half_saved(point, person)

    scores, grid = scored(CONFIG, [coder("random"), coder("odd")], progress)
    difference = of(fit_curves(scores, grid), "odd").difference
    assert difference is not None
    assert difference.percent is not None and difference.interval is None
    assert difference.reason.startswith("no interval: the curves overlap in ")


def test_least_bits_are_the_first_slot_from_which_the_fitted_curve_suffices() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        if point.coder == "lucky":
            # 0.96 at 4 bits is luck: at 12 bits it is 0.9, and the fit puts both at 0.93.
            return {4: 0.48, 12: 0.45, 85: 0.497}[point.bits]
        return half_saved(point, person) if point.coder == "random" else 0.5

    scores, grid = scored(CONFIG, [coder("random"), coder("lucky")], progress)
    curves = fit_curves(scores, grid)
    lucky = {least.share: (least.bits, least.low, least.high) for least in of(curves, "lucky").least_bits}
    assert lucky == {0.95: (85, 85, 85), 0.99: (85, 85, 85)}
    assert all(least.bits is least.low is least.high is None for least in of(curves, "random").least_bits)
    assert of(curves, "raw").least_bits == ()


def test_the_interval_of_the_least_bits_spans_what_other_people_would_need() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        enough = 4 if person < 4 else 85
        return 0.5 if point.coder in ("raw", "full") or point.bits >= enough else 0.46

    scores, grid = scored(CONFIG, [coder("mixed")], progress)
    least = of(fit_curves(scores, grid), "mixed").least_bits[0]
    assert (least.bits, least.low, least.high) == (4, 4, 85)


def test_progress_under_noise_is_compared_with_the_same_coder_without() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        return half_saved(point, person) * (0.9 if point.noise == LOSS else 1)

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
    grid = make_grid(CONFIG, [coder("jpeg", padded=900), coder("lazy")], SIZES)

    def used(point: OperatingPoint) -> float | None:
        return {"jpeg": 5000.5, "lazy": 0.5 * point.bits}.get(point.coder)

    scores = [score(cell, 0.1, bits=used(cell.point)) for cell in grid.cells]
    curves = fit_curves(scores, grid)
    (jpeg,) = of(curves, "jpeg").points
    assert (jpeg.bits_mean, jpeg.soft) == (5000.5, True)
    assert [(point.bits, point.bits_mean) for point in of(curves, "lazy").points] == [(4, 2), (12, 6), (85, 42.5)]
    assert of(curves, "jpeg").difference is None, "there is no `random` to compare with"


def test_one_person_has_no_intervals_and_no_progress_on_raw_no_shares() -> None:
    scores, grid = scored(replace(CONFIG, participants=1), [coder("random"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    difference = of(curves, "thrifty").difference
    assert difference is not None
    assert difference.percent == pytest.approx(-50, abs=0.01) and difference.interval is None
    assert of(curves, "random").points[0].metrics["progress"].interval is None
    assert of(curves, "thrifty").least_bits[0].low is None
    scores, grid = scored(CONFIG, [coder("random")], lambda point, person: 0.0)
    assert of(fit_curves(scores, grid), "random").points[0].of_raw is None


def test_the_order_of_the_scores_makes_no_difference_and_all_of_it_is_json() -> None:
    scores, grid = scored(replace(CONFIG, noise=(LOSS,)), [coder("random"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    assert fit_curves(scores[::-1], grid) == curves
    json.dumps([curve_numbers(curve) for curve in curves], allow_nan=False)


# Directions ----------------------------------------------------------------------------------------------------------

LESS_IS_BETTER = replace(SPEC, metrics=(replace(SPEC.metric("off_road"), high=0.8), SPEC.metric("progress")))


def less_saved(point: OperatingPoint, person: int) -> float:
    """As `half_saved`, of a metric whose least is best: 0.8 is the worst."""
    return 0.8 - half_saved(point, person)


def test_where_less_is_better_rates_are_of_how_far_it_is_below_the_most() -> None:
    higher, grid = scored(CONFIG, [coder("random"), coder("thrifty")], half_saved)
    lower = [score(cell, 0.5, off_road=less_saved(cell.point, cell.participant)) for cell in grid.cells]
    for found, other in zip(fit(lower, grid, LESS_IS_BETTER), fit_curves(higher, grid), strict=True):
        assert [least.bits for least in found.least_bits] == [least.bits for least in other.least_bits]
        for point, its in zip(found.points, other.points, strict=True):
            assert point.metrics["off_road"].value == pytest.approx(0.8 - its.metrics["progress"].value)
            assert point.of_raw is not None and its.of_raw is not None
            assert point.of_raw.value == pytest.approx(its.of_raw.value)
        if other.difference is not None and other.difference.percent is not None:
            assert found.difference is not None
            assert found.difference.percent == pytest.approx(other.difference.percent)


@pytest.mark.parametrize("bounds", [{"better": "higher", "low": None}, {"better": "lower", "high": None}])
def test_a_metric_without_a_worst_value_has_rates_and_no_shares(bounds: dict[str, object]) -> None:
    metric = replace(SPEC.metric("off_road"), **bounds)  # type: ignore[arg-type]
    spec = replace(SPEC, metrics=(metric,))
    value = half_saved if metric.better == "higher" else less_saved
    grid = make_grid(CONFIG, [coder("random"), coder("thrifty")], SIZES)
    curves = fit([score(cell, 0.5, value(cell.point, cell.participant)) for cell in grid.cells], grid, spec)
    difference = of(curves, "thrifty").difference
    assert difference is not None and difference.percent == pytest.approx(-50, abs=0.01)
    assert all(point.of_raw is point.of_clean is None for curve in curves for point in curve.points)
    assert all(least.bits is None for curve in curves for least in curve.least_bits)


def test_a_metrics_least_value_is_where_its_shares_begin() -> None:
    spec = replace(SPEC, metrics=(replace(SPEC.primary, low=-1.0),))
    scores, grid = scored(CONFIG, [coder("random")], lambda point, person: half_saved(point, person) - 1)
    for point in of(fit(scores, grid, spec), "random").points:
        assert point.of_raw is not None and point.of_raw.value == pytest.approx(0.1 * np.log2(point.bits))


def test_settings_of_the_task_and_drivers_have_curves_of_their_own() -> None:
    config = replace(CONFIG, settings=sweep_settings("car-racing", ["speed=60,50"]), drivers=("pursuit", "mine:make"))
    scores, grid = scored(config, [coder("random")], half_saved)
    curves = fit_curves(scores, grid)
    places = [f"speed {speed}, {driver}" for speed in (50, 60) for driver in config.drivers]
    assert list(dict.fromkeys(curve.place for curve in curves)) == places
    assert len(curves) == len(places) * 3
