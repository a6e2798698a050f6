"""What there is to see beside the road and means nothing: colours, textured ground, and things that move in the grass.

Everything follows from the seed and the game's clock, is fixed to the world and seen through the car's camera, and lies
below the road, so that the road stays whole and the driving is that of the plain game.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray
from pygame import gfxdraw

from racer.tasks.car_racing.frames import OBSERVATION_SIZE, SCENE_ROWS
from racer.tasks.car_racing.raster import INDICATOR_TOP, reduced, whole
from racer.tasks.car_racing.rendering import Camera, FastCarRacing, Quadrilaterals

LEAST_CONTRAST = 80.0
"""Distance in RGB that the road keeps at least from the ground, whatever the texture."""
_MOST_CONTRAST = 103.0
"""Distance in RGB between the road and the ground without its texture: what fills the picture is not the road."""
_BRIGHTEST = 210.0
"""Highest channel value of a new colour, as in Gymnasium's `domain_randomize`."""
_LIGHTER = 20.0
"""Added to one channel on every other square of the ground, as in Gymnasium's `domain_randomize`."""
_STILL, _DRIFTING = 90.0, 65.0
"""Distances in RGB by which a texture that lies still and one that drifts change the ground, in two directions each."""
_DRIFT = 12.0
"""Speed of the drifting texture, track units per simulated second."""
_TILE = 256
"""Cells along an edge of a texture, which repeats."""
_PERIOD = 10 * stock.GRASS_DIM
"""Track units along that edge: five pairs of squares."""
_SWELLS = 8
"""Random values along that edge: swells of 21 track units, a third of the screen."""
_SHARPNESS = 2.5
"""Sharpness of the swells' edges: 1 gives slopes, more gives patches."""

_SPACING = 11.0
"""Track units between the places of things."""
_RADIUS = (2.0, 5.0)
"""Radius of a thing, track units; a column of the frame is about 1 of them."""
_ROAM = (0.0, 5.0)
"""Track units that a thing goes away from its place."""
_RATE = (2.0, 6.0)
"""Radians per simulated second at which it goes round its place."""
_SPIN = (-4.0, 4.0)
"""Radians per simulated second at which it turns."""
_ROAD_REACH = math.hypot(stock.TRACK_WIDTH + stock.BORDER, stock.TRACK_DETAIL_STEP / 2) + 0.5
"""Track units from the middles of all patches of road beyond which there is neither road nor kerb."""
_PAINTS = 6
"""Colours of the things of a track."""

_OPAQUE = 253
"""What reducing the canvas leaves of 255: it rounds down twice."""
_STREAM = 0x636C7574
"""Keeps the draws of the clutter apart from those of the track, which has the same seed."""

Vector = NDArray[np.float64]


