"""Draws what a pilot sees: a window that follows the craft, uint8[64, 64, 3].

Drawn four times as large, in whole pixels, and reduced by exact area averaging: the same bytes on every machine.
Looking changes nothing of the physics, and no drawing depends on those before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import lunar_lander as stock
from numpy.typing import NDArray

from racer.tasks.lunar_lander import scenery
from racer.tasks.lunar_lander.scenery import CRAFT_COLUMN, CRAFT_ROW, FRAME_SIZE, LABELS, Color, Palette, label_palette

_FINE = 4
"""Canvas pixels along a frame pixel."""
_CANVAS = FRAME_SIZE * _FINE
_FIELD = stock.VIEWPORT_W / stock.SCALE
"""Units from the field's left side to its right one; the ground is at most a third as high."""
_CEILING = _FIELD
"""Units above the field's foot from where on the sky looks alike."""
_STARS = 90
_FLAG_HEIGHT, _FLAG_WIDTH = 1.0, 0.2
_LEG_HALF, _LEG_WIDTH = 1.2 * stock.LEG_H / stock.SCALE, 0.6
"""Units. Legs are drawn larger than they are: their width alone would be less than a pixel."""
_NEEDLE_WIDTH = 0.8
_HULL_FOOT, _FLAME_LENGTH, _FLAME_WIDTH = -10 / stock.SCALE, 1.1, 0.6
_JET_FROM, _JET_UP, _JET_LENGTH, _JET_WIDTH = 0.5, 0.47, 0.8, 0.35
_ARROW = 5
"""Size of the arrow, frame pixels."""

_Point = tuple[float, float]


