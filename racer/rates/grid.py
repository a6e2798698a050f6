"""The grid of a sweep: settings of the task x drivers x coders x slots x noise x simulated people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, get_args

from compression.coders.blocks import fixed_coders
from compression.coders.coder import RESERVED, Coder, is_fixed
from compression.coders.packet import MOST_BITS
from compression.fill import FILLS, FillName
from compression.masks import MaskInterval
from compression.model.sizes import Sizes
from compression.noise import NoiseName, check_noise
from compression.uplink import check_uplink
from racer.errors import ConfigError
from racer.rates.people import Person, draw_person
from racer.tasks.registry import make_task, parse_settings, task_settings

RAW, FULL = RESERVED
BLIND = "blind"
"""Coder that shows nothing: the zero of normalised scores."""
SLOTTED_NULLS = ("first-blocks", "rotation", "random", "random-step")
"""Null rows that fill the slot as others do."""
NULLS = (BLIND, "zero-bits", *SLOTTED_NULLS)
"""Coders that learn nothing, driven in any case: what the others are worth is what they add to these."""
BEST_FIXED, WORST_FIXED = "best-fixed", "worst-fixed"
"""Rows that are chosen from all that always send the same half of the blocks; see `racer.rates.fixed_masks`."""
COMPARED_NULLS = (*SLOTTED_NULLS, BEST_FIXED, WORST_FIXED)
"""Null rows that the others' scores are compared with, slot by slot."""
DEFAULT_BITS = (1, 2, 3, 5, 8, 12, 18, 27, 42, 85, 170)
MOST_FIXED = 252
"""Fixed halves of the blocks that a sweep drives at most: those of ten blocks."""
STEPS_FACTOR = 1.5
"""Steps of an episode where nobody says otherwise, in those of the task itself: long enough to go astray."""
_MOST_POINTS = 1000


@dataclass(frozen=True)
class Noise:
    """What happens to packets on their way, see `compression.noise`."""

    kind: NoiseName = "none"
    rate: float = 0.0
    """Probability of a flip or an erasure, or standard deviation of the Gaussian noise; 0 only without noise."""

    def __post_init__(self) -> None:
        check_noise(self.kind, self.rate)
        if self.kind != "none" and self.rate == 0:
            raise ConfigError(f"{self.kind} at a rate of 0 is no noise; leave it out: that is driven in any case")

    def __str__(self) -> str:
        if self.kind == "none":
            return "no noise"
        if self.kind == "gaussian":
            return f"Gaussian noise at {-20 * math.log10(self.rate):.3g} dB"
        return f"{100 * self.rate:g} % {self.kind}"


NO_NOISE = Noise()


@dataclass(frozen=True)
class TaskSettings:
    """All settings of a task. Equal ones are equal however they were asked for; printed, only those that were named."""

    text: str
    """JSON, keys in order."""
    named: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, values: Mapping[str, Any], named: Iterable[str] = ()) -> TaskSettings:
        """Return settings with these values. Raises TypeError or ValueError if JSON cannot hold them."""
        return cls(json.dumps(values, sort_keys=True, allow_nan=False), tuple(named))

    @property
    def values(self) -> dict[str, Any]:
        """Every setting by name."""
        values: dict[str, Any] = json.loads(self.text)
        return values

    @property
    def order(self) -> tuple[tuple[str, float, str], ...]:
        """What they are sorted by: numbers as numbers."""
        return tuple(
            (name, float(value), "") if isinstance(value, int | float) else (name, math.inf, json.dumps(value))
            for name, value in self.values.items()
        )

    def __str__(self) -> str:
        values = self.values
        return ", ".join(f"{name.replace('_', ' ')} {_plain(values[name])}" for name in self.named)


def sweep_settings(task: str, given: Iterable[str] = ()) -> tuple[TaskSettings, ...]:
    """Return the settings under which a task is done: every combination of those given, or its operating points.

    Args:
        task: Its name.
        given: Texts such as `speed=50,60`: a setting and its values.

    Raises:
        TaskError: If there is no such task, or it has no such setting.
        ConfigError: If a value cannot be.
    """
    values = {name: [value.strip() for value in text.split(",")] for name, text in parse_settings(given).items()}
    if math.prod(map(len, values.values())) > _MOST_POINTS:
        raise ConfigError(f"--set names more than {_MOST_POINTS} combinations of settings; name fewer values")
    points: Iterable[Mapping[str, Any]] = [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    if not values:
        points = make_task(task).spec.operating_points
    made = [(task_settings(make_task(task, point)), point) for point in points]
    try:
        found = [TaskSettings.of(values, point) for values, point in made]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"task {task} has a setting that cannot be written down as JSON: {error}") from error
    return tuple(sorted(found, key=lambda settings: settings.order))


