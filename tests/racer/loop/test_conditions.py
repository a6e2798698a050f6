from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import RIGHT, STRAIGHT, write_mask
from tiny_agents import write_tiny_agent
from tiny_models import GREY, STILL, tiny_model

from compression.channel import Bypass, Channel, Received
from compression.errors import MaskError, NoiseError
from compression.fill import FILLS, FillName
from compression.fitting.config import OBJECTIVES
from compression.fitting.fitted import FittedModel, FittedRecord, dump_fitted, load_fitted
from compression.masks import MaskInterval
from compression.model.latent_model import LatentModel
from racer.errors import ConfigError
from racer.loop.conditions import (
    ChannelConfig,
    build_channel,
    check_conditions,
    condition_names,
    in_order,
    load_fitted_models,
    may_be_condition,
    shown_under,
)

MASKS = OBJECTIVES
KNOWN = ("raw", "full", "random", "perceptual", "pico")
"""Conditions of the first experiments."""
INTERVALS: tuple[MaskInterval, ...] = get_args(MaskInterval)


class Crossed(NamedTuple):
    """One frame's way through a channel."""

    received: Received
    packet: bytes
    bits: int


def frames(seed: int, count: int) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(seed).integers(256, size=(count, 64, 64, 3), dtype=np.uint8))


def transmitted(channel: Channel | Bypass, frame: NDArray[np.uint8], action: int = STRAIGHT) -> Crossed:
    """Carry a frame across any channel."""
    if isinstance(channel, Bypass):
        return Crossed(channel.transmit(frame), b"", 0)
    arrived, received = channel.transmit(frame, action)
    return Crossed(received, channel.recorded(arrived), arrived.bits)


def mask_of(condition: str, folder: Path, model: LatentModel, first: tuple[int, ...] = ()) -> FittedModel | None:
    if condition not in ("pico", "perceptual"):
        return None
    return load_fitted(write_mask(folder / f"{condition}.safetensors", model, condition, first), model)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("condition", KNOWN)
def test_every_condition_carries_frames_under_every_fill_and_interval(
    condition: str, interval: MaskInterval, fill: FillName, tmp_path: Path, model: LatentModel
) -> None:
    config = ChannelConfig(mask_interval=interval, fill=fill)
    mask = mask_of(condition, tmp_path, model)
    channel = build_channel(condition, config, model, np.random.default_rng(0), mask)
    channel.reset()
    blocks, packet_bytes, bits = {"raw": (8, 0, 0), "full": (8, 22, 170)}.get(condition, (4, 11, 85))
    for frame in frames(0, 2):
        received, packet, charged = transmitted(channel, frame, RIGHT)
        assert received.shown is not None
        assert (received.shown.shape, received.shown.dtype.name) == ((64, 64, 3), "uint8")
        assert (received.mask.sum(), received.arrived) == (blocks, True)
        assert len(packet) == channel.packet_bytes == packet_bytes
        assert charged == channel.bits == bits


def test_raw_shows_the_original_and_nothing_crosses(model: LatentModel) -> None:
    channel = build_channel("raw", ChannelConfig(), model, np.random.default_rng(0))
    (frame,) = frames(1, 1)
    received, packet, bits = transmitted(channel, frame)
    assert np.array_equal(received.shown, frame)  # type: ignore[arg-type]
    assert (packet, bits, channel.bits, channel.packet_bytes) == (b"", 0, 0, 0)
    assert np.array_equal(received.latent, model.encode_frame(frame))


def test_full_takes_two_slots_of_85_bits_whatever_the_others_may_use(model: LatentModel) -> None:
    channel = build_channel("full", ChannelConfig(bits=20), model, np.random.default_rng(0))
    assert (channel.bits, channel.packet_bytes) == (170, 22)


@pytest.mark.parametrize("bits", [4, 40, 85, 300])
def test_the_slot_is_never_exceeded(bits: int, model: LatentModel) -> None:
    channel = build_channel("random", ChannelConfig(bits=bits), model, np.random.default_rng(0))
    for frame in frames(2, 3):
        _, packet, charged = transmitted(channel, frame)
        assert int.from_bytes(packet, "big") < 2**bits
        assert charged == bits


