"""The world `faces`: schematic faces before a scene that means nothing. Nobody's picture is in it."""

from __future__ import annotations

import numpy as np

from racer.tasks.pictures.canvas import Canvas, color_of, mixed
from racer.tasks.pictures.worlds import DrawnWorld, Question, Traits
from racer.tasks.task import Action

SIDE = 64
_PALE, _DEEP = (238, 204, 178), (112, 74, 52)
_FAIR, _BLACK = (204, 170, 104), (38, 30, 28)

PARTS = ("wall", "curtain", "lamp", "shirt", "hair", "skin", "eye", "nose", "mouth", "glasses", "hat")
_WALL, _CURTAIN, _LAMP, _SHIRT, _HAIR, _SKIN, _EYE, _NOSE, _MOUTH, _GLASSES, _HAT = range(len(PARTS))


def _draw(rng: np.random.Generator) -> dict[str, float]:
    traits = {name: float(rng.random() < 0.5) for name in ("glasses", "hat", "dark_lenses", "long_hair")}
    for name, low, high in (
        ("hat_light", 0.65, 1.0),
        ("hat_hue", 0.0, 1.0),
        ("smile", -1.0, 1.0),
        ("gaze", -1.0, 1.0),
        ("turn", -1.0, 1.0),
        ("across", 29.5, 34.5),
        ("down", 32.0, 35.0),
        ("size", 0.95, 1.05),
        ("skin", 0.0, 1.0),
        ("hair", 0.0, 1.0),
        ("shirt_hue", 0.0, 1.0),
        ("shirt_light", 0.15, 1.0),
        ("wall_hue", 0.0, 1.0),
        ("wall_light", 0.15, 1.0),
        ("floor_light", 0.15, 1.0),
        ("curtain", 0.0, 64.0),
        ("curtain_light", 0.1, 1.0),
        ("lamp", 0.0, 1.0),
        ("lamp_light", 0.2, 1.0),
    ):
        traits[name] = float(rng.uniform(low, high))
    return traits


def _paint(canvas: Canvas, traits: Traits) -> None:
    wall = color_of(traits["wall_hue"], 0.45, traits["wall_light"])
    canvas.part = _WALL
    canvas.gradient(wall, color_of(traits["wall_hue"], 0.25, traits["floor_light"]), 0, SIDE)
    canvas.part = _CURTAIN
    canvas.box(color_of(0.95, 0.35, traits["curtain_light"]), traits["curtain"] - 9, 0, traits["curtain"] + 9, SIDE)
    lamp = 8 + 48 * round(traits["lamp"])
    canvas.part = _LAMP
    canvas.ellipse(color_of(0.12, 0.4, traits["lamp_light"]), lamp, 14, 8, 8)
    _paint_person(canvas, traits)


