"""The uplink: what crosses back, from whoever acts to the task, and what the sender's end learns of it.

The task applies every action at once. The sender, which may sit elsewhere, may learn of it late or never.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from compression.errors import NoiseError

LATEST_ACTIONS = 5
"""Steps by which the sender may learn of actions late, at most."""


def uplink_bits(actions: int) -> int:
    """Return the bits that are charged for every action that crosses back, of so many that there are."""
    return (actions - 1).bit_length()


def check_uplink(delay: int, loss: float) -> None:
    """Raise NoiseError unless actions may be so late, 0 to 5 steps, and so often lost, 0 to 1."""
    if not 0 <= delay <= LATEST_ACTIONS:
        raise NoiseError(f"action delay must lie between 0 and {LATEST_ACTIONS} steps; got {delay}")
    if not 0 <= loss <= 1:
        raise NoiseError(f"action loss must lie between 0 and 1; got {loss}")


class Uplink:
    """What one end knows of the actions applied: each so many steps late, some never.

    Where one is lost, the one before it counts on; until there is any, what both ends know beforehand.

    Args:
        delay: Steps, 0 to 5.
        loss: Probability of an action to be lost; 1 where none is told at all.
        rng: Decides which are lost; a number is drawn in every step, but for a loss of 0 or 1.
    """

    def __init__(self, delay: int = 0, loss: float = 0.0, rng: np.random.Generator | None = None) -> None:
        check_uplink(delay, loss)
        self._delay, self._loss, self._rng = delay, loss, rng
        self.reset()

    def reset(self) -> None:
        """Begin a new episode."""
        self._waiting: deque[int] | None = None

    def tell(self, action: int) -> int:
        """Return the action known of after `action` was applied; the first one is what both ends know beforehand."""
        if self._waiting is None:
            self._waiting, self._known = deque([action] * self._delay), action
        self._waiting.append(action)
        due = self._waiting.popleft()
        lost = self._loss == 1 or (self._rng is not None and self._loss > 0 and self._rng.random() < self._loss)
        if not lost:
            self._known = due
        return self._known
