"""The task and the latent model that a recording was made with, as far as they are here."""

from __future__ import annotations

from pathlib import Path

from compression.errors import WeightsError
from compression.model.latent_model import LatentModel, load_model
from racer.errors import ConfigError, RacerError
from racer.tasks.latent_model import load_task_model
from racer.tasks.record import recorded_task
from racer.tasks.registry import TaskError, folder_settings, task_names
from racer.tasks.task import Task
from sessions import SessionInfo, TaskRecord


class NotHereError(RacerError):
    """What a recording was made with is not here; the message says what to do."""


def find_task(record: TaskRecord, recording: Path | None = None) -> Task:
    """Return the task of a recording, and of where it lies if known.

    Raises:
        NotHereError: If it is not installed, or is not what it was.
    """
    if record.name not in task_names():
        raise NotHereError(f"task {record.name} is not installed: install the package that has it")
    try:
        return recorded_task(record, recording)
    except TaskError as error:
        raise NotHereError(str(error)) from error
    except ConfigError as error:
        raise NotHereError(f"the settings that it names cannot be used: {error}") from error


def find_model(info: SessionInfo, folder: Path | None = None) -> LatentModel:
    """Return the latent model that a recording was made with.

    Args:
        info: About the session.
        folder: Where to look besides the task's own; a task that is not installed is not needed then.

    Raises:
        NotHereError: If it is not here.
        WeightsError: If `folder` holds none that can be used.
    """
    here = [load_model(folder)] if folder else []
    problem: Exception | None = None
    try:
        if not _reads_folders(info.task):  # no model comes with the user's own pictures
            here.append(load_task_model(find_task(info.task).spec))
    except (NotHereError, ConfigError, WeightsError) as error:
        problem = error
    for model in here:
        if model.sha256 == info.model_sha256:
            return _fitting(model, info.task)
    if isinstance(problem, NotHereError) and not here:
        raise problem
    found = ", ".join(dict.fromkeys(model.sha256[:12] for model in here)) or "none"
    raise NotHereError(
        f"recorded with other weights (latent model {info.model_sha256[:12]}, here {found}): name the folder of those "
        "with --model"
    ) from problem


def _reads_folders(record: TaskRecord) -> bool:
    return record.name in task_names() and bool(folder_settings(record.name))


def _fitting(model: LatentModel, record: TaskRecord) -> LatentModel:
    """Return the model. Raises NotHereError if what was recorded cannot have been made with it."""
    sizes, actions = model.sizes, len(record.actions)
    same = (sizes.frame, sizes.latents, sizes.blocks) == (record.frame, record.latents, record.blocks)
    if not same or (sizes.actions != actions and (record.paced or model.world_model is not None)):
        raise NotHereError(f"it names latent model {model.sha256[:12]}, whose sizes are not those of its columns")
    return model.for_actions(actions)
