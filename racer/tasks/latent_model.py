"""The latent model that a task is seen through: the one that comes with it, or one that was trained for it."""

from __future__ import annotations

from pathlib import Path

from compression.model.latent_model import LatentModel, load_model
from racer.errors import ConfigError
from racer.tasks.task import TaskSpec


def load_task_model(spec: TaskSpec, folder: Path | None = None) -> LatentModel:
    """Return the latent model of a task.

    Args:
        spec: The task.
        folder: Made by `racer model train`; None for the model that comes with the task.

    Raises:
        ConfigError: If no model comes with the task, or this one has other sizes.
        WeightsError: If the folder holds none that can be used.
    """
    if folder is None:
        folder = spec.model
    if folder is None:
        raise ConfigError(
            f"no latent model comes with task {spec.name}: train one with `racer model train --task {spec.name} --out "
            "FOLDER`, and name it with --model FOLDER"
        )
    model = load_model(folder)
    for what, has, needs in (
        ("frames of {}", model.sizes.frame, spec.frame),
        ("{} actions", model.sizes.actions, len(spec.actions)),
    ):
        # Pictures without actions are modelled without a world model, which alone looks at actions.
        if has != needs and (spec.paced or what != "{} actions"):
            raise ConfigError(
                f"the latent model in {folder} has {what.format(_sized(has))}, and task {spec.name} has "
                f"{_sized(needs)}; nothing was changed: train one with `racer model train --task {spec.name}`"
            )
    return model


def _sized(value: int | tuple[int, ...]) -> str:
    return str(value) if isinstance(value, int) else "x".join(map(str, value))