@dataclass(frozen=True)
class RatesConfig:
    """What a sweep drives; the coders come on top."""

    task: str
    """Name of the task."""
    settings: tuple[TaskSettings, ...]
    """The task's settings; everything is driven under each."""
    steps: int
    """Steps per episode, 1 to 100000."""
    drivers: tuple[str, ...]
    """Who drives: families of simulated people, or the user's own drivers as `package.module:factory`."""
    bits: tuple[int, ...] = DEFAULT_BITS
    """Slots, 1 bit or more each."""
    noise: tuple[Noise, ...] = ()
    """What happens to packets; without noise everything is driven in any case."""
    participants: int = 12
    """Simulated people, 1 to 10000."""
    episodes: int = 5
    """Episodes per person, 1 to 1000; no two people meet the same seeds."""
    seed: int = 0
    """People, seeds of episodes, noise and random masks follow from it, 0 or more."""
    mask_interval: MaskInterval = "episode"
    """How often coders that choose blocks choose them: once per episode, or in every step."""
    fill: FillName = "hold"
    """Where the features that a coder leaves out come from."""
    action_delay: int = 0
    """Steps after which senders learn of an action, 0 to 5."""
    action_loss: float = 0.0
    """Probability of an action never to reach the sender; 1: it is told of none."""
    shadow: bool = False
    """Whether the same driver also answers the original frames; see `racer.loop.batched.Score.agreement`."""
    sealed: bool = False
    """Whether people and seeds are those of a sealed set; see `racer.rates.sealed`."""
    device: str = "cpu"
    """What encodes and decodes frames: `cpu` or `cuda`, whose sums round differently."""

    def person(self, number: int) -> Person:
        """Return one of the people, from 0."""
        return draw_person(self.seed, number, self.episodes, self.sealed)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("participants", 1, 10_000),
            ("episodes", 1, 1000),
            ("steps", 1, 100_000),
            ("seed", 0, 2**63 - 1),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must lie between {least} and {most}; got {getattr(self, name)}")
        for name in ("bits", "settings", "drivers", "noise"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or (not values and name != "noise"):
                raise ConfigError(f"{name} must be named once each, and at least one")
        if not all(1 <= bits <= MOST_BITS for bits in self.bits):
            raise ConfigError(f"bits must lie between 1 and {MOST_BITS}; got {', '.join(map(str, self.bits))}")
        if self.mask_interval not in get_args(MaskInterval):
            raise ConfigError(f"mask interval must be episode or step; got {self.mask_interval!r}")
        if self.fill not in FILLS:
            raise ConfigError(f"fill must be one of {', '.join(FILLS)}; got {self.fill!r}")
        check_uplink(self.action_delay, self.action_loss)


@dataclass(frozen=True)
class OperatingPoint:
    """How a task is done: all of a cell but who does it."""

    settings: TaskSettings
    driver: str
    noise: Noise
    coder: str
    """`raw`, `full` or the name of a coder."""
    bits: int
    """The slot; 0 where the slot changes nothing: for `raw`, `full` and coders that do not use it."""

    @property
    def place(self) -> str:
        """Where it is, whatever the coder: settings that were named, and the driver."""
        return f"{self.settings}, {self.driver}".removeprefix(", ")


@dataclass(frozen=True)
class Cell:
    """One simulated person in all their episodes at one operating point: what is driven, kept and driven again as
    one."""

    point: OperatingPoint
    participant: int
    """Number of the person, from 0."""

    @property
    def order(self) -> tuple[object, ...]:
        """What cells are sorted by where the order must not depend on how a sweep was asked for."""
        point, noise = self.point, self.point.noise
        return (
            point.settings.order,
            point.driver,
            noise != NO_NOISE,
            noise.kind,
            noise.rate,
            point.coder,
            point.bits,
            self.participant,
        )


@dataclass(frozen=True)
class Skipped:
    """What a sweep leaves out."""

    coder: str
    bits: tuple[int, ...]
    """The slots left out."""
    reason: str


@dataclass(frozen=True)
class Grid:
    """What a sweep drives."""

    cells: tuple[Cell, ...]
    """In the order in which they are driven."""
    skipped: tuple[Skipped, ...]
    coders: tuple[str, ...]
    """In the order in which they are shown; `raw` and `full` first."""
    soft: frozenset[str]
    """Coders whose packets may exceed the slot."""


def make_grid(config: RatesConfig, coders: Sequence[Coder], sizes: Sizes) -> Grid:
    """Return the grid of these coders; `raw` and `full` are always driven, as lines to compare with.

    Noise cannot touch what nothing crosses for: `raw` and silent coders. `raw`, `full` and coders that do not use the
    slot have one point.

    Args:
        config: What is driven.
        coders: At which coders.
        sizes: Of the latent model: the least bits of a coder depend on them.

    Raises:
        ConfigError: If a coder is named twice.
    """
    names = [coder.name for coder in coders]
    if len(set(names)) != len(names):
        raise ConfigError("name each coder once")
    slots: dict[str, tuple[int, ...]] = {FULL: (0,)}
    halves = {bits: frozenset(fixed_coders(sizes, bits)) for bits in config.bits if any(map(is_fixed, names))}
    skipped: list[Skipped] = []
    for coder in coders:
        least = coder.least_bits(sizes)
        fitting = tuple(bits for bits in sorted(config.bits) if bits >= least)
        if is_fixed(coder.name):
            slots[coder.name] = tuple(bits for bits in fitting if coder.name in halves[bits])
            continue
        slots[coder.name] = fitting if coder.hard else (0,)
        if coder.hard and len(fitting) < len(config.bits):
            left_out = tuple(bits for bits in sorted(config.bits) if bits < least)
            skipped.append(Skipped(coder.name, left_out, f"it needs {least} bits or more"))
    silent = {coder.name for coder in coders if coder.silent(sizes)}
    points: list[OperatingPoint] = []
    for settings, driver in product(config.settings, config.drivers):
        points.append(OperatingPoint(settings, driver, NO_NOISE, RAW, 0))
        for noise in (NO_NOISE, *(noise for noise in config.noise if noise != NO_NOISE)):
            points += [
                OperatingPoint(settings, driver, noise, name, bits)
                for name in slots
                for bits in slots[name]
                if noise == NO_NOISE or name not in silent
            ]
    # People come last in turn: a sweep that was stopped early has driven every point about equally often.
    cells = tuple(Cell(point, person) for person in range(config.participants) for point in points)
    soft = frozenset(coder.name for coder in coders if not coder.hard) - silent
    return Grid(cells, tuple(skipped), (RAW, *slots), soft)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
