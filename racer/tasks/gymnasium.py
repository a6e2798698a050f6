"""Tasks as Gymnasium environments, and the channel as a wrapper around them, so that agents do what people do.

Importing this module registers every paced task that can be made of its default settings. Gymnasium imports it where it
stands before the name: ``gymnasium.make("racer.tasks.gymnasium:racer/CarRacing-v0", speed=60.0)``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from compression.channel import Bypass, Channel
from compression.fitting.fitted import FittedModel
from racer.errors import ConfigError, RacerError
from racer.loop.conditions import ChannelConfig, build_channel, load_fitted_models
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import DEFAULT_TASK, make_task, task_names, task_settings
from racer.tasks.task import MOST_SEED, Outcome, Task, TaskSpec, Trial

REWARD = "reward"
"""The metric that is an agent's reward; of tasks that have none it is the change of the primary metric."""
_ENTRY_POINT = "racer.tasks.gymnasium:TaskEnv"


class TaskEnv(gymnasium.Env[NDArray[np.uint8], np.int64]):  # type: ignore[misc]  # gymnasium is untyped
    """A paced task, seen as original frames; a seed is a trial, as in recordings.

    `info` carries every metric. An episode ends where the trial does; how long it may last is the caller's to say.

    Args:
        task: Its name.
        settings: As for `racer.tasks.registry.make_task`.

    Raises:
        TaskError, ConfigError: If there is no such task, or a setting cannot work.

    Example:
        >>> env = TaskEnv("car-racing", speed=60.0)
        >>> frame, info = env.reset(seed=7)
        >>> frame.shape, env.action_space.n
        ((64, 64, 3), 3)
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # Gymnasium's own

    def __init__(self, task: str = DEFAULT_TASK, render_mode: str | None = None, **settings: Any) -> None:
        self.task: Task = make_task(task, settings)
        spec = self.task.spec
        if not spec.paced:
            raise ConfigError(f"task {task} waits for answers; only tasks that move on by themselves are environments")
        self.observation_space = Box(0, 255, spec.frame, np.uint8)
        self.action_space = Discrete(len(spec.actions))
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / spec.step_seconds)}
        self.render_mode = render_mode
        self._trial: Trial | None = None
        self._frame = np.zeros(spec.frame, np.uint8)
        self._before = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin the trial of the seed; a random one if left out."""
        super().reset(seed=seed)
        self.close()
        own = int(self.np_random.integers(MOST_SEED + 1)) if seed is None else seed % (MOST_SEED + 1)
        self._trial = self.task.start(own)
        self._before = 0.0
        self._frame = self._trial.frame()
        return self._frame.copy(), {}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Act: an index into the task's actions."""
        if self._trial is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        outcome = self._trial.step(int(action))
        self._frame = self._trial.frame()
        reward, self._before = reward_of(self.task.spec, outcome, self._before)
        return self._frame.copy(), reward, outcome.over, False, dict(outcome.metrics)

    def render(self) -> Any:
        """Return the frame, uint8[H, W, 3], where `render_mode` is `rgb_array`."""
        return np.broadcast_to(self._frame, (*self._frame.shape[:2], 3)).copy() if self.render_mode else None

    def close(self) -> None:
        """Give the trial back."""
        if self._trial is not None:
            self._trial.close()
            self._trial = None


