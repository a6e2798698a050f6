"""What a task is: something to look at, named actions, and metrics of what they come to.

A task is a frozen dataclass whose fields are its settings, each with a default. Everything else about it stands in its
`spec`, and `start` gives a `Trial`: one run from one seed::

    @dataclass(frozen=True)
    class Crossing:
        speed: float = 1.0

        @property
        def spec(self) -> TaskSpec: ...

        def start(self, seed: int) -> Trial: ...

An installed package offers it under the entry point group `racer.tasks` (``crossing = "my_package:Crossing"``). Nothing
in Racer outside a task's own folder knows more of it than what is declared here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from racer.errors import ConfigError
from sessions.task_record import LEAST_SIDE, MOST_ACTIONS, MOST_SIDE, Metric

__all__ = ["Action", "Labelled", "Metric", "Outcome", "Task", "TaskSpec", "TaskText", "Trial"]

MOST_SEED = 2**31 - 1
"""Seeds of trials lie between 0 and this."""
MOST_LABELS = 16
MOST_TOGETHER = 9
"""Most pictures shown together: each has a digit as its key."""
LATER: Mapping[str, bool] = MappingProxyType({"later": True})
"""Metadata of a setting that came after a task had been recorded without it: kept only where it is not its default."""
_TASK_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_ACTION_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


@dataclass(frozen=True)
class Action:
    """One thing to do."""

    name: str
    """1 to 40 of a-z, 0-9 and hyphens, such as `left`."""
    keys: tuple[str, ...] = ()
    """Default keys, pygame's names, the one that is drawn first; none for what is done by pressing nothing."""

    def __post_init__(self) -> None:
        if not _ACTION_NAME.fullmatch(self.name):
            raise ConfigError(f"action name {self.name[:60]!r} must be 1 to 40 of a-z, 0-9 and hyphens")


@dataclass(frozen=True)
class TaskText:
    """What people are told of a task, in one language."""

    title: str
    """Title of the instructions, such as `Keep the car on the road`."""
    lines: tuple[str, ...]
    """Paragraphs of the instructions. `{trials}` stands for how many there are, and the name of an action, hyphens as
    underscores, for the names of its keys."""
    actions: Mapping[str, str] = field(default_factory=dict)
    """What stands below the keys of an action, by its name; the name itself where it is left out."""
    primary: str = ""
    """What stands beside the bar of the primary metric, such as `Road`; the metric's title if empty."""
    hint: str = ""
    """What is to be done with pictures that are shown together; stands below them."""


