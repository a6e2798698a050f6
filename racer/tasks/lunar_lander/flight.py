"""One flight: Gymnasium's physics, eased or untouched, and what each step comes to."""

from __future__ import annotations

import math
from types import FunctionType
from typing import Any

import numpy as np
from gymnasium.envs.box2d import lunar_lander as stock
from numpy.typing import NDArray

from racer.tasks.lunar_lander.scenery import PAD_DEPTH
from racer.tasks.lunar_lander.task import COAST, FARTHEST, FASTEST, LEFT, MAIN, RIGHT, LunarLander
from racer.tasks.lunar_lander.view import LabelView, View, ground_of
from racer.tasks.task import Outcome

_GENTLE = 4.0
"""Units/s from which on nothing is gentle."""
_APPROACH = 15.0
"""Units from the pad from which on nothing is close; the farthest start is 12 away."""
_FLYING = 0.8
"""Score of a craft that is at the pad, still and upright, but not yet at rest."""
_FUEL = {COAST: 0.0, LEFT: 0.1, MAIN: 1.0, RIGHT: 0.1}
"""What an engine burns of what the main one does (by Gymnasium's costs, 0.03 and 0.3 points)."""

_EASE = 5 / 13
"""Share of Gymnasium's gravity and engines that is left: the flight is the same, 1.6 times as slow."""
_EASED = {
    "MAIN_ENGINE_POWER": stock.MAIN_ENGINE_POWER * _EASE,
    "SIDE_ENGINE_POWER": stock.SIDE_ENGINE_POWER * _EASE,
    "INITIAL_RANDOM": 250.0,
}
"""Main engine, 13 -> 5, and first push, 1000 -> 250, are those of Reddy et al.'s lander study with people (rddy/ASE,
deps/box2d/lunar_lander.py). Its craft burnt the main engine by itself, in Gymnasium's gravity, and was to be kept level
with much weaker side engines (0.6 -> 0.02); this one is to be flown to the pad, so all forces are scaled alike."""
_EASED_ASIDE = 6.0
"""Units beside the pad's middle at which the craft starts at most: the pad must be looked for, as in the shared
autonomy study (rddy/deepassist, lunar_lander_for_humans.py), which put it anywhere."""
_EASED_DAMPING = 2.0
"""Damping of the craft's rotation, per second: it stops turning by itself within a second or two."""
_EASED_FRICTION = 1.0
"""Friction of the ground, 0.1 in Gymnasium: the craft stays where it is set down."""


def _with_constants(method: Any, constants: dict[str, float]) -> Any:
    """Return a method of Gymnasium's module as it would be if the module had these constants."""
    copy = FunctionType(
        method.__code__, {**vars(stock), **constants}, method.__name__, method.__defaults__, method.__closure__
    )
    copy.__kwdefaults__ = method.__kwdefaults__
    return copy


class EasedLander(stock.LunarLander):  # type: ignore[misc]  # gymnasium's LunarLander is untyped
    """Gymnasium's LunarLander that people can fly: it falls slowly, turns slowly, and starts beside the pad."""

    step = _with_constants(stock.LunarLander.step, _EASED)
    _reset = _with_constants(stock.LunarLander.reset, _EASED)

    def __init__(self) -> None:
        super().__init__(gravity=-10.0 * _EASE)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[Any], Any]:
        """Start the flight of `seed`."""
        self._reset(seed=seed, options=options)
        aside = self.np_random.uniform(-_EASED_ASIDE, _EASED_ASIDE)
        for body in (self.lander, *self.legs):
            body.position = (body.position[0] + aside, body.position[1])
        self.lander.angularDamping = _EASED_DAMPING
        for ground in self.moon.fixtures:
            ground.friction = _EASED_FRICTION
        self.prev_shaping = None  # the reward of having been moved
        state, *_ = self.step(COAST)
        return state, {}


class Flight:
    """One trial.

    Args:
        task: Its settings.
        seed: As of Gymnasium's `reset`.
    """

    def __init__(self, task: LunarLander, seed: int) -> None:
        self._env: Any = EasedLander() if task.handling == "eased" else stock.LunarLander()
        self._env.reset(seed=seed)
        self._task = task
        self._seed = seed
        self._burning = COAST
        self._view: View | None = None
        self._label_view: LabelView | None = None

    def frame(self) -> NDArray[np.uint8]:
        """Draw what there is to see now, uint8[64, 64, 3]."""
        if self._view is None:  # verifying never looks
            self._view = View(self._env, self._task.view, self._seed)
        return self._view.draw(self._burning)

    def labels(self) -> NDArray[np.uint8]:
        """Return what takes most of each pixel of the frame, uint8[64, 64], as the task's labels number it."""
        if self._label_view is None:
            self._label_view = LabelView(self._env, self._task.view)
        return self._label_view.draw(self._burning)

    def step(self, action: int) -> Outcome:
        """Fly 1/50 of a simulated second.

        Raises:
            ValueError: If there is no such action.
        """
        if action not in _FUEL:
            raise ValueError(f"action must be 0 (coast), 1 (left), 2 (main) or 3 (right); got {action!r}")
        state, reward, over, _, _ = self._env.step(action)
        self._burning = action
        return Outcome(self._metrics(state, float(reward), action), bool(over))

    def place(self) -> tuple[float, float]:
        """Return the middle of the craft, units."""
        x, y = self._env.lander.position
        return float(x), float(y)

    def outlines(self) -> list[NDArray[np.float64]]:
        """Return the ground and the pad, float64[N, 2] each, units."""
        env, depth = self._env, PAD_DEPTH
        left, right, top = env.helipad_x1, env.helipad_x2, env.helipad_y
        pad = [(left, top), (right, top), (right, top - depth), (left, top - depth), (left, top)]
        return [np.array(ground_of(env), np.float64), np.array(pad, np.float64)]

    def close(self) -> None:
        """Give everything back. The physics world and its contact listener hold each other beyond Python's reach."""
        world = self._env.world
        if not world.locked:  # as Ctrl-C in the middle of a step leaves it
            self._env._destroy()
        world.contactListener = None
        world.contactListener_keepref = None
        self._env.close()
        self._view = self._label_view = None

    def _metrics(self, state: NDArray[Any], reward: float, action: int) -> dict[str, float]:
        env = self._env
        lander = env.lander
        aside = lander.position[0] - (env.helipad_x1 + env.helipad_x2) / 2
        above = float(state[1]) * stock.VIEWPORT_H / stock.SCALE / 2
        distance = math.hypot(aside, above)
        speed = math.hypot(*lander.linearVelocity)
        tilt = abs(math.remainder(lander.angle, 2 * math.pi))
        left_field = abs(state[0]) >= 1
        crashed = bool(env.game_over) or left_field
        on_pad = abs(aside) <= (env.helipad_x2 - env.helipad_x1) / 2
        landed = not lander.awake and not crashed and on_pad
        gentle = 0.0 if crashed else max(1 - speed / _GENTLE, 0.0) * max(math.cos(tilt), 0.0)
        close = max(1 - distance / _APPROACH, 0.0) if not left_field else 0.0
        return {
            "landing": 1.0 if landed else _FLYING * close * (1 + gentle) / 2,
            "landed": float(landed),
            "crashed": float(crashed),
            "distance": min(distance, FARTHEST),
            "tilt": tilt,
            "fuel": _FUEL[action],
            "speed": min(speed, FASTEST),
            "reward": reward,
        }
