"""From recorded sessions to a file that a condition needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

import sessions
from compression.coders.packet import CHANNEL_FORMAT
from compression.coders.pico_rate import NAME as PICO_RATE
from compression.coders.pico_transform import NAME as PICO_TRANSFORM
from compression.fill import FillName
from compression.fitting.classifiers import Progress
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.fitting.pico import TrainingSummary, fit_mask
from compression.fitting.pico_rate import RateSummary, fit_pico_rate
from compression.fitting.pico_transform import fit_pico_transform
from compression.fitting.recorded import RecordedEpisode
from compression.masks import MaskInterval
from compression.model.latent_model import LatentModel, chosen_device
from disk.writing import make_folder, write_whole
from racer.drivers.registry import who_drives
from racer.errors import RacerError
from racer.rates.people import FIRST_SEALED
from racer.recordings.models import NotHereError, find_model, refuse_other_model
from racer.sitting.protocol import EXPLORED
from racer.training.curves import curve_files
from sessions.reader import trial_starts

POSITIVE_PHASE, NEGATIVE_PHASE = "calibration", "exploration"
_OF_MASKS = ("objective", "blocks", "imagined", "labels", "negative_label")
"""Settings that training coders which allot levels does not look at."""
_ALLOTTING = {PICO_RATE: fit_pico_rate, PICO_TRANSFORM: fit_pico_transform}
"""Coders without a mask, and what fits them."""
Summary = TrainingSummary | RateSummary
"""Result of a training."""


class TrainingDataError(RacerError):
    """The recordings named cannot train anything, or what is trained cannot be written."""


@dataclass(frozen=True)
class TrainingSet:
    """What some recorded sessions hold for training."""

    model: LatentModel
    """Latent model through which the task was seen."""
    task: str
    """Name of the task."""
    settings: dict[str, Any]
    """The task's settings."""
    episodes: list[RecordedEpisode]
    interval: MaskInterval
    """How often the exploration's masks were chosen."""
    fill: FillName
    """Where the exploration's missing features came from."""
    blocks: int
    """Blocks that the exploration's masks sent."""
    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    seeds: tuple[int, ...]
    """Seeds of the recorded trials."""
    drivers: tuple[str, ...]
    """Who drove; see `compression.fitting.fitted.FittedRecord`."""


def read_training_set(paths: Iterable[Path], masked: bool = True, model_folder: Path | None = None) -> TrainingSet:
    """Read the calibration and exploration episodes of recorded sessions, in the order of their session ids.

    Args:
        paths: The recordings.
        masked: Whether a mask is trained, for which all must have explored in the same way.
        model_folder: Of their latent model; that of the task if None.

    Raises:
        RecordingError: If a file cannot be read.
        ConfigError: If the folder holds another latent model than a recording's.
        WeightsError: If the folder holds no latent model.
        TrainingDataError: If there is none, their latent model is not here, or one is of another task or model, is a
            trial run, crossed a noisy channel, repeats another one's trials, explored in another way, or left no
            blocks out where a mask is trained.
    """
    paths = set(paths)
    refuse_other_model(model_folder, sorted(paths))
    infos = {path: _session_info(path) for path in paths}
    in_order = sorted((info.session_id, path) for path, info in infos.items())
    if not in_order:
        raise TrainingDataError("there is nothing to train on: name recordings")
    first = in_order[0][1]
    model = model_of(first, infos[first], model_folder)
    episodes: list[RecordedEpisode] = []
    explored: set[tuple[str, str, int]] = set()
    done: dict[tuple[str, int], str] = {}
    taken: list[sessions.SessionInfo] = []
    resumed = {info.session_id: info.resumes for info in infos.values()}
    for session_id, path in in_order:
        with sessions.open(path) as session:
            info = session.info
            check_usable(path, info, first, infos[first])
            if session_id in (other.session_id for other in taken):
                raise TrainingDataError(f"{path} holds session {session_id} a second time; name each session once")
            seeds: set[int] = set()
            for episode in session.episodes:
                phase, condition = episode.info.phase, episode.info.condition
                positive = phase == POSITIVE_PHASE and condition == "full"
                negative = phase == NEGATIVE_PHASE and condition in EXPLORED
                if not (positive or negative) or episode.n_steps == 0 or not episode.accepted:
                    continue
                if episode.info.noisy:
                    raise TrainingDataError(
                        f"{path} was recorded with noise on the channel, so that the driver did not see what the masks "
                        "sent; leave it out"
                    )
                masks = episode.mask
                if negative:
                    explored.add((episode.info.mask_interval, episode.info.fill, int(masks[0].sum())))
                seeds |= set(np.unique(episode.stimulus).tolist())
                if max(seeds) >= FIRST_SEALED:
                    raise TrainingDataError(
                        f"{path} has trials from seeds of {FIRST_SEALED} or more, which are kept for sealed sets: "
                        "nothing is trained on them; leave it out"
                    )
                recorded = RecordedEpisode(episode.latent, episode.received, episode.action, masks, original=positive)
                episodes += [recorded] if info.task.paced else recorded.split(trial_starts(episode.stimulus))
            # Recordings of one sitting, resumed after a crash, continue each other and may share trials.
            sitting = _beginning(session_id, resumed)
            trials = {(info.participant, seed): sitting for seed in seeds}
            if any(done.get(trial, sitting) != sitting for trial in trials):
                raise TrainingDataError(
                    f"{path} repeats trials of {info.participant} from the same seeds; leave one of the two sessions "
                    "out, and record a second pilot with another --seed"
                )
            done |= trials
            if seeds:
                taken.append(info)
    interval, fill, blocks = _one_exploration(explored, masked)
    if masked and blocks == model.sizes.blocks:
        raise TrainingDataError(
            f"the explorations sent all {blocks} blocks, so that there is nothing to leave out; record a pilot with "
            "fewer --bits"
        )
    return TrainingSet(
        model=model,
        task=infos[first].task.name,
        settings=infos[first].task.settings,
        episodes=episodes,
        interval=interval,
        fill=fill,
        blocks=blocks,
        participants=tuple(sorted({info.participant for info in taken})),
        sessions=tuple(info.session_id for info in taken),
        seeds=tuple(sorted({seed for _, seed in done})),
        drivers=tuple(sorted({who_drives(info.driver, info.task.name) for info in taken})),
    )