class ChannelObservation(
    gymnasium.ObservationWrapper[NDArray[np.uint8], Any, NDArray[np.uint8]],  # type: ignore[misc]  # untyped bases
    gymnasium.utils.RecordConstructorArgs,  # type: ignore[misc]
):
    """Replaces what a task shows by what arrives of it through the channel.

    `info` carries, besides the task's metrics, `bits` (charged for the step), `packet` (the bytes that crossed; zeros
    where they were lost), `arrived`, and `mask` (bool[blocks]).

    Args:
        env: A task as an environment: `TaskEnv`, with wrappers around it or none.
        condition: What is shown: one of `racer.loop.conditions.condition_names()`.
        config: Slot, mask interval, fill and noise.
        fitted: What was fitted for the conditions that need it; what comes with the latent model if left out.
        model: Folder of the latent model; the one that comes with the task if left out.

    Raises:
        ConfigError: If the environment is no task, or the condition cannot be shown.

    Example:
        >>> env = ChannelObservation(TaskEnv("car-racing"), "pico")
        >>> observation, info = env.reset(seed=7)
        >>> observation.shape, info["bits"]
        ((64, 64, 3), 85)
    """

    def __init__(
        self,
        env: gymnasium.Env[NDArray[np.uint8], Any],
        condition: str = "pico",
        config: ChannelConfig | None = None,
        fitted: FittedModel | None = None,
        model: Path | None = None,
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, condition=condition, config=config, fitted=fitted, model=model
        )
        super().__init__(env)
        inner = env.unwrapped
        if not isinstance(inner, TaskEnv):
            raise ConfigError(
                f"ChannelObservation wraps a task, such as gymnasium.make('{env_id(DEFAULT_TASK)}'); got {inner}"
            )
        self._spec: TaskSpec = inner.task.spec
        self._model = load_task_model(self._spec, model)
        self._condition = condition
        self._config = config or ChannelConfig()
        self._fitted = fitted or load_fitted_models([condition], (), self._model).get(condition)
        self._channel = self._build(np.random.default_rng())
        self._action = self._spec.start_action
        self._crossed: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode; a seed fixes the random masks and the noise as well as the trial."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._channel = self._build(np.random.default_rng(seed))
        self._channel.reset()
        self._action = self._spec.start_action
        shown = self.observation(observation)
        return shown, {**info, **self._crossed}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Act; both ends of the channel are told what was done."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._action = int(action)
        shown = self.observation(observation)
        return shown, float(reward), terminated, truncated, {**info, **self._crossed}

    def observation(self, observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Send a frame, uint8[H, W, C], through the channel."""
        channel = self._channel
        if isinstance(channel, Bypass):
            received, bits, packet, came = channel.transmit(observation), 0, b"", True
        else:
            arrived, received = channel.transmit(observation, self._action)
            bits, packet, came = arrived.bits, channel.recorded(arrived), arrived.packet is not None
        self._crossed = {"bits": bits, "packet": packet, "arrived": came, "mask": received.mask.copy()}
        assert received.shown is not None
        return received.shown.copy()

    def _build(self, rng: np.random.Generator) -> Channel | Bypass:
        return build_channel(self._condition, self._config, self._model, rng, self._fitted)


def env_id(task: str) -> str:
    """Return the name of a task's environment: `racer/CarRacing-v0` for `car-racing`."""
    return f"racer/{''.join(part.capitalize() for part in task.split('-'))}-v0"


def env_spec(task: Task) -> EnvSpec:
    """Return what `gymnasium.make` needs for a task with its settings, wherever Racer and the task are installed."""
    name = task.spec.name
    return EnvSpec(env_id(name), entry_point=_ENTRY_POINT, kwargs={"task": name, **task_settings(task)})


def reward_of(spec: TaskSpec, outcome: Outcome, before: float) -> tuple[float, float]:
    """Return the reward of a step, and the primary metric after it; `before` is that metric after the step before."""
    primary = float(outcome.metrics[spec.primary.name])
    if REWARD in outcome.metrics:
        return float(outcome.metrics[REWARD]), primary
    return (primary - before) * (1.0 if spec.primary.better == "higher" else -1.0), primary


def register_tasks(names: Callable[[], tuple[str, ...]] = task_names) -> None:
    """Tell Gymnasium of every paced task that it does not know yet; those that cannot be made here are left out."""
    for name in names():
        if env_id(name) not in gymnasium.registry and _moves_on(name):
            # What follows one frame is a number of steps, which only the experiment knows: there is no time limit.
            gymnasium.register(env_id(name), entry_point=_ENTRY_POINT, kwargs={"task": name})


def _moves_on(name: str) -> bool:
    try:
        return make_task(name).spec.paced
    except RacerError:
        return False


register_tasks()
