from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from racer.drivers.driver import DriverError
from racer.drivers.families.tau_pilot import TAU_PILOT, HueEyes, TauPilot
from racer.drivers.registry import find_family, make_driver
from racer.tasks.car_racing.task import CarRacing
from racer.tasks.lunar_lander.task import COAST, LEFT, MAIN, RIGHT, LunarLander

Frame = NDArray[np.uint8]
SEED = 1_950_000_000


def pilot(person: int = 0, dice: int | None = None) -> TauPilot:
    made = make_driver("tau-pilot", LunarLander(), SEED + person, dice)
    assert isinstance(made, TauPilot)
    return made


def flight(driver: TauPilot, seed: int, blind: bool = False) -> dict[str, float]:
    """Return the last metrics of one flight."""
    trial = LunarLander().start(seed)
    driver.reset()
    for _ in range(LunarLander().spec.steps):
        frame = trial.frame()
        outcome = trial.step(driver.act(np.zeros_like(frame) if blind else frame))
        if outcome.over:
            break
    trial.close()
    return dict(outcome.metrics)


@pytest.fixture(scope="module")
def seen() -> list[tuple[Frame, dict[str, float]]]:
    """Return frames of four flights at random, with what they come from."""

    def steps() -> Iterator[tuple[Frame, dict[str, float]]]:
        for seed in range(SEED, SEED + 4):
            trial, rng = LunarLander().start(seed), np.random.default_rng(seed)
            for step in range(150):
                metrics = trial.step(int(rng.choice(4, p=(0.4, 0.1, 0.4, 0.1)))).metrics
                if metrics["crashed"]:
                    break
                if step % 10 == 0:
                    yield trial.frame(), dict(metrics)
            trial.close()

    return list(steps())


def test_eyes_tell_distance_speed_and_tilt(seen: list[tuple[Frame, dict[str, float]]]) -> None:
    eyes, errors = HueEyes(LunarLander().view), []
    for frame, true in seen:
        glimpse = eyes.look(frame)
        assert glimpse.velocity is not None and glimpse.tilt is not None and glimpse.aside is not None
        distance = math.nan if glimpse.gap is None else math.hypot(glimpse.aside, glimpse.gap) - true["distance"]
        speed = math.hypot(*glimpse.velocity) - min(true["speed"], 10 / 3)
        errors.append((abs(glimpse.tilt) - true["tilt"], speed, distance))
    assert len(errors) > 40 and np.isfinite(errors).all(axis=1).sum() >= 10
    assert (np.nanmedian(np.abs(errors), axis=0) < (0.1, 0.1, 0.1)).all()


def test_eyes_see_nothing_in_a_blank_frame() -> None:
    for grey in (0, 128, 255):
        glimpse = HueEyes(10.0).look(np.full((64, 64, 3), grey, np.uint8))
        assert (glimpse.aside, glimpse.gap, glimpse.velocity, glimpse.tilt) == (None, None, None, None)


def test_most_land_and_nobody_does_blindfolded() -> None:
    # 93 of 100 do.
    assert sum(flight(pilot(person), SEED + person)["landed"] for person in range(3)) >= 2
    assert not flight(pilot(), SEED, blind=True)["landed"]


def test_a_person_is_the_same_whatever_the_dice_and_others_differ(seen: list[tuple[Frame, dict[str, float]]]) -> None:
    frames = [frame for frame, _ in seen]

    def keys(person: int, dice: int) -> list[int]:
        driver = pilot(person, dice)
        return [driver.act(frame) for frame in frames * 2]

    assert pilot(3, 1).traits == pilot(3, 2).traits
    assert len({pilot(person).traits for person in range(8)}) == 8
    assert keys(3, 1) == keys(3, 1)
    assert len({tuple(keys(3, dice)) for dice in range(4)}) > 1


@given(seed=st.integers(0, 2**32), level=st.sampled_from((0, 128, 255, None)))
@settings(max_examples=15, deadline=None)
def test_whatever_is_shown_the_answer_is_a_key_and_as_many_numbers_are_drawn(seed: int, level: int | None) -> None:
    rng = np.random.default_rng(seed)
    drivers = [make_driver("tau-pilot", LunarLander(view=20.0), seed, 3) for _ in range(2)]
    for _ in range(8):
        noise = rng.integers(256, size=(64, 64, 3), dtype=np.uint8)
        shown = noise if level is None else np.full((64, 64, 3), level, np.uint8)
        keys = [drivers[0].act(shown), drivers[1].act(noise)]
        assert all(type(key) is int and key in (COAST, LEFT, MAIN, RIGHT) for key in keys)
    first, second = (driver._rng.random() for driver in drivers)  # type: ignore[attr-defined]
    assert first == second


def test_flies_the_lander_alone() -> None:
    assert find_family("tau-pilot") is TAU_PILOT and TAU_PILOT.tasks == ("lunar-lander",)
    with pytest.raises(DriverError, match="tau pilots fly lunar-lander; got task car-racing"):
        TAU_PILOT.make(CarRacing(), 0, 0)
