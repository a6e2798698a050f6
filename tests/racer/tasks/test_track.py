from __future__ import annotations

import math
import string
import subprocess
import sys
from contextlib import closing
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d import car_racing as stock

from racer.drivers.families.pursuit import Pursuit, PursuitTraits
from racer.errors import ConfigError
from racer.tasks.car_racing.frames import frame_from_observation
from racer.tasks.car_racing.task import LEFT, METRICS, RIGHT, STRAIGHT, ZOOM_STEPS, CarRacing, CarRacingClutter
from racer.tasks.car_racing.track import STEERING, Track
from racer.tasks.task import Outcome, Task

STEADY = PursuitTraits(
    look_ahead=14.0, gain=1.1, damping=1.0, anticipation=0.9, dead_zone=0.08, noise=0.0, delay=0, lapses=0.0
)
"""A driver that keeps to the road."""


def actions(seed: int, steps: int) -> list[int]:
    """Return random actions, each held for a few steps."""
    rng = np.random.default_rng(seed)
    return [int(action) for action in rng.choice((LEFT, STRAIGHT, RIGHT), steps // 5 + 1) for _ in range(5)][:steps]


def drive(track: Track, steering: list[int]) -> list[Outcome]:
    return [track.step(action) for action in steering]


def control(outcome: Outcome) -> tuple[float, float, float]:
    """Return steer, gas and brake."""
    return outcome.metrics["steer"], outcome.metrics["gas"], outcome.metrics["brake"]


def speeds(outcomes: list[Outcome]) -> list[float]:
    return [outcome.metrics["speed"] for outcome in outcomes]


@pytest.mark.parametrize("seed", [0, 42, 999_999])
def test_frames_progress_and_reward_are_those_of_gymnasium_under_the_recorded_controls(seed: int) -> None:
    track, env = Track(CarRacing(), seed), gymnasium.make("CarRacing-v3", disable_env_checker=True)
    env.reset(seed=seed)
    for _ in range(ZOOM_STEPS):
        observation, *_ = env.step(np.zeros(3, np.float32))
    assert np.array_equal(track.frame(), frame_from_observation(observation))
    for number, action in enumerate(actions(seed, 50)):
        outcome = track.step(action)
        observation, reward, *_ = env.step(np.array(control(outcome), np.float32))
        game, metrics = env.unwrapped, outcome.metrics
        assert metrics["reward"] == reward
        assert metrics["progress"] == track.progress == game.tile_visited_count / len(game.track)
        assert metrics["off_road"] == (not any(wheel.tiles for wheel in game.car.wheels))
        assert metrics["speed"] == track.speed == math.hypot(*game.car.hull.linearVelocity)
        if number % 5 == 0:
            assert np.array_equal(track.frame(), frame_from_observation(observation))
    assert track.road_patches == len(game.track)
    env.close()


@pytest.mark.parametrize("handling", ["stock", "forgiving"])
def test_the_same_seed_and_actions_give_the_same_run_drawn_or_not(handling: Any) -> None:
    config = CarRacing(handling=handling)
    drawn, blind = Track(config, 9), Track(config, 9)
    for action in actions(9, 60):
        drawn.frame()
        assert drawn.step(action) == blind.step(action)
    assert np.array_equal(drawn.frame(), blind.frame())


def test_other_seeds_give_other_tracks() -> None:
    assert len({Track(CarRacing(), seed).frame().tobytes() for seed in range(4)}) == 4


def test_looking_does_not_change_what_is_seen() -> None:
    track = Track(CarRacing(), 2)
    drive(track, actions(2, 20))
    first = track.frame()
    assert (first.shape, first.dtype.name) == ((64, 64, 3), "uint8")
    assert np.array_equal(track.frame(), first)
    other = Track(CarRacing(), 2)
    drive(other, actions(2, 20))
    assert track.step(LEFT) == other.step(LEFT)


@pytest.mark.parametrize("action", [3, -1, 0.5, None, "left"])
def test_another_action_is_refused_and_nothing_moves(action: Any) -> None:
    track, other = Track(CarRacing(), 1), Track(CarRacing(), 1)
    with pytest.raises(ValueError, match=r"0 \(left\), 1 \(straight\) or 2 \(right\)"):
        track.step(action)
    assert track.step(STRAIGHT) == other.step(STRAIGHT)


@pytest.mark.parametrize(("action", "steer"), [(LEFT, -STEERING), (STRAIGHT, 0.0), (RIGHT, STEERING)])
def test_left_is_negative_steering_and_turns_the_scene_to_the_right(action: int, steer: float) -> None:
    track = Track(CarRacing(), 42)
    outcomes = drive(track, [STRAIGHT] * 30 + [action] * 15)
    assert control(outcomes[-1])[0] == steer
    assert {control(outcome)[0] for outcome in outcomes[:30]} == {0.0}
    turn = track._env.car.hull.angularVelocity  # positive is anticlockwise
    assert np.sign(round(turn, 2)) == STRAIGHT - action


def test_a_run_starts_at_rest_on_the_road_after_the_zoom() -> None:
    track, zooming = Track(CarRacing(), 5), Track(CarRacing(skip_zoom=False), 5)
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
    outcomes = drive(Track(CarRacing(speed=speed), seed), [STRAIGHT] * 180)
    assert all(abs(reached - speed) <= 1.5 for reached in speeds(outcomes[150:]))
    assert all(min(control(outcome)[1:]) == 0 for outcome in outcomes)
    assert all(0 <= pedal <= 1 for outcome in outcomes for pedal in control(outcome)[1:])


def test_the_throttle_brakes_a_car_that_is_too_fast() -> None:
    track = Track(CarRacing(speed=20.0), 0)
    track._env.car.hull.linearVelocity = (0.0, 60.0)
    _, gas, brake = control(track.step(STRAIGHT))
    assert (gas, brake > 0) == (0.0, True)


def test_forgiving_gives_full_gas_in_pulses_of_a_hundred_steps_whatever_the_speed() -> None:
    outcomes = drive(Track(CarRacing("forgiving", speed=10.0), 0), [STRAIGHT] * 320)
    pulses = ([1.0] * 100 + [0.0] * 100) * 2
    assert [control(outcome) for outcome in outcomes] == [(0.0, gas, 0.0) for gas in pulses[:320]]
    assert max(speeds(outcomes)) > 80


def test_forgiving_grass_slows_nobody_but_is_still_off_the_road() -> None:
    runs = {seed: drive(Track(CarRacing("forgiving"), seed), [STRAIGHT] * 100) for seed in range(6)}
    left_after = {seed: [outcome.metrics["off_road"] for outcome in run].index(1.0) for seed, run in runs.items()}
    assert len(set(left_after.values())) > 1, "they were to leave the road at different times"
    for run in runs.values():
        assert speeds(run) == pytest.approx(speeds(runs[0]), rel=1e-3)


def test_a_run_is_over_when_the_car_leaves_the_field_and_not_before() -> None:
    track = Track(CarRacing(speed=60.0), 1)
    outcome = track.step(STRAIGHT)
    for _ in range(1500):
        inside = max(map(abs, track._env.car.hull.position)) <= stock.PLAYFIELD
        assert outcome.over != inside
        if outcome.over:
            break
        outcome = track.step(STRAIGHT)
    assert outcome.over
    assert outcome.metrics["reward"] == -100


def test_a_run_is_over_when_the_whole_road_was_visited_and_not_before() -> None:
    track, driver = Track(CarRacing(speed=45.0), 8), Pursuit(STEADY, 0)
    progress = [track.progress]
    for _ in range(1500):
        outcome = track.step(driver.act(track.frame()))
        progress.append(outcome.metrics["progress"])
        assert outcome.over == (progress[-1] == 1.0)
        if outcome.over:
            break
    assert progress[-1] == 1.0
    assert progress == sorted(progress)


@pytest.mark.parametrize(
    "settings",
    [
        {"handling": "arcade"},
        {"speed": 0.0},
        {"speed": -5.0},
        {"speed": 201.0},
        {"speed": math.nan},
        {"speed": math.inf},
        {"speed": "fast"},
        {"speed": True},
        {"skip_zoom": 1},
    ],
)
def test_a_setting_that_cannot_work_is_refused_in_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refusal:
        CarRacing(**settings)
    assert "\n" not in str(refusal.value)
    assert str(next(iter(settings.values()))) in str(refusal.value)


def test_steps_come_to_every_metric_that_the_task_declares_in_their_order_and_within_their_bounds() -> None:
    track = CarRacing().start(3)
    for outcome in drive(track, actions(3, 40)):
        assert list(outcome.metrics) == [metric.name for metric in METRICS]
        assert all(metric.bounds[0] <= outcome.metrics[metric.name] <= metric.bounds[1] for metric in METRICS)
        assert all(type(value) is float for value in outcome.metrics.values())


@pytest.mark.parametrize("task", [CarRacing(), CarRacingClutter()], ids=lambda task: task.spec.name)
@pytest.mark.parametrize("language", ["en", "de"])
def test_what_people_are_told_names_the_keys_and_the_number_of_trials(task: Task, language: str) -> None:
    text = task.spec.text(language)
    assert text is task.spec.texts[language]
    named = {field for line in text.lines for _, field, _, _ in string.Formatter().parse(line) if field}
    assert named == {"left", "right", "trials"}
    assert set(text.actions) <= {action.name for action in task.spec.actions}


def test_saying_what_the_task_is_does_not_load_the_game() -> None:
    code = (
        "import sys\nfrom racer.tasks.car_racing.task import CarRacing, CarRacingClutter\n"
        "CarRacing().spec, CarRacingClutter().spec\n"
        "print(sorted({'pygame', 'Box2D', 'torch', 'gymnasium', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_deviation_is_how_far_the_middle_of_the_road_lies_across_it() -> None:
    track = Track(CarRacing(), 5)
    with closing(track):
        assert track.deviation() < 0.5, "a run begins in the middle of the road"
        for _ in range(40):
            track.step(RIGHT)
            right, turned = track.truth()[[1, 13]]
            ahead = track.truth()[7]
            across = math.cos(turned) * right + math.sin(turned) * ahead
            assert track.deviation() == pytest.approx(abs(across), abs=1e-9)
        assert track.deviation() > 2
