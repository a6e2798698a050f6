"""From keys to actions: what the keys that are down say, sampled once per step. Knows key names, not windows.

At 10 steps a second a quick tap often begins and ends between two samples, and people do tap to correct their course.
So a sample asks of each action "was a key of its held now, or pressed at any time since the last sample?":

- holding a key acts for every step it is held, and stops with the first sample after its release;
- a tap acts for one step, however short it was; several taps within a step count as one;
- moving from one key to another acts by the new one at once: the old key was not pressed since the sample;
- what the keys of two actions mean together is the task's to say: for a wheel, a tap against a held key straightens it
  for that step, as holding both does (`neutral`); elsewhere the key that went down last counts (`latest`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from string import ascii_lowercase, digits
from typing import Final

import numpy as np
from numpy.typing import NDArray

from racer.errors import ConfigError
from racer.tasks.task import TaskSpec

Bindings = Mapping[str, tuple[str, ...]]
"""The keys of each action, by its name, the one that is drawn first."""

_WINDOW_KEYS: Final = frozenset({"escape", "f11", "return", "enter", "tab", "backspace"})
"""What the window itself listens to while time runs, or while a page is read."""
_USABLE_KEYS: Final = frozenset(
    {
        *(ascii_lowercase + digits + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`"),
        *(f"[{key}]" for key in digits + ".+-*/"),
        *(f"{side} {key}" for side in ("left", "right") for key in ("shift", "ctrl", "alt")),
        *("left", "right", "up", "down", "space", "home", "end", "page up", "page down", "insert", "delete"),
        *(f"f{number}" for number in range(1, 13) if number != 11),
        *(f"pad {part}" for part in ("left", "right", "up", "down", *range(1, 17))),
    }
)
"""Names as `pygame.key.name` gives them, written down because pygame tells them only with a window open; and the
directions and buttons of a gamepad."""


_CLICK: Final = "click {}"
_DIRECTIONS: Final = ("left", "right", "up", "down")


def default_bindings(spec: TaskSpec) -> dict[str, tuple[str, ...]]:
    """Return the keys that a task gives its actions."""
    return {action.name: action.keys for action in spec.actions if action.keys}


def check_bindings(spec: TaskSpec, given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the keys of every action of a task: those given, and the task's own for the others.

    Raises:
        ConfigError: If there is no such action or key, an action has no key left, a key stands for two actions or the
            window needs it.
    """
    bindings = default_bindings(spec)
    names = [action.name for action in spec.actions]
    for name, keys in given.items():
        if not bindings:
            raise ConfigError(f"with these settings no action of task {spec.name} has keys: leave {name[:40]!r} out")
        if name not in names or name not in bindings:
            raise ConfigError(f"no action {name[:40]!r} has keys in task {spec.name}; there are {', '.join(bindings)}")
        if not keys:
            raise ConfigError(f"no key is named for {name}; name at least one, such as {bindings[name][0]!r}")
        bindings[name] = tuple(keys)
    for name, keys in bindings.items():
        for key in keys:
            _check_key(key, default_bindings(spec)[name][0])
    taken: dict[str, str] = {}
    for name, keys in bindings.items():
        for key in keys:
            if taken.setdefault(key, name) != name:
                raise ConfigError(f"a key cannot mean two actions: {key} is that of {taken[key]} and of {name}")
    return bindings