def test_random_masks_follow_the_generator_and_stay_for_the_episode_or_change_each_step(model: LatentModel) -> None:
    def masks(seed: int, interval: MaskInterval) -> list[bytes]:
        config = ChannelConfig(mask_interval=interval)
        channel = build_channel("random", config, model, np.random.default_rng(seed))
        return [transmitted(channel, frame).received.mask.tobytes() for frame in frames(0, 6)]

    assert masks(1, "step") == masks(1, "step")
    assert len(set(masks(1, "step"))) > 1
    assert len(set(masks(1, "episode"))) == 1
    assert len({masks(seed, "episode")[0] for seed in range(8)}) > 1


@pytest.mark.parametrize("condition", MASKS)
def test_a_fitted_mask_decides_which_blocks_are_sent(condition: str, tmp_path: Path, model: LatentModel) -> None:
    mask = mask_of(condition, tmp_path, model, first=(1, 3, 6, 7))
    channel = build_channel(condition, ChannelConfig(), model, np.random.default_rng(0), mask)
    assert np.flatnonzero(transmitted(channel, frames(0, 1)[0]).received.mask).tolist() == [1, 3, 6, 7]


def test_pico_uses_the_shipped_mask_where_none_is_given_and_others_need_none(model: LatentModel) -> None:
    shipped = load_fitted_models(["pico"], [], model)["pico"]
    assert shipped.record.objective == "pico"
    assert shipped.record.model_sha256 == model.sha256
    assert load_fitted_models(["raw", "full", "random"], [], model) == {}


def test_a_file_fitted_for_another_coder_is_refused_by_what_it_is_and_not_as_a_mask(
    tmp_path: Path, model: LatentModel
) -> None:
    levels = tmp_path / "levels.safetensors"
    shipped = model.fitted_path("pico-rate")
    assert shipped is not None
    levels.write_bytes(shipped.read_bytes())
    assert load_fitted_models(["pico-rate"], [levels], model)["pico-rate"].record.objective == "pico-rate"
    with pytest.raises(ConfigError, match=r"levels\.safetensors was trained for pico-rate, which is not among"):
        load_fitted_models(["pico", "coarse"], [levels], model)
    record = FittedRecord("pico-rate", "ab" * 32, (), (), (), {})
    levels.write_bytes(dump_fitted({"losses": np.zeros((32, 64), np.float32)}, record))
    with pytest.raises(MaskError, match="was fitted for other weights"):
        load_fitted_models(["pico-rate"], [levels], model)
    levels.write_bytes(dump_fitted({"losses": np.zeros(2, np.float32)}, replace(record, objective="theirs")))
    with pytest.raises(MaskError, match="was fitted for coder theirs, which is not installed"):
        load_fitted_models(["pico-rate"], [levels], model)


def test_noise_at_no_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="flips at a rate of 0 is no noise"):
        ChannelConfig(noise="flips")


def test_masks_are_found_by_what_they_were_trained_for(tmp_path: Path, model: LatentModel) -> None:
    paths = [write_mask(tmp_path / name, model, name) for name in MASKS]
    masks = load_fitted_models(["random", "pico", "perceptual"], paths, model)
    assert {name: mask.record.objective for name, mask in masks.items()} == {name: name for name in MASKS}


@pytest.mark.parametrize(
    ("shown", "given", "told"),
    [
        (["random", "full"], ["pico"], "not among the conditions shown"),
        (["pico"], ["pico", "perceptual"], "not among the conditions shown"),
        (["pico"], ["pico", "pico"], "two masks for condition pico"),
        (["pico", "perceptual"], ["pico"], "racer train --objective perceptual"),
    ],
)
def test_masks_that_do_not_fit_the_conditions_are_refused(
    shown: list[str], given: list[Any], told: str, tmp_path: Path, model: LatentModel
) -> None:
    paths = [write_mask(tmp_path / str(number), model, name) for number, name in enumerate(given)]
    with pytest.raises(ConfigError, match=told):
        load_fitted_models(shown, paths, model)


@pytest.mark.parametrize(
    ("condition", "objective", "told"),
    [
        ("pico", None, "condition pico needs a mask"),
        ("perceptual", None, "condition perceptual needs a mask"),
        ("perceptual", "pico", "trained for pico, not perceptual"),
        ("pico", "perceptual", "trained for perceptual, not pico"),
        ("blurred", "pico", "choose from raw, full, random, perceptual, pico"),
        ("randon", None, "did you mean 'random'?"),
    ],
)
def test_a_condition_without_its_own_mask_is_refused(
    condition: str, objective: str | None, told: str, tmp_path: Path, model: LatentModel
) -> None:
    mask = mask_of(objective, tmp_path, model) if objective else None
    with pytest.raises(ConfigError, match=told):
        build_channel(condition, ChannelConfig(), model, np.random.default_rng(0), mask)


