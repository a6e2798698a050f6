"""Rows `best-fixed` and `worst-fixed`: chosen on other families than they are scored on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rates_builders import CONFIG, SIZES, SPEC, TINY, scored

from compression.coders.blocks import fixed_coders
from compression.coders.coder import find_coder, is_fixed
from compression.errors import CoderError, CompressionError
from compression.fitting.fitted import FittedRecord, dump_fitted
from racer.errors import ConfigError
from racer.rates.curves import fit_curves
from racer.rates.driving import drive_all
from racer.rates.grid import BLIND, OperatingPoint, RatesConfig, make_grid, sweep_settings
from racer.rates.sweep import prepare_sweep

DRIVERS = ("pursuit", "two-point", "satisficing")
LIKED = {"pursuit": "fixed-0-1-2-3", "two-point": "fixed-0-1-2-3", "satisficing": "fixed-4-5-6-7"}
"""With which blocks each family drives best; with others the worse the later they stand in the list."""

ROWS = [find_coder(name) for name in (BLIND, *fixed_coders(SIZES, 85))]


def config(drivers: tuple[str, ...] = DRIVERS) -> RatesConfig:
    settings = sweep_settings("car-racing", ["speed=50"])
    return replace(CONFIG, settings=settings, drivers=drivers, bits=(12, 85), participants=2, episodes=1)


def progress(point: OperatingPoint, person: int) -> float:
    if not is_fixed(point.coder):
        return {"raw": 0.5, BLIND: 0.1}.get(point.coder, 0.3)
    if point.coder == LIKED[point.driver.partition(":")[0]]:
        return 0.45
    return 0.2 - 0.001 * fixed_coders(SIZES, 85).index(point.coder)


def test_all_halves_of_the_blocks_are_driven_in_slots_that_hold_a_half() -> None:
    names = fixed_coders(SIZES, 85)
    assert (len(names), names[0], names[-1]) == (70, "fixed-0-1-2-3", "fixed-4-5-6-7")
    assert fixed_coders(SIZES, 12) == fixed_coders(SIZES, 2) == fixed_coders(SIZES, 170) == ()
    grid = make_grid(config(), [find_coder(name) for name in names], SIZES)
    assert {cell.point.bits for cell in grid.cells if is_fixed(cell.point.coder)} == {85}


def test_the_best_and_the_worst_are_chosen_by_what_other_families_make_of_them() -> None:
    scores, grid = scored(config(), ROWS, progress)
    curves = {(curve.driver, curve.coder): curve for curve in fit_curves(scores, grid, SPEC)}
    assert not any(is_fixed(coder) for _, coder in curves)
    best = {driver: curves[driver, "best-fixed"] for driver in DRIVERS}
    assert {driver: curve.chosen for driver, curve in best.items()} == dict.fromkeys(DRIVERS, ("fixed-0-1-2-3",))
    found = best["satisficing"].points[0].normalised
    assert found is not None and found.value == pytest.approx((0.2 - 0.1) / 0.4), "its own favourite had no say"
    assert curves["pursuit", "worst-fixed"].chosen == ("fixed-3-5-6-7",)
    over = best["pursuit"].points[0].over["worst-fixed"]
    assert over.value == pytest.approx((0.45 - 0.132) / 0.4)


def test_people_of_one_family_choose_nothing_for_each_other() -> None:
    scores, grid = scored(config(("pursuit", "pursuit:7")), ROWS, progress)
    assert {curve.coder for curve in fit_curves(scores, grid, SPEC)} == {"raw", "full", "blind"}


def test_an_agent_and_a_fitted_person_are_no_other_family_than_whom_they_came_from(tmp_path: Path) -> None:
    agent = tmp_path / "agent.safetensors"
    agent.write_bytes(dump_fitted({}, FittedRecord("agent", "0" * 64, (), (), (), {}, drivers=("pursuit",))))
    scores, grid = scored(config(("pursuit", str(agent), "ann.json")), ROWS, lambda point, person: 0.3)
    curves = fit_curves(scores, grid, SPEC, {"full": ("pursuit",)})
    assert {curve.coder for curve in curves} == {"raw", "full", "blind"}, "they choose nothing for each other"
    assert {curve.driver: curve.held_out for curve in curves if curve.coder == "full"}[str(agent)] is False


@pytest.mark.parametrize("change", [{"drivers": ("pursuit",)}, {"bits": (5,)}])
def test_where_nothing_can_be_chosen_they_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="chosen on other drivers than it is scored on, in slots that hold half"):
        prepare_sweep(replace(config(), **change), fixed_masks=True)  # type: ignore[arg-type]


def test_the_blocks_that_a_name_holds_are_the_ones_sent() -> None:
    sweep = prepare_sweep(replace(TINY, bits=(85,), participants=1, steps=3), ("fixed-0-1-2-3", "fixed-4-5-6-7"))
    scores = {score.cell.point.coder: score.episodes for score in drive_all(sweep.plan, sweep.grid.cells)}
    assert scores["fixed-0-1-2-3"] == scores["first-blocks"] != scores["blind"]
    assert sweep.grid.coders[-2:] == ("fixed-0-1-2-3", "fixed-4-5-6-7")


@pytest.mark.parametrize("name", ["fixed-0-8", "fixed-1-1"])
def test_blocks_that_there_are_not_are_left_out_with_the_reason(name: str) -> None:
    sweep = prepare_sweep(replace(TINY, bits=(85,)), (name,))
    assert name not in sweep.grid.coders
    (skipped,) = sweep.grid.skipped
    assert "there are no such blocks: name some of 0 to 7" in skipped.reason
    with pytest.raises((CoderError, CompressionError), match="there is no coder"):
        find_coder("fixed-")
