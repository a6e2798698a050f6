"""From a task with labels to the fitted file of coder rl-asc."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from compression.errors import CompressionError
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.model.latent_model import chosen_device
from compression.rl_asc.labelling import Labelled as LabelledFrames
from compression.rl_asc.networks import CELL
from compression.rl_asc.settings import ConceptConfig
from compression.rl_asc.training import train_concepts
from disk.reading import open_plain
from disk.writing import make_folder, whole_stream
from racer.drivers.registry import SIMULATED, who_drives
from racer.errors import ConfigError, RacerError
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.training.labelled import FIRST_SEED, Frames, Seeds, Use, collect_labelled
from racer.training.train import refuse_existing, write_new

OBJECTIVE = "rl-asc"
_COLLECTING = 0.1
"""Share of the time that collecting frames takes, about."""
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class CoderConfig:
    """What `racer model train-coder` can be told."""

    task: str
    out: Path
    """File to write; must not exist."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The task's settings, the same in every frame."""
    model: Path | None = None
    """Folder of the latent model that the file is to go with; the task's own if None."""
    trials: int = 200
    """That the coder learns from; half as many are the task network's."""
    training: ConceptConfig = field(default_factory=ConceptConfig)
    work: Path | None = None
    """Where frames and stages are kept; `<out>.work` if None."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 4 <= self.trials <= 100_000:
            raise ConfigError(f"trials must lie between 4 and 100000; got {self.trials}")


def plan_coder(config: CoderConfig) -> dict[str, Any]:
    """Return what would be done, and check that it can be. Raises RacerError or CompressionError if it cannot."""
    refuse_existing(config.out)
    spec = make_task(config.task, config.settings).spec
    if not spec.labels:
        raise ConfigError(
            f"task {config.task} does not say what its pixels show, so nothing can be learnt from it; nothing was "
            "written: choose a task with labels, see `racer task show`"
        )
    model = load_task_model(spec, config.model)
    if any(side % CELL for side in model.sizes.frame[:2]):
        raise ConfigError(
            f"frames of task {config.task} are {model.sizes.frame[1]} x {model.sizes.frame[0]} pixels, and coder "
            f"{OBJECTIVE} needs sides that are multiples of {CELL}; nothing was written: choose another task"
        )
    chosen_device(config.device)
    training = config.training
    return {
        "task": config.task,
        "parts": list(spec.labels),
        "model_sha256": model.sha256,
        "trials": {"coder": config.trials, "judge": config.trials // 2},
        "gradient_steps": {
            "labellers": 2 * training.labeller_steps,
            "stage I": training.coder_steps,
            "stage II": training.agent_steps,
            "stage III": training.joint_steps,
        },
    }


def make_coder(config: CoderConfig, progress: Progress = lambda stage, done: None) -> dict[str, Any]:
    """Train coder rl-asc, write its file, and return what was done. An interrupted training goes on where it was.

    Raises:
        RacerError, CompressionError: If it cannot be trained; what is done is kept in the work folder.
    """
    plan = plan_coder(config)
    work = config.work or config.out.with_name(config.out.name + ".work")
    collected: dict[Use, tuple[Frames, Frames, Seeds]] = {}
    counts: tuple[tuple[Use, int], ...] = (("coder", config.trials), ("judge", config.trials // 2))
    for number, (use, trials) in enumerate(counts):
        collected[use] = _collected(config, work, use, trials, _part(progress, number))
    frames, labels, seeds = collected["coder"]
    judged = LabelledFrames(*collected["judge"][:2])

    def told(stage: str, done: float) -> None:
        progress(stage, _COLLECTING + (1 - _COLLECTING) * done)

    tensors = train_concepts(
        LabelledFrames(frames, labels),
        judged,
        len(plan["parts"]),
        work / "stages",
        config.training,
        told,
        config.device,
    )
    spec = make_task(config.task, config.settings).spec
    record = FittedRecord(
        objective=OBJECTIVE,
        model_sha256=plan["model_sha256"],
        participants=(f"model_training_{FIRST_SEED['coder']}",),
        sessions=(),
        seeds=tuple(np.unique([*seeds, *collected["judge"][2]]).tolist()),
        config={**asdict(config.training), "parts": plan["parts"], "channels": config.training.channels},
        task=config.task,
        drivers=(who_drives(SIMULATED, spec.name),) if spec.sequential else (),
    )
    content = dump_fitted(tensors, record)
    write_new(config.out, content)
    progress("done", 1.0)
    return {**plan, "frames": {"coder": len(frames), "judge": len(judged.frames)}, "bytes": len(content)}


def _part(progress: Progress, number: int) -> Callable[[float], None]:
    return lambda done: progress("frames", _COLLECTING * (number + done) / 2)


def _collected(
    config: CoderConfig, work: Path, use: Use, trials: int, progress: Callable[[float], None]
) -> tuple[Frames, Frames, Seeds]:
    """Return frames that lie in the work folder, or collect them and leave them there."""
    path = work / f"{use}.npz"
    told = repr((config.task, sorted(config.settings.items()), trials, FIRST_SEED[use]))
    try:
        if path.exists():
            with open_plain(path) as file, np.load(file, allow_pickle=False) as kept:
                if str(kept["told"]) != told:
                    raise RacerError(
                        f"{work} holds frames of another training and was left as it is; name another --work, or "
                        "remove it"
                    )
                return kept["frames"], kept["labels"], kept["seeds"]
        make_folder(work)
        frames, labels, seeds = collect_labelled(config.task, config.settings, use, trials, progress)
        with whole_stream(path) as stream:
            np.savez(stream, frames=frames, labels=labels, seeds=seeds, told=np.array(told))
    except (CompressionError, RacerError):
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RacerError(
            f"{work} cannot be used ({type(error).__name__}); remove it, and its frames are collected again"
        ) from error
    return frames, labels, seeds
