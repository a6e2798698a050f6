"""Real time: a steady beat of steps, with every late one counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from racer.errors import ConfigError

SLOWEST, FASTEST = 1.0, 50.0
"""Steps per second that a session may be paced at."""

_TOLERANCE_NS = 2_000_000
"""A step that lasts longer than its period by more than this is an overrun."""

LONGEST_LEAD_NS = 12_000_000
"""Time set aside for deciding, stepping, drawing and transmitting, so that the next frame is ready on the beat."""


@dataclass
class Pacer:
    """Shows frames one period apart; a late one moves the beat instead of hurrying the next ones.

    The driver decides a little before the next frame is due, and the frame, ready by then, waits for its beat: what a
    step takes to compute may vary, the time between frames does not.

    Args:
        rate: Steps per second.
        clock: Monotonic nanoseconds.
    """

    rate: float
    clock: Callable[[], int]
    durations_ns: list[int] = field(default_factory=list)
    """Length of each step, from the moment its frame was shown to the next one's."""
    _shown_ns: int | None = None

    @property
    def period_ns(self) -> int:
        """Nanoseconds per step."""
        return round(1e9 / self.rate)

    def begin(self) -> None:
        """Start an episode: the time since the last step does not count."""
        self._shown_ns = None
        self._beat_ns = self.clock()

    def shown(self, time_ns: int) -> None:
        """Note when a frame was shown."""
        if self._shown_ns is not None:
            self.durations_ns.append(time_ns - self._shown_ns)
        self._shown_ns = time_ns

    def decide_at(self) -> int:
        """Return when the driver should decide the step under way."""
        return self._beat_ns + self.period_ns - min(LONGEST_LEAD_NS, 3 * self.period_ns // 5)

    def show_at(self) -> int:
        """Return when the next frame should be shown, and count from there."""
        self._beat_ns = max(self._beat_ns + self.period_ns, self.clock())
        return self._beat_ns

    def paused(self, nanoseconds: int) -> None:
        """Take a pause out of the beat and out of the durations."""
        if nanoseconds:
            self._beat_ns += nanoseconds
            if self._shown_ns is not None:
                self._shown_ns += nanoseconds

    def summary(self) -> PaceSummary:
        """Return how well the pace was kept."""
        durations = np.array(self.durations_ns, np.float64) / 1e6
        late = int((durations > (self.period_ns + _TOLERANCE_NS) / 1e6).sum())
        if not len(durations):
            return PaceSummary(self.rate, 0, 0, 0.0, 0.0)
        return PaceSummary(
            self.rate, len(durations), late, float(np.median(durations)), float(np.percentile(durations, 99))
        )


@dataclass(frozen=True)
class PaceSummary:
    """How well a sitting kept its pace."""

    rate: float
    """Steps per second asked for."""
    steps: int
    """Steps timed."""
    overruns: int
    """Steps that lasted over 2 ms longer than their period."""
    median_ms: float
    p99_ms: float

    def __str__(self) -> str:
        """One line for people."""
        if not self.steps:
            return "no steps timed"
        return (
            f"{self.steps} steps at {self.rate:g} Hz: median {self.median_ms:.1f} ms, "
            f"99 % within {self.p99_ms:.1f} ms, {self.overruns} overran"
        )


def check_pace(pace: float) -> None:
    """Raise ConfigError unless a window can keep this many steps a second."""
    if not SLOWEST <= pace <= FASTEST:
        raise ConfigError(f"pace must lie between {SLOWEST:g} and {FASTEST:g} steps a second; got {pace:g}")
