"""From a task or a folder of pictures to a latent model, with its card and two pictures to look at."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.errors import TrainingError, WeightsError
from compression.model.latent_model import LatentModel, load_model
from compression.model.training import Split, TrainingConfig, TrainingData, train_model
from disk.reading import read_plain
from disk.writing import make_folder, scratch_folder, sync_folder, write_whole
from racer.drivers.registry import who_drives
from racer.errors import ConfigError
from racer.tasks.image_files import LABELS
from racer.tasks.registry import make_task
from racer.tasks.task import TaskSpec
from racer.training.collect import CollectConfig, Collected, collect, read_pictures, split_pictures
from racer.training.probe import distinct, readable
from racer.training.relevance import explained
from racer.training.sheets import draw_reconstructions, draw_traversals

CARD, RECONSTRUCTIONS, TRAVERSALS = "card.json", "reconstructions.png", "traversals.png"
_COLLECTING = 0.15
"""Share of the time that collecting frames takes, about."""
_EXPLAINED = 4000
"""Held-out frames, at most, by which is judged what features are about."""
_APART = 40
"""Steps of a trial after which little else in sight is the same."""
_MOST_CARD = 1_000_000
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class ModelConfig:
    """What `racer model train` can be told."""

    out: Path
    """Folder of the model."""
    task: str | None = None
    """Name of the task whose frames it is trained on; None for pictures."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The task's settings, the same in every frame."""
    images: Path | None = None
    """Folder of pictures; None for a task."""
    size: int = 64
    """Side of pictures, pixels."""
    grey: bool = False
    """Whether pictures lose their colours."""
    collect: CollectConfig = field(default_factory=CollectConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    work: Path | None = None
    """Where frames and stages are kept; `<out>.work` if None."""
    device: str = "cpu"
    jobs: int | None = None

    def __post_init__(self) -> None:
        if (self.task is None) == (self.images is None):
            raise ConfigError("name what to train on: --task NAME, or --images DIR")
        refuse_model(self.out)
        if not 8 <= self.size <= 256:
            raise ConfigError(f"the side of pictures must lie between 8 and 256 pixels; got {self.size}")


def make_model(config: ModelConfig, progress: Progress = lambda stage, done: None) -> dict[str, Any]:
    """Train a latent model and return its card. A training that was interrupted goes on where it was.

    Raises:
        RacerError, CompressionError: If it cannot be trained; what is done is kept in the work folder.
    """
    config = _labelled(config)
    out = config.out.resolve()
    work = config.work or out.with_name(out.name + ".work")
    drivers: tuple[str, ...] = ()
    if config.task is None:
        assert config.images is not None
        collected = split_pictures(read_pictures(config.images, config.size, config.grey), config.training.seed)
        actions, sequential, source = 2, False, f"{sum(len(part.frames) for part in collected.values())} pictures"
    else:
        spec = make_task(config.task, config.settings).spec
        sequential = bool(spec.sequential)
        config.training.sizes(spec.frame, len(spec.actions), sequential)  # before anything is collected
        collected = collect(
            config.task,
            config.settings,
            work / "frames",
            config.collect,
            config.jobs,
            lambda done: progress("frames", _COLLECTING * done),
        )
        actions = len(spec.actions)
        source = f"driver {config.collect.driver}, with bursts of wrong actions" if sequential else "its pictures"
        drivers = (who_drives(config.collect.driver, spec.name),) if sequential else ()
    train, held_out = collected["train"], collected["held_out"]
    data = TrainingData(
        train=_split(train, sequential),
        held_out=_split(held_out, sequential),
        task=config.task or "",
        actions=actions,
        sequential=sequential,
        participants=tuple(f"model_training_{seed}" for seed in train.seeds[:1]),
        seeds=train.seeds,
        drivers=drivers,
        source=source,
    )

    def told(stage: str, done: float) -> None:
        progress(stage, _COLLECTING + (1 - _COLLECTING) * done)

    with written_together(config.out) as folder:
        card = train_model(data, folder, work / "stages", config.training, told, config.device)
        model = load_model(folder)
        if config.task is not None:
            card["held_out"] |= _meaning(model, held_out, spec)
        write_whole(folder / RECONSTRUCTIONS, draw_reconstructions(model, held_out.frames))
        write_whole(folder / TRAVERSALS, draw_traversals(model))
        write_whole(folder / CARD, (json.dumps(card, indent=2) + "\n").encode())
    return card


def refuse_model(folder: Path) -> None:
    """Raise ConfigError if a folder holds a latent model already."""
    if (folder / CARD).exists():
        raise ConfigError(f"{folder} holds a latent model and was left as it is; give another --out")


@contextmanager
def written_together(out: Path) -> Iterator[Path]:
    """Give a folder for the files of a model, which are put into `out` when all are there.

    The card comes last: a folder without one holds a training that did not come to its end.

    Raises:
        TrainingError: If it cannot be made.
    """
    with scratch_folder(_made(out)) as folder:
        yield folder
        for path in sorted(folder.iterdir(), key=lambda path: path.name == CARD):
            os.replace(path, out / path.name)
        sync_folder(out)


def _labelled(config: ModelConfig) -> ModelConfig:
    """Return the training on pictures that are labelled as that on the task about them: some are held out from it."""
    if config.images is None or not (config.images / LABELS).exists():
        return config
    settings = {"images": str(config.images), "size": config.size, "grey": config.grey}
    return replace(config, task="folder", settings=settings, images=None)


def read_card(folder: Path) -> dict[str, Any]:
    """Return the data card of a latent model.

    Raises:
        WeightsError: If there is none that can be read.
    """
    path = folder / CARD
    try:
        card = json.loads(read_plain(path, _MOST_CARD))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsError(f"there is no latent model in {folder}: make one with `racer model train`") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not the data card of a latent model ({type(error).__name__})") from error
    if not isinstance(card, dict) or not isinstance(card.get("held_out"), dict):
        raise WeightsError(f"{path} is not the data card of a latent model")
    return card


def _split(collected: Collected, sequential: bool) -> Split:
    if not sequential:
        return Split(collected.frames)
    return Split(collected.frames, collected.actions, collected.starts)


def _meaning(model: LatentModel, held_out: Collected, spec: TaskSpec) -> dict[str, Any]:
    """Return what the card says of the latents and of what lies behind the frames; nothing where nobody knows it."""
    if spec.traits:
        chosen = distinct(held_out.frames)
        pieces = [chosen[first : first + 256] for first in range(0, len(chosen), 256)]
        latents = np.concatenate([model.encode_frames(np.array(held_out.frames[piece])) for piece in pieces])
        return {"readable": readable(latents, held_out.truth[chosen], spec.traits)}
    if spec.truth and spec.sequential and (shares := _explained(model, held_out)) is not None:
        return {"explained": {"by": spec.truth, **shares}}
    return {}


def _explained(model: LatentModel, held_out: Collected) -> dict[str, Any] | None:
    """Return how much of each feature the truth explains, in all trials and in those of the same settings.

    None where there are too few frames for it.
    """
    every = [_share_of_variance(model, held_out, np.arange(len(held_out.settings)))]
    points = [dict(point) for point in dict.fromkeys(held_out.settings)]
    if every[0] is None:
        return None
    for point in points if len(points) > 1 else ():
        of_point = [index for index, settings in enumerate(held_out.settings) if dict(settings) == point]
        every.append(_share_of_variance(model, held_out, np.array(of_point)))
    at = [
        {"settings": point, "share_of_variance": shares}
        for point, shares in zip(points, every[1:], strict=False)
        if shares is not None
    ]
    return {"share_of_variance": every[0], "at": at}


def _share_of_variance(model: LatentModel, held_out: Collected, trials: NDArray[np.intp]) -> list[float] | None:
    """Return what `explained` says of some trials; None where there are too few frames for it."""
    trial_of = np.repeat(np.arange(len(held_out.starts) - 1), np.diff(held_out.starts))
    frames = np.flatnonzero(np.isin(trial_of, trials))
    every = math.ceil(len(frames) / _EXPLAINED)
    chosen = frames[::every]
    pieces = np.array_split(chosen, len(chosen) // 256 + 1)
    latents = np.concatenate([model.encode_frames(np.array(held_out.frames[piece])) for piece in pieces])
    parts, apart = min(4, len(trials)), math.ceil(_APART / every)
    try:
        shares = explained(latents, held_out.truth[chosen], trial_of[chosen], parts, apart)
    except ValueError:
        return None
    return [round(float(share), 3) for share in shares]


def _made(folder: Path) -> Path:
    try:
        make_folder(folder)
    except OSError as error:
        raise TrainingError(f"cannot write {folder}: {error.strerror}; give another --out") from error
    return folder
