"""LunarLander-v3 as a task: what it is and how it is set. The game itself is imported when a trial starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from racer.errors import ConfigError
from racer.tasks.lunar_lander.scenery import FRAME_SIZE, LABELS
from racer.tasks.shipped_model import shipped_model
from racer.tasks.task import Action, Metric, TaskSpec, TaskText

if TYPE_CHECKING:
    from racer.tasks.lunar_lander.flight import Flight

COAST, LEFT, MAIN, RIGHT = range(4)
"""Indices of the actions: Gymnasium's. `left` turns the craft to the left, so that its main engine pushes it there."""

Handling = Literal["stock", "eased"]

FARTHEST, FASTEST = 20.0, 20.0
"""Units and units/s: what is farther or faster is recorded as this."""
NARROWEST, WIDEST = 8.0, 20.0
"""Units across the frame."""

_ACTIONS = (
    Action("coast"),
    Action("left", ("left", "a")),
    Action("main", ("up", "w")),
    Action("right", ("right", "d")),
)

_METRICS = (
    Metric(
        "landing",
        "1 at rest on the pad; else how close to the pad the craft is, at most 0.8, half of it for slow and upright",
        "fraction",
        better="higher",
        low=0.0,
        high=1.0,
        label="landing score",
    ),
    Metric(
        "landed",
        "whether the craft is at rest on the pad",
        "fraction",
        better="higher",
        low=0.0,
        high=1.0,
        boolean=True,
        label="landed on the pad",
    ),
    Metric(
        "crashed",
        "whether the hull touched the ground or the craft left the field",
        "fraction",
        better="lower",
        low=0.0,
        high=1.0,
        boolean=True,
        label="crashed",
    ),
    Metric(
        "distance",
        "distance of the craft from where it would stand on the middle of the pad",
        "units",
        better="lower",
        low=0.0,
        high=FARTHEST,
        label="distance to the pad",
    ),
    Metric(
        "tilt", "angle from upright", "radians", better="lower", low=0.0, high=math.pi, trial="mean", label="mean tilt"
    ),
    Metric(
        "fuel",
        "fuel burnt in the step: 1 by the main engine, 0.1 by one at the side",
        "fraction",
        better="lower",
        low=0.0,
        high=1.0,
        trial="mean",
        label="fuel burnt",
    ),
    Metric("speed", "speed after the step", "units/s", low=0.0, high=FASTEST, trial="mean", label="mean speed"),
    Metric("reward", "Gymnasium's own reward for the step", "points", trial="mean", label="mean reward"),
)

_ENGLISH = TaskText(
    "Land on the pad",
    (
        "Set the craft down on the yellow pad, slowly and upright. A bright column stands above the pad; where that "
        "is out of view, an arrow points to it.",
        "The main engine ({main}) pushes the craft to where its top points; {left} and {right} tilt it. Without a key "
        "it falls.",
        "The green needle shows where the craft is going, and how fast: keep it short near the ground.",
        "Number of flights: {trials}. The picture may be blurred or partly wrong: fly by what you see.",
    ),
    {"coast": "nothing", "left": "tilt left", "main": "main engine", "right": "tilt right"},
    "Landing",
)
_GERMAN = TaskText(
    "Landen Sie auf der Plattform",
    (
        "Setzen Sie die Fähre auf der gelben Plattform ab, langsam und aufrecht. Über der Plattform steht eine helle "
        "Säule; ist sie nicht im Bild, zeigt ein Pfeil dorthin.",
        "Das Haupttriebwerk ({main}) schiebt die Fähre dorthin, wohin ihre Spitze zeigt; {left} und {right} neigen "
        "sie. Ohne Taste fällt sie.",
        "Die grüne Nadel zeigt, wohin und wie schnell die Fähre fliegt: Nahe am Boden soll sie kurz sein.",
        "Anzahl der Flüge: {trials}. Das Bild kann unscharf oder teils falsch sein: Fliegen Sie nach dem, was Sie "
        "sehen.",
    ),
    {"coast": "nichts", "left": "nach links", "main": "Haupttriebwerk", "right": "nach rechts"},
    "Landung",
)


@dataclass(frozen=True)
class LunarLander:
    """Set the craft down on the pad, gently and upright. Settings that cannot be raise ConfigError."""

    handling: Handling = "eased"
    """`eased`: falls and turns slowly, as in studies with people, and starts beside the pad. `stock`: Gymnasium's
    LunarLander-v3, step by step."""
    view: float = 10.0
    """Units of the field, which is 20 wide, across the frame; the craft is 2 wide."""

    def __post_init__(self) -> None:
        if self.handling not in get_args(Handling):
            raise ConfigError(f"handling must be one of {', '.join(get_args(Handling))}; got {self.handling!r}")
        if not (isinstance(self.view, int | float) and NARROWEST <= self.view <= WIDEST):
            raise ConfigError(f"view must lie between {NARROWEST:g} and {WIDEST:g} units; got {self.view!r}")

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""
        return _SPEC

    def start(self, seed: int) -> Flight:
        """Begin the flight of a seed, as of `gymnasium.make("LunarLander-v3").reset(seed=...)`."""
        from racer.tasks.lunar_lander.flight import Flight

        return Flight(self, seed)


_SPEC = TaskSpec(
    name="lunar-lander",
    summary="land a craft gently on a pad",
    frame=(FRAME_SIZE, FRAME_SIZE, 3),
    actions=_ACTIONS,
    metrics=_METRICS,
    texts={"en": _ENGLISH, "de": _GERMAN},
    neutral=COAST,
    driver="lander-pilot",
    model=shipped_model("lunar-lander"),
    steps=400,
    labels=LABELS,
    failure="crashed",
    pace=20.0,
    operating_points=({"handling": "eased"}, {"handling": "stock"}),
    software=("gymnasium", "box2d", "pygame-ce", "numpy"),
)
