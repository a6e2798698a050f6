from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from racer.drivers.driver import Driver
from racer.drivers.families.pursuit import PURSUIT, GreenEyes, LearningEyes, Pursuit, PursuitTraits
from racer.tasks.car_racing.task import LEFT, RIGHT, STRAIGHT, CarRacing, CarRacingClutter

STEADY = PursuitTraits(
    look_ahead=14.0, gain=1.1, damping=1.0, anticipation=0.9, dead_zone=0.08, noise=0.0, delay=0, lapses=0.0
)
GOLDEN = "1112002111121111111111022011021111111111211110211111121121120111101111121001100000000200001111021202"
"""What person 5 with dice 9 did on track 10 in version 0.1.0."""
ACTIONS = (LEFT, STRAIGHT, RIGHT)


def one(seed: int) -> Pursuit:
    """Return a person who drives with dice of the same number."""
    return Pursuit(PursuitTraits.of(seed), seed)


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    """Return what a driver sees who often turns the wrong way."""
    track = CarRacing().start(12)
    seen = []
    for action in np.random.default_rng(0).choice(ACTIONS, 20):
        seen.append(track.frame())
        for _ in range(6):
            track.step(int(action))
    return seen


def acts(driver: Driver, frames: list[NDArray[np.uint8]]) -> list[int]:
    return [driver.act(frame) for frame in frames]


@given(seed=st.integers(0, 2**64))
def test_the_same_seed_is_the_same_participant(seed: int) -> None:
    assert PursuitTraits.of(seed) == PursuitTraits.of(seed)


def test_the_same_seed_acts_alike_over_episodes(frames: list[NDArray[np.uint8]]) -> None:
    first, second = one(5), one(5)
    for _ in range(2):
        assert acts(first, frames) == acts(second, frames)
        first.reset()
        second.reset()


def test_different_seeds_are_different_people(frames: list[NDArray[np.uint8]]) -> None:
    people = [one(seed) for seed in range(12)]
    assert len({person.traits for person in people}) == 12
    assert len({tuple(acts(person, frames)) for person in people}) > 1


def test_two_episodes_of_a_noisy_participant_are_not_alike(frames: list[NDArray[np.uint8]]) -> None:
    person = Pursuit(replace(STEADY, lapses=0.5), 3)
    first = acts(person, frames)
    person.reset()
    assert acts(person, frames) != first


def test_the_person_decides_the_traits_and_the_dice_the_chances(frames: list[NDArray[np.uint8]]) -> None:
    drivers = [PURSUIT.make(CarRacing(), 8, dice) for dice in (8, 8, 9)]
    assert [driver.traits for driver in drivers if isinstance(driver, Pursuit)] == [PursuitTraits.of(8)] * 3
    first, same, other = (acts(driver, frames * 3) for driver in drivers)
    assert first == same != other


def test_people_drive_as_in_version_0_1_0() -> None:
    track, person = CarRacing().start(10), PURSUIT.make(CarRacing(), 5, 9)
    driven = ""
    for _ in range(100):
        action = person.act(track.frame())
        track.step(action)
        driven += str(action)
    assert driven == GOLDEN


@given(seed=st.integers(0, 2**32))
def test_traits_stay_within_what_people_do(seed: int) -> None:
    traits = PursuitTraits.draw(np.random.default_rng(seed))
    assert 0 <= traits.delay <= 3
    assert 0 <= traits.lapses <= 0.03
    assert 0 <= traits.noise <= 0.06
    assert 0 <= traits.anticipation <= 1
    assert 11 <= traits.look_ahead <= 18


@pytest.mark.parametrize("delay", [0, 1, 2, 3])
def test_the_hand_lags_behind_the_eye_by_the_delay(delay: int, frames: list[NDArray[np.uint8]]) -> None:
    reflex = replace(STEADY, anticipation=0.0, damping=0.0)

    def steers_at_once(start: int) -> bool:
        return Pursuit(reflex, 0).act(frames[start]) != STRAIGHT

    frames = frames[next(filter(steers_at_once, range(10))) :]
    prompt, late = Pursuit(reflex, 0), Pursuit(replace(reflex, delay=delay), 0)
    wanted, done = acts(prompt, frames), acts(late, frames)
    assert done == [STRAIGHT] * delay + wanted[: len(frames) - delay]
    late.reset()
    assert acts(late, frames)[:delay] == [STRAIGHT] * delay


def test_a_mirrored_road_is_answered_with_the_mirrored_key(frames: list[NDArray[np.uint8]]) -> None:
    person, mirrored = Pursuit(STEADY, 0), Pursuit(STEADY, 0)
    actions = acts(person, frames)
    assert {LEFT, RIGHT} <= set(actions)
    assert [RIGHT - action for action in acts(mirrored, [frame[:, ::-1] for frame in frames])] == actions


