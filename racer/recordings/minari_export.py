"""Recordings as a Minari dataset, for learning from what people did (minari.farama.org).

    import minari

    dataset = minari.load_dataset("steering-v0")
    for episode in dataset:
        print(episode.observations.shape, episode.actions - 1)

The environment variable MINARI_DATASETS_PATH names the folder that the dataset lies in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sessions
from compression.model.latent_model import load_codec, use_one_thread
from racer.errors import ConfigError
from racer.recordings.footage import FootageError
from racer.recordings.minari_observations import Observations, draw_observations
from racer.recordings.rerun import RerunError, track_config
from racer.tasks.steering_env import ACTION_SPACE, OBSERVATION_SPACE, steering_spec
from sessions import Episode
from sessions.export.folder import ExportError, choose_recordings, new_folder
from sessions.extras import import_extra

MINARI = "minari>=0.5.4"
"""It stores pictures as they are; releases before it may know JPEG alone."""

DESCRIPTION = """Steering CarRacing by what a latent channel transmits, recorded with Racer. One episode per accepted
episode of the recordings: complete, not rejected, and of no trial run.

Observations are frames of 64 x 64 pixels: {observed}. Observation t is what action t answered; there is one more than
actions, which nobody acted on: {last}. Actions are 0 left, 1 straight, 2 right: one more than the recorded -1, 0, 1.
An automatic throttle works the pedals. Rewards are CarRacing's. An episode terminates when the whole road has been
visited or the car has left the field, and is truncated after its last step otherwise. The episode's seed is that of
its track. `infos` hold a row per observation: what was recorded at the step (progress, off_road, speed, control, bits,
mask, packet, received, latent, time_ns). What followed an action (progress, off_road, speed, control) stands at the
observation that it led to, with zeros at the first; what belongs to an observation (all others) has zeros at the last.
`recover_environment` makes the task itself, seen as original frames, with Racer installed."""

_AFTER_ACTION = ("control", "progress", "off_road", "speed")
_AT_OBSERVATION = ("bits", "mask", "packet", "received", "latent", "time_ns")
_MOST_TEXT_BYTES = 2**13
_NAME = re.compile(r"[-_A-Za-z0-9]+-v[0-9]+", re.ASCII)

Progress = Callable[[int, int], None]
"""Told (episodes done, episodes in all)."""


@dataclass(frozen=True)
class MinariSummary:
    """What was exported."""

    out: Path
    dataset_id: str
    recordings: int
    episodes: int
    steps: int
    left_out: dict[str, str]
    """Recordings and episodes that are not in it, and why."""
    last_repeated: int
    """Episodes whose last observation repeats the one before, because they cannot be driven again as they were."""


def export_minari(
    paths: Iterable[Path],
    out: Path,
    original: bool = False,
    progress: Progress = lambda done, total: None,
) -> MinariSummary:
    """Write the accepted episodes of recordings, trial runs aside, to a new Minari dataset, one at a time.

    Args:
        paths: Recordings, and folders of recordings.
        out: Folder to make; its name becomes the dataset's and ends in a version, as `steering-v0`.
        original: Whether observations are the original frames, and not what the driver saw.
        progress: Told after each episode.

    Raises:
        ConfigError: If the name is no dataset's.
        ExportError: If there is nothing to export, `out` exists, or the disk refuses.
        MissingPackageError: If Minari is not installed.
        RecordingError: If a recording that was named, or part of any, cannot be read.
    """
    out = Path(out)
    if not _NAME.fullmatch(out.name):
        raise ConfigError(
            f"a Minari dataset is named like steering-v0, in letters, digits, - and _; got {out.name[:80]!r}; nothing "
            f"was written: use --out {out.parent / 'steering-v0'}"
        )
    minari = import_extra("minari", MINARI, "export to Minari")
    storages = import_extra("minari.dataset.minari_storage", MINARI, "export to Minari")
    use_one_thread()
    codec = load_codec()
    recordings, unreadable = choose_recordings(paths)
    left_out = {str(path): reason for path, reason in unreadable.items()}
    accepted = _accepted(recordings, left_out)
    total = sum(map(len, accepted.values()))
    written = steps = repeated = 0
    with new_folder(out) as folder:
        storage = storages.MinariStorage.new(
            # Minari 0.5 takes a relative path twice when it adds up sizes.
            folder.resolve() / "data",
            observation_space=OBSERVATION_SPACE,
            action_space=ACTION_SPACE,
            env_spec=_environment(recordings),
            data_format="hdf5",
            jpeg_encoding=False,
        )
        for done, (session, episode) in enumerate(_episodes(accepted)):
            progress(done, total)
            try:
                metadata = _metadata(session, episode)
                drawn = draw_observations(session.info, episode, codec, original)
            except (FootageError, RerunError) as error:
                left_out[f"{session.path}, episode {episode.index}"] = str(error)
                continue
            storage.update_episodes([_buffer(minari, episode, drawn)])
            storage.update_episode_metadata([metadata], [written])
            written += 1
            steps += episode.n_steps
            repeated += drawn.last_repeated
        if not written:
            first = next((f"; the first: {reason}" for reason in left_out.values()), "")
            raise ExportError(
                "none of the episodes can be exported; nothing was written: only those that are complete and were not "
                f"rejected are, and trial runs are not{first}"
            )
        storage.update_metadata(_dataset_metadata(minari, out.name, original))
        progress(total, total)
    return MinariSummary(out, out.name, len(recordings), written, steps, left_out, repeated)


def _buffer(minari: Any, episode: Episode, drawn: Observations) -> Any:
    ends = np.zeros(episode.n_steps, bool)
    ends[-1] = True
    infos: dict[str, NDArray[Any]] = {}
    for name in _AFTER_ACTION:
        values = episode[name]
        infos[name] = np.concatenate([np.zeros_like(values[:1]), values])
    for name in _AT_OBSERVATION:
        values = episode[name]
        if not values.size:
            continue  # a packet without bytes, which HDF5 does not take
        infos[name] = np.concatenate([values, np.zeros_like(values[:1])])
    return minari.data_collector.EpisodeBuffer(
        seed=episode.info.track_seed,
        observations=drawn.frames,
        actions=episode.action.astype(np.int64) + 1,
        rewards=episode.reward,
        terminations=ends & drawn.over,
        truncations=ends & (not drawn.over),
        infos=infos,
    )


def _metadata(session: sessions.Session, episode: Episode) -> dict[str, Any]:
    """Return what Minari keeps with an episode: where it comes from and how it was driven.

    Raises:
        FootageError: If it is too long, as the end of a sentence.
    """
    metadata = {
        "session_id": session.info.session_id,
        "participant": session.info.participant,
        "protocol": session.info.protocol,
        "pilot": session.info.pilot,
        "driver": session.info.driver,
        "episode": episode.index,
        "episode_info": json.dumps(asdict(episode.info)),
    }
    if any(len(value.encode()) > _MOST_TEXT_BYTES for value in metadata.values() if isinstance(value, str)):
        raise FootageError("what it says of itself is too long for an attribute of HDF5")
    return metadata


def _dataset_metadata(minari: Any, dataset_id: str, original: bool) -> dict[str, Any]:
    observed = "the original ones" if original else "what the driver saw, decoded from what the channel transmitted"
    last = "drawn again from the track and the actions"
    if not original:
        last += ", and sent with the mask of the step before"
    return {
        "dataset_id": dataset_id,
        "minari_version": minari.__version__,
        "algorithm_name": "recorded drivers: people and simulated participants",
        "description": DESCRIPTION.replace("\n\n", "\0")
        .replace("\n", " ")
        .replace("\0", "\n\n")
        .format(observed=observed, last=last),
        "requirements": [],
    }


def _environment(recordings: list[Path]) -> Any:
    """Return the specification of the environment that all recordings come from; None where they differ in it."""
    configs = set()
    for path in recordings:
        with sessions.open(path) as session:
            try:
                configs.add(track_config(session.info))
            except RerunError:
                return None
    return steering_spec(configs.pop()) if len(configs) == 1 else None


def _accepted(recordings: list[Path], left_out: dict[str, str]) -> dict[Path, list[int]]:
    """Return, by recording, the indices of the episodes to export; note in `left_out` which recordings have none."""
    accepted = {}
    for path in recordings:
        with sessions.open(path) as session:
            if session.info.pilot:
                left_out[str(path)] = "it is a trial run, kept out of training"
                continue
            accepted[path] = [episode.index for episode in session.episodes if episode.accepted and episode.n_steps]
    return accepted


def _episodes(accepted: dict[Path, list[int]]) -> Iterator[tuple[sessions.Session, Episode]]:
    """Yield the episodes to export with their sessions, each open until the next one."""
    for path, indices in accepted.items():
        with sessions.open(path) as session:
            for index in indices:
                yield session, session.episodes[index]
