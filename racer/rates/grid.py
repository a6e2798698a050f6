"""The grid of a sweep: coders x slots x speeds x noise x simulated people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from compression.coders.coder import RESERVED, Coder
from compression.coders.packet import MOST_BITS
from compression.fill import FILLS, FillName
from compression.masks import MaskInterval
from compression.noise import NoiseName, check_noise
from racer.errors import ConfigError

RAW, FULL = RESERVED
DEFAULT_BITS = (1, 2, 3, 5, 8, 12, 18, 27, 42, 85, 170)
DEFAULT_SPEEDS = (50.0, 60.0)


@dataclass(frozen=True)
class Noise:
    """What happens to packets on their way, see `compression.noise`."""

    kind: NoiseName = "none"
    rate: float = 0.0
    """Of flips and erasures their probability, of Gaussian noise its standard deviation; 0 only without noise."""

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
class RatesConfig:
    """What a sweep drives; the coders come on top."""

    bits: tuple[int, ...] = DEFAULT_BITS
    """Slots, 1 bit or more each."""
    speeds: tuple[float, ...] = DEFAULT_SPEEDS
    """Held by the throttle, track units per second."""
    noise: tuple[Noise, ...] = ()
    """What happens to packets; without noise everything is driven in any case."""
    participants: int = 12
    """Simulated people, 1 to 10000."""
    tracks: int = 5
    """Tracks that each of them drives, 1 to 1000; no two people drive the same ones."""
    steps: int = 150
    """Steps per episode, 1 to 100000."""
    seed: int = 0
    """People, tracks, noise and random masks follow from it, 0 or more."""
    mask_interval: MaskInterval = "episode"
    """For coders that choose blocks: once per episode, or in every step."""
    fill: FillName = "hold"
    """Where coders that leave features out take them from."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("participants", 1, 10_000),
            ("tracks", 1, 1000),
            ("steps", 1, 100_000),
            ("seed", 0, 2**63 - 1),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must lie between {least} and {most}; got {getattr(self, name)}")
        for name in ("bits", "speeds", "noise"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or (not values and name != "noise"):
                raise ConfigError(f"{name} must be named once each, and at least one")
        if not all(1 <= bits <= MOST_BITS for bits in self.bits):
            raise ConfigError(f"bits must lie between 1 and {MOST_BITS}; got {', '.join(map(str, self.bits))}")
        if not all(math.isfinite(speed) and 0 < speed <= 200 for speed in self.speeds):
            raise ConfigError(f"speeds must lie in (0, 200] units/s; got {', '.join(map(str, self.speeds))}")
        if self.mask_interval not in get_args(MaskInterval):
            raise ConfigError(f"mask interval must be episode or step; got {self.mask_interval!r}")
        if self.fill not in FILLS:
            raise ConfigError(f"fill must be one of {', '.join(FILLS)}; got {self.fill!r}")


@dataclass(frozen=True)
class Way:
    """How a car is driven: all of a cell but who drives it."""

    speed: float
    noise: Noise
    coder: str
    """`raw`, `full` or the name of a coder."""
    bits: int
    """The slot; 0 where the slot changes nothing: for `raw`, `full` and coders that do not obey it."""


@dataclass(frozen=True)
class Cell:
    """One simulated person on all their tracks in one way: what is driven, kept and driven again as one."""

    way: Way
    participant: int
    """Number of the person, from 0."""

    @property
    def order(self) -> tuple[float, bool, str, float, str, int, int]:
        """What cells are sorted by where the order must not depend on how a sweep was asked for."""
        way, noise = self.way, self.way.noise
        return way.speed, noise != NO_NOISE, noise.kind, noise.rate, way.coder, way.bits, self.participant


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


def make_grid(config: RatesConfig, coders: Sequence[Coder]) -> Grid:
    """Return the grid of these coders; `raw` and `full` are always driven, as lines to compare with.

    Noise cannot touch `raw`, where nothing crosses. `raw`, `full` and coders that do not obey the slot have one point.

    Raises:
        ConfigError: If a coder is named twice.
    """
    names = [coder.name for coder in coders]
    if len(set(names)) != len(names):
        raise ConfigError("name each coder once")
    slots: dict[str, tuple[int, ...]] = {FULL: (0,)}
    skipped: list[Skipped] = []
    for coder in coders:
        fitting = tuple(bits for bits in sorted(config.bits) if bits >= coder.least_bits)
        slots[coder.name] = fitting if coder.hard else (0,)
        if coder.hard and len(fitting) < len(config.bits):
            left_out = tuple(bits for bits in sorted(config.bits) if bits < coder.least_bits)
            skipped.append(Skipped(coder.name, left_out, f"it needs {coder.least_bits} bits or more"))
    ways: list[Way] = []
    for speed in sorted(config.speeds):
        ways.append(Way(speed, NO_NOISE, RAW, 0))
        for noise in (NO_NOISE, *(noise for noise in config.noise if noise != NO_NOISE)):
            ways += [Way(speed, noise, name, bits) for name in slots for bits in slots[name]]
    # People come last in turn: a sweep that was stopped early has driven every way about equally often.
    cells = tuple(Cell(way, person) for person in range(config.participants) for way in ways)
    soft = frozenset(coder.name for coder in coders if not coder.hard)
    return Grid(cells, tuple(skipped), (RAW, *slots), soft)