@dataclass(frozen=True)
class TaskSpec:
    """All that Racer needs to know of a task. Malformed ones raise ConfigError."""

    name: str
    """1 to 40 of a-z, 0-9 and hyphens."""
    summary: str
    """What people do, in a few words."""
    frame: tuple[int, int, int]
    """Height, width and channels (1 for grey, 3 for RGB) of every frame, uint8."""
    actions: tuple[Action, ...]
    """What can be done; an action is an index into these, everywhere."""
    metrics: tuple[Metric, ...]
    """The first is the primary one, and has a direction. One called `reward` is what agents are trained with."""
    texts: Mapping[str, TaskText]
    """By language; `en` is there."""
    neutral: int | None = None
    """The action taken where no key is down; None only where the task waits for an answer."""
    paced: bool = True
    """Whether the task moves on by itself; one that does not waits for every answer."""
    sequential: bool | None = None
    """Whether a frame follows from the last one and from what was done, which a latent model then learns to predict; as
    `paced` if None. A task that waits for answers and whose trials go on for several sets it."""
    together: Literal["neutral", "latest"] = "latest"
    """What holding the keys of two actions means: the neutral action, or that whose key went down last."""
    driver: str = ""
    """The family of simulated people that drives where `simulated` is asked for; see `racer.drivers`."""
    pilot_driver: str = ""
    """The family that pilots a simulated study, where it is another one than `driver`: none that a mask is trained on
    then says how good it is."""
    model: Path | None = None
    """Folder of the latent model that comes with the task, made by `racer model train`; None: one must be named."""
    steps: int = 100
    """Steps of a trial where nobody says otherwise."""
    whole_steps: int = 0
    """Steps that suffice whoever does the task well for all of a trial, to the best that its primary metric can be;
    0 where trials have no such end."""
    pace: float = 10.0
    """Steps per second where nobody says otherwise, 1 to 50."""
    step_seconds: float = 0.02
    """Simulated time that a step takes."""
    fixation_seconds: float = 0.0
    """For how long a person sees a cross before each frame of a task that waits for answers, 0 to 5."""
    shown_seconds: float = 0.0
    """For how long a person sees a frame of such a task, 0 to 60; 0: until the answer."""
    page: int = 1
    """Trials of such a task that a person sees together, 1 to 9: those are marked that are acted on by the first of two
    actions, the others by the second. Trials of one step each; the actions then have no keys."""
    questionnaires: tuple[str, ...] = ("nasa-tlx",)
    """Built-in questionnaires that new studies ask after each condition."""
    operating_points: tuple[Mapping[str, Any], ...] = ({},)
    """Settings under which `racer rates` drives where none are named."""
    training_points: tuple[Mapping[str, Any], ...] = ()
    """Settings under which frames are collected to train its latent model on; the operating points where empty."""
    truth: str = ""
    """What `Trial.truth` tells of, such as `the road's position`; empty where trials have no such method."""
    traits: tuple[str, ...] = ()
    """Names of the numbers that it tells, where each stands for itself: the card of a latent model says how well each
    can be read from a latent."""
    labels: tuple[str, ...] = ()
    """Names of the parts that `Trial.labels` tells apart, by number, 2 to 16 of them; empty where trials have no such
    method."""
    failure: str = ""
    """Name of the boolean metric that says of each step whether what is to be avoided happened, such as leaving the
    road; empty where there is none."""
    deviation: str = ""
    """What `Trial.deviation` tells, such as `distance from the middle of the road, track units`; empty where trials
    have no such method."""
    software: tuple[str, ...] = ()
    """Installed packages that decide what a trial comes to, such as `gymnasium`."""
    drawing: Callable[[], str] | None = None
    """Says which of several ways to draw the same bytes this process takes, such as `compiled` or `pygame`."""

    def __post_init__(self) -> None:
        if not _TASK_NAME.fullmatch(self.name):
            raise ConfigError(f"task name {self.name[:60]!r} must be 1 to 40 of a-z, 0-9 and hyphens")
        height, width, channels = self.frame
        if not (min(height, width) >= LEAST_SIDE and max(height, width) <= MOST_SIDE and channels in (1, 3)):
            raise ConfigError(
                f"task {self.name}: frames must have {LEAST_SIDE} to {MOST_SIDE} rows and columns and 1 or 3 channels; "
                f"got {self.frame}"
            )
        if not 2 <= len(self.actions) <= MOST_ACTIONS or len({a.name for a in self.actions}) < len(self.actions):
            raise ConfigError(f"task {self.name}: there must be 2 to {MOST_ACTIONS} actions, each of its own name")
        keys = [key for action in self.actions for key in action.keys]
        if len(set(keys)) < len(keys):
            raise ConfigError(f"task {self.name}: a key must mean one action only")
        if len({m.name for m in self.metrics}) < len(self.metrics) or not (self.metrics and self.metrics[0].better):
            raise ConfigError(
                f"task {self.name}: there must be a metric, the first with a direction, each of its own name"
            )
        if self.failure and not any(m.name == self.failure and m.boolean and m.better == "lower" for m in self.metrics):
            raise ConfigError(f"task {self.name}: failure must name a boolean metric of which less is better")
        if self.neutral is None and self.paced:
            raise ConfigError(f"task {self.name} moves on by itself, so it needs a neutral action")
        if self.sequential is None:
            object.__setattr__(self, "sequential", self.paced)
        if self.neutral is not None and not 0 <= self.neutral < len(self.actions):
            raise ConfigError(f"task {self.name}: neutral must be the index of an action; got {self.neutral}")
        if "en" not in self.texts:
            raise ConfigError(f"task {self.name}: there must be a text in English, `en`")
        if not 0 <= self.fixation_seconds <= 5:
            raise ConfigError(f"task {self.name}: fixation must last 0 to 5 seconds; got {self.fixation_seconds}")
        if not 0 <= self.shown_seconds <= 60:
            raise ConfigError(f"task {self.name}: frames must be shown for 0 to 60 seconds; got {self.shown_seconds}")
        if not 1 <= self.page <= MOST_TOGETHER:
            raise ConfigError(f"1 to {MOST_TOGETHER} pictures can be shown together; got {self.page}")
        if self.page > 1 and (self.paced or len(self.actions) != 2 or keys):
            raise ConfigError(
                f"pictures are shown together only under a question of two answers, which have no keys; task "
                f"{self.name} has {len(self.actions)}"
            )
        if self.page > 1 and (self.shown_seconds or self.fixation_seconds):
            raise ConfigError("pictures that are shown together stay until they are answered: leave seconds out")
        if self.labels and not (2 <= len(self.labels) <= MOST_LABELS and len(set(self.labels)) == len(self.labels)):
            raise ConfigError(f"task {self.name}: there must be 2 to {MOST_LABELS} labels, each of its own name")
        if not all(_ACTION_NAME.fullmatch(label) for label in self.labels):
            raise ConfigError(f"task {self.name}: names of labels must be 1 to 40 of a-z, 0-9 and hyphens")
        if self.steps < 1 or not 1 <= self.pace <= 50 or not self.step_seconds > 0:
            raise ConfigError(f"task {self.name}: steps must be 1 or more and the pace lie between 1 and 50")

    @property
    def primary(self) -> Metric:
        """What the task is about."""
        return self.metrics[0]

    @property
    def compared(self) -> tuple[Metric, ...]:
        """The metrics that have a direction."""
        return tuple(metric for metric in self.metrics if metric.better)

    @property
    def start_action(self) -> int:
        """What both ends of a channel are told before anything was done: the neutral action, or the first."""
        return self.neutral or 0

    def metric(self, name: str) -> Metric:
        """Return a metric. Raises KeyError if there is none of this name."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    def text(self, language: str) -> TaskText:
        """Return what people are told in a language; in English where the task has no other."""
        return self.texts.get(language, self.texts["en"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step did."""

    metrics: Mapping[str, float]
    """Every metric of the task, finite, by name."""
    over: bool
    """Whether the trial ended with this step."""


