"""From recorded sessions to a file that a condition needs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import sessions
from compression.coders.packet import CHANNEL_FORMAT
from compression.coders.pico_rate import NAME as PICO_RATE
from compression.fill import FillName
from compression.fitting.classifiers import Progress
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import CoderRecord, dump_coder
from compression.fitting.mask_file import MaskRecord, dump_mask
from compression.fitting.pico import TrainingSummary, fit_mask
from compression.fitting.pico_rate import RateSummary, fit_pico_rate
from compression.fitting.recorded import RecordedEpisode
from compression.masks import MaskInterval
from compression.model.latent_model import Codec, load_codec
from racer.errors import RacerError
from racer.sitting.protocol import EXPLORED
from sessions.storage.staging import rename_without_overwriting

POSITIVE_PHASE, NEGATIVE_PHASE = "calibration", "exploration"
_OF_MASKS = ("objective", "blocks", "imagined")
"""Settings that training `pico-rate` does not look at."""
Summary = TrainingSummary | RateSummary
"""What a training came to."""


class TrainingDataError(RacerError):
    """The recordings named cannot train anything, or what is trained cannot be written."""


@dataclass(frozen=True)
class TrainingSet:
    """What some recorded sessions hold for training."""

    episodes: list[RecordedEpisode]
    interval: MaskInterval
    """How often the exploration's masks were chosen."""
    fill: FillName
    """Where the exploration's missing features came from."""
    blocks: int
    """Blocks that the exploration's masks sent."""
    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    track_seeds: tuple[int, ...]


def read_training_set(paths: Iterable[Path], codec: Codec, masked: bool = True) -> TrainingSet:
    """Read the calibration and exploration episodes of recorded sessions, in the order of their session ids.

    Args:
        paths: The recordings.
        codec: With which they must have been made.
        masked: Whether a mask is trained, for which all must have explored in the same way.

    Raises:
        RecordingError: If a file cannot be read.
        TrainingDataError: If one was made with another codec, is a trial run, was driven on a noisy channel, repeats
            another one's drives, or explored in another way.
    """
    episodes: list[RecordedEpisode] = []
    ways: set[tuple[str, str, int]] = set()
    drives: dict[tuple[str, int], str] = {}
    taken: list[sessions.SessionInfo] = []
    infos = {path: _session_info(path) for path in set(paths)}
    resumed = {info.session_id: info.resumes for info in infos.values()}
    for session_id, path in sorted((info.session_id, path) for path, info in infos.items()):
        with sessions.open(path) as session:
            info = session.info
            _check_usable(path, info, codec)
            if session_id in (other.session_id for other in taken):
                raise TrainingDataError(f"{path} holds session {session_id} a second time; name each session once")
            used: list[sessions.Episode] = []
            for episode in session.episodes:
                phase, condition = episode.info.phase, episode.info.condition
                positive = phase == POSITIVE_PHASE and condition == "full"
                negative = phase == NEGATIVE_PHASE and condition in EXPLORED
                if not (positive or negative) or episode.n_steps == 0 or not episode.accepted:
                    continue
                masks = episode.mask
                if negative:
                    ways.add((episode.info.mask_interval, episode.info.fill, int(masks[0].sum())))
                used.append(episode)
                episodes.append(
                    RecordedEpisode(episode.latent, episode.received, episode.action, masks, original=positive)
                )
            # Recordings of one sitting, resumed after a crash, continue each other and may share tracks.
            sitting = _beginning(session_id, resumed)
            driven = {(info.participant, episode.info.track_seed): sitting for episode in used}
            if any(drives.get(drive, sitting) != sitting for drive in driven):
                raise TrainingDataError(
                    f"{path} repeats drives of {info.participant} on the same tracks; leave one of the two sessions "
                    f"out, and record a second pilot with another --seed"
                )
            drives |= driven
            if used:
                taken.append(info)
    if masked and len(ways) > 1:
        found = "; ".join(sorted(f"{blocks} blocks per {interval} with {fill} fill" for interval, fill, blocks in ways))
        raise TrainingDataError(f"the sessions explored in different ways ({found}); train on one kind")
    interval, fill, blocks = next(iter(ways), ("episode", "hold", 0))
    if interval not in get_args(MaskInterval) or fill not in get_args(FillName):
        raise TrainingDataError(f"the sessions explored in a way that this version does not know: {interval}, {fill}")
    return TrainingSet(
        episodes=episodes,
        interval=interval,  # type: ignore[arg-type]  # checked above
        fill=fill,  # type: ignore[arg-type]
        blocks=blocks,
        participants=tuple(sorted({info.participant for info in taken})),
        sessions=tuple(info.session_id for info in taken),
        track_seeds=tuple(sorted({track for _, track in drives})),
    )


