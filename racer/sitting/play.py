"""Play now: the same step loop as a session, with nothing recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from compression.errors import CompressionError
from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel, use_one_thread
from racer.drivers.keyboard import HeldKeys
from racer.drivers.registry import KEYBOARD
from racer.errors import ConfigError
from racer.loop.attended import EpisodeResult, Setup, Unrecorded
from racer.loop.conditions import ChannelConfig, check_conditions, load_fitted_models
from racer.loop.pacing import Pacer, check_pace
from racer.loop.switching import Switch
from racer.sitting.agenda import Screens, make_agenda
from racer.sitting.protocol import SESSION_SEEDS, EpisodePlan
from racer.sitting.run import SittingResult, SittingRun, SittingSetup
from racer.sitting.workstation import open_display, open_driver
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.tasks.task import Task
from racer.window.texts import english

_DEMONSTRATED = ("raw", "full", "pico", "random", "coarse", "predictive", "blind")
"""What keys switch between, in this order, besides the condition asked for."""


@dataclass(frozen=True)
class PlayConfig:
    """What `racer play` can be told."""

    condition: str | None = None
    """`pico` if None and there is a mask for it, else `full`."""
    task: Task = field(default_factory=make_task)
    model: Path | None = None
    """Folder of the latent model; the one that comes with the task if None."""
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    driver: str = KEYBOARD
    mask: Path | None = None
    """Mask file; the shipped mask where none is given."""
    seed: int = 0
    pace: float | None = None
    """Steps per second, 1 to 50; as many as the task says if None."""
    episodes: int = 3
    steps: int | None = None
    """Steps per episode; three times as many as the task says if None."""
    beside: bool = False
    """Whether to show the original beside what was received."""
    fullscreen: bool = False
    headless: bool = False

    def __post_init__(self) -> None:
        check_pace(self.steps_per_second)
        if self.condition is not None:
            check_conditions([self.condition], self.channel)
        if self.beside and self.task.spec.page > 1:
            raise ConfigError("--beside shows single pictures beside their originals: leave it out, or page")
        if self.headless and self.driver == KEYBOARD:
            raise ConfigError("the keyboard driver needs a window: leave out --headless, or add --driver simulated")

    @property
    def steps_per_second(self) -> float:
        """The pace that is kept."""
        return self.task.spec.pace if self.pace is None else self.pace


def play_episodes(
    config: PlayConfig, on_episode: Callable[[EpisodeResult], None] = lambda result: None
) -> SittingResult:
    """Drive the episodes and return how they went. In a window keys switch between conditions.

    Raises:
        RacerError, CompressionError: If they cannot be driven.
    """
    use_one_thread()
    spec = config.task.spec
    model = load_task_model(spec, config.model)
    condition = config.condition or ("pico" if config.mask or model.fitted_path("pico") else "full")
    check_conditions([condition], config.channel, model.sizes)
    fitted = load_fitted_models([condition], () if config.mask is None else (config.mask,), model)
    language = english()
    text = spec.text(language.code)
    keys, texts = HeldKeys(spec), replace(language.texts, end_answer=language.texts.end_answer_unrecorded)
    attended = config.driver == KEYBOARD
    display = open_display(keys, texts, text, headless=config.headless, fullscreen=config.fullscreen)
    try:
        driver = open_driver(config.driver, config.task, config.seed, keys)
        switch = None
        if not config.headless:
            others = _available(config.channel, model)
            fitted = {name: each for more in others.values() for name, each in more.items()} | fitted
            taken = [key for bound in keys.bindings.values() for key in bound]
            taken += map(str, range(1, 10)) if spec.page > 1 else ()
            switch = Switch(tuple(dict.fromkeys([*others, condition])), condition, taken)
            hint = texts.switch_hint.format(conditions=switch.told)
            hint += f" {texts.switch_number_hint}" * switch.has_numbers
            text = replace(text, lines=(*text.lines, hint))
        seeds = np.random.default_rng(config.seed).integers(SESSION_SEEDS, size=config.episodes)
        steps = 3 * spec.steps if config.steps is None else config.steps
        plans = [EpisodePlan(number, "round", condition, int(seed), steps) for number, seed in enumerate(seeds)]
        agenda = make_agenda(plans, Screens(), texts, text, keys.bindings, attended, not spec.paced)
        setup = Setup(
            task=config.task,
            channel=config.channel,
            model=model,
            fitted=fitted,
            seed=config.seed,
            text=text,
            beside=config.beside,
            switch=switch,
        )
        # Nothing was done that anybody could be thanked for: the thanks are left out.
        sitting = SittingSetup(agenda[:-1] if attended else agenda, setup, texts)
        pacer = None if config.headless else Pacer(config.steps_per_second, time.monotonic_ns)
        return SittingRun(sitting, driver, display, Unrecorded(), pacer, on_episode).run()
    finally:
        display.close()


def _available(channel: ChannelConfig, model: LatentModel) -> dict[str, dict[str, FittedModel]]:
    """Return the conditions of a demonstration that can be shown with a latent model, and what was fitted for each."""
    found: dict[str, dict[str, FittedModel]] = {}
    for name in _DEMONSTRATED:
        with suppress(ConfigError, CompressionError):  # such as too few bits, or no fitted file
            check_conditions([name], channel, model.sizes)
            found[name] = load_fitted_models([name], (), model)
    return found