class Trial(Protocol):
    """One run of a task from one seed: the same seed and actions give the same frames and metrics."""

    def frame(self) -> NDArray[np.uint8]:
        """Draw what there is to see now, uint8[H, W, C]. Verifying a recording steps without ever drawing."""

    def step(self, action: int) -> Outcome:
        """Act: an index into the task's actions."""

    def close(self) -> None:
        """Give everything back."""


class Telling(Protocol):
    """A trial that can tell what lies behind its frame, for the card of a latent model; never for anybody who acts."""

    def truth(self) -> NDArray[np.float64]:
        """Return what decides what is to be done, float64[K], now: see `TaskSpec.truth`."""


class Labelled(Protocol):
    """A trial that knows what every pixel of its frame shows, for training and measuring coders; never for anybody who
    acts, and never for a receiver."""

    def labels(self) -> NDArray[np.uint8]:
        """Return the part that takes most of each pixel of the frame, uint8[H, W]: an index into `TaskSpec.labels`."""


@runtime_checkable
class Mapped(Protocol):
    """A trial that can be looked at from above, for pictures of paths; never for anybody who acts."""

    def place(self) -> tuple[float, float]:
        """Return where the one who acts is now, to the right and upwards, in units of the task's own."""

    def outlines(self) -> Sequence[NDArray[np.float64]]:
        """Return lines of what does not move, float64[N, 2] each, in the same units."""


class Deviating(Protocol):
    """A trial that knows how far one is from where one should be, for sweeps; never for anybody who acts."""

    def deviation(self) -> float:
        """Return it as of now, 0 or more: see `TaskSpec.deviation`."""


class Task(Protocol):
    """Something that people do, with its settings decided."""

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""

    def start(self, seed: int) -> Trial:
        """Begin a trial from a seed, 0 to `MOST_SEED`."""


@runtime_checkable
class Reaching(Protocol):
    """A task whose primary metric grows with time, from 0 on, and never faster than it can tell."""

    def reach(self, steps: int) -> float:
        """Return the most that the primary metric can come to in so many steps, 1 or more; above 0."""


@runtime_checkable
class Located(Protocol):
    """A task that reads files: a field whose metadata say `folder` names a folder, relative to another one."""

    def located(self, folders: Sequence[Path]) -> Task:
        """Return the task with its files read, from below the first of these folders that has them."""
