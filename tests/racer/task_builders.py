"""Tasks to test with: specs of any size, a task of an installed package, and packages laid where Python finds them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from racer.drivers import registry as drivers
from racer.tasks import registry as tasks
from racer.tasks.task import Action, Metric, TaskSpec, TaskText

WHEEL = (Action("left", ("left", "a")), Action("straight"), Action("right", ("right", "d")))
LANDER = (Action("coast"), Action("left", ("left", "a")), Action("main", ("up", "space")), Action("right", ("right",)))
ANSWERS = (Action("no", ("n", "down")), Action("yes", ("y", "up")), Action("unsure", ("space",)))

COUNTING = '''
from dataclasses import dataclass
from typing import Literal

import numpy as np

from racer.tasks.task import Action, Metric, Outcome, TaskSpec, TaskText

SPEC = TaskSpec(
    name="counting",
    summary="count to the end",
    frame=(64, 64, 3),
    actions=(Action("wait"), Action("go", ("up", "space")), Action("back", ("down",))),
    metrics=(
        Metric("count", "how far", "fraction", "higher", low=0.0, high=1.0),
        Metric("reward", "points of the step", "points"),
    ),
    texts={"en": TaskText("Count", ("Press {go}.",))},
    neutral=0,
    steps=4,
)


@dataclass(frozen=True)
class Counting:
    """Counts."""

    size: int = 3
    """Of what is counted,
    in pixels."""
    pace: Literal["slow", "fast"] = "slow"
    loud: bool = False
    share: float = 0.5

    @property
    def spec(self):
        return SPEC

    def start(self, seed):
        return Trial(seed)


class Trial:
    def __init__(self, seed):
        self.steps = 0

    def frame(self):
        return np.full((64, 64, 3), self.steps, np.uint8)

    def step(self, action):
        self.steps += 1
        return Outcome({"count": min(self.steps / 4, 1.0), "reward": float(action)}, self.steps == 4)

    def close(self):
        pass
'''
"""A module with a task."""


def make_spec(actions: tuple[Action, ...] = LANDER, **changes: Any) -> TaskSpec:
    """Return a spec of these actions, the first that has no keys the neutral one, and of changes."""
    resting = [index for index, action in enumerate(actions) if not action.keys]
    settings: dict[str, Any] = {
        "name": "trying",
        "summary": "try things",
        "frame": (64, 64, 3),
        "actions": actions,
        "metrics": (Metric("done", "how much is done", "fraction", "higher", low=0.0, high=1.0),),
        "texts": {"en": TaskText("Try", ("You have {trials} trials.",), {"main": "main engine"})},
        "neutral": resting[0] if resting else None,
        "paced": bool(resting),
    }
    return TaskSpec(**settings | changes)


def lay_package(folder: Path, module: str, code: str, group: str, *entries: str) -> None:
    """Lay a package of one module into a folder as an installer would; `entries` are such as `name = module:Thing`."""
    (folder / f"{module}.py").write_text(code)
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *entries, ""]))


Installer = Callable[..., None]


@contextmanager
def installing(folder: Path) -> Iterator[Installer]:
    """Yield `lay_package` into a folder where this process finds packages; all is forgotten in the end."""
    before = set(sys.modules)

    def install(module: str, code: str, group: str, *entries: str) -> None:
        lay_package(folder, module, code, group, *entries)
        importlib.invalidate_caches()
        forget()

    def forget() -> None:
        tasks.forget_installed()
        drivers.forget_installed()

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        yield install
    for name in set(sys.modules) - before:
        if (folder / f"{name}.py").is_file():
            del sys.modules[name]
    forget()
