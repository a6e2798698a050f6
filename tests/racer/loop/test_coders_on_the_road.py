"""What fitted coders show of a real drive: far less would mean a file that was not fitted to this codec's latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from compression.channel import Channel
from compression.coders.rl_allocation import features_and_levels, menu_for
from compression.coders.road import road_overlap
from compression.model.latent_model import Codec
from racer.drivers.families.pursuit import SimulatedParticipant
from racer.loop.conditions import ChannelConfig, build_channel, load_masks
from racer.tasks.car_racing.track import STRAIGHT, Track, TrackConfig

STEPS, SETTLED = 60, 20
"""Steps driven, and how many of them it takes until most of the latent has crossed once."""
BITS = 18


@dataclass(frozen=True)
class Drive:
    """A drive on a track that nothing was fitted to."""

    frames: NDArray[np.uint8]
    """uint8[60, 64, 64, 3]"""
    before: list[int]
    """The driver's last action before each."""


@pytest.fixture(scope="module")
def drive() -> Drive:
    track, driver = Track(TrackConfig(target_speed=60.0), 300_001), SimulatedParticipant(300_001)
    frames, actions = [], [STRAIGHT]
    for _ in range(STEPS):
        frames.append(track.frame())
        actions.append(driver.act(frames[-1]))
        track.step(actions[-1])
    track.close()
    return Drive(np.stack(frames), actions[:-1])


def overlap(condition: str, drive: Drive, codec: Codec) -> float:
    """Return the mean overlap of the road that is shown with the road that is there."""
    model = load_masks([condition], (), codec).get(condition)
    channel = build_channel(condition, ChannelConfig(bits=BITS), codec, np.random.default_rng(0), model)
    assert isinstance(channel, Channel)
    channel.reset()
    shown = [channel.transmit(frame, action).shown for frame, action in zip(drive.frames, drive.before, strict=True)]
    return float(road_overlap(drive.frames, np.stack(shown))[SETTLED:].mean())


@pytest.mark.parametrize(("condition", "least"), [("coarse", 0.9), ("pico-rate", 0.9), ("predictive", 0.95)])
def test_a_fitted_coder_shows_where_the_road_is(condition: str, least: float, drive: Drive, codec: Codec) -> None:
    assert overlap(condition, drive, codec) > least


def test_the_trained_agent_shows_more_of_the_road_than_allocations_at_random(drive: Drive, codec: Codec) -> None:
    menu, rng = menu_for(BITS), np.random.default_rng(0)
    shown = []
    latent = codec.mean.copy()
    for truth in codec.encode_frames(drive.frames):
        features, levels = features_and_levels(menu, menu.choices[rng.integers(len(menu.choices))])
        latent[features] = codec.quantizer.decode(codec.quantizer.encode(truth, features, levels), features, levels)
        shown.append(latent.copy())
    at_random = road_overlap(drive.frames, codec.decode_latents(np.stack(shown)))[SETTLED:].mean()
    assert overlap("rl-allocation", drive, codec) > at_random + 0.03