def model_of(path: Path, info: sessions.SessionInfo, folder: Path | None) -> LatentModel:
    """Return the latent model of a recording. Raises TrainingDataError if it is not here."""
    try:
        return find_model(info, folder)
    except NotHereError as error:
        raise TrainingDataError(f"{path} cannot be trained on: {error}") from error


def _one_exploration(found: set[tuple[str, str, int]], masked: bool) -> tuple[MaskInterval, FillName, int]:
    """Return in which way all sessions explored: mask interval, fill and blocks sent."""
    if masked and len(found) > 1:
        told = "; ".join(sorted(f"{blocks} blocks per {interval} with {fill} fill" for interval, fill, blocks in found))
        raise TrainingDataError(f"the sessions explored in different ways ({told}); train on one kind")
    interval, fill, blocks = next(iter(found), ("episode", "hold", 0))
    if interval not in get_args(MaskInterval) or fill not in get_args(FillName):
        raise TrainingDataError(f"the sessions explored in a way that this version does not know: {interval}, {fill}")
    return interval, fill, blocks  # type: ignore[return-value]  # checked


def _beginning(session_id: str, resumed: dict[str, str]) -> str:
    """Return the session that began a sitting; `resumed` says which one each continues, if any."""
    for _ in resumed:
        session_id = resumed.get(session_id) or session_id
    return session_id


def _session_info(path: Path) -> sessions.SessionInfo:
    with sessions.open(path) as session:
        return session.info


def check_usable(path: Path, info: sessions.SessionInfo, first: Path, like: sessions.SessionInfo) -> None:
    """Raise TrainingDataError unless a session can be trained on together with the first one."""
    if (info.task.name, info.task.actions) != (like.task.name, like.task.actions):
        raise TrainingDataError(
            f"{path} is of task {info.task.name} and {first} of {like.task.name}; train on one task at a time"
        )
    asked, first_asked = (each.task.settings.get("question") for each in (info, like))
    if asked != first_asked:
        raise TrainingDataError(f"{path} asks {asked} and {first} {first_asked}; train on one question at a time")
    if info.model_sha256 != like.model_sha256:
        raise TrainingDataError(
            f"{path} was recorded with other weights (latent model {info.model_sha256[:12]}) than {first} "
            f"({like.model_sha256[:12]}); train on one latent model at a time"
        )
    if info.config.get("channel_format") != CHANNEL_FORMAT:
        raise TrainingDataError(
            f"{path} was recorded with another packet format than this version's {CHANNEL_FORMAT}; "
            f"train with the version of racer that recorded it"
        )
    if info.trial_run:
        raise TrainingDataError(f"{path} is a trial run (--trial), which is never trained on; leave it out")


