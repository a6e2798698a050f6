"""From keys to a steering action: right minus left, sampled once per step. Knows key names, not windows.

At 10 steps a second a quick tap often begins and ends between two samples, and people do tap to correct their
course. So a sample asks of each side "was it held now, or pressed at any time since the last sample?":

- holding a key steers for every step it is held, and stops with the first sample after its release;
- a tap steers for one step, however short it was; several taps of one side within a step count as one;
- moving from one side to the other steers to the new side at once: the old key was not pressed since the sample;
- a tap against a held key, or a tap on either side, straightens the wheel for that step, as holding both does.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LEFT_KEYS = frozenset({"left", "a"})
"""pygame's names of the keys that steer left."""
RIGHT_KEYS = frozenset({"right", "d"})


class HeldKeys:
    """Which steering keys are down, and which were tapped since the last sample.

    Args:
        left: Names of the keys that steer left; several held at once count as one.
        right: Names of the keys that steer right. Keys of other names are ignored.

    Raises:
        ValueError: If a key steers both ways.
    """

    def __init__(self, left: Iterable[str] = LEFT_KEYS, right: Iterable[str] = RIGHT_KEYS) -> None:
        self._left, self._right = frozenset(left), frozenset(right)
        if both := self._left & self._right:
            raise ValueError(f"a key cannot steer both ways: {', '.join(sorted(both))}")
        self._held: set[str] = set()
        self._pressed: set[str] = set()

    def press(self, key: str) -> None:
        """Note that a key went down."""
        if key in self._left or key in self._right:
            self._held.add(key)
            self._pressed.add(key)

    def release(self, key: str) -> None:
        """Note that a key came up; a key that was not down is ignored."""
        self._held.discard(key)

    def clear(self) -> None:
        """Forget everything: the window lost the keyboard and will not hear of releases."""
        self._held.clear()
        self._pressed.clear()

    def forget_taps(self) -> None:
        """Forget past presses, keep what is held: time starts now."""
        self._pressed.clear()

    @property
    def action(self) -> int:
        """What the keys held at this moment say: -1 (left), 0 or 1 (right)."""
        return self._steer(self._held)

    def sample(self) -> int:
        """Return the action of the step that ends now, -1, 0 or 1, and begin the next: see the module's rules."""
        action = self._steer(self._held | self._pressed)
        self._pressed.clear()
        return action

    def _steer(self, keys: set[str]) -> int:
        return int(not self._right.isdisjoint(keys)) - int(not self._left.isdisjoint(keys))


class KeyboardDriver:
    """A person: acts by the keys that the window tracks, sampled when asked.

    Args:
        keys: The same object that the window was given.
    """

    def __init__(self, keys: HeldKeys) -> None:
        self._keys = keys

    def reset(self) -> None:
        """Forget taps from before the episode; a key still held stays held."""
        self._keys.forget_taps()

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return the action, -1 (left), 0 or 1 (right); the frame is for the person's eyes."""
        return self._keys.sample()
