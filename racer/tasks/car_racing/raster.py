"""Shapes drawn on a canvas and reduced to what is seen: by pygame, or by compiled code to the same bytes.

The compiled code is optional: where there was no compiler, or where it does not give pygame's bytes on this machine,
pygame draws.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray
from pygame import gfxdraw

from racer.tasks.car_racing.frames import OBSERVATION_SIZE, SCENE_ROWS

_compiled: ModuleType | None
try:
    from racer.tasks.car_racing import _raster as _compiled
except ImportError:
    _compiled = None

INDICATOR_TOP = stock.WINDOW_H - 5 * stock.WINDOW_H // 40
"""First screen row (of 800) that the indicator bar hides."""
assert INDICATOR_TOP * OBSERVATION_SIZE // stock.WINDOW_H == SCENE_ROWS
_ARGB = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_COMPARED = 6
"""Pictures by which the compiled code is compared with pygame, once in a process."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, pixels; the last two lie outside."""
View = tuple[float, float, float, float, float]
"""Cosine and sine of the camera's turn, its zoom, and the column and row of the world's origin on the canvas."""


def draw_polygon(canvas: pygame.Surface, outline: list[list[float]], color: list[int]) -> None:
    """Draw a shape as Gymnasium does."""
    gfxdraw.aapolygon(canvas, outline, color)
    gfxdraw.filled_polygon(canvas, outline, color)


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


@lru_cache(maxsize=1)
def drawn_by() -> str:
    """Return what draws in this process: `compiled` or `pygame`, to the same bytes."""
    return "compiled" if _compiled is not None and all(map(_agrees, range(_COMPARED))) else "pygame"


def draw_scene(
    background: list[int],
    corners: NDArray[np.float64],
    colors: NDArray[np.uint8],
    view: View,
    above: pygame.Surface,
    box: Box,
) -> NDArray[np.uint8]:
    """Return what is seen of shapes above the indicator bar, uint8[84, 96, 3], drawn by compiled code.

    Args:
        background: RGB.
        corners: Of the shapes, in the world and in drawing order, float64[N, 4, 2].
        colors: Of the shapes, uint8[N, 3].
        view: Where the world is seen from.
        above: What lies on top, as large as the canvas, from `new_sheet`.
        box: What of it may be opaque; it is cleared.
    """
    assert _compiled is not None
    scene = np.empty((SCENE_ROWS, OBSERVATION_SIZE, 3), np.uint8)
    _compiled.scene(scene, bytes(background), corners, colors, view, above.get_buffer(), box)
    left, top, right, bottom = box
    above.fill((0, 0, 0, 0), (left, top, right - left, bottom - top))
    return scene


def new_sheet() -> pygame.Surface:
    """Return an empty canvas to lie on top of shapes."""
    sheet = pygame.Surface((stock.WINDOW_W, stock.WINDOW_H), pygame.SRCALPHA, 32)
    assert sheet.get_masks() == _ARGB
    return sheet


def _agrees(seed: int) -> bool:
    """Return whether a picture drawn at random is the same by pygame and by compiled code."""
    rng = np.random.default_rng(seed)
    middles, reach = rng.uniform(-100, 1100, (24, 1, 2)), rng.choice([5.0, 60.0, 400.0], (24, 1, 1))
    corners = middles + reach * rng.uniform(-1, 1, (24, 4, 2))
    corners[::4] = np.round(corners[::4])
    corners[::6, 1, 0], corners[::6, 2, 1] = corners[::6, 0, 0], corners[::6, 1, 1]  # plumb and level edges
    # Seen from anywhere: the turn must round as it does in Python.
    turn, zoom, (x, y) = rng.uniform(-3, 3), rng.uniform(1, 16), rng.uniform(-400, 400, 2)
    view = (math.cos(turn), math.sin(turn), zoom, x, y)
    world = np.stack(_turned(corners - (x, y), view[0], -view[1]), axis=2) / zoom
    corners = np.stack(_turned(world, view[0], view[1]), axis=2) * zoom + (x, y)
    colors = rng.integers(0, 256, (25, 3))
    canvas, sheet, box = pygame.Surface((stock.WINDOW_W, stock.WINDOW_H), 0, 32), new_sheet(), (480, 280, 600, 390)
    canvas.fill(colors[-1].tolist())
    for outline, color in zip(corners.tolist(), colors.tolist(), strict=False):
        draw_polygon(canvas, outline, color)
    for surface in (canvas, sheet):
        pygame.draw.polygon(surface, colors[0].tolist(), [(490.7, 300.2), (580.1, 290.9), (560.0, 380.5)])
    ours = draw_scene(colors[-1].tolist(), world, colors[:-1].astype(np.uint8), view, sheet, box)
    return np.array_equal(ours, pixels(reduced(canvas)))


def _turned(points: NDArray[np.float64], cosine: float, sine: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = points[..., 0], points[..., 1]
    return cosine * x - sine * y, sine * x + cosine * y


def whole(color: Any) -> list[int]:
    """Return a colour as Gymnasium draws it: fractions cut off."""
    return [int(c) for c in (color.tolist() if isinstance(color, np.ndarray) else color)]
