"""Drivers by name: families of simulated people, those of installed packages, and the user's own."""

from __future__ import annotations

import importlib
import os
import sys
import zlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from racer.drivers.driver import Driver, DriverError, DriverFamily
from racer.drivers.person import AGENT_FAMILY, AGENT_SUFFIX, fitted_family, is_fitted, make_fitted
from racer.tasks.registry import make_task, task_names
from racer.tasks.task import Task, TaskSpec

KEYBOARD = "keyboard"
CROWD = "crowd"
"""Driver's name of people whose answers came in a file; see `racer.study.crowd`."""
SIMULATED = "simulated"
"""Driver's name that stands for the family that the task names."""
GROUP = "racer.drivers"
"""Entry point group of installed families."""
BUILT_IN: dict[str, str] = {
    "pursuit": "racer.drivers.families.pursuit:PURSUIT",
    "path-tracking": "racer.drivers.families.path_tracking:PATH_TRACKING",
    "two-point": "racer.drivers.families.two_point:TWO_POINT",
    "edge-following": "racer.drivers.families.edge_following:EDGE_FOLLOWING",
    "satisficing": "racer.drivers.families.satisficing:SATISFICING",
    "pixel-policy": "racer.drivers.families.pixel_policy:PIXEL_POLICY",
    "lander-pilot": "racer.drivers.families.lander_pilot:LANDER_PILOT",
    "tau-pilot": "racer.drivers.families.tau_pilot:TAU_PILOT",
    "viewer-network": "racer.drivers.families.viewers:VIEWER_NETWORK",
    "viewer-neighbours": "racer.drivers.families.viewers:VIEWER_NEIGHBOURS",
    "viewer-trees": "racer.drivers.families.viewers:VIEWER_TREES",
    "viewer-convolution": "racer.drivers.families.viewers:VIEWER_CONVOLUTION",
}
"""Where each family is found: loaded when asked for."""
_MOST_DIGITS = 18
"""Most digits of the seed that a driver's name ends in."""


def family_names() -> tuple[str, ...]:
    """Return the names of all families: built-in ones, then installed ones by name. Loads none."""
    return (*BUILT_IN, *_installed())


def find_family(name: str) -> DriverFamily:
    """Return a family.

    Raises:
        DriverError: If there is none of this name, or its package cannot be loaded.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        built_in: DriverFamily = getattr(importlib.import_module(module), attribute)
        return built_in
    if name not in (installed := _installed()):
        raise DriverError(f"there is no family of drivers {name[:60]!r}; choose from {', '.join(family_names())}")
    return _loaded(installed[name])


def make_driver(name: str, task: Task, person: int, dice: int | None = None) -> Driver:
    """Return a driver other than the keyboard.

    Args:
        name: A family, `simulated` for the one that the task names, either with `:SEED` for one person whoever is
            named; a `.json` file of `racer driver fit` for the person that was fitted, or a `.safetensors` file of
            `racer agent train` for the agent; or `package.module:factory` for the user's own: `factory(seed)` returns
            an object with `reset()` and `act(frame)`.
        task: What is to be done.
        person: Seed of the person's traits, 0 or more.
        dice: Seed of the person's chances, and of the user's own driver; as `person` if None.

    Raises:
        DriverError: If there is no such driver, it cannot do this task, or its factory fails.
    """
    spec, dice = task.spec, person if dice is None else dice
    if is_fitted(name):
        return make_fitted(Path(name), task, dice)
    kind, _, rest = name.partition(":")
    if kind != SIMULATED and kind not in family_names():
        if not rest:
            known = ", ".join((KEYBOARD, SIMULATED, *family_names()))
            raise DriverError(f"unknown driver {name[:60]!r}; choose {known}, or your own as package.module:factory")
        return _Checked(name, _import_driver(name, kind, rest, dice), spec)
    if rest:
        if not rest.isdecimal() or len(rest) > _MOST_DIGITS:
            raise DriverError(f"driver {name[:60]!r}: what follows `{kind}:` must be a seed, a number of 0 or more")
        person = dice = int(rest)
    family = family_of(kind, task)
    if family.name in BUILT_IN:
        return family.make(task, person, dice)
    try:
        driver = family.make(task, person, dice)
    except Exception as error:  # whatever somebody else's package raises
        raise DriverError(f"driver {name!r} cannot be made: {_brief(error)}") from error
    return _Checked(name, driver, spec)


def family_of(name: str, task: Task) -> DriverFamily:
    """Return the family that a name stands for with a task: `simulated`, or a family's own name.

    Raises:
        DriverError: If there is none, or it cannot do this task.
    """
    spec = task.spec
    if name == SIMULATED:
        if not spec.driver:
            raise DriverError(
                f"task {spec.name} names no family of simulated people; name a driver, such as package.module:factory"
            )
        name = spec.driver
    family = find_family(name)
    if spec.name not in family.tasks:
        fitting = families_for(spec)
        others = f"choose {' or '.join(fitting)}" if fitting else "choose your own as package.module:factory"
        raise DriverError(f"drivers of family {name} cannot do {spec.name}; {others}")
    return family


def families_for(spec: TaskSpec) -> list[str]:
    """Return the names of the families that can do a task; what cannot be loaded can do none."""
    return [name for name in family_names() if _can_do(name, spec)]


def who_drives(name: str, task: str) -> str:
    """Return what is kept of a driver's name in a fitted file: the family, whichever person of it; or the name itself.

    Args:
        name: As for `--driver`.
        task: Name of the task, which decides what `simulated` stands for; it need not be installed.
    """
    if is_fitted(name):
        return fitted_family(name)
    kind = name.partition(":")[0]
    if kind == SIMULATED:
        return make_task(task).spec.driver if task in task_names() else SIMULATED
    return kind if kind in (KEYBOARD, CROWD, *family_names()) else name


def is_person(name: str) -> bool:
    """Return whether a driver's name stands for people."""
    return name in (KEYBOARD, CROWD)


