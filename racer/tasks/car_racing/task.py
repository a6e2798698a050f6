"""CarRacing as a task: what it is and how it is set. The game itself is imported when a trial starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from racer.errors import ConfigError
from racer.tasks.shipped_model import shipped_model
from racer.tasks.task import Action, Metric, TaskSpec, TaskText

if TYPE_CHECKING:
    from racer.tasks.car_racing.track import Track

LEFT, STRAIGHT, RIGHT = range(3)
"""Indices of the actions."""
ACTIONS = (Action("left", ("left", "a")), Action("straight"), Action("right", ("right", "d")))

ZOOM_STEPS = 50
"""Steps of CarRacing's opening zoom (one second at 50 steps per simulated second)."""

LABELS = ("edge", "grass", "road", "kerb", "car")
"""What a pixel may show; `edge` is what lies beyond the field."""

Handling = Literal["stock", "forgiving"]

METRICS = (
    Metric(
        "progress",
        "road progress after the step: share of the track's road patches visited",
        "fraction",
        "higher",
        low=0.0,
        high=1.0,
        label="road progress",
    ),
    Metric(
        "off_road",
        "whether no wheel touches the road after the step",
        "fraction",
        "lower",
        low=0.0,
        high=1.0,
        trial="mean",
        boolean=True,
        label="time off the road",
    ),
    Metric("speed", "speed after the step; a second is simulated, 50 steps", "units/s", low=0.0, trial="mean"),
    Metric("reward", "CarRacing's own reward for the step", "points", trial="mean"),
    Metric("steer", "steering command sent to CarRacing, negative is left", "share of full", low=-1.0, high=1.0),
    Metric("gas", "gas sent to CarRacing", "share of full", low=0.0, high=1.0),
    Metric("brake", "brake sent to CarRacing", "share of full", low=0.0, high=1.0),
)

_ENGLISH = TaskText(
    "Keep the car on the road",
    (
        "Press {left} to steer left, and {right} to steer right. The car keeps its speed by itself.",
        "Number of short drives: {trials}. The picture may be blurred or partly wrong: drive as well as you can "
        "with what you see.",
    ),
    {"left": "left", "right": "right"},
    "Road",
)
_GERMAN = TaskText(
    "Bleiben Sie auf der Straße",
    (
        "Mit {left} lenken Sie nach links, mit {right} nach rechts. Gas gibt das Auto von selbst.",
        "Anzahl der kurzen Fahrten: {trials}. Das Bild kann unscharf oder stellenweise falsch sein: Fahren Sie so gut, "
        "wie es mit diesem Bild geht.",
    ),
    {"left": "links", "straight": "geradeaus", "right": "rechts"},
    "Strecke",
)


_CLUTTER_LINES = (
    "Every drive has other colours, and things move in the grass. They mean nothing.",
    "Jede Fahrt hat andere Farben, und im Gras bewegt sich allerlei. Es hat nichts zu bedeuten.",
)
"""What is said beside, in the order of the languages."""


_STEPS_PER_SECOND = 50
"""Steps per second of simulated time."""
_PATCH, _FEW_PATCHES = 3.5, 269
"""Length of a patch of road in track units, and the fewest patches of 24 tracks: their median is 301."""


@dataclass(frozen=True)
class CarRacing:
    """Keep the car on the road: left or right, the throttle works by itself."""

    handling: Handling = "stock"
    """`stock`: CarRacing's tyres and a throttle holding `speed`. `forgiving`: the released experiment's tyre
    friction x10, no grass penalty, and full gas in pulses of 100 steps, whatever `speed` says."""
    speed: float = 50.0
    """Speed held by the automatic throttle, track units per simulated second (50 steps), above 0 and at most 200."""
    skip_zoom: bool = True
    """Let the opening zoom pass, the car at rest, before the first step."""

    def __post_init__(self) -> None:
        if self.handling not in get_args(Handling):
            raise ConfigError(f"handling must be one of {', '.join(get_args(Handling))}; got {self.handling!r}")
        if not (_is_number(self.speed) and 0 < self.speed <= 200):
            raise ConfigError(f"speed must be above 0 and at most 200 units/s; got {self.speed!r}")
        if not isinstance(self.skip_zoom, bool):
            raise ConfigError(f"skip_zoom must be true or false; got {self.skip_zoom!r}")

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""
        return _SPEC

    def reach(self, steps: int) -> float:
        """Return the most of the road that can be visited: at the target speed, on a short track, from its start on."""
        if self.handling == "forgiving":
            return 1.0  # there is no target speed
        return min(steps * self.speed / _STEPS_PER_SECOND / (_PATCH * _FEW_PATCHES), 1.0)

    def start(self, seed: int) -> Track:
        """Begin a run on the track of a seed, as of `gymnasium.make("CarRacing-v3").reset(seed=...)`."""
        from racer.tasks.car_racing.track import Track

        return Track(self, seed)


@dataclass(frozen=True)
class CarRacingClutter(CarRacing):
    """The same track and driving among things that look striking and mean nothing."""

    clutter: float = 1.0
    """How much of them there is, from 0 (the frames of `car-racing`) to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (_is_number(self.clutter) and 0 <= self.clutter <= 1):
            raise ConfigError(f"clutter must lie between 0 and 1; got {self.clutter!r}")

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""
        return _CLUTTER_SPEC

    def start(self, seed: int) -> Track:
        """Begin a run on the track of a seed; colours and clutter follow from the seed as well."""
        from racer.tasks.car_racing.track import Track

        return Track(self, seed, self.clutter)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _drawn_by() -> str:
    from racer.tasks.car_racing.raster import drawn_by

    return drawn_by()


_SPEC = TaskSpec(
    name="car-racing",
    summary="steer a car along a winding road",
    frame=(64, 64, 3),
    actions=ACTIONS,
    metrics=METRICS,
    texts={"en": _ENGLISH, "de": _GERMAN},
    neutral=STRAIGHT,
    together="neutral",
    driver="pursuit",
    model=shipped_model("car-racing"),
    questionnaires=("driving",),
    whole_steps=2000,
    operating_points=({"speed": 50.0}, {"speed": 60.0}),
    training_points=(
        {"speed": 30.0},
        {"speed": 45.0},
        {"speed": 55.0},
        {"speed": 65.0},
        {"speed": 50.0, "handling": "forgiving"},
    ),
    truth="the road's position",
    labels=LABELS,
    failure="off_road",
    deviation="distance from the middle of the road, track units",
    software=("gymnasium", "box2d", "pygame-ce", "numpy"),
    drawing=_drawn_by,
)
_CLUTTER_SPEC = replace(
    _SPEC,
    name="car-racing-clutter",
    summary="steer a car along a winding road among things that mean nothing",
    texts={
        language: replace(text, lines=(*text.lines, line))
        for (language, text), line in zip(_SPEC.texts.items(), _CLUTTER_LINES, strict=True)
    },
    model=shipped_model("car-racing-clutter"),
    drawing=None,
    training_points=(
        {"clutter": 0.0, "speed": 50.0},
        {"clutter": 0.25, "speed": 40.0},
        {"clutter": 0.5, "speed": 60.0},
        {"clutter": 0.75, "speed": 50.0},
        {"clutter": 1.0, "speed": 40.0},
        {"clutter": 1.0, "speed": 60.0},
    ),
)
