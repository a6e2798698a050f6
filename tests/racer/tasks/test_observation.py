from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from racing_builders import write_mask

from compression.coders.blocks import BlockReceiver
from compression.coders.packet import layout_for
from compression.fitting.mask_file import load_mask
from compression.model.latent_model import Codec
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig
from racer.tasks.car_racing.frames import frame_from_observation
from racer.tasks.gymnasium import ChannelObservation

Make = Callable[..., ChannelObservation]
STEPWISE = ChannelConfig(mask_interval="step", fill="prior")


@pytest.fixture
def make(codec: Codec) -> Iterator[Make]:
    """Build wrapped environments, and close them after the test."""
    made: list[ChannelObservation] = []

    def build(condition: str, config: ChannelConfig | None = None, **settings: Any) -> ChannelObservation:
        mask = settings.pop("mask", None)
        env = gymnasium.make("CarRacing-v3", disable_env_checker=True, **settings)
        made.append(ChannelObservation(env, condition, config, mask, codec))
        return made[-1]

    yield build
    for env in made:
        env.close()


def drive(env: ChannelObservation, seed: int, actions: list[Any]) -> list[tuple[bytes, bytes]]:
    """Return what was shown and what crossed, from the reset on."""
    observation, info = env.reset(seed=seed)
    seen = [(observation.tobytes(), info["packet"])]
    for action in actions:
        observation, _, _, _, info = env.step(action)
        seen.append((observation.tobytes(), info["packet"]))
    return seen


def steering(*values: float) -> list[NDArray[np.float32]]:
    return [np.array([value, 0.5, 0.0], np.float32) for value in values]


@pytest.mark.parametrize(
    ("condition", "config", "settings"),
    [
        ("random", STEPWISE, {}),
        ("full", None, {}),
        ("raw", None, {}),
        ("random", None, {"continuous": False}),
    ],
    ids=["random-step-prior", "full", "raw", "discrete"],
)
def test_gymnasiums_own_checker_finds_nothing(
    make: Make, condition: str, config: ChannelConfig | None, settings: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it recommends checking without wrappers, and symmetric actions
        check_env(make(condition, config, **settings), skip_render_check=True)


def test_the_wrapper_can_be_made_again_from_its_specification(make: Make) -> None:
    env = make("random", STEPWISE)
    assert env.spec is not None
    again = gymnasium.make(env.spec)
    assert drive(again, 3, steering(0.5, -0.5)) == drive(env, 3, steering(0.5, -0.5))
    again.close()


@pytest.mark.parametrize("config", [None, STEPWISE], ids=["episode-hold", "step-prior"])
def test_a_seed_repeats_the_episode_byte_for_byte(make: Make, config: ChannelConfig | None) -> None:
    env, actions = make("random", config), steering(0.3, -0.4, 0.0, 1.0)
    first = drive(env, 5, actions)
    assert drive(env, 5, actions) == first
    assert drive(make("random", config), 5, actions) == first
    assert drive(env, 6, actions) != first


def test_without_a_seed_the_next_episode_has_another_mask(make: Make) -> None:
    env = make("random")
    env.reset(seed=0)
    masks = {env.reset()[1]["mask"].tobytes() for _ in range(4)}
    assert len(masks) > 1


def test_raw_shows_gymnasiums_own_scene(make: Make) -> None:
    env, stock = make("raw"), gymnasium.make("CarRacing-v3", disable_env_checker=True)
    shown, info = env.reset(seed=8)
    original, _ = stock.reset(seed=8)
    assert np.array_equal(shown, frame_from_observation(original))
    assert (info["bits"], info["packet"]) == (0, b"")
    shown, reward, *_ = env.step(steering(0.7)[0])
    original, expected, *_ = stock.step(steering(0.7)[0])
    assert np.array_equal(shown, frame_from_observation(original))
    assert reward == expected
    assert env.observation_space.contains(shown)
    stock.close()


def test_every_packet_fits_its_slot_and_info_says_what_it_cost(make: Make) -> None:
    env = make("random", STEPWISE)
    infos = [env.reset(seed=1)[1]] + [env.step(action)[4] for action in steering(0.1, 0.9, -0.9)]
    for info in infos:
        assert int.from_bytes(info["packet"], "big") < 2**85
        assert (info["bits"], info["mask"].sum()) == (85, 4)


@pytest.mark.parametrize(
    ("settings", "actions", "understood"),
    [
        ({}, steering(0.09, 0.5, -0.5, -0.09, 1.0), [0, 0, 1, -1, 0, 1]),
        ({"continuous": False}, [0, 1, 2, 3, 4], [0, 0, 1, -1, 0, 0]),
    ],
    ids=["continuous", "discrete"],
)
def test_the_receiver_knows_only_packets_and_which_way_was_steered(
    make: Make, codec: Codec, settings: dict[str, Any], actions: list[Any], understood: list[int]
) -> None:
    shown = drive(make("random", ChannelConfig(fill="predict"), **settings), 2, actions)
    receiver = BlockReceiver(codec, layout_for(85), "predict")
    for (picture, packet), action in zip(shown, understood, strict=True):
        assert receiver.decode(packet, action).tobytes() == picture


def test_a_mask_of_ones_own_is_used(make: Make, tmp_path: Path, codec: Codec) -> None:
    path = write_mask(tmp_path / "mask.safetensors", codec.sha256, "perceptual", first=(2, 4, 5, 7))
    env = make("perceptual", mask=load_mask(path, codec.sha256))
    assert np.flatnonzero(env.reset(seed=0)[1]["mask"]).tolist() == [2, 4, 5, 7]


@pytest.mark.parametrize("condition", ["perceptual", "blurred"])
def test_a_condition_without_a_mask_is_refused(make: Make, condition: str) -> None:
    with pytest.raises((ConfigError, ValueError)):
        make(condition)


def test_another_environment_is_refused_by_name() -> None:
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(ConfigError, match=r"wraps CarRacing, which shows uint8\[96, 96, 3\]"):
        ChannelObservation(env)
    env.close()