def was_fitted_on(driver: str, drivers: Iterable[str]) -> bool:
    """Return whether a driver, or the family that it is of, is among those named in a fitted file; see `who_drives`."""
    names = counts_as(driver)
    if driver.endswith(AGENT_SUFFIX):
        names.add(AGENT_FAMILY)  # what a fitted file says that does not know whom its agents imitated
    return not names.isdisjoint(drivers)


def counts_as(driver: str) -> set[str]:
    """Return the names by which a driver is known in fitted files: its own and its family's."""
    if is_fitted(driver):  # another person, and yet one who sees and decides as that family does
        driver = fitted_family(driver)
    return {driver, driver.partition(":")[0]}


def driver_seed(participant: str) -> int:
    """Return the seed that a participant's name stands for: the same name acts alike."""
    return zlib.crc32(participant.encode())


def forget_installed() -> None:
    """Look for installed packages anew when next asked; for programs that install some while they run."""
    _installed.cache_clear()


@lru_cache(maxsize=1)
def _installed() -> dict[str, EntryPoint]:
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    taken = {*BUILT_IN, KEYBOARD, CROWD, SIMULATED}
    return {point.name: point for point in found if point.name not in taken}


def _loaded(point: EntryPoint) -> DriverFamily:
    package = point.dist.name if point.dist else point.value
    try:
        family = point.load()
    except (Exception, SystemExit) as error:  # whatever somebody else's package raises
        raise DriverError(
            f"driver {point.name} of package {package} cannot be loaded ({_brief(error)}); repair or uninstall the "
            "package"
        ) from error
    if not isinstance(family, DriverFamily) or family.name != point.name:
        raise DriverError(f"package {package} offers no DriverFamily of the name {point.name}; repair or uninstall it")
    return family


def _can_do(family: str, spec: TaskSpec) -> bool:
    try:
        return spec.name in find_family(family).tasks
    except DriverError:
        return False  # a package that is out of order is nothing to choose


def _import_driver(name: str, module: str, attribute: str, seed: int) -> Driver:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # the user's module usually lies where the command is run
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
    """A driver of somebody else's, with its failures named and its actions checked."""

    def __init__(self, name: str, driver: Driver, spec: TaskSpec) -> None:
        self._name = name
        self._driver = driver
        self._actions = tuple(action.name for action in spec.actions)

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
        whole = isinstance(action, int | np.integer) and not isinstance(action, bool)
        if not whole or not 0 <= action < len(self._actions):
            known = ", ".join(f"{index} ({name})" for index, name in enumerate(self._actions))
            returned = _one_line(repr(action))
            raise DriverError(
                f"driver {self._name!r}: act(frame) must return the index of an action, {known}; it returned {returned}"
            )
        return int(action)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {_one_line(str(error))}" if str(error) else type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
