"""Drawing in whole numbers: the same bytes on every machine.

Shapes are drawn four times as large, pixel by pixel, and reduced by exact area averaging. Lengths are in pixels of the
frame, and rounded down to the quarters that are drawn. The same strokes on a `PartCanvas` say which part of the picture
every pixel shows.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FINE = 4
"""Canvas pixels along a frame pixel."""
Color = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A square picture that is drawn on.

    Args:
        side: Of the frame, pixels.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._pixels = np.zeros((side * FINE, side * FINE, 3), np.uint8)
        self.part = 0
        """Number of the part of the picture that the next shapes belong to."""

    def gradient(self, top: Color, bottom: Color, first: float, last: float) -> None:
        """Fill the rows from `first` to before `last` with colours from `top` to `bottom`."""
        begin, end = self._clip(first), self._clip(last)
        if end <= begin:
            return
        share = np.arange(end - begin)[:, None]
        low, high = np.array(top), np.array(bottom)
        rows = low + (high - low) * share // max(end - begin - 1, 1)
        self._pixels[begin:end] = rows[:, None].astype(np.uint8)

    def box(self, color: Color, left: float, top: float, right: float, bottom: float) -> None:
        """Fill a rectangle."""
        rows, columns = slice(self._clip(top), self._clip(bottom)), slice(self._clip(left), self._clip(right))
        self._pixels[rows, columns] = self._ink(color)

    def ellipse(self, color: Color, x: float, y: float, across: float, down: float) -> None:
        """Fill an ellipse around (x, y), of half-axes `across` and `down`."""
        column, row = _fine(x), _fine(y)
        wide, high = max(_fine(across), 1), max(_fine(down), 1)
        part, rows, columns = self._window(column - wide, row - high, column + wide + 1, row + high + 1)
        inside = ((columns - column) * high) ** 2 + ((rows - row) * wide) ** 2 <= (wide * high) ** 2
        part[inside] = self._ink(color)

    def polygon(self, color: Color, points: Sequence[Point]) -> None:
        """Fill a convex polygon."""
        corners = [(_fine(x), _fine(y)) for x, y in points]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        part, rows, columns = self._window(min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        sides = [
            (x2 - x1) * (rows - y1) - (y2 - y1) * (columns - x1)
            for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True)
        ]
        left = np.logical_and.reduce([side >= 0 for side in sides])
        right = np.logical_and.reduce([side <= 0 for side in sides])
        part[left | right] = self._ink(color)

    def bar(self, color: Color, start: Point, end: Point, width: float) -> None:
        """Fill the rectangle that a line of this width is."""
        x, y = end[0] - start[0], end[1] - start[1]
        length = math.hypot(x, y) or 1.0
        aside, up = -y / length * width / 2, x / length * width / 2
        ends = ((start, 1), (end, 1), (end, -1), (start, -1))
        self.polygon(color, [(p[0] + sign * aside, p[1] + sign * up) for p, sign in ends])

    def frame(self) -> NDArray[np.uint8]:
        """Return the frame, uint8[side, side, 3]: means of FINE x FINE pixels, rounded half up."""
        cells = self._pixels.reshape(self._side, FINE, self._side, FINE, 3)
        total = cells.sum(axis=(1, 3), dtype=np.uint16)
        frame: NDArray[np.uint8] = ((total + FINE**2 // 2) // FINE**2).astype(np.uint8)
        return frame

    def _ink(self, color: Color) -> Color | int:
        """Return what a shape of this colour leaves on the canvas."""
        return color

    def _clip(self, length: float) -> int:
        return min(max(_fine(length), 0), self._side * FINE)

    def _window(
        self, left: int, top: int, right: int, bottom: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Return a part of the canvas, and its rows and columns."""
        most = self._side * FINE
        left, top, right, bottom = (min(max(each, 0), most) for each in (left, top, right, bottom))
        rows, columns = np.arange(top, bottom)[:, None], np.arange(left, right)[None]
        return self._pixels[top:bottom, left:right], rows, columns


class PartCanvas(Canvas):
    """Takes the same strokes, and keeps which part they belong to.

    Args:
        side: Of the frame, pixels.
        parts: How many there are.
    """

    def __init__(self, side: int, parts: int) -> None:
        super().__init__(side)
        self._parts = parts
        self._pixels = np.zeros((side * FINE, side * FINE), np.uint8)

    def gradient(self, top: Color, bottom: Color, first: float, last: float) -> None:
        """Fill the rows from `first` to before `last`."""
        self._pixels[self._clip(first) : self._clip(last)] = self.part

    def frame(self) -> NDArray[np.uint8]:
        """Return the part that takes most of each pixel, uint8[side, side]; of several, the first."""
        cells = self._pixels.reshape(self._side, FINE, self._side, FINE)
        shares = np.stack([(cells == part).sum(axis=(1, 3), dtype=np.uint8) for part in range(self._parts)])
        labels: NDArray[np.uint8] = shares.argmax(axis=0).astype(np.uint8)
        return labels

    def _ink(self, color: Color) -> int:
        return self.part


def color_of(hue: float, saturation: float, value: float) -> Color:
    """Return the colour of a hue, a saturation and a value, each in [0, 1]."""
    red, green, blue = (math.floor(255 * part + 0.5) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def mixed(one: Color, other: Color, share: float) -> Color:
    """Return a colour between two: the first at a share of 0."""
    red, green, blue = (math.floor(a + (b - a) * share + 0.5) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _fine(length: float) -> int:
    return math.floor(length * FINE)
