"""Recordings as a video: for each step the original, what was shown, what was done, and how far it had come."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygame

import sessions
from compression.model.latent_model import use_one_thread
from racer.errors import ConfigError
from racer.recordings.footage import Footage, choose_episode, episodes_with_steps
from racer.recordings.models import refuse_other_model
from racer.recordings.playhead import recorded_pace
from racer.recordings.scene import Scene, View, scene_size
from racer.window.palette import GROUND
from sessions.export.folder import ExportError, new_file
from sessions.extras import import_extra

MOST_CELLS = 16
"""Recordings beside each other in one video."""
MOST_SCALE = 16

Progress = Callable[[int, int], None]
"""Callback (pictures done, pictures in all)."""


@dataclass(frozen=True)
class VideoConfig:
    """What `racer session video` can be told."""

    recordings: tuple[Path, ...]
    """Shown beside each other; the shorter ones hold their last picture."""
    out: Path
    """File to write: ends in .mp4, must not exist."""
    episode: int | None = None
    """Show this episode of each alone; all, one after the other, if left out."""
    fps: float | None = None
    """Steps per second; the pace of the first recording if left out."""
    scale: int = 4
    """Pixels of the video per pixel of a frame, 2 to 16."""
    beside: bool = True
    """Whether to show the original beside what was shown."""
    model: Path | None = None
    """Folder of their latent model; that of the task if left out."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.recordings) <= MOST_CELLS:
            raise ConfigError(f"a video shows 1 to {MOST_CELLS} recordings; got {len(self.recordings)}: name fewer")
        if self.out.suffix.lower() != ".mp4":
            raise ConfigError(f"the name of a video ends in .mp4; got {self.out}")
        if self.fps is not None and not (math.isfinite(self.fps) and 1 <= self.fps <= 100):
            raise ConfigError(f"a video has 1 to 100 steps a second; got {self.fps:g}")
        if not 2 <= self.scale <= MOST_SCALE:
            raise ConfigError(f"scale must lie between 2 and {MOST_SCALE}; got {self.scale}")


@dataclass(frozen=True)
class VideoSummary:
    """What was written."""

    out: Path
    pictures: int
    size: tuple[int, int]
    """Width and height, pixels."""
    fps: float
    without_original: dict[Path, str]
    """Recordings with an episode that cannot be done again as it was, and why."""


