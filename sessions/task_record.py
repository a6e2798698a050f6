"""What a recording says of its task: all that reading, checking and analysing it take, without the task itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Better = Literal["higher", "lower", ""]
Trial = Literal["last", "mean"]

RESERVED_METRICS = frozenset(
    {"time_ns", "response_ns", "action", "applied", "stimulus", "latent", "received", "mask", "packet", "bits"}
    | {"uplink_bits", "arrived", "stage_us", "frame", "session_id", "participant", "protocol", "trial_run", "episode"}
    | {"phase", "condition", "episode_status", "rejected", "accepted", "step", "attributes", "driver", "coder"}
    | {"noise", "noise_rate", "steps", "lost", "bits_mean", "bits_most", "of_raw", "of_clean", "exceeds_slot"}
    | {"participants", "episodes", "overlap", "reason"}
)
"""Names that columns of recordings and exports have already; those that begin as in `RESERVED_STARTS` are, too."""
RESERVED_STARTS = ("latent_", "received_", "mask_", "stage_", "trial_")
MOST_ACTIONS = 64
MOST_METRICS = 64
LEAST_SIDE, MOST_SIDE = 8, 256
"""Pixels of a frame's height and width."""
MOST_LATENTS = 1024
_MOST_TEXT = 300
"""Characters of a meaning, a unit or a label."""
_MOST_NUMBER = float(np.finfo(np.float32).max)
_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


@dataclass(frozen=True)
class Metric:
    """A number that every step comes to, and a column of the recording. Malformed ones raise ValueError."""

    name: str
    """Name of the column: 1 to 40 of a-z, 0-9 and underscores, and none of `RESERVED_METRICS`."""
    meaning: str
    """What it says, in a few words, such as `road progress after the step`."""
    unit: str
    """Such as `units/s`. Numbers of unit `fraction` are shown to people in percent."""
    better: Better = ""
    """`higher`, `lower`, or empty for what is only recorded and not compared."""
    low: float | None = None
    """The least that it can be; None where there is no limit."""
    high: float | None = None
    """The most that it can be."""
    trial: Trial = "last"
    """What a trial comes to: the value of its last step, or the mean over its steps."""
    boolean: bool = False
    """Whether it is 0 or 1."""
    label: str = ""
    """What people call a trial's value, such as `road progress`; the name if empty."""

    def __post_init__(self) -> None:
        named = _matches(_METRIC_NAME, self.name) and not self.name.startswith(RESERVED_STARTS)
        _check(named and self.name not in RESERVED_METRICS, f"metric name {str(self.name)[:60]!r} can be no column's")
        for text in (self.meaning, self.unit, self.label):
            fits = isinstance(text, str) and len(text) <= _MOST_TEXT and text.isprintable()
            _check(fits, f"texts of metric {self.name} must be printable and have {_MOST_TEXT} characters or fewer")
        _check(self.better in get_args(Better), f"metric {self.name}: better must be one of {get_args(Better)}")
        _check(self.trial in get_args(Trial), f"metric {self.name}: trial must be one of {get_args(Trial)}")
        _check(isinstance(self.boolean, bool), f"metric {self.name}: boolean must be true or false")
        limits = [limit for limit in (self.low, self.high) if limit is not None]
        fits = all(_is_number(limit) and abs(limit) < _MOST_NUMBER for limit in limits)
        _check(fits and limits == sorted(set(limits)), f"metric {self.name}: low must be a number less than high")

    @property
    def title(self) -> str:
        """What people call it."""
        return self.label or self.name.replace("_", " ")

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that it can be, infinite where there is no limit."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    def share(self, value: float) -> float | None:
        """Return how far a value lies between the least and the most, in [0, 1]; None where one of them is unknown."""
        if self.low is None or self.high is None:
            return None
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def of_trial(self, values: NDArray[Any]) -> float:
        """Return what the values of a trial's steps, shape [T], come to; NaN where it has none."""
        if not len(values):
            return math.nan
        return float(values[-1] if self.trial == "last" else np.mean(values, dtype=np.float64))


@dataclass(frozen=True)
class TaskRecord:
    """The task of a recording, and the sizes that its columns have. Malformed ones raise ValueError."""

    name: str
    settings: dict[str, Any]
    """Must be JSON."""
    frame: tuple[int, int, int]
    """Height, width and channels (1 or 3) of every frame, uint8."""
    actions: tuple[str, ...]
    """Names; an action is an index into them everywhere."""
    neutral: int | None
    """The action that is doing nothing; None where there is no such thing."""
    metrics: tuple[Metric, ...]
    """The first is the primary one, and has a direction."""
    latents: int
    """Features of a latent."""
    blocks: int
    """Blocks that a latent is sent in, of equal size."""
    paced: bool
    """Whether the task moves on by itself; one that does not waits for every answer."""
    step_seconds: float
    """Simulated time that a step takes."""

    def __post_init__(self) -> None:
        _check(_matches(_NAME, self.name), f"task name {str(self.name)[:60]!r} must be 1 to 40 of a-z, 0-9 and hyphens")
        _check(isinstance(self.settings, dict), "settings must be a dictionary")
        _check(
            isinstance(self.frame, tuple)
            and len(self.frame) == 3
            and all(_is_whole(side, LEAST_SIDE, MOST_SIDE) for side in self.frame[:2])
            and self.frame[2] in (1, 3),
            f"frames must have {LEAST_SIDE} to {MOST_SIDE} rows and columns and 1 or 3 channels",
        )
        _check(
            isinstance(self.actions, tuple)
            and all(_matches(_NAME, action) for action in self.actions)
            and 2 <= len(set(self.actions)) == len(self.actions) <= MOST_ACTIONS,
            f"there must be 2 to {MOST_ACTIONS} actions, each of its own name of a-z, 0-9 and hyphens",
        )
        neutral = self.neutral is None or _is_whole(self.neutral, 0, len(self.actions) - 1)
        _check(neutral, "neutral must be the index of an action")
        _check(
            isinstance(self.metrics, tuple)
            and all(isinstance(metric, Metric) for metric in self.metrics)
            and 1 <= len({metric.name for metric in self.metrics}) == len(self.metrics) <= MOST_METRICS
            and bool(self.primary.better),
            f"there must be 1 to {MOST_METRICS} metrics, each of its own name, the first with a direction",
        )
        _check(_is_whole(self.latents, 1, MOST_LATENTS), f"latents must lie between 1 and {MOST_LATENTS}")
        fits = _is_whole(self.blocks, 1, self.latents) and self.latents % self.blocks == 0
        _check(fits, "blocks must divide latents")
        _check(isinstance(self.paced, bool), "paced must be true or false")
        _check(_is_number(self.step_seconds) and self.step_seconds > 0, "step_seconds must be a number of seconds")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TaskRecord:
        """Return what `dataclasses.asdict` and JSON made of a record.

        Raises:
            ValueError, TypeError, KeyError: If it is anything else.
        """
        tuples = {"frame": tuple(value["frame"]), "actions": tuple(value["actions"])}
        return cls(**{**value, **tuples, "metrics": tuple(Metric(**metric) for metric in value["metrics"])})

    @property
    def primary(self) -> Metric:
        """What the task is about."""
        return self.metrics[0]

    @property
    def block_size(self) -> int:
        """Features of a block."""
        return self.latents // self.blocks

    def metric(self, name: str) -> Metric:
        """Return a metric. Raises KeyError if there is none of this name."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)


def _check(fits: bool, told: str) -> None:
    if not fits:
        raise ValueError(told)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