class View:
    """What there is to see of one flight.

    Args:
        env: Gymnasium's LunarLander, after its reset.
        width: Units across the frame.
        seed: Of the stars.
        palette: What everything is drawn in.
    """

    def __init__(self, env: Any, width: float, seed: int, palette: Palette | None = None) -> None:
        self._env = env
        self._palette = palette or Palette()
        self._scale = _CANVAS / width
        self._canvas = pygame.Surface((_CANVAS, _CANVAS), 0, 32)
        # The craft may reach the field's sides and the ceiling: what lies around it is drawn as well.
        self._margin = math.ceil(0.75 * width)
        self._scene = self._draw_scene(seed)

    def draw(self, burning: int) -> NDArray[np.uint8]:
        """Draw the craft where it is, with the flame of the engine that Gymnasium's action `burning` fires."""
        self._draw(burning)
        return _reduced(self._canvas)

    def _draw(self, burning: int) -> None:
        x, y = self._env.lander.position
        column, row = self._place((x, min(y, _CEILING)))
        self._canvas.blit(self._scene, (CRAFT_COLUMN * _FINE - column, CRAFT_ROW * _FINE - row))
        self._draw_flame(burning)
        self._draw_craft()
        self._draw_arrow()

    def _place(self, point: _Point) -> tuple[int, int]:
        """Return the pixel (column, row) of the scene at which a point of the world lies."""
        x, y = point
        return math.floor((x + self._margin) * self._scale), math.floor((_CEILING + self._margin - y) * self._scale)

    def _draw_scene(self, seed: int) -> pygame.Surface:
        """Draw everything that does not move: sky, stars, the beam above the pad, ground and pad."""
        env, margin = self._env, self._margin
        width, height = self._place((_FIELD + margin, -margin))
        scene = pygame.Surface((width, height), 0, 32)
        left, right = (self._place((x, 0))[0] for x in (env.helipad_x1, env.helipad_x2))
        for row, color in enumerate(self._sky(_CEILING + margin - np.arange(height) / self._scale)):
            scene.fill(color, (0, row, width, 1))
        scene.fill(self._palette.beam, (left, 0, right - left, height), pygame.BLEND_RGB_ADD)
        stars = np.random.default_rng(seed)
        for column, row in zip(stars.integers(width, size=_STARS), stars.integers(height, size=_STARS), strict=True):
            scene.fill(self._palette.star, (int(column), int(row), _FINE, _FINE))
        # The ground goes on level beyond the field.
        heights = ground_of(env)
        ground = [(-margin, heights[0][1]), *heights, (_FIELD + margin, heights[-1][1])]
        outline = [*ground, (_FIELD + margin, -margin), (-margin, -margin)]
        pygame.draw.polygon(scene, self._palette.ground, [self._place(point) for point in outline])
        top = self._place((0, heights[len(heights) // 2][1]))[1]
        scene.fill(self._palette.pad, (left, top, right - left, self._long(scenery.PAD_DEPTH)))
        flag, high = self._long(_FLAG_WIDTH), self._long(_FLAG_HEIGHT)
        for column in (left, right - flag):
            scene.fill(self._palette.pad, (column, top - high, flag, high))
        return scene

    def _sky(self, height: NDArray[np.float64]) -> list[list[int]]:
        """Return the colours of the sky at heights in units, float64[T]."""
        share = np.clip(height / _CEILING, 0.0, 1.0)[:, None]
        low, high = np.array(self._palette.horizon), np.array(self._palette.space)
        colors: list[list[int]] = np.floor(low + share * (high - low)).astype(int).tolist()
        return colors

    def _near(self, point: _Point) -> tuple[int, int]:
        """Return the pixel (column, row) of the canvas at which a point of the world lies."""
        x, y = self._env.lander.position
        return (
            CRAFT_COLUMN * _FINE + math.floor((point[0] - x) * self._scale),
            CRAFT_ROW * _FINE + math.floor((y - point[1]) * self._scale),
        )

    def _long(self, units: float) -> int:
        return max(round(units * self._scale), 1)

    def _polygon(self, color: Color, points: Sequence[_Point]) -> None:
        pygame.draw.polygon(self._canvas, color, [self._near(point) for point in points])

    def _bar(self, color: Color, start: _Point, end: _Point, width: float) -> None:
        """Draw a line as the rectangle that it is."""
        x, y = end[0] - start[0], end[1] - start[1]
        length = math.hypot(x, y) or 1.0
        aside, up = -y / length * width / 2, x / length * width / 2
        self._polygon(
            color,
            [(p[0] + sign * aside, p[1] + sign * up) for p, sign in ((start, 1), (end, 1), (end, -1), (start, -1))],
        )

    def _draw_flame(self, burning: int) -> None:
        """Draw what comes out of the engine that pushes; nothing for 0."""
        at = self._env.lander.transform
        if burning == 2:
            half = _FLAME_WIDTH / 2
            corners = [(-half, _HULL_FOOT), (half, _HULL_FOOT), (0.0, _HULL_FOOT - _FLAME_LENGTH)]
        elif burning:
            side = burning - 2  # what turns the craft to the left, 1, pushes from its right
            inner, outer = -side * _JET_FROM, -side * (_JET_FROM + _JET_LENGTH)
            corners = [(inner, _JET_UP + _JET_WIDTH / 2), (inner, _JET_UP - _JET_WIDTH / 2), (outer, _JET_UP)]
        else:
            return
        self._polygon(self._palette.flame, [at * corner for corner in corners])

    def _draw_craft(self) -> None:
        """Draw the hull, on it the needle, so that a short one is seen, and on that the legs, which show the tilt."""
        lander = self._env.lander
        self._polygon(self._palette.hull, [lander.transform * vertex for vertex in lander.fixtures[0].shape.vertices])
        x, y = lander.position
        across, up = lander.linearVelocity
        seconds = min(scenery.NEEDLE_SECONDS, scenery.LONGEST_NEEDLE / max(math.hypot(across, up), 1e-6))
        self._bar(self._palette.needle, (x, y), (x + across * seconds, y + up * seconds), _NEEDLE_WIDTH)
        for leg in self._env.legs:
            top, foot = leg.transform * (0.0, _LEG_HALF), leg.transform * (0.0, -_LEG_HALF)
            self._bar(self._palette.legs, top, foot, _LEG_WIDTH)

    def _draw_arrow(self) -> None:
        """Point to the pad where not even its beam is in view."""
        x = self._env.lander.position[0]
        if x - self._env.helipad_x2 > CRAFT_COLUMN * _FINE / self._scale:
            point, base = 0, _ARROW * _FINE
        elif self._env.helipad_x1 - x > (FRAME_SIZE - CRAFT_COLUMN) * _FINE / self._scale:
            point, base = _CANVAS - 1, _CANVAS - 1 - _ARROW * _FINE
        else:
            return
        row = CRAFT_ROW * _FINE
        corners = [(point, row), (base, row - _ARROW * _FINE), (base, row + _ARROW * _FINE)]
        pygame.draw.polygon(self._canvas, self._palette.arrow, corners)


class LabelView(View):
    """What each pixel shows: the same strokes, each in the number of its label.

    Args:
        env: Gymnasium's LunarLander, after its reset.
        width: Units across the frame.
    """

    def __init__(self, env: Any, width: float) -> None:
        super().__init__(env, width, 0, label_palette())

    def draw(self, burning: int) -> NDArray[np.uint8]:
        """Return the label that takes most of each pixel, uint8[64, 64]; of several, the first."""
        self._draw(burning)
        labels = pygame.surfarray.pixels_red(self._canvas).T.reshape(FRAME_SIZE, _FINE, FRAME_SIZE, _FINE)
        shares = np.stack([(labels == label).sum(axis=(1, 3)) for label in range(len(LABELS))])
        covering: NDArray[np.uint8] = shares.argmax(axis=0).astype(np.uint8)
        return covering


def ground_of(env: Any) -> list[_Point]:
    """Return the corners of the ground of Gymnasium's LunarLander, units, from left to right."""
    return [polygon[0] for polygon in env.sky_polys] + [env.sky_polys[-1][1]]


def _reduced(canvas: pygame.Surface) -> NDArray[np.uint8]:
    """Return the frame: the mean of `_FINE` x `_FINE` pixels each, rounded half up, in whole numbers throughout."""
    pixels = np.frombuffer(pygame.image.tobytes(canvas, "RGB"), np.uint8)
    rows = pixels.reshape(FRAME_SIZE, _FINE, _CANVAS * 3).sum(axis=1, dtype=np.uint16)
    cells = rows.reshape(FRAME_SIZE, FRAME_SIZE, _FINE, 3)
    total = sum(cells[:, :, column] for column in range(_FINE))  # several times faster than sum(axis=2)
    frame: NDArray[np.uint8] = ((total + _FINE**2 // 2) // _FINE**2).astype(np.uint8)
    return frame
