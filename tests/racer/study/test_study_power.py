from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_builders import write_study
from statsmodels.stats.power import TTestPower
from typer.testing import CliRunner

from racer.cli import make_app
from racer.report.primary import primary_result
from racer.sitting.protocol import balanced_rows
from racer.study.components import Components, MeasuredPerson, PowerError, components_of, fit_components
from racer.study.outcome import Outcome
from racer.study.power import plan_power, power_curve

DIFFERS = Outcome("progress", "pico", "random", "differs", 0.05)
KEEPS = Outcome("progress", "pico", "random", "keeps", 0.05)
ROWS = balanced_rows(2)


def known(between: np.ndarray, places: tuple[float, float] = (0.0, 0.0), pilots: float | None = None) -> Components:
    mean = np.full(2, 0.6)
    return Components(10**6, 1.0, mean, between, np.zeros((2, 2)), np.array(places), True, pilots, 1)


def curve(components: Components, outcome: Outcome, effect: float, most: int = 40) -> np.ndarray:
    return power_curve(components, outcome, ROWS, (1, 0), effect, 2000, most, np.random.default_rng(0))


def people(count: int, rng: np.random.Generator, place: float = 0.0, episodes: int = 8) -> list[MeasuredPerson]:
    """Draw people who differ by 0.06, in the contrast by 0.02 * sqrt(2), on tracks that differ by 0.08."""
    found = []
    for number in range(count):
        row = ROWS[number % 2]
        skill, tracks = 0.06 * rng.standard_normal(), 0.08 * rng.standard_normal(episodes)
        values = [
            0.6
            + skill
            + place * (2 * row.index(i) - 1)
            + 0.02 * rng.standard_normal()
            + tracks
            # what is left of an episode
            + 0.05 * rng.standard_normal(episodes)
            for i in range(2)
        ]
        means = np.array([own.mean() for own in values])
        found.append(MeasuredPerson((values[1], values[0]), True, means, (row.index(0) + 1, row.index(1) + 1), 0))
    return found


def test_a_difference_has_the_power_of_the_t_test() -> None:
    between = np.array([[0.005, 0.004], [0.004, 0.005]])
    found = curve(known(between), DIFFERS, 0.05)
    expected = [TTestPower().power(0.03 / np.sqrt(0.002), n, 0.05) for n in (6, 20, 40)]
    np.testing.assert_allclose(found[[5, 19, 39]], expected, atol=0.04)
    assert found[0] == 0 and curve(known(between), DIFFERS, 0.0)[19] == pytest.approx(0.05, abs=0.02)


def test_nothing_is_kept_at_the_margin_itself_and_much_where_nothing_is_lost() -> None:
    between = np.array([[0.005, 0.0048], [0.0048, 0.005]])
    assert curve(known(between), KEEPS, -0.05)[39] == pytest.approx(0.05, abs=0.02)
    kept = curve(known(between), KEEPS, 0.0)
    assert kept[39] > 0.95 and kept[3] < kept[9] < kept[39]


def test_places_and_pilots_cost_power() -> None:
    between = np.array([[0.005, 0.004], [0.004, 0.005]])
    plain = curve(known(between), DIFFERS, 0.05)[19]
    assert curve(known(between, (-0.03, 0.03)), DIFFERS, 0.05)[19] < plain - 0.1
    assert curve(known(between, pilots=0.03), DIFFERS, 0.05)[39] < curve(known(between), DIFFERS, 0.05)[39] - 0.05


def test_what_varies_is_found_again() -> None:
    found = fit_components(people(2000, np.random.default_rng(1), place=0.03), (1, 0))
    told = found.told()
    assert told["people_sd"] == pytest.approx(0.06, rel=0.05)
    assert told["people_by_condition_sd"] == pytest.approx(0.02 * np.sqrt(2), rel=0.1)
    assert told["tracks_sd"] == pytest.approx(0.08, rel=0.05)
    assert told["tracks_by_condition_sd"] == pytest.approx(0.05 * np.sqrt(2), rel=0.05)
    assert told["places"] == pytest.approx([-0.03, 0.03], abs=0.003) and told["places_told"]
    assert told["pilots_sd"] is None


def test_pilots_are_told_by_several_studies() -> None:
    rng = np.random.default_rng(2)
    driven = []
    for study in range(200):
        shift = 0.05 * rng.standard_normal()
        for one in people(6, rng):
            values = one.values[0] + shift, one.values[1]
            driven.append(MeasuredPerson(values, True, one.means + np.array([0, shift]), one.places, study))
    assert fit_components(driven, (1, 0)).told()["pilots_sd"] == pytest.approx(0.05, rel=0.15)


