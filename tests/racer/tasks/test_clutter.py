from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pygame
import pytest
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray

from racer.drivers.families.pursuit import PURSUIT, Pursuit, PursuitTraits
from racer.errors import ConfigError
from racer.tasks.car_racing.clutter import LEAST_CONTRAST, Clutter
from racer.tasks.car_racing.raster import reduced
from racer.tasks.car_racing.rendering import FastCarRacing
from racer.tasks.car_racing.task import LEFT, RIGHT, STRAIGHT, CarRacing, CarRacingClutter
from racer.tasks.car_racing.track import Track
from racer.training.relevance import explained

DIALS = (0.25, 0.5, 0.75, 1.0)
EXPERT = PursuitTraits(
    look_ahead=14.0, gain=1.1, damping=1.0, anticipation=0.9, dead_zone=0.08, noise=0.0, delay=0, lapses=0.0
)


def wandering(seed: int, steps: int) -> Iterator[tuple[Track, int]]:
    """Drive as an expert who now and then errs, and yield the track and the next action before each step."""
    track, rng, expert = CarRacing().start(seed), np.random.default_rng(seed), Pursuit(EXPERT, 0)
    wrong = 0
    for _ in range(steps):
        action = expert.act(track.frame())
        if wrong == 0 and rng.random() < 0.04:
            wrong, way = int(rng.integers(4, 12)), int(rng.integers(3))
        if wrong:
            wrong, action = wrong - 1, way
        yield track, action
        track.step(action)
    track.close()


def clutter_of(track: Track) -> Clutter:
    assert track._clutter is not None
    return track._clutter


@pytest.mark.parametrize("settings", [{}, {"handling": "forgiving"}, {"skip_zoom": False}], ids=str)
def test_without_clutter_every_byte_is_that_of_the_plain_task(settings: dict[str, Any]) -> None:
    plain, none = CarRacing(**settings).start(4), CarRacingClutter(**settings, clutter=0.0).start(4)
    for action in [LEFT, RIGHT, STRAIGHT] * 10:
        assert np.array_equal(plain.frame(), none.frame())
        assert plain.step(action) == none.step(action)


@pytest.mark.parametrize("clutter", [0.3, 1.0])
def test_the_same_seed_and_actions_show_the_same_drawn_each_step_or_not(clutter: float) -> None:
    task = CarRacingClutter(clutter=clutter)
    drawn, blind, other = task.start(9), task.start(9), task.start(10)
    for action in [LEFT, RIGHT, RIGHT, STRAIGHT] * 8:
        first = drawn.frame()
        assert np.array_equal(drawn.frame(), first)
        assert drawn.step(action) == blind.step(action)
        other.step(action)
    assert (first.shape, first.dtype.name) == ((64, 64, 3), "uint8")
    assert np.array_equal(drawn.frame(), blind.frame())
    assert not np.array_equal(drawn.frame(), other.frame())


def test_metrics_are_those_of_the_plain_task_whatever_the_dial() -> None:
    rng = np.random.default_rng(3)
    tracks = [CarRacing().start(7), *(CarRacingClutter(clutter=clutter).start(7) for clutter in DIALS)]
    for action in rng.integers(3, size=80).tolist():
        first, *others = (track.step(action) for track in tracks)
        assert all(other == first for other in others)
        assert all(np.array_equal(track.truth(), tracks[0].truth()) for track in tracks)


def test_a_trace_of_clutter_is_hardly_seen() -> None:
    plain, traced = CarRacing().start(11), CarRacingClutter(clutter=1e-9).start(11)
    for _ in range(30):
        plain.step(STRAIGHT)
        traced.step(STRAIGHT)
    difference = np.abs(plain.frame().astype(int) - traced.frame())
    assert difference.mean() < 1.0
    # The lighter squares' edges are as wide as a pixel.
    assert (difference.max(axis=2) > 12).mean() < 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_that_moves_comes_upon_the_road(seed: int) -> None:
    track = CarRacingClutter().start(seed)
    clutter, seen = clutter_of(track), 0
    for step, (_, action) in enumerate(wandering(seed, 100)):
        track.step(action)
        if step % 6:
            continue
        camera, time = track._env.camera(), track._env.t
        ground, things = (pygame.Surface((stock.WINDOW_W, stock.WINDOW_H)) for _ in range(2))
        for _, outline in clutter._road.on_screen(camera):
            pygame.draw.polygon(ground, (255, 255, 255), outline)
        for outline, _ in clutter._things.on_screen(camera, time):
            pygame.draw.polygon(things, (255, 255, 255), outline)
        road, thing = (pygame.surfarray.array3d(surface).any(axis=2) for surface in (ground, things))
        assert not (road & thing).any()
        seen += int(thing.any())
    assert seen >= 15


@pytest.mark.parametrize("clutter", [1e-6, *DIALS])
def test_the_ground_never_comes_near_the_colour_of_the_road(clutter: float) -> None:
    game = FastCarRacing(draw_each_step=False)
    for seed in range(8):
        game.reset(seed=seed)
        ground = Clutter(game, seed, clutter)._ground
        levels = ground._still[:, None].astype(int) + ground._drifting[None, :: 256 * 16 + 16]
        distance = np.sqrt(((np.clip(levels, 0, 255) - game.road_color) ** 2).sum(axis=-1))
        assert distance.min() > LEAST_CONTRAST - 5
    game.close()


