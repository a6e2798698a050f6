from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rates_builders import CONFIG, SIZES, coder

from racer.drivers.registry import driver_seed
from racer.errors import ConfigError
from racer.rates.grid import NO_NOISE, Noise, RatesConfig, TaskSettings, make_grid, sweep_settings
from racer.rates.people import draw_person
from racer.sitting.protocol import SESSION_SEEDS
from racer.tasks.registry import TaskError
from racer.tasks.task import MOST_SEED

ONE = replace(CONFIG, settings=CONFIG.settings[:1], participants=1)


def points(config: RatesConfig, *coders: object) -> list[tuple[str, int]]:
    cells = make_grid(config, coders, SIZES).cells  # type: ignore[arg-type]
    return [(cell.point.coder, cell.point.bits) for cell in cells]


def test_raw_and_full_are_always_driven_once_and_coders_at_every_slot_that_they_can_use() -> None:
    config = replace(ONE, bits=(85, 2, 12))
    assert points(config) == [("raw", 0), ("full", 0)]
    grid = make_grid(config, [coder("one"), coder("four", least_bits=4)], SIZES)
    assert [(cell.point.coder, cell.point.bits) for cell in grid.cells] == [
        ("raw", 0),
        ("full", 0),
        *(("one", bits) for bits in (2, 12, 85)),
        *(("four", bits) for bits in (12, 85)),
    ]
    (skipped,) = grid.skipped
    assert (skipped.coder, skipped.bits, skipped.reason) == ("four", (2,), "it needs 4 bits or more")


def test_a_coder_that_does_not_obey_the_slot_is_driven_once_whatever_the_slots_are() -> None:
    config = replace(ONE, bits=(1, 12))
    grid = make_grid(config, [coder("jpeg", least_bits=1, padded=900)], SIZES)
    assert [(cell.point.coder, cell.point.bits) for cell in grid.cells] == [("raw", 0), ("full", 0), ("jpeg", 0)]
    assert (grid.skipped, grid.soft) == ((), {"jpeg"})


def test_a_coder_that_sends_nothing_is_driven_once_exceeds_nothing_and_noise_does_not_touch_it() -> None:
    config = replace(ONE, bits=(1, 12), noise=(Noise("erasures", 0.1),))
    grid = make_grid(config, [coder("blind", padded=0), coder("one")], SIZES)
    assert [cell.point.noise for cell in grid.cells if cell.point.coder == "blind"] == [NO_NOISE]
    assert grid.soft == frozenset()


def test_noise_comes_on_top_of_none_and_never_touches_raw() -> None:
    noise = (Noise("erasures", 0.1), Noise("gaussian", 1.0))
    config = replace(CONFIG, bits=(12,), noise=noise, participants=2)
    grid = make_grid(config, [coder("one")], SIZES)
    for settings in CONFIG.settings:
        own = [cell.point for cell in grid.cells if (cell.point.settings, cell.participant) == (settings, 1)]
        of = {name: [point.noise for point in own if point.coder == name] for name in ("raw", "full", "one")}
        assert of == {"raw": [NO_NOISE], "full": [NO_NOISE, *noise], "one": [NO_NOISE, *noise]}
    assert len(set(grid.cells)) == len(grid.cells)
    assert [cell.participant for cell in grid.cells] == sorted(cell.participant for cell in grid.cells)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"participants": 0}, "participants must lie between 1 and 10000; got 0"),
        ({"episodes": 1001}, "episodes must lie between 1 and 1000; got 1001"),
        ({"steps": 0}, "steps must lie between 1 and 100000; got 0"),
        ({"seed": -1}, "seed must lie between 0 and"),
        ({"bits": ()}, "bits must be named once each, and at least one"),
        ({"bits": (5, 5)}, "bits must be named once each"),
        ({"bits": (0,)}, "bits must lie between 1 and 4096; got 0"),
        ({"settings": ()}, "settings must be named once each, and at least one"),
        ({"settings": CONFIG.settings[:1] * 2}, "settings must be named once each"),
        ({"drivers": ("pursuit", "pursuit")}, "drivers must be named once each"),
        ({"noise": (Noise("flips", 0.1), Noise("flips", 0.1))}, "noise must be named once each"),
        ({"mask_interval": "hour"}, "mask interval must be episode or step; got 'hour'"),
        ({"fill": "sand"}, "fill must be one of"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        replace(CONFIG, **settings)  # type: ignore[arg-type]
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_coder_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="name each coder once"):
        make_grid(CONFIG, [coder("one"), coder("one")], SIZES)


def test_noise_at_no_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="flips at a rate of 0 is no noise"):
        Noise("flips", 0.0)


@given(seed=st.integers(0, 2**63 - 1), number=st.integers(0, 10_000), episodes=st.integers(1, 20))
def test_people_follow_from_the_seed_and_are_strangers_to_sessions(seed: int, number: int, episodes: int) -> None:
    person = draw_person(seed, number, episodes)
    assert person == draw_person(seed, number, episodes)
    assert len(set(person.seeds)) == len(person.dice) == episodes
    assert all(SESSION_SEEDS < each <= MOST_SEED for each in person.seeds)
    assert person.seed > driver_seed("p01") and person.seed >= 2**32
    fewer = draw_person(seed, number, 1)
    assert (fewer.seed, fewer.seeds, fewer.dice) == (person.seed, person.seeds[:1], person.dice[:1])
    assert draw_person(seed, number + 1, episodes).seeds != person.seeds


def test_settings_are_the_operating_points_of_the_task_or_every_combination_of_those_given() -> None:
    assert [str(settings) for settings in sweep_settings("car-racing")] == ["speed 50", "speed 60"]
    found = sweep_settings("car-racing", ["handling=stock,forgiving", "speed=100,60.5"])
    assert [str(settings) for settings in found] == [
        f"handling {handling}, speed {speed}" for handling in ("forgiving", "stock") for speed in ("60.5", "100")
    ]
    assert found[0].values == {"handling": "forgiving", "speed": 60.5, "skip_zoom": True}


def test_settings_are_equal_however_they_were_asked_for() -> None:
    (named,) = sweep_settings("car-racing", ["speed=50", "handling=stock"])
    assert (named, hash(named)) == (sweep_settings("car-racing")[0], hash(sweep_settings("car-racing")[0]))
    assert TaskSettings.of(named.values) == named
    assert str(TaskSettings.of(named.values)) == ""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["speed"], "--set takes NAME=VALUE"),
        (["speed=fast"], "task car-racing: speed: "),
        (["speed=50,"], "task car-racing: speed: "),
        (["speed=201"], "speed must be above 0 and at most 200"),
        (["wings=2"], "task car-racing has no setting 'wings'"),
        (["speed=" + ",".join(map(str, range(1, 1002)))], "more than 1000 combinations"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(given: list[str], told: str) -> None:
    with pytest.raises((ConfigError, TaskError)) as refusal:
        sweep_settings("car-racing", given)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
