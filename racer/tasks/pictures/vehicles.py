"""The world `vehicles`: a vehicle at the side of a road, seen from its side, before a scene that means nothing.

What a vehicle is worth follows from its body and its wheels, and neither from its paint nor from anything around it.
"""

from __future__ import annotations

import numpy as np

from racer.tasks.pictures.canvas import Canvas, Color, Point, color_of, mixed
from racer.tasks.pictures.worlds import DrawnWorld, Question, Traits
from racer.tasks.task import Action

SIDE = 64
BODIES = ("sports", "saloon", "estate", "van")
_SHARES = (0.3, 0.4, 0.15, 0.15)
_WORTH = (34_000, 17_000, 12_000, 13_000)
"""Worth of each body with plain wheels."""
_ALLOYS, _LIMIT = 6_000, 20_000
_LENGTH = 38.0
"""Length of a vehicle of size 1, frame pixels; all lengths below are shares of it."""
_GLASS: Color = (192, 210, 220)
_TYRE: Color = (34, 34, 36)
_HULLS: tuple[tuple[Point, ...], ...] = (
    ((-0.50, 0.0), (-0.50, 0.13), (-0.30, 0.20), (0.05, 0.20), (0.50, 0.10), (0.50, 0.0)),
    ((-0.50, 0.0), (-0.50, 0.20), (-0.46, 0.23), (0.40, 0.23), (0.50, 0.17), (0.50, 0.0)),
    ((-0.50, 0.0), (-0.50, 0.22), (-0.46, 0.23), (0.40, 0.23), (0.50, 0.17), (0.50, 0.0)),
    ((-0.50, 0.0), (-0.50, 0.24), (-0.48, 0.26), (0.42, 0.26), (0.50, 0.20), (0.50, 0.0)),
)
"""The lower part by body, the front to the right, heights above the sill."""
_CABINS: tuple[tuple[Point, ...], ...] = (
    ((-0.28, 0.20), (-0.12, 0.31), (0.04, 0.31), (0.20, 0.19)),
    ((-0.32, 0.23), (-0.20, 0.38), (0.08, 0.38), (0.22, 0.23)),
    ((-0.49, 0.23), (-0.45, 0.38), (0.08, 0.38), (0.22, 0.23)),
    ((-0.49, 0.26), (-0.48, 0.47), (0.22, 0.47), (0.38, 0.26)),
)
PARTS = ("sky", "sun", "house", "ground", "road", "body", "glass", "tyre", "rim")
_SKY, _SUN, _HOUSE, _GROUND, _ROAD, _BODY, _PANE, _WHEEL, _RIM = range(len(PARTS))
_AXLES, _TYRE_RADIUS, _RIM_RADIUS = (-0.31, 0.31), 0.115, 0.085


def _draw(rng: np.random.Generator) -> dict[str, float]:
    body = int(rng.choice(len(BODIES), p=_SHARES))
    traits = {name: float(body == index) for index, name in enumerate(BODIES)}
    traits |= {"alloys": float(rng.random() < 0.5), "dark": float(rng.random() < 0.5)}
    for name, low, high in (
        ("shade", 0.0, 1.0),
        ("hue", 0.0, 1.0),
        ("across", 29.0, 35.0),
        ("road", 50.0, 53.0),
        ("size", 0.95, 1.05),
        ("horizon", 27.0, 32.0),
        ("sky_hue", 0.0, 1.0),
        ("sky_light", 0.2, 1.0),
        ("dusk_light", 0.2, 1.0),
        ("ground_hue", 0.0, 1.0),
        ("ground_light", 0.1, 0.9),
        ("road_light", 0.15, 0.75),
        ("house", 8.0, 56.0),
        ("house_light", 0.1, 1.0),
        ("disc", 8.0, 56.0),
        ("disc_light", 0.2, 1.0),
    ):
        traits[name] = float(rng.uniform(low, high))
    return traits