def test_things_and_one_of_the_textures_move_while_the_road_lies_still() -> None:
    track = CarRacingClutter().start(5)
    before = track.frame()
    track._env.t += 0.2
    after = track.frame()
    still = (before == after).all(axis=2)
    assert still.mean() < 0.6
    assert still[44:58, 29:35].all()


def test_what_lies_still_is_fixed_to_the_world() -> None:
    track = CarRacingClutter().start(5)
    ground, camera = clutter_of(track)._ground, track._env.camera()
    seen = ground.seen(camera, 0.0)
    # A pixel further to the right, the camera's picture is shifted a pixel to the left.
    pixel = stock.WINDOW_W / 96
    moved = type(camera)(camera.zoom, (camera.shift[0] - pixel, camera.shift[1]), camera.angle, camera.car)
    assert (ground.seen(moved, 0.0)[:, :-1] == seen[:, 1:]).mean() > 0.99


def test_beyond_the_field_it_is_as_black_as_in_the_plain_game() -> None:
    scenes = []
    for task in (CarRacing(), CarRacingClutter()):
        track = task.start(5)
        car = track._env.car
        shift = stock.PLAYFIELD - 15 - car.hull.position[0]
        for body in (car.hull, *car.wheels):
            body.position = body.position[0] + shift, body.position[1]
        scenes.append(track.frame())
    plain, cluttered = (scene[:40].any(axis=2) for scene in scenes)
    assert 0.1 < plain.mean() < 0.9
    assert (plain == cluttered).mean() > 0.95


def test_the_opening_zoom_shows_the_same_road_among_clutter() -> None:
    plain, cluttered = CarRacing(skip_zoom=False).start(3), CarRacingClutter(skip_zoom=False).start(3)
    for _ in range(25):
        plain.step(STRAIGHT)
        cluttered.step(STRAIGHT)
    road = (np.ptp(plain.frame().astype(int), axis=2) < 8).astype(bool)
    distance = np.abs(cluttered.frame() - cluttered._env.road_color).max(axis=2)
    assert road.mean() > 0.03
    assert (distance[road] < 12).mean() > 0.9
    assert (distance[~road] < 12).mean() < 0.1


def test_drawing_on_the_canvas_keeps_opacity_and_colour_together() -> None:
    canvas = pygame.Surface((stock.WINDOW_W, stock.WINDOW_H), pygame.SRCALPHA, 32)
    canvas.fill((0, 0, 0, 0))
    pygame.draw.polygon(canvas, (200, 100, 50), [(301, 203), (699, 303), (500, 777)])
    above = np.array(reduced(canvas).get_view("2")).T.copy().view(np.uint8).reshape(84, 96, 4).astype(int)
    for channel, level in ((2, 200), (1, 100), (0, 50)):
        assert np.abs(above[..., channel] - level * above[..., 3] / 255).max() < 4


@pytest.mark.parametrize("clutter", [-0.1, 1.1, math.nan, "much", True])
def test_a_dial_that_cannot_be_set_so_is_refused_in_one_line(clutter: Any) -> None:
    with pytest.raises(ConfigError, match="clutter must lie between 0 and 1; got ") as refusal:
        CarRacingClutter(clutter=clutter)
    assert "\n" not in str(refusal.value)


def test_what_fills_the_picture_is_the_road_without_clutter_and_not_with_it() -> None:
    frames: dict[float, list[NDArray[np.uint8]]] = {0.0: [], 1.0: []}
    truth, tracks = [], []
    for seed in range(500, 512):
        cluttered = CarRacingClutter().start(seed)
        for step, (plain, action) in enumerate(wandering(seed, 220)):
            if step >= 20 and step % 4 == 0:
                for shown, track in ((frames[0.0], plain), (frames[1.0], cluttered)):
                    shown.append(track.frame()[::2, ::2])
                truth.append(plain.truth())
                tracks.append(seed)
            cluttered.step(action)
    shares = {}
    for clutter, shown in frames.items():
        pixels = np.stack(shown).reshape(len(shown), -1).astype(np.float64)
        components, sizes, _ = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)
        latents = (components * sizes)[:, :16].astype(np.float32)
        shares[clutter] = explained(latents, np.stack(truth), np.array(tracks), apart=12)
    assert (shares[0.0][:6] > 0.4).all()
    assert (shares[1.0] < 0.2).sum() >= 14


@pytest.mark.parametrize("clutter", [0.0, *DIALS])
def test_simulated_people_keep_to_the_road_among_clutter(clutter: float) -> None:
    plain, task = CarRacing(), CarRacingClutter(clutter=clutter)
    progress = {}
    for each in (plain, task):
        progress[each] = 0.0
        for person in range(3):
            track, driver = each.start(200 + person), PURSUIT.make(each, person, person)
            outcomes = [track.step(driver.act(track.frame())) for _ in range(100)]
            progress[each] += outcomes[-1].metrics["progress"]
    assert progress[task] >= 0.95 * progress[plain]
