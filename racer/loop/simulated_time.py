"""Time for simulated studies: it passes only where a real session would wait, so that recordings repeat to the byte."""

from __future__ import annotations

from racer.loop.display import NoDisplay


class SimulatedClock:
    """Monotonic nanoseconds from 0 on that pass only when told to."""

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> int:
        return self._now_ns

    def advance_to(self, time_ns: int) -> None:
        """Let time pass until `time_ns`, unless it is later already."""
        self._now_ns = max(self._now_ns, time_ns)


class SimulatedDisplay(NoDisplay):
    """Shows nothing; waiting for a time makes it that time at once.

    Args:
        clock: Advanced by every wait.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(clock)
        self._simulated = clock

    def wait(self, until_ns: int) -> int:
        """Let the time come; nobody pauses."""
        self._simulated.advance_to(until_ns)
        return 0
