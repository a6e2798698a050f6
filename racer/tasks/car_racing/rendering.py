"""Gymnasium's CarRacing-v3, drawn several times faster to the very same bytes.

Gymnasium transforms and rasterises every road tile and grass patch of the track on each step, on the screen or
not. `FastCarRacing` finds the visible ones with vectorised tests and draws only those, with the same calls on
the same numbers, so that every pixel keeps its value. Physics, reward and track generation are inherited.
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

from racer.tasks.car_racing.frames import OBSERVATION_SIZE, SCENE_ROWS

INDICATOR_TOP = stock.WINDOW_H - 5 * stock.WINDOW_H // 40
"""First screen row (of 800) that the indicator bar hides."""
_SCALED_ROWS_ABOVE_BAR = INDICATOR_TOP * OBSERVATION_SIZE // stock.WINDOW_H
assert _SCALED_ROWS_ABOVE_BAR == SCENE_ROWS
_MARGIN = 4.0
"""Pixels by which an outline may spill over its polygon (rounding and anti-aliasing)."""
_REACH = math.hypot(stock.WINDOW_W / 2, stock.WINDOW_H * 3 / 4) + 2 * _MARGIN
"""Pixels from the car to the farthest corner of the screen, and some to spare."""


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

    def near(self, x: NDArray[np.float64], y: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the indices of the discs, track units, that may touch the screen."""
        away_x, away_y = x - self.car[0], y - self.car[1]
        return np.flatnonzero(away_x * away_x + away_y * away_y < (radius + _REACH / self.zoom) ** 2)

    def project(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the canvas's columns and rows of places in the world."""
        # The same operations on the same numbers as Gymnasium's, which rotates corner by corner.
        cosine, sine = pygame.math.Vector2(1, 0).rotate_rad(self.angle)
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
        self._score: tuple[str, pygame.Surface] | None = None
        super().__init__(lap_complete_percent=lap_complete_percent)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[np.uint8], Any]:
        """Start the track of `seed`, as Gymnasium does."""
        # Gymnasium's reset ends with a step that may draw the new track: its corners are gathered on demand.
        self._ground = None
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
        self._draw()
        return pixels(reduced(self._canvas))

    def close(self) -> None:
        """Give everything back. The physics world and its contact listener hold each other beyond Python's reach."""
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
            self._draw_polygon(outline, grass_color if road < 0 else whole(self.road_poly[road][1]))
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
        edge = stock.PLAYFIELD
        field = Quadrilaterals([[(edge, edge), (edge, -edge), (-edge, -edge), (-edge, edge)]])
        for _, outline in field.on_screen(camera):
            self._draw_polygon(outline, whole(self.bg_color))

    def _draw_polygon(self, outline: list[list[float]], color: list[int]) -> None:
        gfxdraw.aapolygon(self._canvas, outline, color)
        gfxdraw.filled_polygon(self._canvas, outline, color)


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


def reduced(canvas: pygame.Surface) -> pygame.Surface:
    """Return what of a canvas is seen above the indicator bar, upright, 96 columns and 84 rows."""
    # Columns are reduced before rows, each row by itself: it may be turned upright in between, when it is small.
    shown = canvas.subsurface((0, stock.WINDOW_H - INDICATOR_TOP, stock.WINDOW_W, INDICATOR_TOP))
    narrow = pygame.transform.smoothscale(shown, (OBSERVATION_SIZE, INDICATOR_TOP))
    upright = pygame.transform.flip(narrow, flip_x=False, flip_y=True)
    return pygame.transform.smoothscale(upright, (OBSERVATION_SIZE, SCENE_ROWS))


def pixels(surface: pygame.Surface) -> NDArray[np.uint8]:
    """Return the colours of a surface, uint8[R, C, 3]."""
    return np.ascontiguousarray(pygame.surfarray.pixels3d(surface).transpose(1, 0, 2))


def whole(color: Any) -> list[int]:
    """Return a colour as Gymnasium draws it: fractions cut off."""
    return [int(c) for c in (color.tolist() if isinstance(color, np.ndarray) else color)]


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
