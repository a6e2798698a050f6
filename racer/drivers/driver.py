"""What a driver is: whoever acts, from the shown frame alone; and families of simulated people.

A family draws people alike in kind and different in their traits. An installed package offers one under the entry point
group `racer.drivers` (``my-pilots = "my_package:PILOTS"``), and its name is a driver wherever there are drivers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from racer.errors import RacerError
from racer.tasks.task import Task


class Driver(Protocol):
    """Acts. Sees nothing but shown frames."""

    def reset(self) -> None:
        """Begin a new trial."""

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing a frame, uint8[H, W, C]: an index into the task's actions."""


@runtime_checkable
class TimedDriver(Protocol):
    """A driver that knows when it acted."""

    @property
    def pressed_ns(self) -> int | None:
        """When it last acted, monotonic nanoseconds; None if that was when it was asked."""


@runtime_checkable
class JudgingDriver(Protocol):
    """A driver that knows how probable each of its answers is."""

    def probabilities(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return how probable each action is on seeing frames, uint8[N, H, W, C]: float64[N, actions]."""


class DriverError(RacerError):
    """A driver cannot be made, or did what no driver may."""


@dataclass(frozen=True)
class DriverFamily:
    """Simulated people of one kind."""

    name: str
    """Lower-case letters, digits and hyphens."""
    tasks: tuple[str, ...]
    """Names of the tasks that they can do."""
    summary: str
    """How they act, in a few words."""
    source: str
    """Who published it where, and what differs here."""
    make: Callable[[Task, int, int], Driver]
    """Makes a driver, given the task, a person and dice, both 0 or more: the same person has the same traits, the same
    dice the same chances."""
