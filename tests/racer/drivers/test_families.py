from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from racer.drivers.driver import Driver, DriverError
from racer.drivers.families import pixel_policy
from racer.drivers.families.two_point import GrowingEyes
from racer.drivers.registry import find_family, make_driver
from racer.drivers.wheel import WHEEL_LIMIT, WHEEL_SPEED, YAW, Hand, turned
from racer.tasks.car_racing.task import LEFT, RIGHT, STRAIGHT, CarRacing, CarRacingClutter

FAMILIES = ("path-tracking", "two-point", "edge-following", "satisficing", "pixel-policy")
PERSON = 2**32
ACTIONS = (LEFT, STRAIGHT, RIGHT)
GREY, GREEN = (102, 102, 102), (102, 204, 102)


def hand(reaction_ms: float = 0.0, lapses: float = 0.0, lapse_ms: float = 100.0, pace: float = 10.0) -> Hand:
    return Hand(reaction_ms, lapses, lapse_ms, pace, np.random.default_rng(0))


def straight_road(middle: float) -> NDArray[np.uint8]:
    """Return a frame with a straight road whose middle lies in a column."""
    frame = np.tile(np.array(GREEN, np.uint8), (64, 64, 1))
    frame[:, round(middle - 7) : round(middle + 7)] = GREY
    return frame


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    """Return what is seen by somebody who often turns the wrong way."""
    track, seen = CarRacing().start(12), []
    for action in np.random.default_rng(0).choice(ACTIONS, 20):
        seen.append(track.frame())
        for _ in range(6):
            track.step(int(action))
    track.close()
    return seen


def acts(driver: Driver, frames: list[NDArray[np.uint8]]) -> list[int]:
    return [driver.act(frame) for frame in frames]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_person_decides_the_traits_and_the_dice_the_chances(name: str, frames: list[NDArray[np.uint8]]) -> None:
    drivers = [make_driver(name, CarRacing(), PERSON, dice) for dice in (8, 9)]
    assert len({tuple(asdict(driver.traits).values()) for driver in drivers}) == 1  # type: ignore[attr-defined]
    others = [make_driver(name, CarRacing(), PERSON + number, 8).traits for number in range(8)]  # type: ignore[attr-defined]
    assert len(set(others)) == 8
    differing = []
    for person in range(PERSON, PERSON + 6):
        first, same, other = (acts(make_driver(name, CarRacing(), person, dice), frames * 3) for dice in (8, 8, 9))
        assert first == same
        differing.append(first != other)
    assert any(differing)


@pytest.mark.parametrize(
    ("name", "task"),
    [(name, CarRacing()) for name in FAMILIES]
    + [(name, CarRacingClutter()) for name in ("path-tracking", "two-point")],
)
def test_on_raw_frames_the_road_is_kept(name: str, task: CarRacing) -> None:
    for person, seed in ((0, 100), (1, 101)):
        track, driver = task.start(seed), make_driver(name, task, PERSON + person)
        driver.reset()
        start = track.progress
        outcomes = [track.step(driver.act(track.frame())) for _ in range(120)]
        assert np.mean([outcome.metrics["off_road"] for outcome in outcomes]) < 0.1
        assert outcomes[-1].metrics["progress"] > start + 0.05
        track.close()


@pytest.mark.parametrize("name", FAMILIES)
def test_somebody_who_always_sees_a_straight_road_gets_less_far(name: str) -> None:
    def progress(blind: bool) -> float:
        reached = 0.0
        for person, seed in enumerate((100, 103, 104)):
            track, driver = CarRacing().start(seed), make_driver(name, CarRacing(), PERSON + person)
            driver.reset()
            for _ in range(150):
                outcome = track.step(driver.act(straight_road(32) if blind else track.frame()))
            reached += outcome.metrics["progress"]
            track.close()
        return reached

    assert progress(blind=True) < 0.85 * progress(blind=False)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("middle", "key"), [(26, LEFT), (38, RIGHT)])
def test_a_car_beside_the_middle_is_steered_back(name: str, middle: int, key: int) -> None:
    first = []
    for person in range(6):
        driver = make_driver(name, CarRacing(), PERSON + person)
        driver.reset()
        first += [action for action in acts(driver, [straight_road(middle)] * 12) if action != STRAIGHT][:1]
    assert first.count(key) >= 5