def _paint_person(canvas: Canvas, traits: Traits) -> None:
    x, y, unit = traits["across"], traits["down"], 17.0 * traits["size"]
    wide, turn = unit * 0.74, traits["turn"] * 0.14 * unit
    skin, hair = mixed(_PALE, _DEEP, traits["skin"]), mixed(_FAIR, _BLACK, traits["hair"])
    shirt = color_of(traits["shirt_hue"], 0.5, traits["shirt_light"])
    canvas.part = _SHIRT
    canvas.ellipse(shirt, x, y + 2.35 * unit, 1.75 * unit, 1.25 * unit)
    canvas.part = _HAIR
    if traits["long_hair"]:
        canvas.ellipse(hair, x, y + 0.15 * unit, wide * 1.22, unit * 1.2)
    canvas.part = _SKIN
    canvas.box(mixed(skin, (0, 0, 0), 0.2), x - 0.3 * unit, y + 0.6 * unit, x + 0.3 * unit, y + 1.3 * unit)
    canvas.part = _HAIR
    canvas.ellipse(hair, x, y - 0.22 * unit, wide * 1.1, unit * 0.95)
    canvas.part = _SKIN
    canvas.ellipse(skin, x, y + 0.1 * unit, wide, unit * 0.95)
    canvas.part = _HAIR
    canvas.ellipse(hair, x - 0.3 * turn, y - 0.78 * unit, wide * 0.92, unit * 0.34)
    dark = mixed(skin, (0, 0, 0), 0.35)
    for side in (-1, 1):
        eye, level = x + turn + side * 0.36 * unit, y - 0.05 * unit
        canvas.part = _EYE
        canvas.ellipse((236, 236, 236), eye, level, 0.17 * unit, 0.1 * unit)
        canvas.ellipse((40, 40, 48), eye + 0.07 * unit * traits["gaze"], level, 0.08 * unit, 0.09 * unit)
        canvas.part = _HAIR
        canvas.bar(
            hair, (eye - 0.18 * unit, level - 0.24 * unit), (eye + 0.18 * unit, level - 0.24 * unit), 0.08 * unit
        )
    canvas.part = _NOSE
    canvas.bar(dark, (x + 1.3 * turn, y + 0.1 * unit), (x + 1.3 * turn, y + 0.34 * unit), 0.12 * unit)
    corner = y + (0.6 - 0.09 * traits["smile"]) * unit
    canvas.part = _MOUTH
    lips = mixed(skin, (150, 30, 40), 0.5)
    for side in (-1, 1):
        middle = (x + turn, y + (0.6 + 0.07 * traits["smile"]) * unit)
        canvas.bar(lips, (x + turn + side * 0.32 * unit, corner), middle, 0.1 * unit)
    if traits["glasses"]:
        _paint_glasses(canvas, traits, x + turn, y - 0.05 * unit, unit)
    if traits["hat"]:
        _paint_hat(canvas, traits, x - 0.3 * turn, y, unit, wide)


def _paint_glasses(canvas: Canvas, traits: Traits, x: float, y: float, unit: float) -> None:
    rim = (30, 30, 34)
    lens = (36, 38, 48) if traits["dark_lenses"] else (90, 110, 130)
    canvas.part = _GLASSES
    canvas.bar(rim, (x - 0.72 * unit, y), (x + 0.72 * unit, y), 0.1 * unit)
    for side in (-1, 1):
        canvas.ellipse(rim, x + side * 0.36 * unit, y, 0.31 * unit, 0.24 * unit)
        canvas.ellipse(lens, x + side * 0.36 * unit, y, 0.22 * unit, 0.15 * unit)


def _paint_hat(canvas: Canvas, traits: Traits, x: float, y: float, unit: float, wide: float) -> None:
    hat = color_of(traits["hat_hue"], 0.45, traits["hat_light"])
    top, brim = y - 1.22 * unit, y - 0.6 * unit
    outline = ((-1.0, brim), (-0.85, top + 0.1 * unit), (-0.5, top), (0.5, top), (0.85, top + 0.1 * unit), (1.0, brim))
    canvas.part = _HAT
    canvas.polygon(hat, [(x + share * wide, row) for share, row in outline])
    canvas.bar(mixed(hat, (0, 0, 0), 0.75), (x - 1.25 * wide, brim), (x + 1.25 * wide, brim), 0.14 * unit)


_COVERED = (Action("covered", ("left", "f")), Action("not-covered", ("right", "j")))
_WORDS = {"en": {"not-covered": "not covered"}, "de": {"covered": "bedeckt", "not-covered": "nicht bedeckt"}}
EYES = Question(
    name="eyes",
    asked={"en": "Are the eyes covered, as by glasses?", "de": "Sind die Augen bedeckt, etwa von einer Brille?"},
    answers=_COVERED,
    words=_WORDS,
    answer=lambda traits: int(not traits["glasses"]),
    about=("glasses", "dark_lenses"),
)
HEAD = Question(
    name="head",
    asked={"en": "Is the head covered, as by a hat?", "de": "Ist der Kopf bedeckt, etwa von einem Hut?"},
    answers=_COVERED,
    words=_WORDS,
    answer=lambda traits: int(not traits["hat"]),
    about=("hat", "hat_light", "hat_hue"),
)
FACES = DrawnWorld(SIDE, _draw, _paint, (EYES, HEAD), PARTS)
"""The world."""