def train(
    condition: str,
    paths: Iterable[Path],
    out: Path,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
    model_folder: Path | None = None,
    device: str = "cpu",
) -> Summary:
    """Fit what a condition needs to recorded sessions and write it to a new file, its curves beside it.

    The same sessions, configuration and seed give the same bytes.

    Args:
        condition: One of `racer.loop.conditions.MASKED_CONDITIONS`.
        paths: The recordings.
        out: The file.
        config: Settings; of a mask, the blocks sent are those of the recordings.
        progress: Called now and then.
        model_folder: Of the recordings' latent model; that of the task if None.
        device: What to fit on, as of `compression.model.latent_model.chosen_device`.

    Raises:
        TrainingDataError: If the sessions are of no use, or `out` exists.
        TrainingError: If they hold too few episodes, or nothing is trained for this condition.
        RecordingError, CompressionError: If a file cannot be read.
    """
    refuse_existing(out)
    chosen = chosen_device(device)
    loaded = read_training_set(paths, is_masked(condition), model_folder)
    data, summary = fit(condition, replace(loaded, model=loaded.model.on(chosen)), config, progress)
    write_fitted(out, data, summary)
    return summary


def is_masked(condition: str) -> bool:
    """Return whether what is trained for a condition is a mask."""
    return condition not in _ALLOTTING


def fit(
    condition: str, loaded: TrainingSet, config: PicoConfig, progress: Progress = lambda stage, done: None
) -> tuple[bytes, Summary]:
    """Return the bytes of the fitted file of a condition, and how the fit went; arguments and errors as of `train`."""
    model, masked = loaded.model, is_masked(condition)
    summary: Summary
    if masked:
        config = replace(config, objective=condition, blocks=loaded.blocks or config.blocks)
        tensors, summary = fit_mask(loaded.episodes, loaded.interval, loaded.fill, model, config, progress)
    else:
        tensors, summary = _ALLOTTING[condition](loaded.episodes, model, config, progress)
    record = FittedRecord(
        objective=condition,
        model_sha256=model.latents_sha256,
        participants=loaded.participants,
        sessions=loaded.sessions,
        seeds=loaded.seeds,
        config={name: value for name, value in asdict(config).items() if masked or name not in _OF_MASKS}
        | fitted_on(model),
        interval=loaded.interval if masked else "",
        fill=loaded.fill if masked else "",
        task=loaded.task,
        settings=loaded.settings,
        drivers=loaded.drivers,
    )
    return dump_fitted(tensors, record), summary


def write_fitted(out: Path, data: bytes, summary: Summary) -> None:
    """Write a fitted file that must not exist yet, and its curves beside it. Raises TrainingDataError if it cannot."""
    curves = curve_files(summary.curve, out)
    refuse_existing(out)
    # The file comes last: where it is, all is, and a training that was killed is given again.
    for path, content in curves.items():
        write_new(path, content, overwrite=True)
    write_new(out, data)


def fitted_on(model: LatentModel) -> dict[str, str]:
    """Return what a fitted file says of the device where that is not the processor: sums round differently there."""
    return {} if model.device.type == "cpu" else {"device": model.device.type}


def refuse_existing(path: Path) -> None:
    """Raise TrainingDataError if there is something at `path` already."""
    try:
        taken = path.exists()
    except OSError as error:
        raise TrainingDataError(f"cannot write {path}: {error.strerror}; give another name with --out") from error
    if taken:
        raise TrainingDataError(f"{path} exists and was left as it is; give another name with --out, or move it away")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise TrainingDataError(f"cannot write {path}: {nearest} is not a folder; give another name with --out")


def write_new(path: Path, data: bytes, overwrite: bool = False) -> None:
    """Write a file that must not exist yet, unless it may be overwritten: whole or not at all.

    Raises:
        TrainingDataError: If it exists or cannot be written.
    """
    try:
        make_folder(path.parent)
        write_whole(path, data, overwrite=overwrite)
    except FileExistsError as error:
        raise TrainingDataError(f"{path} exists and was left as it is; give another name with --out") from error
    except OSError as error:
        raise TrainingDataError(f"cannot write {path}: {error.strerror}; nothing was written") from error