def test_more_episodes_of_each_person_take_out_what_varies_within_people() -> None:
    rng = np.random.default_rng(3)
    found = fit_components(people(2000, rng, episodes=2), (1, 0))
    # Known of who was drawn: 0.02 in each condition, and 0.05 an episode.
    for episodes in (1, 2, 8):
        contrast = found.of_means(episodes) @ [1, -1] @ [1, -1]
        assert contrast == pytest.approx(2 * (0.02**2 + 0.05**2 / episodes), rel=0.15)
    np.testing.assert_array_equal(found.of_means(2), found.measured)
    needs = [plan_power(found, DIFFERS, ("random", "pico"), 12, episodes=n, studies=200).needed for n in (1, 8)]
    few, many = (each.people for each in needs)
    assert few and many and many < few


def test_never_less_is_left_than_many_episodes_could_take_out() -> None:
    # Measured by chance: people vary less than their episodes would have them.
    within = np.array([[0.01, 0.0], [0.0, 0.01]])
    found = Components(4, 2.0, np.full(2, 0.6), within / 8, within, np.zeros(2), True, None, 1)
    np.testing.assert_allclose(found.of_means(8), found.measured / 4)


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_few_people_leave_an_interval_around_their_estimate(spread: float) -> None:
    rng = np.random.default_rng(4)
    values = [tuple(0.9 + spread * rng.standard_normal(2) + 0.1 * rng.standard_normal(2) for _ in "ab") for _ in "abc"]
    driven = [MeasuredPerson((a, b), False, np.array([b.mean(), a.mean()]), (1, 2), 0) for a, b in values]
    found = plan_power(fit_components(driven, (1, 0)), DIFFERS, ("random", "pico"), 12, studies=300)
    needed, planned = found.needed, found.planned
    assert (needed.low or 1e9) <= (needed.people or 1e9) <= (needed.high or 1e9)
    assert planned.low <= planned.power <= planned.high


def test_a_negative_mean_is_its_mirror_image() -> None:
    between = np.array([[0.005, 0.0048], [0.0048, 0.005]])
    plain = known(between)
    mirrored = replace(plain, mean=-plain.mean)
    for outcome in (DIFFERS, KEEPS):
        assert curve(mirrored, outcome, 0.0)[39] == pytest.approx(curve(plain, outcome, 0.0)[39], abs=0.03)
    assert curve(mirrored, KEEPS, 0.0)[39] > 0.95
    column = {"random": np.array([-10.0, -12.0, -9.0, -11.0]), "pico": np.array([-10.1, -12.0, -9.1, -11.1])}
    result = primary_result(KEEPS, True, column)
    assert result is not None and result.shown and result.share == pytest.approx(-0.075 / 10.5)


def test_people_who_met_more_than_is_compared_are_planned_by(tmp_path: Path) -> None:
    driven = [replace(one, places=(3, 1)) for one in people(6, np.random.default_rng(5))]
    assert not fit_components(driven, (1, 0)).places_told


def test_two_people_tell_nothing(tmp_path: Path) -> None:
    write_study(tmp_path, np.array([[0.5, 0.6, 0.7], [0.4, 0.6, 0.6]]))
    with pytest.raises(PowerError, match="2 people are too few"):
        components_of([tmp_path], DIFFERS)
    with pytest.raises(PowerError, match="was recorded under full, random, pico"):
        components_of([tmp_path], Outcome("progress", "pico", "raw", "differs", 0.05))
    with pytest.raises(PowerError, match="holds nobody"):
        components_of([tmp_path / "none"], DIFFERS)


def test_the_command_gives_a_number_of_people_with_an_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = 0.5 + 0.05 * rng.standard_normal((6, 1)) + 0.01 * rng.standard_normal((6, 3))
    write_study(tmp_path / "rehearsal", table)
    runner = CliRunner()
    assert runner.invoke(make_app(), ["study", "init", "demo"]).exit_code == 0
    arguments = ["study", "power", "demo", "--from", "rehearsal", "--json"]
    first, second = (runner.invoke(make_app(), [*arguments, "--studies", "200"]) for _ in range(2))
    assert first.exit_code == 0 and first.output == second.output, "the same seed gives the same numbers"
    found = json.loads(first.output)
    needed = found["needed"]
    assert needed["low"] <= needed["people"] <= needed["high"] and needed["balanced"] % 6 == 0
    assert found["planned"]["low"] <= found["planned"]["power"] <= found["planned"]["high"]
    dry = json.loads(runner.invoke(make_app(), [*arguments, "--dry-run"]).output)
    assert dry["components"] == found["components"] and "needed" not in dry


def test_a_study_is_not_planned_by_its_own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    runner.invoke(make_app(), ["study", "init", "demo"])
    write_study(tmp_path / "demo" / "recordings", np.array([[0.5, 0.6, 0.7]]))
    result = runner.invoke(make_app(), ["study", "power", "demo", "--from", "demo"])
    assert isinstance(result.exception, PowerError) and "own results" in str(result.exception)