@pytest.mark.parametrize("seed", range(5))
def test_on_raw_frames_the_road_is_kept(seed: int) -> None:
    for track_seed in (100, 101):
        track, person = CarRacing().start(track_seed), one(seed)
        start = track.progress
        outcomes = [track.step(person.act(track.frame())) for _ in range(150)]
        assert np.mean([outcome.metrics["off_road"] for outcome in outcomes]) < 0.1
        assert outcomes[-1].metrics["progress"] > start + 0.05


def road_between(first: int, last: int, road: tuple[int, int, int], grass: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a frame with a straight road of so many columns."""
    frame = np.tile(np.array(grass, np.uint8), (64, 64, 1))
    frame[:, first : last + 1] = road
    return frame


def seen(eyes: LearningEyes | GreenEyes, frame: NDArray[np.uint8]) -> list[int]:
    """Return the first and the last column of the road as these eyes see it."""
    columns = np.flatnonzero(eyes.road(frame).mean(axis=0) > 0.5)
    return [int(columns[0]), int(columns[-1])]


GREY, GREEN, BLUE, PINK = (102, 102, 102), (102, 204, 102), (20, 40, 160), (220, 120, 150)


def test_learning_eyes_find_a_road_of_any_colour_as_green_eyes_find_one_beside_grass() -> None:
    frame = road_between(20, 40, GREY, GREEN)
    assert seen(GreenEyes(), frame) == seen(LearningEyes(), frame) == [20, 40]
    assert seen(LearningEyes(), road_between(20, 40, BLUE, PINK)) == [20, 40]
    assert seen(LearningEyes(), road_between(20, 40, GREEN, GREY)) == [20, 40]


def test_learning_eyes_know_the_road_again_from_beside_it() -> None:
    eyes = LearningEyes()
    eyes.road(road_between(20, 40, BLUE, PINK))
    for first in range(20, 50):
        assert seen(eyes, road_between(first, first + 14, BLUE, PINK)) == [first, min(first + 14, 63)]


def test_learning_eyes_follow_a_road_that_changes_its_colour_slowly() -> None:
    eyes = LearningEyes()
    for level in range(0, 160, 2):
        assert seen(eyes, road_between(20, 40, (level, 40, 160), (40, 250, 40))) == [20, 40]


def test_learning_eyes_begin_anew_in_another_picture_and_another_trial() -> None:
    eyes = LearningEyes()
    eyes.road(road_between(20, 40, BLUE, PINK))
    assert seen(eyes, road_between(25, 45, GREY, GREEN)) == [25, 45]
    eyes.reset()
    assert seen(eyes, road_between(20, 40, PINK, BLUE)) == [20, 40]


def test_learning_eyes_wait_until_the_opening_zoom_is_over() -> None:
    eyes = LearningEyes(unsettled=3)
    for _ in range(2):
        eyes.road(road_between(0, 4, BLUE, PINK))
    assert seen(eyes, road_between(20, 40, BLUE, PINK)) == [20, 40]
    assert seen(eyes, road_between(0, 20, BLUE, PINK)) == [0, 20]


def test_among_clutter_the_road_is_kept_in_blurred_pictures_too() -> None:
    task, rng = CarRacingClutter(), np.random.default_rng(0)
    for seed in range(3):
        track, person = task.start(300 + seed), PURSUIT.make(task, seed, seed)
        start = track.progress
        for _ in range(100):
            blurred = gaussian_filter(track.frame().astype(np.float64), (1.5, 1.5, 0)) + rng.normal(0, 6, (64, 64, 3))
            outcome = track.step(person.act(np.clip(blurred, 0, 255).astype(np.uint8)))
            assert not outcome.metrics["off_road"]
        assert outcome.metrics["progress"] > start + 0.04


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["noise", "road", "grass", "dark"]))
@settings(max_examples=40)
def test_whatever_is_shown_the_answer_is_a_key(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    shown = {
        "noise": rng.integers(256, size=(64, 64, 3), dtype=np.uint8),
        "road": np.full((64, 64, 3), 105, np.uint8),
        "grass": np.tile(np.array([102, 230, 102], np.uint8), (64, 64, 1)),
        "dark": np.zeros((64, 64, 3), np.uint8),
    }[kind]
    before = shown.copy()
    for person in (one(seed), PURSUIT.make(CarRacingClutter(), seed, seed)):
        assert all(type(action) is int and action in ACTIONS for action in acts(person, [shown] * 5))
    assert np.array_equal(shown, before)