def _paint(canvas: Canvas, traits: Traits) -> None:
    horizon, road = traits["horizon"], traits["road"]
    sky = color_of(traits["sky_hue"], 0.45, traits["sky_light"])
    canvas.part = _SKY
    canvas.gradient(sky, color_of(traits["sky_hue"], 0.25, traits["dusk_light"]), 0, horizon)
    canvas.part = _SUN
    canvas.ellipse(color_of(0.12, 0.4, traits["disc_light"]), traits["disc"], 9, 7, 7)
    house = traits["house"]
    canvas.part = _HOUSE
    canvas.box(color_of(0.04, 0.3, traits["house_light"]), house - 9, horizon - 17, house + 9, horizon)
    ground = color_of(traits["ground_hue"], 0.45, traits["ground_light"])
    canvas.part = _GROUND
    canvas.gradient(ground, mixed(ground, (0, 0, 0), 0.25), horizon, road - 6)
    asphalt = color_of(0.6, 0.06, traits["road_light"])
    canvas.part = _ROAD
    canvas.gradient(asphalt, mixed(asphalt, (0, 0, 0), 0.2), road - 6, SIDE)
    _paint_vehicle(canvas, traits)


def _paint_vehicle(canvas: Canvas, traits: Traits) -> None:
    body = body_of(traits)
    length = _LENGTH * traits["size"]
    sill = traits["road"] - 0.06 * length

    def at(point: Point) -> Point:
        return traits["across"] + point[0] * length, sill - point[1] * length

    light = 0.22 + 0.12 * traits["shade"] if traits["dark"] else 0.66 + 0.12 * traits["shade"]
    paint = color_of(traits["hue"], 0.3, light)
    canvas.part = _BODY
    canvas.polygon(paint, [at(corner) for corner in _CABINS[body]])
    left = min(x for x, _ in _CABINS[body])
    middle = sum(x for x, _ in _CABINS[body]) / 4
    foot, top = _CABINS[body][0][1], _CABINS[body][1][1]
    pane = [(middle + 0.86 * (x - middle), foot + 0.86 * (y - foot) + 0.05 * (top - foot)) for x, y in _CABINS[body]]
    if body == BODIES.index("van"):  # no panes behind the driver
        pane = [(max(x, middle - 0.05), y) for x, y in pane]
    canvas.part = _PANE
    canvas.polygon(_GLASS, [at(corner) for corner in pane])
    canvas.part = _BODY
    if body != BODIES.index("sports"):
        post = middle if body != BODIES.index("van") else left
        canvas.bar(paint, at((post, foot)), at((post, top)), 0.04 * length)
    canvas.polygon(paint, [at(corner) for corner in _HULLS[body]])
    canvas.bar(mixed(paint, (0, 0, 0), 0.3), at((-0.5, 0.02)), at((0.5, 0.02)), 0.04 * length)
    rim = (206, 208, 212) if traits["alloys"] else (70, 70, 74)
    for axle in _AXLES:
        x, y = at((axle, 0.02))
        canvas.part = _WHEEL
        canvas.ellipse(_TYRE, x, y, _TYRE_RADIUS * length, _TYRE_RADIUS * length)
        canvas.part = _RIM
        canvas.ellipse(rim, x, y, _RIM_RADIUS * length, _RIM_RADIUS * length)


def body_of(traits: Traits) -> int:
    """Return the index of the body in BODIES."""
    return next(index for index, name in enumerate(BODIES) if traits[name])


def worth(traits: Traits) -> int:
    """Return what a vehicle is worth."""
    return _WORTH[body_of(traits)] + (_ALLOYS if traits["alloys"] else 0)


WORTH = Question(
    name="worth",
    asked={
        "en": "Is this vehicle worth less than 20,000?",
        "de": "Ist dieses Fahrzeug weniger als 20 000 wert?",
    },
    answers=(Action("less", ("left", "f")), Action("more", ("right", "j"))),
    words={"de": {"less": "weniger", "more": "mehr"}},
    answer=lambda traits: int(worth(traits) >= _LIMIT),
    about=(*BODIES, "alloys"),
)
PAINT = Question(
    name="paint",
    asked={"en": "Is this vehicle's paint dark or light?", "de": "Ist der Lack dieses Fahrzeugs dunkel oder hell?"},
    answers=(Action("dark", ("left", "f")), Action("light", ("right", "j"))),
    words={"de": {"dark": "dunkel", "light": "hell"}},
    answer=lambda traits: int(not traits["dark"]),
    about=("dark",),
)
VEHICLES = DrawnWorld(SIDE, _draw, _paint, (WORTH, PAINT), PARTS)
"""The world."""
