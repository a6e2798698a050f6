"""Gymnasium's CarRacing-v3, drawn several times faster to the very same bytes.

Gymnasium transforms and rasterises every road tile and grass patch of the track on each step, on the screen or
not. `FastCarRacing` finds the visible ones and draws only those, by compiled code where there is any and else with the
same calls on the same numbers, so that every pixel keeps its value. Physics, reward and track generation are inherited.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray
from pygame import gfxdraw

from racer.tasks.car_racing import raster
from racer.tasks.car_racing.frames import OBSERVATION_SIZE, most_covering
from racer.tasks.car_racing.raster import INDICATOR_TOP, draw_polygon, pixels, reduced, whole
from racer.tasks.car_racing.task import LABELS

_MARGIN = 4.0
"""Pixels by which an outline may spill over its polygon (rounding and anti-aliasing)."""
_REACH = math.hypot(stock.WINDOW_W / 2, stock.WINDOW_H * 3 / 4) + 2 * _MARGIN
"""Pixels from the car to the farthest corner of the screen, and some to spare."""
_CAR_REACH = 8.0
"""Track units from the car's middle to where no part of it ever is."""
_EDGE = stock.PLAYFIELD
_FIELD = [(_EDGE, _EDGE), (_EDGE, -_EDGE), (-_EDGE, -_EDGE), (-_EDGE, _EDGE)]


