"""Tasks by name: those that Racer brings, and those of installed packages; their settings, checked."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import numpy as np

from racer.errors import ConfigError, RacerError
from racer.tasks.task import Deviating, Labelled, Located, Mapped, Outcome, Task, TaskSpec, Telling, Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

ResultT = TypeVar("ResultT")
GROUP = "racer.tasks"
"""Entry point group of installed tasks."""
DEFAULT_TASK = "car-racing"
BUILT_IN: dict[str, str] = {
    "car-racing": "racer.tasks.car_racing.task:CarRacing",
    "car-racing-clutter": "racer.tasks.car_racing.task:CarRacingClutter",
    "lunar-lander": "racer.tasks.lunar_lander.task:LunarLander",
    "digits": "racer.tasks.pictures.task:Digits",
    "vehicles": "racer.tasks.pictures.task:Vehicles",
    "faces": "racer.tasks.pictures.task:Faces",
    "folder": "racer.tasks.pictures.folder:Folder",
}
"""Where each task is found, in the order in which they are listed: loaded when asked for."""


class TaskError(RacerError):
    """There is no such task, its package cannot be used, or it did what no task may."""


@dataclass(frozen=True)
class Setting:
    """One setting of a task."""

    name: str
    kind: str
    """Its type, for people."""
    default: Any
    """None where it has none."""
    required: bool
    meaning: str
    """The docstring below the field, on one line; empty where there is none."""


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks: built-in ones, then installed ones by name. Loads none."""
    return (*BUILT_IN, *_installed())


