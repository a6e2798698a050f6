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
from racer.rates.families import worst_families
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
    """Progress that rises with log bits, less steeply for some people; `thrifty` needs half the bits of `coarse`."""
    if point.coder in ("raw", "full"):
        return 0.5 * float(PEOPLE[person])
    bits = point.bits * (2 if point.coder == "thrifty" else 1)
    return float(PEOPLE[person]) * 0.05 * float(np.log2(bits))


def test_means_and_shares_of_raw_are_over_people_and_paired() -> None:
    scores, grid = scored(CONFIG, [coder("coarse")], half_saved)
    curve = of(fit_curves(scores, grid), "coarse")
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

    scores, grid = scored(CONFIG, [coder("coarse")], half_saved)
    point = of(fit_curves(scores, grid), "coarse").points[0]
    theirs = bootstrap((PEOPLE * 0.1,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert point.metrics["progress"].interval is not None
    assert point.metrics["progress"].interval.low == pytest.approx(theirs.low, abs=1e-3)
    assert point.metrics["progress"].interval.high == pytest.approx(theirs.high, abs=1e-3)


def test_a_coder_that_needs_half_the_bits_differs_by_minus_50_percent() -> None:
    scores, grid = scored(CONFIG, [coder("coarse"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    difference = of(curves, "thrifty").difference
    assert difference is not None and difference.interval is not None
    assert difference.percent == pytest.approx(-50, abs=0.01)
    # Everybody saves half: the people drawn make no difference.
    assert difference.interval.high - difference.interval.low < 1e-6
    assert 0 < difference.overlap < 1 and difference.reason == ""
    assert [of(curves, name).difference for name in ("raw", "full", "coarse")] == [None] * 3


def test_where_some_people_never_reach_the_anchor_there_is_a_difference_without_an_interval() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        if point.coder == "odd":
            return {4: 0.05, 12: 0.09, 85: 0.16}[point.bits] if person else {4: 0.45, 12: 0.61, 85: 0.88}[point.bits]
        return half_saved(point, person)

    scores, grid = scored(CONFIG, [coder("coarse"), coder("odd")], progress)
    difference = of(fit_curves(scores, grid), "odd").difference
    assert difference is not None
    assert difference.percent is not None and difference.interval is None
    assert difference.reason.startswith("no interval: the curves overlap in ")


def test_least_bits_are_the_first_slot_from_which_the_fitted_curve_suffices() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        if point.coder == "lucky":
            # 0.96 at 4 bits is luck: at 12 bits it is 0.9, and the fit puts both at 0.93.
            return {4: 0.48, 12: 0.45, 85: 0.497}[point.bits]
        return half_saved(point, person) if point.coder == "coarse" else 0.5

    scores, grid = scored(CONFIG, [coder("coarse"), coder("lucky")], progress)
    curves = fit_curves(scores, grid)
    lucky = {least.share: (least.bits, least.low, least.high) for least in of(curves, "lucky").least_bits}
    assert lucky == {0.95: (85, 85, 85), 0.99: (85, 85, 85)}
    assert all(least.bits is least.low is least.high is None for least in of(curves, "coarse").least_bits)
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

    scores, grid = scored(replace(CONFIG, noise=(LOSS,)), [coder("coarse")], progress)
    curves = fit_curves(scores, grid)
    for name in ("coarse", "full"):
        for point in of(curves, name, LOSS).points:
            assert point.of_clean is not None and point.of_clean.interval is not None
            assert point.of_clean.value == pytest.approx(0.9)
            assert point.of_clean.interval.low == pytest.approx(0.9)
    noisy = of(curves, "coarse", LOSS).points[0].of_raw
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
    assert of(curves, "jpeg").difference is None, "there is no `coarse` to compare with"


def test_one_person_has_no_intervals_and_no_progress_on_raw_no_shares() -> None:
    scores, grid = scored(replace(CONFIG, participants=1), [coder("coarse"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    difference = of(curves, "thrifty").difference
    assert difference is not None
    assert difference.percent == pytest.approx(-50, abs=0.01) and difference.interval is None
    assert of(curves, "coarse").points[0].metrics["progress"].interval is None
    assert of(curves, "thrifty").least_bits[0].low is None
    scores, grid = scored(CONFIG, [coder("coarse")], lambda point, person: 0.0)
    assert of(fit_curves(scores, grid), "coarse").points[0].of_raw is None


def test_the_order_of_the_scores_makes_no_difference_and_all_of_it_is_json() -> None:
    scores, grid = scored(replace(CONFIG, noise=(LOSS,)), [coder("coarse"), coder("thrifty")], half_saved)
    curves = fit_curves(scores, grid)
    assert fit_curves(scores[::-1], grid) == curves
    json.dumps([curve_numbers(curve) for curve in curves], allow_nan=False)


# Directions ----------------------------------------------------------------------------------------------------------

LESS_IS_BETTER = replace(SPEC, metrics=(replace(SPEC.metric("off_road"), high=0.8), SPEC.metric("progress")))


def less_saved(point: OperatingPoint, person: int) -> float:
    """As `half_saved`, of a metric whose least is best: 0.8 is the worst."""
    return 0.8 - half_saved(point, person)


def test_where_less_is_better_rates_are_of_how_far_it_is_below_the_most() -> None:
    higher, grid = scored(CONFIG, [coder("coarse"), coder("thrifty")], half_saved)
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
    spec = replace(SPEC, metrics=(metric,), failure="")
    value = half_saved if metric.better == "higher" else less_saved
    grid = make_grid(CONFIG, [coder("coarse"), coder("thrifty")], SIZES)
    curves = fit([score(cell, 0.5, value(cell.point, cell.participant)) for cell in grid.cells], grid, spec)
    difference = of(curves, "thrifty").difference
    assert difference is not None and difference.percent == pytest.approx(-50, abs=0.01)
    assert all(point.of_raw is point.of_clean is None for curve in curves for point in curve.points)
    assert all(least.bits is None for curve in curves for least in curve.least_bits)


def test_a_metrics_least_value_is_where_its_shares_begin() -> None:
    spec = replace(SPEC, metrics=(replace(SPEC.primary, low=-1.0),), failure="")
    scores, grid = scored(CONFIG, [coder("coarse")], lambda point, person: half_saved(point, person) - 1)
    for point in of(fit(scores, grid, spec), "coarse").points:
        assert point.of_raw is not None and point.of_raw.value == pytest.approx(0.1 * np.log2(point.bits))


def test_settings_of_the_task_and_drivers_have_curves_of_their_own() -> None:
    config = replace(CONFIG, settings=sweep_settings("car-racing", ["speed=60,50"]), drivers=("pursuit", "mine:make"))
    scores, grid = scored(config, [coder("coarse")], half_saved)
    curves = fit_curves(scores, grid)
    places = [f"speed {speed}, {driver}" for speed in (50, 60) for driver in config.drivers]
    assert list(dict.fromkeys(curve.place for curve in curves)) == places
    assert len(curves) == len(places) * 3


# Normalised scores ---------------------------------------------------------------------------------------------------

NULL_AND_ONE = [coder("blind", padded=0), coder("coarse"), coder("theirs")]
"""Coders of these tests: who sees nothing, and two others."""


def over_blind(point: OperatingPoint, person: int) -> float:
    """Progress of people who get 60 % as far blind as on raw frames, and with `theirs` half of the way between."""
    of_raw = {"raw": 1.0, "full": 1.0, "blind": 0.6, "theirs": 0.8}.get(point.coder, 0.7)
    return 0.6 * float(PEOPLE[person]) * of_raw


def test_a_normalised_score_counts_from_who_sees_nothing_to_the_original_frames() -> None:
    scores, grid = scored(CONFIG, NULL_AND_ONE, over_blind)
    assert grid.soft == frozenset()
    curves = fit_curves(scores, grid)
    for name, expected in (("raw", 1.0), ("blind", 0.0), ("theirs", 0.5), ("coarse", 0.25)):
        for point in of(curves, name).points:
            assert point.normalised is not None and point.normalised.interval is not None
            assert point.normalised.value == pytest.approx(expected)
            # All differ alike from their own raw and blind: drawn together, nothing varies.
            assert point.normalised.interval.high - point.normalised.interval.low < 1e-9
    kept = of(curves, "theirs").points[0].kept
    assert kept is not None and kept.margin == 0.05 and kept.p is not None and kept.p > 0.99
    wide = fit(scores, grid, SPEC, margin=0.6)
    assert of(wide, "theirs").points[0].kept.p < 0.001  # type: ignore[union-attr]
    assert of(curves, "theirs").points[0].of_raw.value == pytest.approx(0.8)  # type: ignore[union-attr]
    assert [curve.flat for curve in curves] == [True, True, True, False, False]
    assert of(curves, "blind").difference is None


def test_bits_for_a_share_of_the_normalised_score_are_at_least_those_for_the_share_of_raw() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        of_raw = {4: 0.9, 12: 0.96, 85: 0.991}.get(point.bits, 1.0)
        return 0.6 * float(PEOPLE[person]) * (0.6 if point.coder == "blind" else of_raw)

    scores, grid = scored(CONFIG, NULL_AND_ONE, progress)
    curve = of(fit_curves(scores, grid), "theirs")
    assert [(least.share, least.bits) for least in curve.least_bits] == [(0.95, 12), (0.99, 85)]
    assert [(least.share, least.bits) for least in curve.least_bits_normalised] == [(0.95, 85), (0.99, None)]


def test_what_a_coder_adds_to_a_null_row_in_the_same_slot_is_paired() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        return 0.9 * half_saved(point, person) if point.coder == "first-blocks" else over_blind(point, person)

    coders = [*NULL_AND_ONE, coder("first-blocks")]
    scores, grid = scored(CONFIG, coders, progress)
    curves = fit_curves(scores, grid)
    for point in of(curves, "theirs").points:
        assert set(point.over) == {"first-blocks"}
        above = (0.6 * 0.8 - 0.9 * 0.05 * np.log2(point.bits)) / (0.6 * 0.4)
        assert point.over["first-blocks"].value == pytest.approx(above)
        interval = point.over["first-blocks"].interval
        assert interval is not None and interval.high - interval.low < 1e-9, "people differ alike in all"
    assert all(point.over == {} for name in ("raw", "blind", "first-blocks") for point in of(curves, name).points)


def test_where_open_eyes_bring_nobody_further_there_is_no_normalised_score() -> None:
    scores, grid = scored(CONFIG, NULL_AND_ONE, lambda point, person: 0.3)
    curves = fit_curves(scores, grid)
    assert all(point.normalised is None and point.of_raw is not None for curve in curves for point in curve.points)


def test_where_some_people_go_further_blind_the_score_has_no_interval() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        return 0.5 if point.coder == "blind" and person < 6 else over_blind(point, 7)

    scores, grid = scored(CONFIG, NULL_AND_ONE, progress)
    point = of(fit_curves(scores, grid), "theirs").points[0]
    assert point.normalised is not None and point.normalised.interval is not None

    def some_worse(point: OperatingPoint, person: int) -> float:
        return 0.9 if point.coder == "blind" and person < 3 else over_blind(point, 7)

    scores, grid = scored(CONFIG, NULL_AND_ONE, some_worse)
    point = of(fit_curves(scores, grid), "theirs").points[0]
    assert point.normalised is not None and point.normalised.interval is None


def test_the_worst_family_is_one_that_the_coder_was_not_fitted_on_where_there_is_one() -> None:
    def progress(point: OperatingPoint, person: int) -> float:
        lost = {"pursuit": 0.3, "two-point": 0.2}.get(point.driver, 0.1) if point.coder == "theirs" else 0.0
        return over_blind(point, person) * (1 - lost)

    config = replace(CONFIG, bits=(12,), drivers=("pursuit", "two-point", "satisficing"))
    scores, grid = scored(config, NULL_AND_ONE, progress)
    curves = fit(scores, grid, SPEC, {"theirs": ("pursuit",), "coarse": config.drivers})
    assert {(curve.coder, curve.driver) for curve in curves if not curve.held_out} == {
        ("theirs", "pursuit"),
        *(("coarse", driver) for driver in config.drivers),
    }
    apart = {curve.driver: curve.points[0].over_families for curve in curves if curve.coder == "theirs"}
    # Normalised -0.1, 0.1 and 0.3: each less the mean of the others, alike for all people.
    for driver, value in (("pursuit", -0.3), ("two-point", 0.0), ("satisficing", 0.3)):
        found = apart[driver]
        assert found is not None and found.interval is not None
        assert [found.value, found.interval.low, found.interval.high] == pytest.approx([value] * 3, abs=0.02)
    worst = {each.coder: each for each in worst_families(curves)}
    theirs = worst["theirs"]
    assert (theirs.driver, theirs.families, theirs.held_out, theirs.bits) == ("two-point", 2, True, 12)
    assert theirs.normalised.value == pytest.approx((0.8 * 0.8 - 0.6) / 0.4)
    assert (worst["coarse"].families, worst["coarse"].held_out) == (3, False)
    assert "raw" not in worst
    assert worst_families(curve for curve in curves if curve.driver == "pursuit") == ()


def test_who_drives_is_not_held_out_from_a_file_that_names_them_or_nobody() -> None:
    config = replace(CONFIG, bits=(12,), drivers=("mine:slow", "mine:fast", "two-point:7"))
    scores, grid = scored(config, [*NULL_AND_ONE, coder("silent")], over_blind)
    fitted_on: dict[str, tuple[str, ...]] = {"theirs": ("mine:slow", "two-point"), "silent": ()}
    curves = fit(scores, grid, SPEC, fitted_on)

    def held_out(name: str) -> dict[str, bool | None]:
        return {curve.driver: curve.held_out for curve in curves if curve.coder == name}

    assert held_out("theirs") == {"mine:slow": False, "mine:fast": True, "two-point:7": False}
    assert held_out("coarse") == dict.fromkeys(config.drivers, True), "nothing was fitted"
    assert held_out("silent") == dict.fromkeys(config.drivers, None), "nobody knows"
    worst = {each.coder: each for each in worst_families(curves)}
    assert (worst["silent"].families, worst["silent"].held_out) == (3, None)
    assert (worst["theirs"].driver, worst["theirs"].held_out) == ("mine:fast", True)


def test_agreement_is_a_mean_over_people_where_it_was_asked_for() -> None:
    scores, grid = scored(CONFIG, NULL_AND_ONE, over_blind)
    assert {point.agreement for curve in fit_curves(scores, grid) for point in curve.points} == {None}
    asked = [
        replace(each, episodes=tuple(replace(one, agreement=each.cell.participant / 10) for one in each.episodes))
        for each in scores
    ]
    point = of(fit_curves(asked, grid), "theirs").points[0]
    assert point.agreement is not None and point.agreement.value == pytest.approx(0.35)
    assert point.agreement.interval is not None


# Whole trials --------------------------------------------------------------------------------------------------------


def test_a_trial_is_finished_where_its_primary_metric_is_the_best_that_it_can_be() -> None:
    scores, grid = scored(CONFIG, [coder("coarse")], lambda point, person: 1.0 if person < 3 else 0.97)
    finished = of(fit_curves(scores, grid), "coarse").points[0].finished
    assert finished is not None and finished.interval is not None
    assert finished.value == pytest.approx(3 / CONFIG.participants)
    assert finished.interval.low < finished.value < finished.interval.high
    endless = replace(SPEC, whole_steps=0)
    assert of(fit(scores, grid, endless), "coarse").points[0].finished is None
