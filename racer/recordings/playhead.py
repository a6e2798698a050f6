"""When the steps of a replay are due, and which one is on the screen. Knows no window and no clock."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sessions import Episode, SessionInfo

_LONGEST_NS = 1_000_000_000
"""Longest time that a frame stays, nanoseconds."""
SPEEDS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Multiples of the recorded pace that the keys choose from."""


class Playhead:
    """The position in one episode.

    Args:
        times_ns: When each step is due, int64[n_steps], rising from 0; at least one step.
        speed: Multiple of the recorded pace.
    """

    def __init__(self, times_ns: NDArray[np.int64], speed: float = 1.0) -> None:
        self._times = times_ns
        # A float: at an eighth of the pace, a nanosecond of the clock is an eighth of one here.
        self._now = 0.0
        self.step = 0
        """Step on the screen."""
        self.speed = speed
        self.paused = False

    @property
    def at_end(self) -> bool:
        """Whether the last step is on the screen."""
        return self.step == len(self._times) - 1

    def pass_time(self, nanoseconds: int) -> None:
        """Move on by this much time of the clock, unless paused; stop and pause at the last step."""
        if self.paused:
            return
        self._now += nanoseconds * self.speed
        self.step = int(np.searchsorted(self._times, self._now, side="right")) - 1
        self.paused = self.at_end

    def toggle(self) -> None:
        """Pause or go on; from the last step, start over."""
        if self.paused and self.at_end:
            self.seek(0)
        self.paused = not self.paused

    def seek(self, step: int) -> None:
        """Put a step on the screen; those beyond the ends mean the ends."""
        self.step = min(max(step, 0), len(self._times) - 1)
        self._now = float(self._times[self.step])

    def walk(self, steps: int) -> None:
        """Pause, and move by so many steps."""
        self.paused = True
        self.seek(self.step + steps)

    def hurry(self, ways: int) -> None:
        """Go to the next speed up (1) or down (-1)."""
        nearest = min(range(len(SPEEDS)), key=lambda index: abs(SPEEDS[index] - self.speed))
        self.speed = SPEEDS[min(max(nearest + ways, 0), len(SPEEDS) - 1)]


def step_times(info: SessionInfo, episode: Episode) -> NDArray[np.int64]:
    """Return when each frame of an episode is due in a replay, int64[n_steps], nanoseconds from the first.

    As recorded, but no frame stays for more than a second, and frames that were shown together follow one another:
    until the next ones each has as long. A session without a window ran as fast as the machine allowed: its steps get
    the pace it was set to.
    """
    if not episode.n_steps:
        return np.zeros(0, np.int64)
    if info.config.get("headless") is True:
        return np.round(np.arange(episode.n_steps) * (1e9 / recorded_pace(info))).astype(np.int64)
    # As Python's numbers: those of a damaged file may be further apart than 64 bits reach.
    gaps = [max(later - earlier, 0) for earlier, later in pairwise(episode.time_ns.tolist())]
    first = [0, *(step for step, gap in enumerate(gaps, start=1) if gap)]  # of those shown together
    pages = zip(pairwise(first), filter(None, gaps), strict=True)
    lasted = [min(gap, _LONGEST_NS * (end - begun)) for (begun, end), gap in pages]
    lasted.append(_LONGEST_NS * (episode.n_steps - first[-1]))
    due = np.interp(np.arange(episode.n_steps), [*first, episode.n_steps], np.cumsum([0, *lasted]))
    rounded: NDArray[np.int64] = np.round(due).astype(np.int64)
    return rounded


def recorded_pace(info: SessionInfo) -> float:
    """Return the steps per second that a session was set to; 10 where it does not say."""
    pace = info.config.get("pace")
    return float(pace) if isinstance(pace, int | float) and 1 <= pace <= 50 else 10.0
