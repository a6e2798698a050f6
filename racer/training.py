"""From recorded sessions to a mask file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import sessions
from compression.codec import Codec, load_codec
from compression.mask_file import MaskRecord, dump_mask
from compression.masks import MaskInterval
from compression.pico import PicoConfig, Progress, RecordedEpisode, TrainingSummary, fit_mask
from racer.errors import RacerError
from racer.protocol import EXPLORED

POSITIVE_PHASE, NEGATIVE_PHASE = "calibration", "exploration"


class TrainingDataError(RacerError):
    """The recordings named cannot train a mask."""


@dataclass(frozen=True)
class TrainingSet:
    """What some recorded sessions hold for training."""

    episodes: list[RecordedEpisode]
    interval: MaskInterval
    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    track_seeds: tuple[int, ...]


def read_training_set(paths: Iterable[Path], codec: Codec) -> TrainingSet:
    """Read the calibration and exploration episodes of recorded sessions.

    Raises:
        RecordingError: If a file cannot be read.
        TrainingDataError: If one was made with other weights, is marked as a pilot run, or mixes mask intervals.
    """
    episodes: list[RecordedEpisode] = []
    participants, ids, tracks, intervals = set(), set(), set(), set()
    for path in sorted(set(paths)):
        with sessions.open(path) as session:
            info = session.info
            if info.codec_sha256 != codec.sha256:
                raise TrainingDataError(
                    f"{path} was recorded with other weights (codec {info.codec_sha256[:12]}, installed "
                    f"{codec.sha256[:12]}); train with the version of racer that recorded it"
                )
            if info.pilot:
                raise TrainingDataError(f"{path} is a trial run (--pilot), which is never trained on; leave it out")
            if info.session_id in ids:
                raise TrainingDataError(f"{path} holds session {info.session_id} a second time; name each session once")
            used = False
            for episode in session.episodes:
                phase, condition = episode.info.phase, episode.info.condition
                positive = phase == POSITIVE_PHASE and condition == "full"
                negative = phase == NEGATIVE_PHASE and condition in EXPLORED
                if not (positive or negative) or episode.n_steps == 0:
                    continue
                used = True
                if negative:
                    intervals.add(episode.info.mask_interval)
                tracks.add(episode.info.track_seed)
                episodes.append(
                    RecordedEpisode(episode.latent, episode.received, episode.action, episode.mask, original=positive)
                )
            if used:
                participants.add(info.participant)
                ids.add(info.session_id)
    if len(intervals) > 1:
        raise TrainingDataError("the sessions mix masks per episode and masks per step; train on one kind")
    interval: MaskInterval = "step" if intervals == {"step"} else "episode"
    return TrainingSet(episodes, interval, tuple(sorted(participants)), tuple(sorted(ids)), tuple(sorted(tracks)))


def train_mask(
    paths: Iterable[Path],
    out: Path,
    config: PicoConfig,
    on_loaded: Callable[[TrainingSet], None] = lambda loaded: None,
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
    on_loaded(loaded)
    network, summary = fit_mask(loaded.episodes, loaded.interval, codec, config, progress)
    record = MaskRecord(
        objective=config.objective,
        codec_sha256=codec.sha256,
        interval=loaded.interval,
        participants=loaded.participants,
        sessions=loaded.sessions,
        track_seeds=loaded.track_seeds,
        config=asdict(config),
    )
    write_new(out, dump_mask(network, record))
    return summary


def refuse_existing(path: Path) -> None:
    """Raise TrainingDataError if there is something at `path` already."""
    if path.exists():
        raise TrainingDataError(f"{path} exists and was left as it is; give another name with --out, or move it away")


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
            os.link(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except FileExistsError as error:
        raise TrainingDataError(f"{path} exists and was left as it is; give another name with --out") from error
    except OSError as error:
        raise TrainingDataError(f"cannot write {path}: {error.strerror}; nothing was written") from error
