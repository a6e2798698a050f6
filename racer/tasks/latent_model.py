"""The latent model that a task is seen through: the one that comes with it, or one that was trained for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compression.model.header import read_sizes
from compression.model.sizes import Sizes
from racer.errors import ConfigError
from racer.tasks.task import TaskSpec

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel


def model_folder(spec: TaskSpec, folder: Path | None = None) -> Path:
    """Return the folder of a task's latent model: the one given, or that of the model that comes with the task.

    Raises:
        ConfigError: If no model comes with the task.
    """
    folder = folder or spec.model
    if folder is None:
        raise ConfigError(
            f"no latent model comes with task {spec.name}: train one with `racer model train --task {spec.name} --out "
            "FOLDER`, and name it (--model FOLDER, or model in a study file)"
        )
    return folder


def task_sizes(spec: TaskSpec, folder: Path | None = None) -> Sizes:
    """Return the sizes of a task's latent model, which is not loaded.

    Args:
        spec: The task.
        folder: Made by `racer model train`; None for the model that comes with the task.

    Raises:
        ConfigError: If no model comes with the task, or this one has other sizes.
        WeightsError: If the folder holds none.
    """
    folder = model_folder(spec, folder)
    sizes = read_sizes(folder)
    has, needs = (f"frames of {'x'.join(map(str, frame))}" for frame in (sizes.frame, spec.frame))
    # Pictures are modelled without a world model, which alone looks at actions.
    if has == needs and (spec.paced or sizes.hidden):
        has, needs = f"{sizes.actions} actions", f"{len(spec.actions)} actions"
    if has != needs:
        raise ConfigError(
            f"the latent model in {folder} is for {has}, and task {spec.name} has {needs}; nothing was changed: train "
            f"one with `racer model train --task {spec.name}`"
        )
    return sizes


def load_task_model(spec: TaskSpec, folder: Path | None = None) -> LatentModel:
    """Return the latent model of a task.

    Args:
        spec: The task.
        folder: Made by `racer model train`; None for the model that comes with the task.

    Raises:
        ConfigError: If no model comes with the task, or this one has other sizes.
        WeightsError: If the folder holds none that can be used.
    """
    from compression.model.latent_model import load_model  # brings torch, which a look at a study can do without

    task_sizes(spec, folder)
    return load_model(model_folder(spec, folder)).for_actions(len(spec.actions))
