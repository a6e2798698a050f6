from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from racer.drivers.families.pursuit import SimulatedParticipant, Traits
from racer.tasks.car_racing.track import ACTIONS, STRAIGHT, Track, TrackConfig

STEADY = Traits(
    look_ahead=14.0, gain=1.1, damping=1.0, anticipation=0.9, dead_zone=0.08, noise=0.0, delay=0, lapses=0.0
)


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    """Return what a driver sees who often turns the wrong way."""
    track = Track(TrackConfig(), 12)
    seen = []
    for action in np.random.default_rng(0).choice(ACTIONS, 20):
        seen.append(track.frame())
        for _ in range(6):
            track.step(int(action))
    return seen


def acts(participant: SimulatedParticipant, frames: list[NDArray[np.uint8]]) -> list[int]:
    return [participant.act(frame) for frame in frames]


@given(seed=st.integers(0, 2**64))
def test_the_same_seed_is_the_same_participant(seed: int) -> None:
    assert SimulatedParticipant(seed).traits == SimulatedParticipant(seed).traits


def test_the_same_seed_acts_alike_over_episodes(frames: list[NDArray[np.uint8]]) -> None:
    first, second = SimulatedParticipant(5), SimulatedParticipant(5)
    for _ in range(2):
        assert acts(first, frames) == acts(second, frames)
        first.reset()
        second.reset()


def test_different_seeds_are_different_people(frames: list[NDArray[np.uint8]]) -> None:
    people = [SimulatedParticipant(seed) for seed in range(12)]
    assert len({person.traits for person in people}) == 12
    assert len({tuple(acts(person, frames)) for person in people}) > 1


def test_two_episodes_of_a_noisy_participant_are_not_alike(frames: list[NDArray[np.uint8]]) -> None:
    person = SimulatedParticipant(3, replace(STEADY, lapses=0.5))
    first = acts(person, frames)
    person.reset()
    assert acts(person, frames) != first


def test_given_traits_do_not_change_the_random_choices(frames: list[NDArray[np.uint8]]) -> None:
    drawn = SimulatedParticipant(8)
    assert acts(SimulatedParticipant(8, drawn.traits), frames) == acts(drawn, frames)


@given(seed=st.integers(0, 2**32))
def test_traits_stay_within_what_people_do(seed: int) -> None:
    traits = Traits.draw(np.random.default_rng(seed))
    assert 0 <= traits.delay <= 3
    assert 0 <= traits.lapses <= 0.03
    assert 0 <= traits.noise <= 0.06
    assert 0 <= traits.anticipation <= 1
    assert 11 <= traits.look_ahead <= 18


@pytest.mark.parametrize("delay", [0, 1, 2, 3])
def test_the_hand_lags_behind_the_eye_by_the_delay(delay: int, frames: list[NDArray[np.uint8]]) -> None:
    reflex = replace(STEADY, anticipation=0.0, damping=0.0)

    def steers_at_once(start: int) -> bool:
        return SimulatedParticipant(0, reflex).act(frames[start]) != STRAIGHT

    frames = frames[next(filter(steers_at_once, range(10))) :]
    prompt, late = SimulatedParticipant(0, reflex), SimulatedParticipant(0, replace(reflex, delay=delay))
    wanted, done = acts(prompt, frames), acts(late, frames)
    assert done == [STRAIGHT] * delay + wanted[: len(frames) - delay]
    late.reset()
    assert acts(late, frames)[:delay] == [STRAIGHT] * delay


def test_a_mirrored_road_is_answered_with_the_mirrored_key(frames: list[NDArray[np.uint8]]) -> None:
    person, mirrored = SimulatedParticipant(0, STEADY), SimulatedParticipant(0, STEADY)
    actions = acts(person, frames)
    assert {-1, 1} <= set(actions)
    assert [-action for action in acts(mirrored, [frame[:, ::-1] for frame in frames])] == actions


@pytest.mark.parametrize("seed", range(5))
def test_on_raw_frames_the_road_is_kept(seed: int) -> None:
    for track_seed in (100, 101):
        track, person = Track(TrackConfig(), track_seed), SimulatedParticipant(seed)
        start = track.progress
        outcomes = [track.step(person.act(track.frame())) for _ in range(150)]
        assert np.mean([outcome.off_road for outcome in outcomes]) < 0.1
        assert outcomes[-1].progress > start + 0.05


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
    person = SimulatedParticipant(seed)
    assert all(type(action) is int and action in ACTIONS for action in acts(person, [shown] * 5))
    assert np.array_equal(shown, before)