@dataclass(frozen=True)
class Camera:
    """Where the world is seen from."""

    zoom: float
    """Pixels of the canvas per track unit."""
    shift: tuple[float, float]
    """Pixels from the canvas's corner to the world's origin."""
    angle: float
    """Radians by which the world is turned."""
    car: tuple[float, float]
    """The car's place in the world, track units."""

    @property
    def inside_field(self) -> bool:
        """Whether nothing beyond the field's edge can be on the screen."""
        reach = math.hypot(stock.WINDOW_W, stock.WINDOW_H) / self.zoom
        return bool(max(abs(self.car[0]), abs(self.car[1])) + reach < stock.PLAYFIELD)

    @property
    def view(self) -> raster.View:
        """What compiled code is told of it."""
        return (*self._turn, self.zoom, *self.shift)

    @property
    def _turn(self) -> tuple[float, float]:
        """Cosine and sine."""
        cosine, sine = pygame.math.Vector2(1, 0).rotate_rad(self.angle)
        return cosine, sine

    def near(self, x: NDArray[np.float64], y: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the indices of the discs, track units, that may touch the screen."""
        away_x, away_y = x - self.car[0], y - self.car[1]
        return np.flatnonzero(away_x * away_x + away_y * away_y < (radius + _REACH / self.zoom) ** 2)

    def project(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the canvas's columns and rows of places in the world."""
        # The same operations on the same numbers as Gymnasium's, which rotates corner by corner.
        cosine, sine = self._turn
        return (
            (cosine * x - sine * y) * self.zoom + self.shift[0],
            (sine * x + cosine * y) * self.zoom + self.shift[1],
        )


class FastCarRacing(stock.CarRacing):  # type: ignore[misc]  # gymnasium's CarRacing is untyped
    """A drop-in for `CarRacing` (default colours) whose observations are byte-identical and cheaper.

    Args:
        draw_each_step: Render in every `step`, as Gymnasium does. With False, `step` and `reset` return an empty
            observation and the caller asks `observation` or `scene` for pixels when it wants them.
        lap_complete_percent: As in Gymnasium.
    """

    def __init__(self, draw_each_step: bool = True, lap_complete_percent: float = 0.95) -> None:
        self._draw_each_step = draw_each_step
        self._canvas = pygame.Surface((stock.WINDOW_W, stock.WINDOW_H), 0, 32)
        self._upright = pygame.Surface((stock.WINDOW_W, stock.WINDOW_H), 0, 32)
        self._ground: Quadrilaterals | None = None
        self._shapes: _Shapes | None = None
        self._score: tuple[str, pygame.Surface] | None = None
        super().__init__(lap_complete_percent=lap_complete_percent)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[np.uint8], Any]:
        """Start the track of `seed`, as Gymnasium does."""
        # Gymnasium's reset ends with a step that may draw the new track: its corners are gathered on demand.
        self._ground = self._shapes = None
        observation, info = super().reset(seed=seed, options=options)
        return observation, info

    def observation(self) -> NDArray[np.uint8]:
        """Return the current observation, uint8[96, 96, 3], indicator bar included."""
        self._draw()
        # What pygame.transform.flip does, without a new 3 MB surface each step.
        pygame.surfarray.pixels2d(self._upright)[:] = pygame.surfarray.pixels2d(self._canvas)[:, ::-1]
        self.surf = self._upright
        self._render_indicators(stock.WINDOW_W, stock.WINDOW_H)
        text = self._score_text()
        self.surf.blit(text, text.get_rect(center=(60, stock.WINDOW_H - stock.WINDOW_H * 2.5 / 40.0)))
        return pixels(pygame.transform.smoothscale(self.surf, (OBSERVATION_SIZE, OBSERVATION_SIZE)))

    def scene(self) -> NDArray[np.uint8]:
        """Return the observation above the indicator bar, uint8[84, 96, 3]."""
        if raster.drawn_by() == "pygame":
            self._draw()
            return pixels(reduced(self._canvas))
        if self._shapes is None:
            self._shapes = _Shapes(self)
        return self._shapes.scene(self.camera())

    def labels(self) -> NDArray[np.uint8]:
        """Return what takes most of each pixel of the frame, uint8[64, 64], as `LABELS` number it.

        Drawn from the same shapes in the same order as the scene, without the outlines that smooth their edges.
        """
        camera = self.camera()
        canvas = self._canvas
        canvas.fill(_OF_LABEL["edge"])
        for _, outline in Quadrilaterals([_FIELD]).on_screen(camera):
            gfxdraw.filled_polygon(canvas, outline, _OF_LABEL["grass"])
        for index, outline in Quadrilaterals([polygon for polygon, _ in self.road_poly]).on_screen(camera):
            # Kerbs have a colour of their own each, patches of road an array that changes.
            label = "road" if isinstance(self.road_poly[index][1], np.ndarray) else "kerb"
            gfxdraw.filled_polygon(canvas, outline, _OF_LABEL[label])
        sheet = raster.new_sheet()
        self.car.draw(sheet, camera.zoom, camera.shift, camera.angle, draw_particles=False)
        labels = pygame.surfarray.pixels_red(canvas).T.copy()
        labels[pygame.surfarray.pixels_alpha(sheet).T > 0] = LABELS.index("car")
        # The canvas is drawn upside down: its first rows end up under the indicator bar.
        return most_covering(labels[: -INDICATOR_TOP - 1 : -1], len(LABELS))

    def close(self) -> None:
        """Give everything back. The physics world and its contact listener hold each other beyond Python's reach."""
        if not self.world.locked:  # as Ctrl-C in the middle of a step leaves it
            self._destroy()
        self.world.contactListener = None
        self.world.contactListener_bug_workaround = None
        self.contactListener_keepref = None
        super().close()

    def _render(self, mode: str) -> Any:
        if mode != "state_pixels":
            return super()._render(mode)
        return self.observation() if self._draw_each_step else np.empty((0, 0, 3), np.uint8)

    def _draw(self) -> None:
        """Draw the world on the canvas, upside down."""
        camera = self.camera()
        self.surf = self._canvas
        self._draw_field(camera)
        if self._ground is None:
            self._ground = Quadrilaterals(_GRASS + [polygon for polygon, _ in self.road_poly])
        grass_color = whole(self.grass_color)
        for index, outline in self._ground.on_screen(camera):
            # A patch of road changes its colour when it is driven over.
            road = index - len(_GRASS)
            draw_polygon(self._canvas, outline, grass_color if road < 0 else whole(self.road_poly[road][1]))
        self.car.draw(self._canvas, camera.zoom, camera.shift, camera.angle, draw_particles=False)

    def camera(self) -> Camera:
        """Return where the world is seen from now."""
        hull = self.car.hull
        angle = -hull.angle
        zoom = 0.1 * stock.SCALE * max(1 - self.t, 0) + stock.ZOOM * stock.SCALE * min(self.t, 1)
        scroll = pygame.math.Vector2(-hull.position[0] * zoom, -hull.position[1] * zoom).rotate_rad(angle)
        shift = (stock.WINDOW_W / 2 + scroll[0], stock.WINDOW_H / 4 + scroll[1])
        return Camera(zoom, shift, angle, (hull.position[0], hull.position[1]))

    def _score_text(self) -> pygame.Surface:
        """Return the score as Gymnasium writes it, drawn anew only when it changes."""
        text = f"{self.reward:04.0f}"
        if self._score is None or self._score[0] != text:
            pygame.font.init()
            font = pygame.font.Font(pygame.font.get_default_font(), 42)
            self._score = text, font.render(text, True, (255, 255, 255), (0, 0, 0))
        return self._score[1]

    def _draw_field(self, camera: Camera) -> None:
        """Draw the ground: a plain fill where the screen lies inside the field, else the field on black."""
        if camera.inside_field:
            self._canvas.fill(whole(self.bg_color))
            return
        self._canvas.fill((0, 0, 0))
        for _, outline in Quadrilaterals([_FIELD]).on_screen(camera):
            draw_polygon(self._canvas, outline, whole(self.bg_color))


