"""Frames with their label maps, for what learns or scores what pixels show.

Who learns from which trials is kept apart by seeds: the coder's own, those of the task's network, and those of the
network that scores. None are seeds of sittings, sweeps or latent models' trials: those that latent models learn from
lie in the half million from 1,000,000 (`racer.training.collect`). Where there are only so many pictures, coder and
task's network get those that are learnt from (`racer.tasks.pictures.parts`), and the frames that are scored are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from racer.drivers.registry import SIMULATED, make_driver
from racer.errors import ConfigError
from racer.tasks.registry import make_task
from racer.tasks.task import Labelled, Task

Use = Literal["coder", "judge", "score", "held_out"]
FIRST_SEED: dict[Use, int] = {"coder": 1_500_000, "judge": 3_000_000, "score": 4_000_000, "held_out": 5_000_000}
"""First seed of trials and of people, by what the frames are for."""
EVERY = 12
"""Steps of a trial from one frame that is kept to the next: neighbours are much alike."""
STEPS = 240
"""The most steps of a trial."""
Frames = NDArray[np.uint8]
Seeds = NDArray[np.int64]
_Pair = tuple[Frames, Frames]


def collect_labelled(
    task: str,
    settings: Mapping[str, Any],
    use: Use,
    trials: int,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Frames, Frames, Seeds]:
    """Return frames uint8[N, H, W, C], label maps uint8[N, H, W] and the seeds int64[N] of the trials that they are of.

    The same arguments, the same bytes.

    The task's own simulated people do it at its training points in turn, the settings given on top.

    Raises:
        ConfigError: If the task has no labels, or no simulated people where it moves on by itself.
    """
    spec = make_task(task, settings).spec
    if not spec.labels:
        raise ConfigError(
            f"task {task} does not say what its pixels show, so nothing can be learnt from it; nothing was written: "
            "choose a task with labels, see `racer task show`"
        )
    points = [{**point, **settings} for point in spec.training_points or spec.operating_points]
    frames, labels = [], []
    seeds: list[int] = []
    for number in range(trials):
        seed = FIRST_SEED[use] + number
        made = make_task(task, points[number % len(points)])
        for frame, label in _pairs(made, seed):
            frames.append(frame)
            labels.append(label)
            seeds.append(seed)
        progress((number + 1) / trials)
    return np.stack(frames), np.stack(labels), np.array(seeds, np.int64)


def _pairs(task: Task, seed: int) -> Iterator[_Pair]:
    """Yield some frames of a trial with their label maps."""
    with closing(task.start(seed)) as trial:
        if not task.spec.sequential:
            yield trial.frame(), cast(Labelled, trial).labels()
            return
        driver = make_driver(SIMULATED, task, seed)
        driver.reset()
        for step in range(STEPS):
            frame = trial.frame()
            if step % EVERY == 0:
                yield frame, cast(Labelled, trial).labels()
            if trial.step(driver.act(frame)).over:
                return
