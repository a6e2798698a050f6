from __future__ import annotations

from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray

from racer.tasks.car_racing.frames import SCENE_ROWS
from racer.tasks.car_racing.rendering import FastCarRacing

Controls = list[tuple[float, float, float]]
ZOOM = 50
NEVER = 10_000


class Twins:
    """Gymnasium's environment and the fast one on the same track, given the same controls."""

    def __init__(self, seed: int) -> None:
        self.stock = gymnasium.make("CarRacing-v3", disable_env_checker=True, max_episode_steps=NEVER)
        self.fast = FastCarRacing()
        self.reset(seed)

    @property
    def cars(self) -> tuple[stock.Car, stock.Car]:
        return self.stock.unwrapped.car, self.fast.car

    def reset(self, seed: int | None) -> None:
        (expected, _), (observation, _) = self.stock.reset(seed=seed), self.fast.reset(seed=seed)
        self.observation = observation
        assert_same_bytes(observation, expected)

    def drive(self, controls: Controls, compare_from: int = 0) -> bool:
        """Give both the controls and compare what comes of each; return whether the last one ended the run."""
        terminated = False
        for step, control in enumerate(controls):
            action = np.array(control, np.float32)
            expected, reward, terminated, truncated, _ = self.stock.step(action)
            observation, *outcome, _ = self.fast.step(action)
            self.observation = observation
            assert outcome == [reward, terminated, truncated], f"step {step}"
            if step >= compare_from:
                assert_same_bytes(observation, expected, f"step {step}")
            if step % 8 == 0:
                assert_same_bytes(self.fast.scene(), expected[:SCENE_ROWS], f"scene of step {step}")
        return terminated

    def skip_zoom(self) -> None:
        """Let the opening zoom, which depends on the time alone, be over."""
        self.stock.unwrapped.t = self.fast.t = 1.0

    def move(self, dx: float, dy: float) -> None:
        """Put both cars elsewhere, speed and all."""
        for car in self.cars:
            for body in (car.hull, *car.wheels):
                body.position = body.position[0] + dx, body.position[1] + dy


def assert_same_bytes(observation: NDArray[np.uint8], expected: NDArray[np.uint8], when: str = "reset") -> None:
    assert (observation.shape, observation.dtype) == (expected.shape, expected.dtype)
    different = np.argwhere((observation != expected).any(axis=2))
    assert not len(different), f"{when}: {len(different)} pixels differ, the first at {different[0]}"


def at_random(seed: int, steps: int) -> Controls:
    """Return controls that hold a random steering, gas and brake for a few steps each."""
    rng = np.random.default_rng(seed)
    controls: Controls = []
    while len(controls) < steps:
        control = (float(rng.uniform(-1, 1)), float(rng.uniform()), float(rng.choice([0.0, 0.0, 0.3])))
        controls += [control] * int(rng.integers(1, 12))
    return controls[:steps]


@pytest.fixture
def twins_on() -> Iterator[Callable[[int], Twins]]:
    """Build twins on a track, and close them after the test."""
    built: list[Twins] = []

    def build(seed: int) -> Twins:
        built.append(Twins(seed))
        return built[-1]

    yield build
    for twins in built:
        twins.stock.close()
        twins.fast.close()


@pytest.mark.parametrize("seed", range(8))
def test_every_byte_is_gymnasiums_in_the_zoom_and_random_driving(seed: int, twins_on: Callable[[int], Twins]) -> None:
    twins_on(seed).drive([(0.0, 0.3, 0.0)] * 20 + at_random(seed, ZOOM + 10))


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_every_byte_is_gymnasiums_while_the_car_skids(seed: int, twins_on: Callable[[int], Twins]) -> None:
    twins = twins_on(seed)
    twins.skip_zoom()
    side = 1.0 if seed % 2 else -1.0
    skid = [(side, 1.0, 0.0)] * 25 + [(-side, 0.2, 0.9)] * 15 + [(side, 1.0, 0.0)] * 30
    twins.drive([(0.0, 0.6, 0.0)] * 40 + skid, compare_from=40)
    assert all(any(particle.grass is False for particle in car.particles) for car in twins.cars), "no skid on the road"


@pytest.mark.parametrize(
    ("target", "heading"),
    [((1, 0.2), 0.0), ((-0.1, -1), 1.0), ((1, 1), 0.8)],
    ids=["east", "south", "corner"],
)
def test_every_byte_is_gymnasiums_at_the_edge_of_the_field_and_beyond_it(
    target: tuple[float, float], heading: float, twins_on: Callable[[int], Twins]
) -> None:
    twins = twins_on(5)
    twins.skip_zoom()
    x, y = twins.fast.car.hull.position
    outwards = np.sign(target) * (np.abs(target) == 1)
    start = stock.PLAYFIELD * np.array(target) - 12 * outwards
    twins.move(start[0] - x, start[1] - y)
    for car in twins.cars:
        for body in (car.hull, *car.wheels):
            body.linearVelocity = tuple(60.0 * outwards)
        car.hull.angularVelocity = heading - 2
    ended = black = 0
    for control in at_random(1, 24):
        ended += twins.drive([control])
        black += not twins.observation[:SCENE_ROWS].any(axis=2).all()
    assert black >= 10, "the black outside was to be seen"
    assert ended >= 1, "the car was to leave the field"


def test_driving_straight_off_the_field_ends_the_run_with_the_same_penalty(twins_on: Callable[[int], Twins]) -> None:
    twins = twins_on(3)
    twins.skip_zoom()
    twins.drive([(0.0, 0.3, 0.0)] * 40, compare_from=NEVER)
    twins.move(0.0, stock.PLAYFIELD - 30 - twins.fast.car.hull.position[1])
    endings = [twins.drive([(0.0, 0.3, 0.0)]) for _ in range(60)]
    assert endings.index(True) > 10
    assert max(map(abs, twins.fast.car.hull.position)) > stock.PLAYFIELD
    assert not twins.observation[:SCENE_ROWS].any(axis=2).all()


def test_a_second_reset_shows_the_next_track_not_the_last_one(twins_on: Callable[[int], Twins]) -> None:
    twins = twins_on(20)
    first = twins.observation
    twins.reset(None)
    assert not np.array_equal(twins.observation, first)
    twins.drive([(0.0, 0.5, 0.0)] * 15)
    twins.reset(20)
    assert_same_bytes(twins.observation, first)


def test_without_drawing_the_run_is_the_same_and_pixels_come_when_asked_for() -> None:
    drawing, blind = FastCarRacing(), FastCarRacing(draw_each_step=False)
    shown, _ = drawing.reset(seed=4)
    nothing, _ = blind.reset(seed=4)
    assert nothing.size == 0
    assert_same_bytes(blind.observation(), shown)
    for control in at_random(4, 60):
        action = np.array(control, np.float32)
        shown, *outcome = drawing.step(action)
        nothing, *same = blind.step(action)
        assert nothing.size == 0
        assert same == outcome
    assert_same_bytes(blind.observation(), shown)
    assert_same_bytes(blind.scene(), shown[:SCENE_ROWS])
    assert_same_bytes(blind.observation(), shown, "drawn again")


def test_observations_already_given_out_do_not_change_when_the_next_one_is_drawn() -> None:
    env = FastCarRacing()
    first, _ = env.reset(seed=6)
    kept = first.copy()
    for _ in range(10):
        env.step(np.array([0.3, 1.0, 0.0], np.float32))
    assert np.array_equal(first, kept)
