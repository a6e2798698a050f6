"""The task and the latent model that a recording was made with, as far as they are here."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import sessions
from compression.errors import WeightsError
from compression.model.latent_model import LatentModel, load_model
from racer.errors import ConfigError, RacerError
from racer.software import TASK_PACKAGE
from racer.tasks.latent_model import load_task_model
from racer.tasks.record import recorded_task
from racer.tasks.registry import TaskError, folder_settings, task_names
from racer.tasks.task import Task
from sessions import SessionInfo, TaskRecord

_LONGEST_PACKAGE = 80
"""Letters of what a recording says of its task's package that are told."""
_MOST_NAMED = 3
"""Recordings that are named one by one."""


class NotHereError(RacerError):
    """What a recording was made with is not here; the message says what to do."""


def find_task(info: SessionInfo, recording: Path | None = None) -> Task:
    """Return the task of a recording, and of where it lies if known.

    Raises:
        NotHereError: If it is not installed, or is not what it was.
    """
    record = info.task
    if record.name not in task_names():
        package = " ".join(info.software.get(TASK_PACKAGE, "").split())[:_LONGEST_PACKAGE]
        named = f" ({package})" if package else ""
        raise NotHereError(f"task {record.name} is not installed: install the package that has it{named}")
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
        folder: May hold it; looked at before the task, which is not needed where it does.

    Raises:
        NotHereError: If it is not here.
        WeightsError: If `folder` holds none that can be used.
    """
    named = None if folder is None else load_model(folder)
    if named is not None and named.sha256 == info.model_sha256:
        return _fitting(named, info.task)
    own, problem = None, ""
    if not _reads_folders(info.task):  # no model comes with the user's own pictures
        try:
            own = load_task_model(find_task(info).spec)
        except NotHereError as error:
            raise NotHereError(f"{error}, or name the folder of its latent model with --model") from error
        except (ConfigError, WeightsError) as error:
            problem = f": {error}"
    if own is not None and own.sha256 == info.model_sha256:
        return _fitting(own, info.task)
    here = ", ".join(model.sha256[:12] for model in (named, own) if model is not None) or "none"
    raise NotHereError(
        f"recorded with other weights (latent model {info.model_sha256[:12]}, here {here}{problem}): name the folder "
        "of those with --model"
    )


def refuse_other_model(folder: Path | None, recordings: Iterable[Path], *, all_of_them: bool = True) -> None:
    """Refuse a folder that somebody named where it does not hold the latent model of the recordings.

    Recordings that cannot be read are left to whoever reads them.

    Args:
        folder: The folder; None is never refused.
        recordings: Files.
        all_of_them: Whether each must have been made with it; else one is enough.

    Raises:
        ConfigError: If it holds another one.
        WeightsError: If it holds none that can be used.
    """
    if folder is None:
        return
    here, made_with, paths = load_model(folder).sha256, {}, list(recordings)
    for path in paths:
        with suppress(sessions.RecordingError), sessions.open(path) as session:
            made_with[path] = session.info.model_sha256
    others = [path for path, hashed in made_with.items() if hashed != here]
    if others and (all_of_them or len(others) == len(made_with)):
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        of = f" ({len(others)} of {len(paths)} recordings)" if len(paths) > 1 else ""
        raise ConfigError(
            f"{', '.join(map(str, others[:_MOST_NAMED]))}{more}{of}: recorded with another latent model "
            f"({made_with[others[0]][:12]}) than {folder} holds ({here[:12]}); nothing was done: name the folder of "
            "theirs with --model, or leave --model out where it is the task's own"
        )


def _reads_folders(record: TaskRecord) -> bool:
    return record.name in task_names() and bool(folder_settings(record.name))


def _fitting(model: LatentModel, record: TaskRecord) -> LatentModel:
    """Return the model. Raises NotHereError if what was recorded cannot have been made with it."""
    sizes, actions = model.sizes, len(record.actions)
    same = (sizes.frame, sizes.latents, sizes.blocks) == (record.frame, record.latents, record.blocks)
    if not same or (sizes.actions != actions and (record.paced or model.world_model is not None)):
        raise NotHereError(f"it names latent model {model.sha256[:12]}, whose sizes are not those of its columns")
    return model.for_actions(actions)