def task_type(name: str) -> Callable[..., Task]:
    """Return what makes a task of its settings.

    Raises:
        TaskError: If there is none of this name, or its package cannot be loaded.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        built_in: Callable[..., Task] = getattr(import_module(module), attribute)
        return built_in
    if name not in (installed := _installed()):
        raise TaskError(
            f"there is no task {_brief(name)!r}; {_nearest(name, task_names(), ', or install the package that has it')}"
        )
    return _loaded(installed[name])


def task_package(name: str) -> str:
    """Return the name and version of the package that brought a task; empty for built-in and unknown ones."""
    point = _installed().get(name)
    return f"{point.dist.name} {point.dist.version}" if point is not None and point.dist is not None else ""


def make_task(
    name: str = DEFAULT_TASK, settings: Mapping[str, Any] | None = None, folders: Sequence[Path] = (Path(),)
) -> Task:
    """Return a task with these settings; those left out have their defaults. Texts are read as what they stand for.

    Args:
        name: Of the task.
        settings: By name.
        folders: To which folders that a setting names are relative: the first of these that has them.

    Raises:
        TaskError: If there is no such task, its package cannot be used, or it has no such setting.
        ConfigError: If a setting has a value that cannot work.
    """
    kind = task_type(name)
    values = _checked_settings(name, kind, settings or {})
    try:
        task = kind(**values)
        if isinstance(task, Located):
            task = task.located(folders)
        spec = task.spec
    except ConfigError as error:
        raise ConfigError(f"task {name}: {error}") from None
    except Exception as error:  # whatever somebody else's package raises
        raise TaskError(f"task {name} cannot be made: {_said(error)}") from error
    if not isinstance(spec, TaskSpec) or spec.name != name:
        raise TaskError(f"task {name} cannot be made: its spec is not a TaskSpec of that name; fix its package")
    return task if name in BUILT_IN else _CheckedTask(task, spec)


def task_settings(task: Task) -> dict[str, Any]:
    """Return the settings that `make_task` makes the same task of.

    Those that came after others were recorded (`metadata={"later": True}`) are there only where they change something.
    """
    own = task.task if isinstance(task, _CheckedTask) else task
    if not is_dataclass(own) or isinstance(own, type):
        return {}
    values = asdict(own)
    return {
        field.name: values[field.name]
        for field in fields(own)
        if field.init and not (field.metadata.get("later") and values[field.name] == field.default)
    }


def folder_settings(name: str) -> tuple[str, ...]:
    """Return the settings of a task that name folders. Raises TaskError as `task_type`."""
    kind = task_type(name)
    return tuple(field.name for field in fields(kind) if field.metadata.get("folder")) if is_dataclass(kind) else ()


def describe_settings(name: str) -> tuple[Setting, ...]:
    """Return the settings that a task has. Raises TaskError as `task_type`."""
    kind = task_type(name)
    if not is_dataclass(kind):
        return ()
    hints, meanings = _hints(name, kind), _docstrings(kind)
    return tuple(
        Setting(
            field.name,
            _type_name(hints[field.name]),
            None if field.default is MISSING else field.default,
            field.default is MISSING and field.default_factory is MISSING,
            meanings.get(field.name, ""),
        )
        for field in fields(kind)
        if field.init
    )


def needed_settings(name: str) -> tuple[str, ...]:
    """Return the settings that a task has no default for. Raises TaskError as `task_type`."""
    return tuple(setting.name for setting in describe_settings(name) if setting.required)


def parse_settings(given: Iterable[str]) -> dict[str, str]:
    """Return the settings that texts such as `speed=60` name. Raises ConfigError if one is none, or named twice."""
    settings: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise ConfigError(f"--set takes NAME=VALUE, such as speed=60; got {_brief(text)!r}")
        if name in settings:
            raise ConfigError(f"--set {name} is given twice; give it once")
        settings[name] = value.strip()
    return settings


def forget_installed() -> None:
    """Look for installed packages anew when next asked; for programs that install some while they run."""
    _installed.cache_clear()


def _checked_settings(name: str, kind: Callable[..., Task], given: Mapping[str, Any]) -> dict[str, Any]:
    hints = _hints(name, kind)
    known: list[str] = [field.name for field in fields(kind) if field.init] if is_dataclass(kind) else []
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            has = f"; {_nearest(key, known)}" if known else "; it has none"
            raise TaskError(f"task {name} has no setting {_brief(key)!r}{has}")
        values[key] = _checked(name, key, hints[key], value)
    if missing := [each for each in needed_settings(name) if each not in values]:
        raise TaskError(f"task {name} needs its setting {missing[0]}: add --set {missing[0]}=VALUE")
    return values


def _hints(name: str, kind: Callable[..., Task]) -> dict[str, Any]:
    try:
        return get_type_hints(kind) if is_dataclass(kind) else {}
    except Exception as error:  # a package may name types that there are none of
        raise TaskError(f"task {name} cannot be made: {_said(error)}") from error


def _checked(task: str, key: str, hint: Any, value: Any) -> Any:
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    try:
        # What comes from a command line is text; what comes from a file has its type already.
        return TypeAdapter(hint).validate_python(value, strict=None if isinstance(value, str) else True)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"task {task}: {key}: {reason[:1].lower()}{reason[1:]}; got {_brief(str(value))!r}") from None
    except PydanticUserError as error:
        raise TaskError(f"task {task}: {key}: its type {_type_name(hint)} cannot be read from text or TOML") from error


@lru_cache(maxsize=1)
def _installed() -> dict[str, EntryPoint]:
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: point for point in found if point.name not in BUILT_IN}


def _loaded(point: EntryPoint) -> Callable[..., Task]:
    package = point.dist.name if point.dist else point.value
    try:
        kind: Callable[..., Task] = point.load()
    except (Exception, SystemExit) as error:  # whatever somebody else's package raises
        raise TaskError(
            f"task {point.name} of package {package} cannot be loaded ({_said(error)}); repair or uninstall the package"
        ) from error
    if not callable(kind):
        raise TaskError(f"package {package} offers no task of the name {point.name}; repair or uninstall it")
    return kind


class _CheckedTask:
    """A task of somebody else's, with its failures named and what it gives checked."""

    def __init__(self, task: Task, spec: TaskSpec) -> None:
        self.task = task
        self.spec = spec

    def start(self, seed: int) -> Trial:
        """Begin a trial; see `Task.start`."""
        try:
            trial = self.task.start(seed)
            return (_CheckedMappedTrial if isinstance(trial, Mapped) else _CheckedTrial)(trial, self.spec)
        except RacerError:
            raise
        except Exception as error:
            raise TaskError(f"task {self.spec.name}: start({seed}) failed: {_said(error)}") from error