@pytest.mark.parametrize("name", FAMILIES)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["noise", "road", "grass", "dark", "light"]))
@settings(max_examples=15, deadline=None)
def test_whatever_is_shown_the_answer_is_a_key(name: str, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    shown = {
        "noise": rng.integers(256, size=(64, 64, 3), dtype=np.uint8),
        "road": np.full((64, 64, 3), 105, np.uint8),
        "grass": np.tile(np.array([102, 230, 102], np.uint8), (64, 64, 1)),
        "dark": np.zeros((64, 64, 3), np.uint8),
        "light": np.full((64, 64, 3), 255, np.uint8),
    }[kind]
    before = shown.copy()
    for task in (CarRacing(), CarRacingClutter()):
        if task.spec.name in find_family(name).tasks:
            driver = make_driver(name, task, seed)
            driver.reset()
            keys = [*acts(driver, [shown] * 4), *acts(driver, [straight_road(40), shown])]
            assert all(type(key) is int and key in ACTIONS for key in keys)
    assert np.array_equal(shown, before)


@pytest.mark.parametrize("name", FAMILIES)
def test_two_drivers_with_the_same_dice_draw_as_many_numbers_whatever_they_see(name: str) -> None:
    sighted, blind = (make_driver(name, CarRacing(), PERSON, 3) for _ in range(2))
    acts(sighted, [straight_road(20 + step) for step in range(20)])
    acts(blind, [np.zeros((64, 64, 3), np.uint8)] * 20)
    assert sighted._rng.random() == blind._rng.random()  # type: ignore[attr-defined]


def test_among_clutter_a_road_of_any_colour_is_what_hangs_together_with_the_ground_before_the_car() -> None:
    eyes = GrowingEyes()
    frame = np.tile(np.array((40, 160, 60), np.uint8), (64, 64, 1))
    frame[:, 24:40] = frame[10:20, 50:60] = (150, 60, 130)
    road = eyes.road(frame)
    assert road[5:45, 25:39].all() and not road[:, :24].any() and not road[:, 40:].any()
    beside = np.roll(frame, 20, axis=1)  # the car has left the road, and knows its colour still
    assert np.array_equal(eyes.road(beside), (beside == (150, 60, 130)).all(axis=2))
    eyes.reset()
    assert not eyes.road(beside)[:, 44:60].any()


def test_no_edge_is_crossed_where_colours_run_into_each_other() -> None:
    ramp = np.linspace(0, 90, 6)
    frame = np.full((64, 64, 3), 90.0)
    frame[:, 24:40] += 50
    frame[:, 40:46] += 50 - ramp[:, None] / 2  # a soft edge, 9 a column in each channel: none
    assert GrowingEyes().road(frame.astype(np.uint8))[30, 25:42].all()
    frame[:, 40:46] = 90
    assert not GrowingEyes().road(frame.astype(np.uint8))[:, 40:].any()
    frame[20] = 200  # a line across the road is where it ends
    assert not GrowingEyes().road(frame.astype(np.uint8))[:20].any()


def test_weights_that_are_not_those_of_this_version_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content, line in ((None, "No such file"), (b"x", "is not the file that comes with this version")):
        path = tmp_path / "weights.safetensors"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setattr(pixel_policy, "WEIGHTS", path)
        pixel_policy.network.cache_clear()
        with pytest.raises(DriverError, match=line) as refusal:
            make_driver("pixel-policy", CarRacing(), PERSON)
        assert len(str(refusal.value).splitlines()) == 1 and "install Racer again" in str(refusal.value)
    pixel_policy.network.cache_clear()


@pytest.mark.parametrize(("pace", "steps"), [(10.0, 2), (20.0, 4), (50.0, 10), (1.0, 0)])
def test_a_reaction_time_takes_as_many_steps_as_the_pace_makes_of_it(pace: float, steps: int) -> None:
    late = hand(reaction_ms=200.0, pace=pace)
    assert late.delay == steps
    assert [late.press(RIGHT) for _ in range(steps + 2)] == [STRAIGHT] * steps + [RIGHT] * 2
    late.reset()
    assert late.press(RIGHT) == (RIGHT if not steps else STRAIGHT)


def test_a_hand_knows_where_the_wheels_will_be_and_how_far_the_car_will_have_turned() -> None:
    late = hand(reaction_ms=300.0)
    assert (late.wheel, late.coming) == (0.0, 0.0)
    late.press(RIGHT)
    late.press(RIGHT)
    assert late.wheel == pytest.approx(2 * WHEEL_SPEED)
    assert late.coming == pytest.approx(YAW * WHEEL_SPEED * 3)
    for _ in range(20):
        late.press(RIGHT)
    assert late.wheel == pytest.approx(WHEEL_LIMIT)
    assert late.toward(WHEEL_LIMIT) == RIGHT and late.toward(WHEEL_LIMIT - 1.5 * WHEEL_SPEED) == STRAIGHT
    assert turned(WHEEL_LIMIT, LEFT) == pytest.approx(WHEEL_LIMIT - WHEEL_SPEED)


def test_a_lapse_leaves_the_hand_where_it_is() -> None:
    absent = hand(lapses=10.0, lapse_ms=200.0)
    assert [absent.press(key) for key in (LEFT, RIGHT, LEFT)] == [STRAIGHT] * 3
    assert hand().press(LEFT) == LEFT