def make_video(config: VideoConfig, progress: Progress = lambda done, total: None) -> VideoSummary:
    """Write the video, one picture at a time; the file appears when it is whole.

    Raises:
        ConfigError: If recordings have another latent model than the folder that is named.
        FootageError: If there is nothing to show, or it cannot be decoded.
        ExportError: If the file exists or cannot be written.
        MissingPackageError: If imageio-ffmpeg is not installed.
        RecordingError: If a recording cannot be read.
    """
    ffmpeg = import_extra("imageio_ffmpeg", "imageio-ffmpeg", "a video")
    use_one_thread()
    refuse_other_model(config.model, config.recordings, all_of_them=False)
    with ExitStack() as opened:
        reels = [
            opened.enter_context(closing(Reel(path, config.episode, config.beside, config.model)))
            for path in config.recordings
        ]
        pictures = max(reel.steps for reel in reels)
        fps = config.fps or reels[0].pace
        columns = math.ceil(math.sqrt(len(reels)))
        rows = math.ceil(len(reels) / columns)
        sizes = [scene_size(reel.frame, config.scale, config.beside) for reel in reels]
        width, height = max(width for width, _ in sizes), max(height for _, height in sizes)
        screen = pygame.Surface((columns * width, rows * height), 0, 24)
        screen.fill(GROUND)
        cells = [
            Scene(
                screen.subsurface((index % columns * width, index // columns * height, width, height)),
                reel.frame,
                config.beside,
                config.scale,
            )
            for index, reel in enumerate(reels)
        ]
        unfinished = opened.enter_context(new_file(config.out))
        with _Encoder(ffmpeg, unfinished, screen.get_size(), fps) as encoder:
            for picture in range(pictures):
                for cell, reel in zip(cells, reels, strict=True):
                    if (view := reel.next_view()) is not None:
                        cell.draw(view)
                encoder.add(screen)
                progress(picture + 1, pictures)
        return VideoSummary(
            out=config.out,
            pictures=pictures,
            size=screen.get_size(),
            fps=fps,
            without_original={reel.path: reason for reel in reels if (reason := reel.without_original)},
        )


class Reel:
    """The steps of a recording in their order, one view after the other.

    Args:
        path: The recording.
        index: The only episode to show; all that have steps if None.
        beside: Whether the originals are wanted.
        folder: Of the latent model; that of the task if None.

    Raises:
        FootageError: If there is no such episode, or nothing to show.
        RecordingError: If the recording cannot be read; here and later.
    """

    def __init__(self, path: Path, index: int | None, beside: bool, folder: Path | None = None) -> None:
        self.path = path
        self.without_original = ""
        """Why the original of an episode shown so far is missing; empty where none is."""
        self._opened = ExitStack()
        self._session = self._opened.enter_context(sessions.open(path))
        try:
            self._episodes = episodes_with_steps(self._session)
            if index is not None:
                self._episodes = [choose_episode(self._session, self._episodes, index)]
            self.steps = sum(self._session.episodes[episode].n_steps for episode in self._episodes)
            """Pictures to come."""
            self.pace = recorded_pace(self._session.info)
            """Steps per second of the recording."""
            self.frame = self._session.info.task.frame
            """Height, width and channels of its frames."""
        except BaseException:
            self._opened.close()
            raise
        self._views = self._play(beside, folder)

    def next_view(self) -> View | None:
        """Return the next step's view, None after the last."""
        return next(self._views, None)

    def close(self) -> None:
        """Let go of the recording."""
        self._views.close()
        self._opened.close()

    def _play(self, beside: bool, folder: Path | None) -> Generator[View, None, None]:
        for index in self._episodes:
            with Footage(self._session, self._session.episodes[index], folder, beside) as footage:
                self.without_original = self.without_original or footage.without_original
                for step in range(footage.n_steps):
                    yield footage.view(step)


class _Encoder:
    """Hands pictures to ffmpeg: H.264 in MP4, which every player and browser shows."""

    def __init__(self, ffmpeg: Any, path: Path, size: tuple[int, int], fps: float) -> None:
        self._ffmpeg, self._path, self._added = ffmpeg, path, 0
        # It would log what is raised here as well.
        logging.getLogger("imageio_ffmpeg").setLevel(logging.CRITICAL)
        self._pictures = ffmpeg.write_frames(
            str(path),
            size,
            fps=fps,
            quality=8,
            codec="libx264",
            # The default would change the size to a multiple of 16; colours at half the resolution need one of 2.
            macro_block_size=2,
            ffmpeg_log_level="error",
        )
        self._send(None)

    def add(self, screen: pygame.Surface) -> None:
        """Append a picture."""
        self._send(pygame.image.tobytes(screen, "RGB"))
        self._added += 1

    def _send(self, picture: bytes | None) -> None:
        try:
            self._pictures.send(picture)
        except (OSError, RuntimeError) as error:
            raise _failed(str(error)) from error

    def __enter__(self) -> _Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._pictures.close()
        if kind is None:
            # ffmpeg may fail on the very last bytes, which nobody is told of.
            try:
                count, _ = self._ffmpeg.count_frames_and_secs(str(self._path))
            except (OSError, RuntimeError) as failure:
                raise _failed(str(failure)) from failure
            if count != self._added:
                raise _failed(f"it wrote {count} of {self._added} pictures")


def _failed(reason: str) -> ExportError:
    return ExportError(f"ffmpeg could not write the video: {' '.join(reason.split())[-300:]}; no file was left")