class _CheckedTrial:
    def __init__(self, trial: Trial, spec: TaskSpec) -> None:
        self._trial = trial
        self._spec = spec
        self._names = tuple(metric.name for metric in spec.metrics)

    def frame(self) -> NDArray[np.uint8]:
        frame = self._ask("frame()", lambda: self._trial.frame())
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != self._spec.frame:
            got = f"{frame.dtype}{list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise self._wrong(f"frame() must return uint8{list(self._spec.frame)}; it returned {got}")
        return frame

    def step(self, action: int) -> Outcome:
        outcome = self._ask(f"step({action})", lambda: self._trial.step(action))
        if not isinstance(outcome, Outcome) or sorted(outcome.metrics) != sorted(self._names):
            raise self._wrong(f"step(action) must return an Outcome with the metrics {', '.join(self._names)}")
        for metric in self._spec.metrics:
            value = outcome.metrics[metric.name]
            low, high = metric.bounds
            if not (isinstance(value, Real | np.bool_) and low <= value <= high and math.isfinite(value)):
                got = _brief(str(value))
                raise self._wrong(f"metric {metric.name} must lie in [{low:g}, {high:g}] and be finite; got {got}")
        return outcome

    def truth(self) -> NDArray[np.float64]:
        if not self._spec.truth:
            return np.zeros(0)
        return self._ask("truth()", lambda: np.asarray(cast(Telling, self._trial).truth(), np.float64).reshape(-1))

    def labels(self) -> NDArray[np.uint8]:
        labels = self._ask("labels()", lambda: cast(Labelled, self._trial).labels())
        shape, most = self._spec.frame[:2], len(self._spec.labels)
        if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.shape != shape:
            got = f"{labels.dtype}{list(labels.shape)}" if isinstance(labels, np.ndarray) else type(labels).__name__
            raise self._wrong(f"labels() must return uint8{list(shape)}; it returned {got}")
        if labels.max() >= most:
            raise self._wrong(f"labels() must lie below {most}, the number of its labels; got {labels.max()}")
        return labels

    def deviation(self) -> float:
        if not self._spec.deviation:
            return 0.0
        told = self._ask("deviation()", lambda: cast(Deviating, self._trial).deviation())
        if not (isinstance(told, Real) and 0 <= told < math.inf):
            raise self._wrong(f"deviation() must be finite and 0 or more; it returned {_brief(str(told))}")
        return float(told)

    def close(self) -> None:
        self._ask("close()", lambda: self._trial.close())

    def _ask(self, what: str, call: Callable[[], ResultT]) -> ResultT:
        try:
            return call()
        except RacerError:
            raise
        except Exception as error:
            raise self._wrong(f"{what} failed: {_said(error)}") from error

    def _wrong(self, what: str) -> TaskError:
        return TaskError(f"task {self._spec.name}: {what}")


class _CheckedMappedTrial(_CheckedTrial):
    """A trial that can be looked at from above too; see `Mapped`."""

    def place(self) -> tuple[float, float]:
        told: Any = self._ask("place()", lambda: cast(Mapped, self._trial).place())
        pair = isinstance(told, tuple) and len(told) == 2
        if not pair or not all(isinstance(each, Real) and math.isfinite(each) for each in told):
            raise self._wrong(f"place() must return two finite numbers; it returned {_brief(str(told))}")
        return float(told[0]), float(told[1])

    def outlines(self) -> Sequence[NDArray[np.float64]]:
        lines: Any = self._ask("outlines()", lambda: cast(Mapped, self._trial).outlines())
        if not isinstance(lines, list | tuple):
            raise self._wrong(f"outlines() must return a list of lines; it returned {type(lines).__name__}")
        for line in lines:
            if not isinstance(line, np.ndarray) or line.dtype != np.float64 or line.shape[1:] != (2,):
                got = f"{line.dtype}{list(line.shape)}" if isinstance(line, np.ndarray) else type(line).__name__
                raise self._wrong(f"outlines() must hold lines float64[N, 2]; it holds {got}")
            if not np.isfinite(line).all():
                raise self._wrong("outlines() must hold finite numbers alone")
        return tuple(lines)


def _docstrings(kind: type) -> dict[str, str]:
    """Return the texts that stand below the fields of a class and of those that it inherits from."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        except (OSError, SyntaxError, TypeError):
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in pairwise(statements):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = " ".join(words.split())
    return found


def _type_name(hint: Any) -> str:
    choices = getattr(hint, "__args__", None)
    if choices and all(isinstance(choice, str) for choice in choices):
        return " or ".join(choices)
    return getattr(hint, "__name__", str(hint))


def _nearest(name: str, names: Iterable[str], otherwise: str = "") -> str:
    names = tuple(names)
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(names)}{otherwise}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {_brief(str(error), 200)}" if str(error) else type(error).__name__


def _brief(text: str, most: int = 60) -> str:
    return " ".join(text.split())[:most]