class _Shapes:
    """What compiled code draws of a track.

    Args:
        game: The game after its reset. Its patches of road are given colours that are read here when they change.
    """

    def __init__(self, game: FastCarRacing) -> None:
        self._game = game
        self._sheet = raster.new_sheet()
        road = [polygon for polygon, _ in game.road_poly]
        self._corners = np.ascontiguousarray([_FIELD, *_GRASS, *road], np.float64)
        self._colors = np.array(
            [game.bg_color, *[game.grass_color] * len(_GRASS), *(color for _, color in game.road_poly)], np.float64
        )
        first = 1 + len(_GRASS)
        for patch, (index, (polygon, color)) in zip(game.road, _patches(game.road_poly), strict=True):
            # A patch of road changes its colour in place when it is driven over.
            assert patch.color is color
            patch.color = self._colors[first + index]
            game.road_poly[index] = polygon, patch.color

    def scene(self, camera: Camera) -> NDArray[np.uint8]:
        """Return what there is to see above the indicator bar, uint8[84, 96, 3]."""
        first = int(camera.inside_field)
        background = whole(self._game.bg_color) if first else [0, 0, 0]
        self._game.car.draw(self._sheet, camera.zoom, camera.shift, camera.angle, draw_particles=False)
        colors = self._colors[first:].astype(np.uint8)
        return raster.draw_scene(background, self._corners[first:], colors, camera.view, self._sheet, _box(camera))


class Quadrilaterals:
    """Shapes in track units, ready to be found on the screen.

    Args:
        shapes: Four (x, y) corners each, in drawing order.
    """

    def __init__(self, shapes: list[Any]) -> None:
        corners = np.asarray(shapes, np.float64).transpose(2, 1, 0)
        self._x, self._y = np.ascontiguousarray(corners[0]), np.ascontiguousarray(corners[1])
        self._middle_x, self._middle_y = self._x.mean(axis=0), self._y.mean(axis=0)
        self._radius = np.hypot(self._x - self._middle_x, self._y - self._middle_y).max(axis=0)

    def on_screen(self, camera: Camera) -> Iterator[tuple[int, list[list[float]]]]:
        """Yield index and corners, in pixels, of the shapes whose bounding box touches the screen, in drawing order."""
        near = camera.near(self._middle_x, self._middle_y, self._radius)
        x, y = camera.project(self._x[:, near], self._y[:, near])
        # The canvas is drawn upside down: its first rows end up under the indicator bar.
        hidden = stock.WINDOW_H - INDICATOR_TOP
        inside = (
            (x.max(axis=0) > -_MARGIN)
            & (x.min(axis=0) < stock.WINDOW_W + _MARGIN)
            & (y.max(axis=0) > hidden - _MARGIN)
            & (y.min(axis=0) < stock.WINDOW_H + _MARGIN)
        )
        found = np.flatnonzero(inside)
        outlines = np.stack([x[:, found], y[:, found]], axis=2).transpose(1, 0, 2)
        return zip(near[found].tolist(), outlines.tolist(), strict=True)


def _patches(road: list[Any]) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """Yield index, corners and colour of the patches of road; the others are kerbs, whose colours never change."""
    return ((index, patch) for index, patch in enumerate(road) if isinstance(patch[1], np.ndarray))


def _box(camera: Camera) -> raster.Box:
    """Return where on the canvas the car is drawn."""
    reach = math.ceil(_CAR_REACH * camera.zoom)
    column, row = stock.WINDOW_W // 2, stock.WINDOW_H // 4
    return max(column - reach, 0), max(row - reach, 0), column + reach, row + reach


_GRASS = [
    [
        (stock.GRASS_DIM * x + stock.GRASS_DIM, stock.GRASS_DIM * y + 0),
        (stock.GRASS_DIM * x + 0, stock.GRASS_DIM * y + 0),
        (stock.GRASS_DIM * x + 0, stock.GRASS_DIM * y + stock.GRASS_DIM),
        (stock.GRASS_DIM * x + stock.GRASS_DIM, stock.GRASS_DIM * y + stock.GRASS_DIM),
    ]
    for x in range(-20, 20, 2)
    for y in range(-20, 20, 2)
]
"""Gymnasium's 400 lighter squares of grass in its drawing order."""
_OF_LABEL = {label: (number, 0, 0) for number, label in enumerate(LABELS)}
"""The colour that stands for a label where labels are drawn."""
