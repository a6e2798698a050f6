"""Recordings as a Minari dataset, for learning from what people did (minari.farama.org).

    import minari

    dataset = minari.load_dataset("driving-v0")
    for episode in dataset:
        print(episode.observations.shape, episode.actions)

The environment variable MINARI_DATASETS_PATH names the folder that the dataset lies in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

import sessions
from racer.errors import ConfigError
from racer.recordings.dataset_episodes import AcceptedEpisodes, DatasetSummary, Progress, rewards
from racer.recordings.footage import FootageError
from racer.recordings.models import NotHereError, find_task
from racer.recordings.observations import Observations
from racer.tasks.gymnasium import REWARD, env_spec
from sessions import Episode, SessionInfo, TaskRecord
from sessions.export.dictionary import whose
from sessions.export.folder import new_folder
from sessions.extras import import_extra

MINARI = "minari>=0.5.4"
"""It stores pictures as they are; releases before it may know JPEG alone."""

DESCRIPTION = """Task {task}, done by what a latent channel transmits, recorded with Racer. One episode per accepted
episode of the recordings: complete, not rejected, and of no trial run.

Observations are frames of {frame} pixels: {observed}. Observation t is what action t answered; there is one more than
actions, which nobody acted on: {last}. Actions are {actions}. {reward}. An episode terminates where its trial does, and
is truncated after its last step otherwise. The episode's seed is that of its trial. `infos` hold a row per observation:
what was recorded at the step. What followed an action ({after}) stands at the observation that it led to, with zeros at
the first; what belongs to an observation (all others) has zeros at the last. `recover_environment` makes the task
itself, seen as original frames, with Racer and the task installed."""

_AT_OBSERVATION = ("bits", "uplink_bits", "arrived", "mask", "packet", "received", "latent", "time_ns", "response_ns")
_MOST_TEXT_BYTES = 2**13
ALGORITHM_NAME = "recorded drivers: people and simulated participants"
_NAME = re.compile(r"[-_A-Za-z0-9]+-v[0-9]+", re.ASCII)


@dataclass(frozen=True)
class MinariSummary(DatasetSummary):
    """What was exported."""

    dataset_id: str
    last_repeated: int
    """Episodes whose last observation repeats the one before, because they cannot be done again as they were."""


def _suggested(name: str) -> str:
    """Return a name like this one that a dataset may have."""
    stem = re.sub(r"[^-_A-Za-z0-9]+", "-", re.sub(r"-?v\d*$", "", name)).strip("-")
    return f"{stem or 'recordings'}-v0"


def export_minari(
    paths: Iterable[Path],
    out: Path,
    original: bool = False,
    progress: Progress = lambda done, total: None,
    model: Path | None = None,
) -> MinariSummary:
    """Write the accepted episodes of recordings, trial runs aside, to a new Minari dataset, one at a time.

    Args:
        paths: Recordings, and folders of recordings.
        out: Folder to make; its name becomes the dataset's and ends in a version, as `driving-v0`.
        original: Whether observations are the original frames, and not what the driver saw.
        progress: Told after each episode.
        model: Folder of their latent model; that of the task if left out.

    Raises:
        ConfigError: If the name is no dataset's, the recordings are of different tasks, or `model` is not theirs.
        WeightsError: If the folder holds no latent model.
        ExportError: If there is nothing to export, `out` exists, or the disk refuses.
        MissingPackageError: If Minari is not installed.
        RecordingError: If a recording that was named, or part of any, cannot be read.
    """
    out = Path(out)
    if not _NAME.fullmatch(out.name):
        raise ConfigError(
            f"the name of a Minari dataset has letters, digits, - and _, and ends in a version such as -v0; got "
            f"{out.name[:80]!r}; nothing was written: use --out {out.parent / _suggested(out.name)}"
        )
    minari = import_extra("minari", MINARI, "export to Minari")
    storages = import_extra("minari.dataset.minari_storage", MINARI, "export to Minari")
    episodes = AcceptedEpisodes(paths, model)
    task, written, steps, repeated = episodes.task, 0, 0, 0
    with new_folder(out) as folder:
        storage = storages.MinariStorage.new(
            # Minari 0.5 takes a relative path twice when it adds up sizes.
            folder.resolve() / "data",
            observation_space=Box(0, 255, task.frame, np.uint8),
            action_space=Discrete(len(task.actions)),
            env_spec=_environment(episodes.infos),
            data_format="hdf5",
            jpeg_encoding=False,
        )
        for session, episode, drawn in episodes.draw(original, progress):
            try:
                metadata = _metadata(session, episode)
            except FootageError as error:
                episodes.leave_out(session, episode, error)
                continue
            storage.update_episodes([_buffer(minari, episode, drawn)])
            storage.update_episode_metadata([metadata], [written])
            written += 1
            steps += episode.n_steps
            repeated += drawn.last_repeated
        if not written:
            raise episodes.nothing()
        about = _dataset_metadata(minari, out.name, task, original)
        storage.update_metadata({**about, **whose(episodes.held.values())})
    return MinariSummary(out, episodes.recordings, written, steps, episodes.left_out, out.name, repeated)


def _buffer(minari: Any, episode: Episode, drawn: Observations) -> Any:
    ends = np.zeros(episode.n_steps, bool)
    ends[-1] = True
    infos: dict[str, NDArray[Any]] = {}
    for name in (metric.name for metric in episode.task.metrics):
        values = episode[name]
        infos[name] = np.concatenate([np.zeros_like(values[:1]), values])
    for name in _AT_OBSERVATION:
        values = episode[name]
        if not values.size:
            continue  # a packet without bytes, which HDF5 does not take
        infos[name] = np.concatenate([values, np.zeros_like(values[:1])])
    return minari.data_collector.EpisodeBuffer(
        seed=episode.info.seed,
        observations=drawn.frames,
        actions=episode.action.astype(np.int64),
        rewards=rewards(episode),
        terminations=ends & drawn.over,
        truncations=ends & (not drawn.over),
        infos=infos,
    )


def _metadata(session: sessions.Session, episode: Episode) -> dict[str, Any]:
    """Return what Minari keeps with an episode: where it comes from and how it came about.

    Raises:
        FootageError: If it is too long, as the end of a sentence.
    """
    metadata = {
        "session_id": session.info.session_id,
        "participant": session.info.participant,
        "protocol": session.info.protocol,
        "trial_run": session.info.trial_run,
        "driver": session.info.driver,
        "episode": episode.index,
        "episode_info": json.dumps(asdict(episode.info)),
    }
    if any(len(value.encode()) > _MOST_TEXT_BYTES for value in metadata.values() if isinstance(value, str)):
        raise FootageError("what it says of itself is too long for an attribute of HDF5")
    return metadata


def _dataset_metadata(minari: Any, dataset_id: str, task: TaskRecord, original: bool) -> dict[str, Any]:
    observed = "the original ones" if original else "what the driver saw, decoded from what the channel transmitted"
    last = "drawn again from the trial's seed and the actions"
    if not original:
        last += ", and sent with the mask of the step before"
    names = [metric.name for metric in task.metrics]
    own = f"Rewards are the metric {REWARD}"
    change = f"Rewards are the change of {task.primary.name} with a step, positive where that is better"
    return {
        "dataset_id": dataset_id,
        "minari_version": minari.__version__,
        "algorithm_name": ALGORITHM_NAME,
        "description": DESCRIPTION.replace("\n\n", "\0")
        .replace("\n", " ")
        .replace("\0", "\n\n")
        .format(
            task=task.name,
            frame=" x ".join(map(str, task.frame[:2])),
            observed=observed,
            last=last,
            actions=", ".join(f"{index} {name}" for index, name in enumerate(task.actions)),
            reward=own if REWARD in names else change,
            after=", ".join(names),
        ),
        "requirements": [],
    }


def _environment(infos: list[SessionInfo]) -> Any:
    """Return the specification of the environment that all recordings come from; None where they differ in it."""
    try:
        specs = [env_spec(find_task(info)) for info in infos]
    except NotHereError:
        return None
    return specs[0] if all(spec.kwargs == specs[0].kwargs for spec in specs) else None
