"""From keys to a steering action: right minus left, sampled once per step. Knows key names, not windows.

At 10 steps a second a quick tap often begins and ends between two samples, and people do tap to correct their
course. So a sample asks of each side "was it held now, or pressed at any time since the last sample?":

- holding a key steers for every step it is held, and stops with the first sample after its release;
- a tap steers for one step, however short it was; several taps of one side within a step count as one;
- moving from one side to the other steers to the new side at once: the old key was not pressed since the sample;
- a tap against a held key, or a tap on either side, straightens the wheel for that step, as holding both does.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from string import ascii_lowercase, digits
from typing import Final

import numpy as np
from numpy.typing import NDArray

from racer.errors import ConfigError

LEFT_KEYS: Final = ("left", "a")
"""pygame's names of the keys that steer left; the first is the one that is drawn."""
RIGHT_KEYS: Final = ("right", "d")

_WINDOW_KEYS: Final = frozenset({"escape", "f11", "space", "return", "enter", "tab", "backspace", "up", "down"})
"""What the window itself listens to."""
_STEERING_KEYS: Final = frozenset(
    {
        *(ascii_lowercase + digits + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`"),
        *(f"[{key}]" for key in digits + ".+-*/"),
        *(f"{side} {key}" for side in ("left", "right") for key in ("shift", "ctrl", "alt")),
        *("left", "right", "home", "end", "page up", "page down", "insert", "delete"),
        *(f"f{number}" for number in range(1, 13) if number != 11),
    }
)
"""Names as `pygame.key.name` gives them; written down because pygame tells them only with a window open."""


def check_keys(left: Sequence[str], right: Sequence[str]) -> None:
    """Check names of steering keys.

    Raises:
        ConfigError: If a side has no key, a key steers both ways, there is no such key or the window needs it.
    """
    for side, names in (("left", left), ("right", right)):
        if not names:
            raise ConfigError(f"no key steers {side}; name at least one, such as {side!r}")
        for name in names:
            if name in _WINDOW_KEYS:
                raise ConfigError(
                    f"the key {name!r} cannot steer: the window needs it; choose another, such as {side!r}"
                )
            if name not in _STEERING_KEYS:
                near = get_close_matches(name.lower(), _STEERING_KEYS, n=1, cutoff=0.5)
                hint = (
                    f"did you mean {near[0]!r}?" if near else "names are pygame's, such as 'left', 'a' or 'left shift'"
                )
                raise ConfigError(f"there is no steering key {name[:20]!r}; {hint}")
    if both := set(left) & set(right):
        raise ConfigError(f"a key cannot steer both ways: {', '.join(sorted(both))}")


def key_label(name: str) -> str:
    """Return what a keyboard has printed on the key of a name: `A` for `a`, `Left Shift`, `4` for `[4]`."""
    if len(name) == 3 and name[0] == "[" and name[-1] == "]":
        return name[1]
    return name.title()


class HeldKeys:
    """Which steering keys are down, and which were tapped since the last sample.

    Args:
        left: Names of the keys that steer left, the one to be drawn first; several held at once count as one.
        right: Names of the keys that steer right. Keys of other names are ignored.

    Raises:
        ConfigError: If `check_keys` refuses them.
    """

    def __init__(self, left: Sequence[str] = LEFT_KEYS, right: Sequence[str] = RIGHT_KEYS) -> None:
        check_keys(left, right)
        self.left, self.right = tuple(left), tuple(right)
        self._held: set[str] = set()
        self._pressed: set[str] = set()

    def press(self, key: str) -> None:
        """Note that a key went down."""
        if self.way(key):
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

    def way(self, key: str) -> int:
        """Return where a key steers: -1 (left), 1 (right), or 0 if it does not steer."""
        return int(key in self.right) - int(key in self.left)

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
        return int(not keys.isdisjoint(self.right)) - int(not keys.isdisjoint(self.left))


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
