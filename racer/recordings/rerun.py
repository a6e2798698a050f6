"""Driving a recorded episode again: the frames that a recording leaves out follow from its track and its actions."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from racer.errors import ConfigError
from racer.tasks.car_racing.track import ACTIONS, Track, TrackConfig
from sessions import Episode, SessionInfo

_KEPT_FRAMES = 4096
"""Frames kept in memory: 50 MB."""
_DRAWN_BEFORE = 50
"""Frames drawn on the way to one further back: whoever goes back a step will want the one before it too."""


class RerunError(Exception):
    """An episode cannot be driven again as it was; the message says why, as the end of a sentence."""


class Rerun:
    """The original frames of a recorded episode, whose every step has been driven again and compared.

    Frames are drawn when asked for. Going on is fast; going back drives from the start again, 60 microseconds a step.

    Args:
        info: Of the session.
        episode: One of its episodes.

    Raises:
        RerunError: If progress, speed or ground under the wheels differ in any step, to the last digit.
        RecordingError: If the recording is damaged.
    """

    over: bool
    """Whether the last step visited the last road patch or left the field."""

    def __init__(self, info: SessionInfo, episode: Episode) -> None:
        self._config = track_config(info)
        self._seed = episode.info.track_seed
        self._actions = episode.action.tolist()
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._compare(episode)
        self._begin()

    def frame(self, step: int) -> NDArray[np.uint8]:
        """Return the frame at a step, uint8[64, 64, 3]; step n_steps is the one that the last action led to."""
        if step in self._frames:
            return self._frames[step]
        drawn_from = step
        if step < self._step:
            self.close()
            self._begin()
            drawn_from = step - _DRAWN_BEFORE
        while self._step < step:
            if self._step >= drawn_from:
                self._draw()
            self._track.step(self._actions[self._step])
            self._step += 1
        return self._draw()

    def close(self) -> None:
        """Give the track back."""
        self._track.close()

    def _begin(self) -> None:
        self._track, self._step = Track(self._config, self._seed), 0

    def _draw(self) -> NDArray[np.uint8]:
        while len(self._frames) >= _KEPT_FRAMES:
            del self._frames[next(iter(self._frames))]
        self._frames[self._step] = frame = self._track.frame()
        return frame

    def _compare(self, episode: Episode) -> None:
        if not set(self._actions) <= set(ACTIONS):
            raise RerunError("it holds actions that there are not")
        driven = np.zeros((3, episode.n_steps), np.float32)
        self.over = False
        with closing(Track(self._config, self._seed)) as track:
            alike = track.road_patches == episode.info.road_patches
            for step, action in enumerate(self._actions):
                outcome = track.step(action)
                driven[:, step] = outcome.progress, outcome.speed, outcome.off_road
                self.over = outcome.over
        recorded = np.stack([episode.progress, episode.speed, episode.off_road.astype(np.float32)])
        if not alike or not np.array_equal(driven, recorded):
            raise RerunError("driven again here it goes otherwise, as it may with other versions of the game")


def track_config(info: SessionInfo) -> TrackConfig:
    """Return how the car was driven in a session.

    Raises:
        RerunError: If its configuration does not say so.
    """
    stored = info.config.get("track")
    try:
        if not isinstance(stored, dict) or set(stored) != {"handling", "target_speed", "skip_zoom"}:
            raise ConfigError("no settings of the car")
        if not isinstance(stored["skip_zoom"], bool):
            raise ConfigError("skip_zoom is no truth value")
        return TrackConfig(stored["handling"], float(stored["target_speed"]), stored["skip_zoom"])
    except (TypeError, ValueError) as error:
        raise RerunError("its configuration does not say how the car was driven") from error


def step_times(info: SessionInfo, episode: Episode) -> NDArray[np.int64]:
    """Return when each frame of an episode is due in a replay, int64[n_steps], nanoseconds from the first.

    As recorded, but pauses are cut to a second. A session without a window ran as fast as the machine allowed: its
    steps get the pace it was set to.
    """
    pace = recorded_pace(info)
    if info.config.get("headless") is True:
        return np.round(np.arange(episode.n_steps) * (1e9 / pace)).astype(np.int64)
    # As Python's numbers: those of a damaged file may be further apart than 64 bits reach.
    gaps = [min(max(later - earlier, 0), 1_000_000_000) for earlier, later in pairwise(episode.time_ns.tolist())]
    return np.cumsum([0, *gaps], dtype=np.int64)[: episode.n_steps]


def recorded_pace(info: SessionInfo) -> float:
    """Return the steps per second that a session was set to; 10 where it does not say."""
    pace = info.config.get("pace")
    return float(pace) if isinstance(pace, int | float) and 1 <= pace <= 50 else 10.0