def test_a_slot_too_small_for_a_condition_and_a_model_is_refused_and_others_may_use_it(model: LatentModel) -> None:
    with pytest.raises(ConfigError, match="condition random needs 4 bits per step or more; got 3"):
        check_conditions(["full", "random"], ChannelConfig(bits=3), model.sizes)
    check_conditions(["raw", "full"], ChannelConfig(bits=3), model.sizes)
    check_conditions(["random"], ChannelConfig(bits=4), model.sizes)
    check_conditions(["random"], ChannelConfig(bits=3), replace(model.sizes, blocks=2))


def test_a_fill_that_predicts_is_refused_where_the_model_has_no_world_model() -> None:
    with pytest.raises(ConfigError, match="fill predict needs a world model, and this latent model has none"):
        check_conditions(["random"], ChannelConfig(fill="predict"), STILL)
    check_conditions(["random"], ChannelConfig(fill="prior"), STILL)


@pytest.mark.parametrize("condition", condition_names())
def test_every_condition_carries_frames_of_other_sizes(condition: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", GREY)
    write_tiny_agent(model, tmp_path / "model" / "agent.safetensors")
    fitted = load_fitted_models([condition], (), model).get(condition)
    channel = build_channel(condition, ChannelConfig(bits=30), model, np.random.default_rng(0), fitted)
    channel.reset()
    for frame in np.random.default_rng(1).integers(256, size=(3, *GREY.frame), dtype=np.uint8):
        received, packet, bits = transmitted(channel, frame, 3)
        assert received.shown is not None and received.shown.shape == GREY.frame
        assert (received.latent.shape, received.mask.shape) == ((GREY.latents,), (GREY.blocks,))
        assert len(packet) == channel.packet_bytes and bits <= channel.bits


def test_every_condition_says_what_it_shows_and_has_the_form_of_one() -> None:
    assert condition_names()[:5] == KNOWN
    for name in condition_names():
        assert shown_under(name)
        assert may_be_condition(name)
    assert shown_under("of-another-machine") == ""
    for name in ("", "-x", "Raw", "a/b", "<b>", "x" * 41, "raw\n"):
        assert not may_be_condition(name)


def test_conditions_not_known_here_come_after_the_known_ones() -> None:
    assert in_order(["theirs", "pico", "raw", "theirs", "random"]) == ("raw", "random", "pico", "theirs")


@pytest.mark.parametrize(
    "condition", [name for name in condition_names() if name not in ("raw", "perceptual", "agent")]
)
def test_a_packet_that_is_lost_is_reported_recorded_as_zeros_and_paid_for(condition: str, model: LatentModel) -> None:
    lossy = ChannelConfig(noise="erasures", noise_rate=0.5)
    fitted = load_fitted_models([condition], (), model).get(condition)
    noisy, quiet = (
        build_channel(condition, config, model, np.random.default_rng(2), fitted) for config in (lossy, ChannelConfig())
    )
    steps = [transmitted(noisy, frame) for frame in frames(3, 8)]
    assert {step.received.arrived for step in steps} == {True, False}
    sends = bool(quiet.packet_bytes)
    assert [any(step.packet) for step in steps] == [step.received.arrived and sends for step in steps]
    assert noisy.packet_bytes == quiet.packet_bytes == len(steps[0].packet)
    assert (noisy.bits, noisy.noisy, quiet.noisy) == (quiet.bits, True, False)
    assert all((step.bits > 0) == sends and step.bits <= noisy.bits for step in steps)


def test_a_mask_of_other_weights_is_refused(tmp_path: Path, model: LatentModel) -> None:
    path = write_mask(tmp_path / "other.safetensors", model, model_sha256="ef" * 32)
    with pytest.raises(MaskError, match="other weights"):
        load_fitted_models(["pico"], [path], model)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"mask_interval": "session"}, ConfigError),
        ({"fill": "zeros"}, ConfigError),
        ({"noise": "rain"}, NoiseError),
        ({"noise": "flips", "noise_rate": 1.1}, NoiseError),
        ({"noise": "gaussian", "noise_rate": float("nan")}, NoiseError),
        ({"noise_rate": 0.1}, NoiseError),
        ({"bits": 0}, ConfigError),
        ({"bits": 5000}, ConfigError),
    ],
)
def test_a_channel_that_cannot_work_is_refused_in_one_line(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as refusal:
        ChannelConfig(**settings)
    assert "\n" not in str(refusal.value)
