"""How somebody drives, beside how far they come: what a task's metrics do not say and no recording needs to hold."""

from __future__ import annotations

import math
from typing import Literal, get_args

from racer.tasks.task import TaskSpec

Behaviour = Literal["reversals", "failures", "deviation"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
"""`reversals`: changes from one key to another, whatever lay between, per simulated minute; of tasks that move on by
themselves. `failures`: how often it began that what is to be avoided happened, such as crossing the road's edge, per
simulated minute; of tasks that name it. `deviation`: `Trial.deviation` in the mean; of tasks that tell it."""
_SECONDS = 60.0


class BehaviourTally:
    """Counts it, row by row.

    Args:
        spec: The task.
    """

    def __init__(self, spec: TaskSpec) -> None:
        self._spec = spec
        self._pressed: int | None = None
        self._failing = False
        self._rows = self._reversals = self._failures = 0
        self._deviation = 0.0

    def add(self, action: int, failing: bool, deviation: float) -> None:
        """Count a row: what was done, whether what is to be avoided happens, and `Trial.deviation`."""
        self._rows += 1
        if action != self._spec.neutral:
            self._reversals += self._pressed not in (None, action)
            self._pressed = action
        self._failures += failing and not self._failing
        self._failing = failing
        self._deviation += deviation

    def values(self) -> dict[Behaviour, float]:
        """Return what the rows came to; nothing that the task does not have, and nothing where there was no row."""
        if not self._rows:
            return {}
        minutes = self._rows * self._spec.step_seconds / _SECONDS
        found: dict[Behaviour, float] = {}
        if self._spec.paced:
            found["reversals"] = self._reversals / minutes
        if self._spec.failure:
            found["failures"] = self._failures / minutes
        if self._spec.deviation:
            found["deviation"] = self._deviation / self._rows
        assert all(math.isfinite(value) for value in found.values())
        return found
