"""A task as recordings keep it, and a recording's task made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from racer.tasks.registry import TaskError, make_task, task_settings
from racer.tasks.task import Task
from sessions import TaskRecord

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel


def record_of(task: Task, model: LatentModel) -> TaskRecord:
    """Return what a recording keeps of a task and of the model that it is seen through."""
    spec = task.spec
    return TaskRecord(
        name=spec.name,
        settings=task_settings(task),
        frame=spec.frame,
        actions=tuple(action.name for action in spec.actions),
        neutral=spec.neutral,
        metrics=spec.metrics,
        latents=model.sizes.latents,
        blocks=model.sizes.blocks,
        paced=spec.paced,
        step_seconds=spec.step_seconds,
    )


def recorded_task(record: TaskRecord, recording: Path | None = None) -> Task:
    """Return the task that was recorded.

    Args:
        record: What was kept of it.
        recording: Where it lies: folders that the task reads are looked for beside it, beside its folder and here.

    Raises:
        TaskError: If it is not installed, or has become another one: what it shows, lets people do or measures.
        ConfigError: If its settings cannot work.
    """
    beside = [recording.parent.parent, recording.parent] if recording else []
    task = make_task(record.name, record.settings, [*beside, Path()])
    spec = task.spec
    same = (
        spec.frame == record.frame
        and tuple(action.name for action in spec.actions) == record.actions
        and spec.metrics == record.metrics
    )
    if not same:
        raise TaskError(f"task {record.name} has changed since; install the version that it was recorded with")
    return task
