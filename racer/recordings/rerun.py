"""Doing a recorded episode again: what a recording leaves out follows from the seeds of its trials and its actions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from racer.recordings.models import NotHereError, find_task
from racer.tasks.registry import TaskError
from racer.tasks.task import MOST_SEED, Outcome, Task
from sessions import Episode, EpisodeInfo, SessionInfo

_KEPT_BYTES = 50_000_000
"""Bytes of frames kept in memory."""
_DRAWN_BEFORE = 50
"""Frames drawn on the way to one further back: whoever goes back a step will want the one before it too."""


class Columns(Protocol):
    """Columns of an episode by name, shape [n_steps, ...]: an `Episode`, or what was read of one."""

    def __getitem__(self, name: str, /) -> NDArray[Any]:
        """Return a column."""


class RerunError(Exception):
    """An episode cannot be done again as it was; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class RerunResult:
    """What came of doing an episode again."""

    difference: str
    """The first thing that is not as recorded; empty where all metrics of all steps are, to the last digit."""
    over: bool = False
    """Whether a trial ended with the last step."""


def rerun_episode(task: Task, info: EpisodeInfo, columns: Columns) -> RerunResult:
    """Do an episode again, without drawing it, and compare every metric of every step.

    Args:
        task: Its task.
        info: What it says of itself.
        columns: What was recorded.

    Raises:
        TaskError: If the task fails.
    """
    actions, seeds = applied_actions(info, columns).tolist(), columns["stimulus"].tolist()
    if not actions:
        return RerunResult("")
    if max(actions) >= len(task.spec.actions):
        return RerunResult("it holds actions that the task does not have")
    if seeds[0] != info.seed or not 0 <= min(seeds) <= max(seeds) <= MOST_SEED:
        return RerunResult("stimulus holds seeds that belong to none of its trials")
    metrics: dict[str, list[float]] = {metric.name: [] for metric in task.spec.metrics}
    over = True
    with closing(_Run(task, seeds, actions)) as run:
        for step, seed in enumerate(seeds):
            if step and over and task.spec.paced:
                return RerunResult(f"it goes on after the end of its trial at step {step - 1} (action)")
            if step and not over and seed != seeds[step - 1]:
                return RerunResult(f"stimulus changes at step {step} within a trial")
            outcome = run.advance()
            over = outcome.over
            for name, values in metrics.items():
                values.append(outcome.metrics[name])
    differing: list[tuple[int, str]] = []
    for name, values in metrics.items():
        recorded = columns[name]
        if (wrong := first_difference(np.array(values, recorded.dtype), recorded)) is not None:
            differing.append((wrong, name))
    if differing:
        step, name = min(differing, key=lambda each: each[0])
        return RerunResult(f"{name} at step {step} does not follow from seed and actions")
    return RerunResult("", over)


class Rerun:
    """The original frames of a recorded episode, whose every step has been done again and compared.

    Frames are drawn when asked for. Going on is fast; going back does the episode again from its start.

    Args:
        info: Of the session.
        episode: One of its episodes, of at least one step.
        recording: Where it lies: what a task reads is looked for near it.

    Raises:
        RerunError: If the task is not here, or anything comes out otherwise than recorded, to the last digit.
        RecordingError: If the recording is damaged.
    """

    over: bool
    """Whether the trial ended with the last step."""

    def __init__(self, info: SessionInfo, episode: Episode, recording: Path | None = None) -> None:
        try:
            self._task = find_task(info, recording)
            again = rerun_episode(self._task, episode.info, episode)
        except (NotHereError, TaskError) as error:
            raise RerunError(str(error)) from error
        if again.difference:
            raise RerunError(
                f"replayed here, it goes differently, as it may with other versions of the task ({again.difference})"
            )
        self.over = again.over
        self._actions, self._seeds = applied_actions(episode.info, episode).tolist(), episode.stimulus.tolist()
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._kept = max(_KEPT_BYTES // int(np.prod(info.task.frame)), 1)
        self._begin()

    def frame(self, step: int) -> NDArray[np.uint8]:
        """Return the frame at a step, uint8[H, W, C]; step n_steps is the one that the last action led to."""
        if step in self._frames:
            return self._frames[step]
        drawn_from = step
        if step < self._run.step:
            self.close()
            self._begin()
            drawn_from = step - _DRAWN_BEFORE
        while self._run.step < step:
            if self._run.step >= drawn_from:
                self._draw()
            self._run.advance()
        return self._draw()

    def close(self) -> None:
        """Give the trial back."""
        self._run.close()

    def _begin(self) -> None:
        self._run = _Run(self._task, self._seeds, self._actions)

    def _draw(self) -> NDArray[np.uint8]:
        while len(self._frames) >= self._kept:
            del self._frames[next(iter(self._frames))]
        self._frames[self._run.step] = frame = self._run.frame()
        return frame


class _Run:
    """The trials of an episode, one after the other."""

    step = 0
    """How many were taken; the row whose frame is to be seen."""

    def __init__(self, task: Task, seeds: Sequence[int], actions: Sequence[int]) -> None:
        self._task, self._seeds, self._actions = task, seeds, actions
        self._trial = task.start(seeds[0])

    def frame(self) -> NDArray[np.uint8]:
        return self._trial.frame()

    def advance(self) -> Outcome:
        outcome = self._trial.step(self._actions[self.step])
        self.step += 1
        if outcome.over and self.step < len(self._seeds):
            self._trial.close()
            self._trial = self._task.start(self._seeds[self.step])
        return outcome

    def close(self) -> None:
        self._trial.close()


def applied_actions(info: EpisodeInfo, columns: Columns) -> NDArray[np.uint8]:
    """Return the actions that the task was given, uint8[n_steps]: both ends of the channel go by them."""
    actions: NDArray[np.uint8] = columns["applied" if info.linked else "action"]
    return actions


def first_difference(expected: NDArray[Any], found: NDArray[Any]) -> int | None:
    """Return the first row in which two columns of equal shape and dtype differ in any bit; None where none does."""
    rows = len(expected)
    if not rows:
        return None
    one, other = (np.ascontiguousarray(values).view(np.uint8).reshape(rows, -1) for values in (expected, found))
    wrong = np.flatnonzero((one != other).any(axis=1))
    return int(wrong[0]) if len(wrong) else None
