"""Drivers: whoever steers from the displayed frame alone."""

from __future__ import annotations

import importlib
import os
import sys
import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from racer.drivers.families.pursuit import SimulatedParticipant
from racer.errors import RacerError
from racer.tasks.car_racing.track import ACTIONS

KEYBOARD = "keyboard"
SIMULATED = "simulated"


class Driver(Protocol):
    """Steers. Sees nothing but displayed frames."""

    def reset(self) -> None:
        """Begin a new episode."""

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return -1 (left), 0 (straight) or 1 (right) on seeing a frame, uint8[64, 64, 3]."""


class DriverError(RacerError):
    """A driver cannot be made, or did what no driver may."""


def make_driver(name: str, seed: int) -> Driver:
    """Return a driver other than the keyboard.

    Args:
        name: `simulated`, `simulated:SEED` for one simulated participant whoever is named, or `package.module:factory`
            for the user's own: `factory(seed)` returns an object with `reset()` and `act(frame)`.
        seed: Identity of the driver.

    Raises:
        DriverError: If there is no such driver, or its factory fails.
    """
    kind, _, rest = name.partition(":")
    if kind == SIMULATED:
        if rest and not rest.isdecimal():
            raise DriverError(f"driver {name!r}: what follows `simulated:` is a seed, a number of 0 or more")
        return SimulatedParticipant(int(rest) if rest else seed)
    if not rest:
        raise DriverError(
            f"unknown driver {name!r}; choose {KEYBOARD}, {SIMULATED}, or your own as package.module:factory"
        )
    return _Checked(name, _import_driver(name, kind, rest, seed))


def driver_seed(participant: str) -> int:
    """Return the seed that a participant's name stands for: the same name drives alike."""
    return zlib.crc32(participant.encode())


def _import_driver(name: str, module: str, attribute: str, seed: int) -> Driver:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # the user's module usually lies where the command is run
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise DriverError(
            f"driver {name!r} cannot be imported: {_brief(error)}; write it as package.module:factory"
        ) from error
    except (Exception, SystemExit) as error:
        raise DriverError(f"driver {name!r}: importing {module} failed: {_brief(error)}") from error
    try:
        driver = factory(seed)
    except (Exception, SystemExit) as error:
        raise DriverError(f"driver {name!r}: {attribute}(seed) failed: {_brief(error)}") from error
    if not callable(getattr(driver, "reset", None)) or not callable(getattr(driver, "act", None)):
        raise DriverError(f"driver {name!r}: {attribute}(seed) must return an object with reset() and act(frame)")
    result: Driver = driver
    return result


class _Checked:
    """A user's driver, with its failures named and its actions checked."""

    def __init__(self, name: str, driver: Driver) -> None:
        self._name = name
        self._driver = driver

    def reset(self) -> None:
        try:
            self._driver.reset()
        except Exception as error:
            raise DriverError(f"driver {self._name!r}: reset() failed: {_brief(error)}") from error

    def act(self, frame: NDArray[np.uint8]) -> int:
        try:
            action = self._driver.act(frame.copy())
        except Exception as error:
            raise DriverError(f"driver {self._name!r}: act(frame) failed: {_brief(error)}") from error
        if isinstance(action, bool) or not isinstance(action, int | np.integer) or action not in ACTIONS:
            returned = _one_line(repr(action))
            raise DriverError(f"driver {self._name!r}: act(frame) must return -1, 0 or 1; it returned {returned}")
        return int(action)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {_one_line(str(error))}" if str(error) else type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