def _beginning(session_id: str, resumed: dict[str, str]) -> str:
    """Return the session that began a sitting; `resumed` says which one each continues, if any."""
    for _ in resumed:
        session_id = resumed.get(session_id) or session_id
    return session_id


def _session_info(path: Path) -> sessions.SessionInfo:
    with sessions.open(path) as session:
        return session.info


def _check_usable(path: Path, info: sessions.SessionInfo, codec: Codec) -> None:
    if info.codec_sha256 != codec.sha256:
        raise TrainingDataError(
            f"{path} was recorded with other weights (codec {info.codec_sha256[:12]}, installed "
            f"{codec.sha256[:12]}); train with the version of racer that recorded it"
        )
    if info.config.get("channel_format") != CHANNEL_FORMAT:
        raise TrainingDataError(
            f"{path} was recorded with another packet format than this version's {CHANNEL_FORMAT}; "
            f"train with the version of racer that recorded it"
        )
    channel = info.config.get("channel")
    if isinstance(channel, dict) and channel.get("noise", "none") != "none":
        raise TrainingDataError(
            f"{path} was recorded with noise on the channel, so that the driver did not see what the masks sent; "
            f"leave it out"
        )
    if info.pilot:
        raise TrainingDataError(f"{path} is a trial run (--pilot), which is never trained on; leave it out")


def train_mask(
    paths: Iterable[Path],
    out: Path,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> TrainingSummary:
    """Fit a mask to recorded sessions and write it to a new file.

    The same sessions, configuration and seed give the same bytes.

    Raises:
        TrainingDataError: If the sessions are of no use, or `out` exists.
        TrainingError: If they hold too few episodes.
        RecordingError, CompressionError: If a file cannot be read.
    """
    refuse_existing(out)
    codec = load_codec()
    loaded = read_training_set(paths, codec)
    if loaded.blocks:
        config = replace(config, blocks=loaded.blocks)
    network, summary = fit_mask(loaded.episodes, loaded.interval, loaded.fill, codec, config, progress)
    record = MaskRecord(
        objective=config.objective,
        codec_sha256=codec.sha256,
        interval=loaded.interval,
        fill=loaded.fill,
        participants=loaded.participants,
        sessions=loaded.sessions,
        track_seeds=loaded.track_seeds,
        config=asdict(config),
    )
    write_new(out, dump_mask(network, record))
    return summary


def train_pico_rate(
    paths: Iterable[Path],
    out: Path,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> RateSummary:
    """Fit the levels of coder `pico-rate` to recorded sessions and write them to a new file; as `train_mask`."""
    refuse_existing(out)
    codec = load_codec()
    loaded = read_training_set(paths, codec, masked=False)
    tensors, summary = fit_pico_rate(loaded.episodes, codec, config, progress)
    record = CoderRecord(
        objective=PICO_RATE,
        codec_sha256=codec.sha256,
        participants=loaded.participants,
        sessions=loaded.sessions,
        track_seeds=loaded.track_seeds,
        config={name: value for name, value in asdict(config).items() if name not in _OF_MASKS},
    )
    write_new(out, dump_coder(tensors, record))
    return summary


def train(
    condition: str,
    paths: Iterable[Path],
    out: Path,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> Summary:
    """Fit what a condition, one of `racer.loop.conditions.MASKED_CONDITIONS`, needs and write it to a new file.

    Raises:
        TrainingError: If nothing is trained for this condition; else as `train_mask`.
    """
    if condition == PICO_RATE:
        return train_pico_rate(paths, out, config, progress)
    return train_mask(paths, out, replace(config, objective=condition), progress)  # type: ignore[arg-type]  # checked


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
        raise TrainingDataError(f"cannot write {path}: {nearest} is no folder; give another name with --out")


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet: whole or not at all.

    Raises:
        TrainingDataError: If it exists or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + f".{os.getpid()}.partial")
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            rename_without_overwriting(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except FileExistsError as error:
        raise TrainingDataError(f"{path} exists and was left as it is; give another name with --out") from error
    except OSError as error:
        raise TrainingDataError(f"cannot write {path}: {error.strerror}; nothing was written") from error
