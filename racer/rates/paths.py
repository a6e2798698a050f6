"""Pictures of paths: where people of each family go on the same trial, seen from above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.drivers.registry import families_for, make_driver
from racer.errors import ConfigError
from racer.report.drawing import FAINT, INK, Illustration, canvas, render
from racer.tasks.task import Mapped, Task, Trial

_ACROSS = 3
"""Panels side by side at most."""
_SIDE = 3.2
"""Inches of a panel."""
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Of the people of a family, over and over (Okabe and Ito)."""


@dataclass(frozen=True)
class Paths:
    """Where people of several families went."""

    task: str
    seed: int
    """Of the trial."""
    outlines: tuple[NDArray[np.float64], ...]
    """See `Mapped.outlines`."""
    families: dict[str, list[NDArray[np.float64]]]
    """Of each person, 0 and on, where it was before each step and after the last one, float64[T, 2]."""


def drive_paths(
    task: Task, people: int, steps: int, seed: int, progress: Callable[[int, int], object] = lambda done, total: None
) -> Paths:
    """Let the first people of every family that can do a task do the same trial, and note where they go.

    Args:
        task: The task; a person of number n is the driver `family:n`, who sees the original frames.
        people: How many of each family, 1 or more.
        steps: The most steps of each, 1 or more.
        seed: Of the trial.
        progress: Told of drives that are done, and of how many there are.

    Raises:
        ConfigError: If the task's trials cannot be looked at from above, or no family can do it.
    """
    spec = task.spec
    with closing(task.start(seed)) as trial:
        outlines = tuple(_mapped(trial, spec.name).outlines())
    families: dict[str, list[NDArray[np.float64]]] = {name: [] for name in families_for(spec)}
    if not families:
        raise ConfigError(f"no family of simulated people can do {spec.name}; choose another --task")
    for done in range(people * len(families)):
        name, person = list(families)[done // people], done % people
        progress(done, people * len(families))
        driver = make_driver(f"{name}:{person}", task, person)
        driver.reset()
        with closing(task.start(seed)) as trial:
            mapped = _mapped(trial, spec.name)
            places = [mapped.place()]
            for _ in range(steps):
                over = trial.step(driver.act(trial.frame())).over
                places.append(mapped.place())
                if over:
                    break
        families[name].append(np.array(places))
    progress(people * len(families), people * len(families))
    return Paths(spec.name, seed, outlines, families)


def draw_paths(paths: Paths) -> Illustration:
    """Draw a panel for each family, all of the same part of the trial, its people in different colours."""
    every = np.concatenate([path for own in paths.families.values() for path in own])
    middle, reach = (every.max(axis=0) + every.min(axis=0)) / 2, 0.55 * float(np.ptp(every, axis=0).max()) + 1.0
    rows = -(-len(paths.families) // _ACROSS)
    across = min(len(paths.families), _ACROSS)
    with canvas(_SIDE * across, (_SIDE + 0.3) * rows + 0.3, len(paths.families), across) as (figure, panels):
        figure.suptitle(f"{paths.task}, seed {paths.seed}", x=0.01, horizontalalignment="left", fontsize=10)
        for axes, (name, own) in zip(panels, paths.families.items(), strict=True):
            for outline in paths.outlines:
                axes.plot(*outline.T, color=FAINT, linewidth=1.0)
            for person, path in enumerate(own):
                colour = _COLOURS[person % len(_COLOURS)]
                axes.plot(*path.T, color=colour, linewidth=1.1)
                axes.plot(*path[-1], color=colour, marker="o", markersize=4)
            axes.plot(*own[0][0], color=INK, marker="s", markersize=4)
            axes.set_title(name)
            axes.set_aspect("equal")
            axes.set_xlim(middle[0] - reach, middle[0] + reach)
            axes.set_ylim(middle[1] - reach, middle[1] + reach)
            axes.set_xticks([])
            axes.set_yticks([])
        alt = f"Paths of {len(next(iter(paths.families.values())))} people of each family in {paths.task}"
        return render(figure, "paths", alt, ("family", "person", "step", "right", "up"), _table(paths.families))


def _table(families: dict[str, list[NDArray[np.float64]]]) -> Sequence[tuple[str, int, int, float, float]]:
    return [
        (name, person, step, float(right), float(up))
        for name, own in families.items()
        for person, path in enumerate(own)
        for step, (right, up) in enumerate(path)
    ]


def _mapped(trial: Trial, task: str) -> Mapped:
    if not isinstance(trial, Mapped):
        raise ConfigError(f"nobody moves about in {task}, so that there are no paths; choose another --task")
    return trial
