from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d import car_racing as stock

from racer.drivers.families.pursuit import SimulatedParticipant, Traits
from racer.errors import ConfigError
from racer.tasks.car_racing.frames import frame_from_observation
from racer.tasks.car_racing.track import (
    ACTIONS,
    LEFT,
    RIGHT,
    STEERING,
    STRAIGHT,
    ZOOM_STEPS,
    Outcome,
    Track,
    TrackConfig,
)

STEADY = Traits(
    look_ahead=14.0, gain=1.1, damping=1.0, anticipation=0.9, dead_zone=0.08, noise=0.0, delay=0, lapses=0.0
)
"""A driver that keeps to the road."""


def actions(seed: int, steps: int) -> list[int]:
    """Return random actions, each held for a few steps."""
    rng = np.random.default_rng(seed)
    return [int(action) for action in rng.choice(ACTIONS, steps // 5 + 1) for _ in range(5)][:steps]


def drive(track: Track, steering: list[int]) -> list[Outcome]:
    return [track.step(action) for action in steering]


@pytest.mark.parametrize("seed", [0, 42, 999_999])
def test_frames_progress_and_reward_are_those_of_gymnasium_under_the_recorded_controls(seed: int) -> None:
    track, env = Track(TrackConfig(), seed), gymnasium.make("CarRacing-v3", disable_env_checker=True)
    env.reset(seed=seed)
    for _ in range(ZOOM_STEPS):
        observation, *_ = env.step(np.zeros(3, np.float32))
    assert np.array_equal(track.frame(), frame_from_observation(observation))
    for number, action in enumerate(actions(seed, 50)):
        outcome = track.step(action)
        observation, reward, *_ = env.step(np.array(outcome.control, np.float32))
        game = env.unwrapped
        assert outcome.reward == reward
        assert outcome.progress == track.progress == game.tile_visited_count / len(game.track)
        assert outcome.off_road == (not any(wheel.tiles for wheel in game.car.wheels))
        assert outcome.speed == track.speed == math.hypot(*game.car.hull.linearVelocity)
        if number % 5 == 0:
            assert np.array_equal(track.frame(), frame_from_observation(observation))
    assert track.road_patches == len(game.track)
    env.close()


@pytest.mark.parametrize("handling", ["stock", "forgiving"])
def test_the_same_seed_and_actions_give_the_same_run_drawn_or_not(handling: Any) -> None:
    config = TrackConfig(handling=handling)
    drawn, blind = Track(config, 9), Track(config, 9)
    for action in actions(9, 60):
        drawn.frame()
        assert drawn.step(action) == blind.step(action)
    assert np.array_equal(drawn.frame(), blind.frame())


def test_other_seeds_give_other_tracks() -> None:
    assert len({Track(TrackConfig(), seed).frame().tobytes() for seed in range(4)}) == 4


def test_looking_does_not_change_what_is_seen() -> None:
    track = Track(TrackConfig(), 2)
    drive(track, actions(2, 20))
    first = track.frame()
    assert (first.shape, first.dtype.name) == ((64, 64, 3), "uint8")
    assert np.array_equal(track.frame(), first)
    other = Track(TrackConfig(), 2)
    drive(other, actions(2, 20))
    assert track.step(LEFT) == other.step(LEFT)


@pytest.mark.parametrize("action", [2, -2, 0.5, None, "left"])
def test_another_action_is_refused_and_nothing_moves(action: Any) -> None:
    track, other = Track(TrackConfig(), 1), Track(TrackConfig(), 1)
    with pytest.raises(ValueError, match=r"-1 \(left\), 0 \(straight\) or 1 \(right\)"):
        track.step(action)
    assert track.step(STRAIGHT) == other.step(STRAIGHT)


@pytest.mark.parametrize(("action", "steer"), [(LEFT, -STEERING), (STRAIGHT, 0.0), (RIGHT, STEERING)])
def test_left_is_negative_steering_and_turns_the_scene_to_the_right(action: int, steer: float) -> None:
    track = Track(TrackConfig(), 42)
    outcomes = drive(track, [STRAIGHT] * 30 + [action] * 15)
    assert outcomes[-1].control[0] == steer
    assert {outcome.control[0] for outcome in outcomes[:30]} == {0.0}
    turn = track._env.car.hull.angularVelocity  # positive is anticlockwise
    assert np.sign(round(turn, 2)) == -action


def test_a_run_starts_at_rest_on_the_road_after_the_zoom() -> None:
    track, zooming = Track(TrackConfig(), 5), Track(TrackConfig(skip_zoom=False), 5)
    assert track.speed < 1e-6
    assert 0 < track.progress < 0.05
    assert not track.off_road
    game = gymnasium.make("CarRacing-v3", disable_env_checker=True)
    observation, _ = game.reset(seed=5)
    assert np.array_equal(zooming.frame(), frame_from_observation(observation))
    assert not np.array_equal(track.frame(), zooming.frame())
    game.close()


@pytest.mark.parametrize("speed", [40.0, 50.0, 60.0])
@pytest.mark.parametrize("seed", [0, 3])
def test_the_throttle_reaches_its_speed_and_holds_it(speed: float, seed: int) -> None:
    outcomes = drive(Track(TrackConfig(target_speed=speed), seed), [STRAIGHT] * 180)
    assert all(abs(outcome.speed - speed) <= 1.5 for outcome in outcomes[150:])
    assert all(outcome.control[1] == 0 or outcome.control[2] == 0 for outcome in outcomes)
    assert all(0 <= pedal <= 1 for outcome in outcomes for pedal in outcome.control[1:])


def test_the_throttle_brakes_a_car_that_is_too_fast() -> None:
    track = Track(TrackConfig(target_speed=20.0), 0)
    track._env.car.hull.linearVelocity = (0.0, 60.0)
    _, gas, brake = track.step(STRAIGHT).control
    assert (gas, brake > 0) == (0.0, True)


def test_forgiving_gives_full_gas_in_pulses_of_a_hundred_steps_whatever_the_target_speed() -> None:
    outcomes = drive(Track(TrackConfig("forgiving", target_speed=10.0), 0), [STRAIGHT] * 320)
    pulses = ([1.0] * 100 + [0.0] * 100) * 2
    assert [outcome.control for outcome in outcomes] == [(0.0, gas, 0.0) for gas in pulses[:320]]
    assert max(outcome.speed for outcome in outcomes) > 80


def test_forgiving_grass_slows_nobody_but_is_still_off_the_road() -> None:
    runs = {seed: drive(Track(TrackConfig("forgiving"), seed), [STRAIGHT] * 100) for seed in range(6)}
    left_after = {seed: [outcome.off_road for outcome in run].index(True) for seed, run in runs.items()}
    assert len(set(left_after.values())) > 1, "they were to leave the road at different times"
    for run in runs.values():
        assert [outcome.speed for outcome in run] == pytest.approx([outcome.speed for outcome in runs[0]], rel=1e-3)


def test_a_run_is_over_when_the_car_leaves_the_field_and_not_before() -> None:
    track = Track(TrackConfig(target_speed=60.0), 1)
    outcome = track.step(STRAIGHT)
    for _ in range(1500):
        inside = max(map(abs, track._env.car.hull.position)) <= stock.PLAYFIELD
        assert outcome.over != inside
        if outcome.over:
            break
        outcome = track.step(STRAIGHT)
    assert outcome.over
    assert outcome.reward == -100


def test_a_run_is_over_when_the_whole_road_was_visited_and_not_before() -> None:
    track, driver = Track(TrackConfig(target_speed=45.0), 8), SimulatedParticipant(0, STEADY)
    progress = [track.progress]
    for _ in range(1500):
        outcome = track.step(driver.act(track.frame()))
        progress.append(outcome.progress)
        assert outcome.over == (outcome.progress == 1.0)
        if outcome.over:
            break
    assert progress[-1] == 1.0
    assert progress == sorted(progress)


@pytest.mark.parametrize(
    "settings",
    [
        {"handling": "arcade"},
        {"target_speed": 0.0},
        {"target_speed": -5.0},
        {"target_speed": 201.0},
        {"target_speed": math.nan},
        {"target_speed": math.inf},
    ],
)
def test_a_configuration_that_cannot_work_is_refused_in_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refusal:
        TrackConfig(**settings)
    assert "\n" not in str(refusal.value)
    assert str(next(iter(settings.values()))) in str(refusal.value)
