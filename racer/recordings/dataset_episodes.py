"""Which recorded episodes a dataset to learn from holds, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import sessions
from compression.model.latent_model import use_one_thread
from racer.errors import ConfigError
from racer.recordings.footage import FootageError
from racer.recordings.models import refuse_other_model
from racer.recordings.observations import Observations, draw_observations
from racer.recordings.rerun import RerunError
from racer.tasks.gymnasium import REWARD
from sessions import Episode, Session, SessionInfo, TaskRecord
from sessions.export.folder import ExportError, choose_recordings

Progress = Callable[[int, int], None]
"""Callback (episodes done, episodes in all)."""


@dataclass(frozen=True)
class DatasetSummary:
    """What was exported."""

    out: Path
    recordings: int
    episodes: int
    steps: int
    left_out: dict[str, str]
    """Recordings and episodes that are not in it, and why."""


class AcceptedEpisodes:
    """The accepted episodes of recordings of one task, trial runs aside.

    Args:
        paths: Recordings, and folders of recordings.
        model: Folder of their latent model; that of the task if None.

    Raises:
        ConfigError: If the recordings are of different tasks, or of another latent model than the folder's.
        WeightsError: If the folder holds no latent model.
        ExportError: If there is nothing to export.
        RecordingError: If a recording that was named, or part of any, cannot be read.
    """

    left_out: dict[str, str]
    """Recordings and episodes that are not among them, and why."""
    held: dict[str, SessionInfo]
    """The sessions, by id, of whatever was drawn."""

    def __init__(self, paths: Iterable[Path], model: Path | None) -> None:
        use_one_thread()
        recordings, unreadable = choose_recordings(paths)
        refuse_other_model(model, recordings, all_of_them=False)
        self._model = model
        self.recordings, self.held = len(recordings), {}
        self.left_out = {str(path): reason for path, reason in unreadable.items()}
        self._accepted = _accepted(recordings, self.left_out)
        if not self._accepted:
            raise self.nothing()
        self.infos = [recordings[path] for path in self._accepted]
        self.task = _one_task([info.task for info in self.infos])

    def draw(self, original: bool, progress: Progress) -> Iterator[tuple[Session, Episode, Observations]]:
        """Yield each episode, open until the next one; those that cannot be drawn are left out.

        Args:
            original: Whether the original frames are wanted, and not those shown.
            progress: Told after each episode.
        """
        total, done = sum(map(len, self._accepted.values())), 0
        for path, indices in self._accepted.items():
            with sessions.open(path) as session:
                for index in indices:
                    progress(done, total)
                    done += 1
                    episode = session.episodes[index]
                    try:
                        drawn = draw_observations(session, episode, original, self._model)
                    except (FootageError, RerunError) as error:
                        self.leave_out(session, episode, error)
                        continue
                    self.held[session.info.session_id] = session.info
                    yield session, episode, drawn
        progress(total, total)

    def leave_out(self, session: Session, episode: Episode, reason: Exception) -> None:
        """Take note that an episode is not among them after all."""
        self.left_out[f"{session.path}, episode {episode.index}"] = str(reason)

    def nothing(self) -> ExportError:
        """Return the error that says that none is left."""
        first = next((f"; the first: {reason}" for reason in self.left_out.values()), "")
        return ExportError(
            "none of the episodes can be exported; nothing was written: only those that are complete and were not "
            f"rejected are, and trial runs are not{first}"
        )


def rewards(episode: Episode) -> NDArray[np.float32]:
    """Return the rewards of an episode, float32[n_steps], as `racer.tasks.gymnasium.TaskEnv` gives them."""
    task = episode.task
    if any(metric.name == REWARD for metric in task.metrics):
        return episode[REWARD].astype(np.float32)
    changes = np.diff(episode[task.primary.name].astype(np.float64), prepend=0.0)
    return (changes if task.primary.better == "higher" else -changes).astype(np.float32)


def _one_task(tasks: list[TaskRecord]) -> TaskRecord:
    """Return the task of all recordings to export, settings aside.

    Raises:
        ConfigError: If they differ in it.
    """
    for task in tasks[1:]:
        if _shape(task) != _shape(tasks[0]):
            raise ConfigError(
                f"a dataset holds one task; these recordings are of {tasks[0].name} and {task.name}, or of two "
                "versions of it; nothing was written: export them one by one"
            )
    return tasks[0]


def _shape(task: TaskRecord) -> tuple[object, ...]:
    metrics = tuple(metric.name for metric in task.metrics)
    return task.name, task.frame, task.actions, metrics, task.latents, task.blocks


def _accepted(recordings: dict[Path, SessionInfo], left_out: dict[str, str]) -> dict[Path, list[int]]:
    """Return, by recording, the indices of the episodes to export; note in `left_out` which recordings have none."""
    accepted = {}
    for path, info in recordings.items():
        if info.trial_run:
            left_out[str(path)] = "it is a trial run, kept out of training"
            continue
        if not info.task.paced:
            left_out[str(path)] = f"task {info.task.name} waits for answers, so it is not an environment"
            continue
        with sessions.open(path) as session:
            accepted[path] = [episode.index for episode in session.episodes if episode.accepted and episode.n_steps]
    return accepted