class Clutter:
    """Draws the scene of a game among its clutter.

    Args:
        game: The game after its reset; its road is repainted.
        seed: Decides everything, 0 or more.
        amount: How much of it there is, above 0 and at most 1: how far the colours are from the stock ones, how strong
            the textures are, and how many of the things are there.
    """

    def __init__(self, game: FastCarRacing, seed: int, amount: float) -> None:
        self._game = game
        # A stream each: more of the clutter has the same things in the same places, and more of them.
        for_colors, for_ground, for_things = map(
            np.random.default_rng, np.random.SeedSequence([_STREAM, seed]).spawn(3)
        )
        colors = _Colors.draw(for_colors, amount)
        for _, color in game.road_poly:
            if isinstance(color, np.ndarray):  # the others are kerbs
                color += colors.road - game.road_color
        game.road_color = colors.road
        self._road = Quadrilaterals([polygon for polygon, _ in game.road_poly])
        self._ground = _Ground(for_ground, colors, amount)
        self._things = _Things(for_things, colors, amount, np.array([(x, y) for _, _, x, y in game.track]))
        self._canvas = pygame.Surface((stock.WINDOW_W, stock.WINDOW_H), pygame.SRCALPHA, 32)

    def scene(self) -> NDArray[np.uint8]:
        """Return what there is to see, uint8[84, 96, 3]."""
        game, camera = self._game, self._game.camera()
        self._canvas.fill((0, 0, 0, 0))
        for outline, paint in self._things.on_screen(camera, game.t):
            pygame.draw.polygon(self._canvas, paint, outline)
        for index, outline in self._road.on_screen(camera):
            # Without the stock outlines, which mix the transparency up; reducing the canvas smooths edges anyway.
            gfxdraw.filled_polygon(self._canvas, outline, whole(game.road_poly[index][1]))
        game.car.draw(self._canvas, camera.zoom, camera.shift, camera.angle, draw_particles=False)
        # Four bytes each: blue, green, red, opacity. Nothing is 0 in all of them, so reducing has weighed the colours.
        above = np.array(reduced(self._canvas).get_view("2")).T.copy().view(np.uint8)
        above = above.reshape(SCENE_ROWS, OBSERVATION_SIZE, 4)
        scene = self._ground.seen(camera, game.t)
        scene *= _OPAQUE - np.minimum(above[..., 3:], _OPAQUE)
        scene += 127
        scene //= 255
        scene += above[..., 2::-1]
        return np.minimum(scene, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Colors:
    """RGB, float64[3] each."""

    road: Vector
    ground: Vector
    lighter: Vector
    """What every other square of the ground has more."""
    textures: tuple[Vector, Vector]
    """Directions of length 1 in which the ground changes: at right angles to that from it to the road."""

    @classmethod
    def draw(cls, rng: np.random.Generator, amount: float) -> _Colors:
        """Draw new ones that leave the road to be seen, and go the fraction `amount` of the way to them."""
        while True:
            road, ground = rng.uniform(0, _BRIGHTEST, (2, 3))
            road = _STOCK_ROAD + amount * (road - _STOCK_ROAD)
            ground = _STOCK_GROUND + amount * (ground - _STOCK_GROUND)
            lighter = np.zeros(3)
            lighter[rng.integers(3)] = _LIGHTER
            lighter = _STOCK_LIGHTER + amount * (lighter - _STOCK_LIGHTER)
            first = np.cross(ground - road, rng.uniform(-1, 1, 3))
            second = np.cross(ground - road, first)
            textures = first / math.hypot(*first), second / math.hypot(*second)
            # Right angles keep the distance but for channels that cannot be below 0 or above 255.
            reach = amount * (_STILL + _DRIFTING)
            extremes = (
                ground + on * lighter + reach * (a * textures[0] + b * textures[1])
                for on, a, b in product((0, 1), _STRENGTHS, _STRENGTHS)
            )
            if math.dist(road, ground) <= _MOST_CONTRAST and all(
                math.dist(road, np.clip(extreme, 0, 255)) >= LEAST_CONTRAST for extreme in extremes
            ):
                return cls(road, ground, lighter, textures)

    def striking(self) -> list[tuple[int, int, int]]:
        """Return vivid colours, those that differ most from road and ground."""
        levels = (0, 128, 255)
        vivid = [(r, g, b) for r in levels for g in levels for b in levels if max(r, g, b) - min(r, g, b) == 255]
        return sorted(vivid, key=lambda paint: -min(math.dist(paint, self.road), math.dist(paint, self.ground)))[
            :_PAINTS
        ]


class _Ground:
    """Ground with lighter squares and two textures, one of them drifting; black beyond the field."""

    def __init__(self, rng: np.random.Generator, colors: _Colors, amount: float) -> None:
        square = np.arange(_TILE) * 10 // _TILE % 2 == 0
        still = colors.ground + (square[:, None] & square)[..., None] * colors.lighter
        self._still = _levels(still + _STILL * amount * _texture(rng, colors))
        self._drifting = _levels(_DRIFTING * amount * _texture(rng, colors))
        heading = rng.uniform(0, 2 * math.pi)
        self._drift = _DRIFT * math.cos(heading), _DRIFT * math.sin(heading)

    def seen(self, camera: Camera, time: float) -> NDArray[np.uint16]:
        """Return the ground of every pixel, uint16[84, 96, 3] of 0 to 255."""
        pixel = stock.WINDOW_W / OBSERVATION_SIZE, stock.WINDOW_H / OBSERVATION_SIZE
        across = ((np.arange(OBSERVATION_SIZE) + 0.5) * pixel[0] - camera.shift[0]) / camera.zoom
        # The canvas is upside down.
        along = (stock.WINDOW_H - (np.arange(SCENE_ROWS) + 0.5) * pixel[1] - camera.shift[1]) / camera.zoom
        cosine, sine = pygame.math.Vector2(1, 0).rotate_rad(camera.angle)
        x = cosine * across + (sine * along)[:, None]
        y = (cosine * along)[:, None] - sine * across
        levels = self._still[_cells(x, y)]
        levels += self._drifting[_cells(x - self._drift[0] * time, y - self._drift[1] * time)]
        if not camera.inside_field:
            levels[(np.abs(x) > stock.PLAYFIELD) | (np.abs(y) > stock.PLAYFIELD)] = 0
        return np.clip(levels, 0, 255).astype(np.uint16)


class _Things:
    """Two-coloured things that turn and go round in the grass, each about a place of its own, none above the road.

    Args:
        rng: Draws them.
        colors: Of road and ground.
        amount: Fraction of them that is there.
        road: Middles of the patches of road, float64[P, 2].
    """

    def __init__(self, rng: np.random.Generator, colors: _Colors, amount: float, road: Vector) -> None:
        grid = np.arange(-stock.PLAYFIELD + _SPACING, stock.PLAYFIELD, _SPACING)
        count = len(grid) ** 2
        x, y = (axis.ravel() + rng.uniform(-0.3, 0.3, count) * _SPACING for axis in np.meshgrid(grid, grid))
        room = np.full(count, np.inf)
        for road_x, road_y in road:
            np.minimum(room, (x - road_x) * (x - road_x) + (y - road_y) * (y - road_y), out=room)
        room = np.sqrt(room) - _ROAD_REACH
        radius = np.minimum(rng.uniform(*_RADIUS, count), room)
        roam = np.minimum(rng.uniform(*_ROAM, count), room - radius)
        rate = rng.uniform(*_RATE, count) * rng.choice([-1.0, 1.0], count)
        phase, tilt = rng.uniform(0, 2 * math.pi, (2, count))
        spin = rng.uniform(*_SPIN, count)
        shape = rng.integers(len(_SHAPES), size=count)
        paint = rng.integers(_PAINTS, size=count)
        inner = (paint + rng.integers(1, _PAINTS, size=count)) % _PAINTS
        there = np.flatnonzero((rng.uniform(size=count) < amount) & (radius >= _RADIUS[0]))
        self._x, self._y, self._reach = x[there], y[there], (radius + roam)[there]
        ways = (x, y, radius, roam, rate, phase, spin, tilt)
        self._ways = list(zip(*(way[there].tolist() for way in ways), strict=True))
        paints = colors.striking()
        self._looks = [(_SHAPES[shape[i]], paints[paint[i]], paints[inner[i]]) for i in there]

    def on_screen(self, camera: Camera, time: float) -> Iterator[tuple[list[list[float]], tuple[int, int, int]]]:
        """Yield outlines, in pixels of the canvas, and colours of what may be seen, in drawing order."""
        near = camera.near(self._x, self._y, self._reach)
        column, row = camera.project(self._x[near], self._y[near])
        reach, hidden = self._reach[near] * camera.zoom, stock.WINDOW_H - INDICATOR_TOP
        seen = (abs(column - stock.WINDOW_W / 2) < stock.WINDOW_W / 2 + reach) & (
            abs(row - (stock.WINDOW_H + hidden) / 2) < (stock.WINDOW_H - hidden) / 2 + reach
        )
        for index in near[seen].tolist():
            x, y, radius, roam, rate, phase, spin, tilt = self._ways[index]
            shape, paint, inner = self._looks[index]
            angle, turned = phase + rate * time, tilt + spin * time
            x, y = x + roam * math.cos(angle), y + roam * math.sin(angle)
            cosine, sine = radius * math.cos(turned), radius * math.sin(turned)
            from_x, from_y = cosine * shape[0] - sine * shape[1], sine * shape[0] + cosine * shape[1]
            for size, color in ((1.0, paint), (0.5, inner)):
                yield np.stack(camera.project(x + size * from_x, y + size * from_y), axis=1).tolist(), color


def _texture(rng: np.random.Generator, colors: _Colors) -> Vector:
    """Return smooth random changes of colour, float64[_TILE, _TILE, 3], that go on beyond the edges."""
    first, second = _smooth(rng)[..., None]
    return np.asarray(first * colors.textures[0] + second * colors.textures[1])


def _smooth(rng: np.random.Generator) -> Vector:
    """Return two fields of smooth random values in [-1, 1], float64[2, _TILE, _TILE]."""
    values = rng.integers(-64, 65, (2, _SWELLS, _SWELLS)) / 64
    while values.shape[1] < _TILE:
        for axis in (1, 2):
            # Subdivision of a quadratic B-spline.
            before, after = 0.25 * np.roll(values, 1, axis), 0.25 * np.roll(values, -1, axis)
            halves = np.stack([0.75 * values + before, 0.75 * values + after], axis=axis + 1)
            values = halves.reshape([side * (1 + (place == axis)) for place, side in enumerate(values.shape)])
    return np.asarray(np.clip(_SHARPNESS * values, -1, 1))


def _levels(colors: Vector) -> NDArray[np.int16]:
    return np.rint(colors).astype(np.int16).reshape(-1, 3)


def _cells(x: Vector, y: Vector) -> NDArray[np.int32]:
    """Return which cell of a texture lies at places in the world."""
    column, row = (np.floor(place * (_TILE / _PERIOD)).astype(np.int32) & (_TILE - 1) for place in (x, y))
    return np.asarray(row * _TILE + column)


def _outline(radii: list[float]) -> Vector:
    """Return the corners, float64[2, C], of a shape that reaches so far in directions evenly round."""
    angles = [2 * math.pi * corner / len(radii) for corner in range(len(radii))]
    return np.array([[r * wave(a) for r, a in zip(radii, angles, strict=True)] for wave in (math.cos, math.sin)])


_STOCK_ROAD = np.array([102.0, 102.0, 102.0])
_STOCK_GROUND = np.array([102.0, 204.0, 102.0])
_STOCK_LIGHTER = np.array([0.0, 26.0, 0.0])
_STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_DISC, _SQUARE, _TRIANGLE, _STAR = (_outline(radii) for radii in ([1.0] * 16, [1.0] * 4, [1.0] * 3, [1.0, 0.5] * 5))
_BAR = np.array([[0.92, 0.92, -0.92, -0.92], [0.38, -0.38, -0.38, 0.38]])
_SHAPES = (_DISC, _SQUARE, _TRIANGLE, _STAR, _BAR)