def _check_key(key: str, example: str) -> None:
    if key in _WINDOW_KEYS:
        raise ConfigError(f"the key {key!r} cannot act: the window needs it; choose another, such as {example!r}")
    if key not in _USABLE_KEYS:
        near = get_close_matches(key.lower(), _USABLE_KEYS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "names are pygame's, such as 'left', 'a' or 'left shift'"
        raise ConfigError(f"there is no key {key[:20]!r}; {hint}")


def key_label(name: str) -> str:
    """Return what a keyboard has printed on the key of a name: `A` for `a`, `Left Shift`, `4` for `[4]`."""
    if len(name) == 3 and name[0] == "[" and name[-1] == "]":
        return name[1]
    return name.title()


class HeldKeys:
    """Which keys of actions are down, and which were tapped since the last sample.

    Args:
        spec: Whose actions they are.
        bindings: The keys of each action; the task's own where left out.

    Raises:
        ConfigError: If `check_bindings` refuses them, or the keys of two actions mean what the task does not have.
    """

    def __init__(self, spec: TaskSpec, bindings: Mapping[str, Sequence[str]] | None = None) -> None:
        if spec.together == "neutral" and spec.neutral is None:
            raise ConfigError(f"task {spec.name} has no neutral action for the keys of two actions to mean together")
        self.bindings = check_bindings(spec, bindings or {})
        self.spec = spec
        self._actions = {
            key: index for index, action in enumerate(spec.actions) for key in self.bindings.get(action.name, ())
        }
        for index, action in enumerate(spec.actions):
            # A gamepad's directions act as the arrows do, or as the actions that are called so.
            for name in (*self.bindings.get(action.name, ()), action.name):
                if name in _DIRECTIONS:
                    self._actions.setdefault(f"pad {name}", index)
        # What is clicked is no key, and named as none is.
        self._actions |= {_CLICK.format(index): index for index in range(len(spec.actions))}
        self._held: list[str] = []
        """In the order in which they went down."""
        self._pressed: list[str] = []
        self._pressed_ns: int | None = None
        self.response_ns: int | None = None
        """When the last key was pressed of those that the last sample took; None where none was pressed anew."""

    @property
    def bound(self) -> tuple[int, ...]:
        """The actions that have keys, in their order."""
        return tuple(i for i, action in enumerate(self.spec.actions) if action.name in self.bindings)

    def press(self, key: str, time_ns: int = 0) -> None:
        """Note that a key went down, and when; keys of no action are ignored."""
        if key in self._actions:
            self.release(key)
            self._held.append(key)
            self._pressed.append(key)
            self._pressed_ns = time_ns

    def click(self, action: int, time_ns: int = 0) -> None:
        """Note that the button of an action was clicked, and when: as if a key of it were tapped."""
        self._pressed.append(_CLICK.format(action))
        self._pressed_ns = time_ns

    def release(self, key: str) -> None:
        """Note that a key came up; a key that was not down is ignored."""
        if key in self._held:
            self._held.remove(key)

    def clear(self) -> None:
        """Forget everything: the window lost the keyboard and will not hear of releases."""
        self._held.clear()
        self.forget_taps()

    def forget_taps(self) -> None:
        """Forget past presses, keep what is held: time starts now."""
        self._pressed.clear()
        self._pressed_ns = None

    def action_of(self, key: str) -> int | None:
        """Return the action that a key stands for; None if for none."""
        return self._actions.get(key)

    @property
    def action(self) -> int | None:
        """What the keys held at this moment say; the neutral action, or None, where none is held."""
        return self._said(self._held)

    @property
    def answered(self) -> bool:
        """Whether a key was pressed or a button clicked since the last sample: what tasks wait for that wait."""
        return bool(self._pressed)

    def sample(self) -> int | None:
        """Return the action of the step that ends now, and begin the next: see the module's rules.

        None only where a task without a neutral action was not answered.
        """
        # The place of a key is that of its last press.
        order = dict.fromkeys(reversed([*self._held, *self._pressed]))
        action = self._said([*reversed(order)])
        self.response_ns = self._pressed_ns
        self.forget_taps()
        return action

    def _said(self, keys: Sequence[str]) -> int | None:
        said = [self._actions[key] for key in keys]
        if len(set(said)) > 1 and self.spec.together == "neutral":
            return self.spec.neutral
        return said[-1] if said else self.spec.neutral


class KeyboardDriver:
    """A person: acts by the keys that the window tracks, sampled when asked.

    Args:
        keys: The same object that the window was given.
    """

    def __init__(self, keys: HeldKeys) -> None:
        self._keys = keys

    @property
    def pressed_ns(self) -> int | None:
        """When a key was pressed for the last action; None where one was only held, or none was."""
        return self._keys.response_ns

    def reset(self) -> None:
        """Forget taps from before the trial; a key still held stays held."""
        self._keys.forget_taps()

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what the keys say; the frame is for the person's eyes."""
        action = self._keys.sample()
        if action is None:
            raise AssertionError("a task that waits for an answer was not answered")
        return action
