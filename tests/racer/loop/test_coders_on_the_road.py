"""What fitted coders show of a real drive: far less would mean a file that was not fitted to this model's latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import STRAIGHT

from compression.channel import Channel
from compression.coders.rl_allocation import features_and_levels, menu_for
from compression.model.latent_model import LatentModel
from racer.drivers.registry import make_driver
from racer.loop.conditions import ChannelConfig, build_channel, load_fitted_models
from racer.tasks.registry import make_task

STEPS, SETTLED = 60, 20
"""Steps driven, and how many of them it takes until most of the latent has crossed once."""
BITS = 18
SEED = 300_001
"""Nothing was fitted to it."""


@dataclass(frozen=True)
class Drive:
    """A drive."""

    frames: NDArray[np.uint8]
    """uint8[60, 64, 64, 3]"""
    before: list[int]
    """The driver's last action before each."""


@pytest.fixture(scope="module")
def drive() -> Drive:
    task = make_task("car-racing", {"speed": 60.0})
    trial, driver = task.start(SEED), make_driver("simulated", task, SEED)
    frames, actions = [], [STRAIGHT]
    for _ in range(STEPS):
        frames.append(trial.frame())
        actions.append(driver.act(frames[-1]))
        trial.step(actions[-1])
    trial.close()
    return Drive(np.stack(frames), actions[:-1])


def road(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels are not grass: green exceeds red and blue by 102 or more there."""
    pixels = frames.astype(np.int16)
    grey: NDArray[np.bool_] = pixels[..., 1] - np.maximum(pixels[..., 0], pixels[..., 2]) < 50
    return grey


def overlap(shown: NDArray[np.uint8], drive: Drive) -> float:
    """Return the mean overlap of the road that is shown with the road that is there."""
    there, seen = road(drive.frames[SETTLED:]), road(shown[SETTLED:])
    return float(((there & seen).sum(axis=(1, 2)) / (there | seen).sum(axis=(1, 2))).mean())


def shown_under(condition: str, drive: Drive, model: LatentModel) -> NDArray[np.uint8]:
    fitted = load_fitted_models([condition], (), model).get(condition)
    channel = build_channel(condition, ChannelConfig(bits=BITS), model, np.random.default_rng(0), fitted)
    assert isinstance(channel, Channel)
    channel.reset()
    received = [channel.transmit(frame, action)[1] for frame, action in zip(drive.frames, drive.before, strict=True)]
    return np.stack([each.shown for each in received if each.shown is not None])


@pytest.mark.parametrize(("condition", "least"), [("coarse", 0.9), ("pico-rate", 0.9), ("predictive", 0.95)])
def test_a_fitted_coder_shows_where_the_road_is(condition: str, least: float, drive: Drive, model: LatentModel) -> None:
    assert overlap(shown_under(condition, drive, model), drive) > least


def test_the_trained_agent_shows_more_of_the_road_than_allocations_at_random(drive: Drive, model: LatentModel) -> None:
    menu, rng = menu_for(BITS, model.sizes), np.random.default_rng(0)
    shown = []
    latent = model.mean.copy()
    for truth in model.encode_frames(drive.frames):
        features, levels = features_and_levels(menu, menu.choices[rng.integers(len(menu.choices))])
        latent[features] = model.quantizer.decode(model.quantizer.encode(truth, features, levels), features, levels)
        shown.append(latent.copy())
    at_random = overlap(model.decode_latents(np.stack(shown)), drive)
    assert overlap(shown_under("rl-allocation", drive, model), drive) > at_random + 0.03
