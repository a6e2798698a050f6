from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import write_mask

from compression.errors import MaskError, NoiseError
from compression.fill import FILLS, FillName
from compression.fitting.fitted import WEIGHTS, CoderRecord, dump_coder
from compression.fitting.mask_file import LearnedMask, Objective, load_mask
from compression.masks import MaskInterval
from compression.model.latent_model import Codec
from racer.errors import ConfigError
from racer.loop.conditions import (
    ChannelConfig,
    build_channel,
    check_conditions,
    condition_names,
    in_order,
    load_masks,
    may_be_condition,
    shown_under,
)

MASKS: tuple[Objective, ...] = get_args(Objective)
KNOWN = ("raw", "full", "random", "perceptual", "pico")
"""Conditions of the first experiments."""
INTERVALS: tuple[MaskInterval, ...] = get_args(MaskInterval)


def frames(seed: int, count: int) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(seed).integers(256, size=(count, 64, 64, 3), dtype=np.uint8))


def mask_of(condition: str, folder: Path, codec: Codec, first: tuple[int, ...] = ()) -> LearnedMask | None:
    if condition not in ("pico", "perceptual"):
        return None
    path = write_mask(folder / f"{condition}.safetensors", codec.sha256, condition, first)  # type: ignore[arg-type]
    return load_mask(path, codec.sha256)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("condition", KNOWN)
def test_every_condition_carries_frames_under_every_fill_and_interval(
    condition: str, interval: MaskInterval, fill: FillName, tmp_path: Path, codec: Codec
) -> None:
    config = ChannelConfig(mask_interval=interval, fill=fill)
    mask = mask_of(condition, tmp_path, codec)
    channel = build_channel(condition, config, codec, np.random.default_rng(0), mask)
    channel.reset()
    for frame in frames(0, 2):
        sent = channel.transmit(frame, 1)
        assert (sent.shown.shape, sent.shown.dtype.name) == ((64, 64, 3), "uint8")
        blocks, packet_bytes, bits = {"raw": (8, 0, 0), "full": (8, 22, 170)}.get(condition, (4, 11, 85))
        assert sent.mask.sum() == blocks
        assert len(sent.packet) == channel.packet_bytes == packet_bytes
        assert sent.bits == channel.bits == bits


def test_raw_shows_the_original_and_nothing_crosses(codec: Codec) -> None:
    channel = build_channel("raw", ChannelConfig(), codec, np.random.default_rng(0))
    (frame,) = frames(1, 1)
    sent = channel.transmit(frame, 0)
    assert np.array_equal(sent.shown, frame)
    assert (sent.packet, sent.bits) == (b"", 0)
    assert np.array_equal(sent.received, sent.latent)
    assert np.array_equal(sent.latent, codec.encode_frame(frame))


def test_full_takes_two_slots_of_85_bits_whatever_the_others_may_use(codec: Codec) -> None:
    channel = build_channel("full", ChannelConfig(bits=20), codec, np.random.default_rng(0))
    assert (channel.bits, channel.packet_bytes) == (170, 22)


@pytest.mark.parametrize("bits", [4, 40, 85, 300])
def test_the_slot_is_never_exceeded(bits: int, codec: Codec) -> None:
    channel = build_channel("random", ChannelConfig(bits=bits), codec, np.random.default_rng(0))
    for frame in frames(2, 3):
        sent = channel.transmit(frame, 0)
        assert int.from_bytes(sent.packet, "big") < 2**bits
        assert sent.bits == bits


def test_random_masks_follow_the_generator_and_stay_for_the_episode_or_change_each_step(codec: Codec) -> None:
    def masks(seed: int, interval: MaskInterval) -> list[bytes]:
        config = ChannelConfig(mask_interval=interval)
        channel = build_channel("random", config, codec, np.random.default_rng(seed))
        return [channel.transmit(frame, 0).mask.tobytes() for frame in frames(0, 6)]

    assert masks(1, "step") == masks(1, "step")
    assert len(set(masks(1, "step"))) > 1
    assert len(set(masks(1, "episode"))) == 1
    assert len({masks(seed, "episode")[0] for seed in range(8)}) > 1


@pytest.mark.parametrize("condition", MASKS)
def test_a_fitted_mask_decides_which_blocks_are_sent(condition: str, tmp_path: Path, codec: Codec) -> None:
    mask = mask_of(condition, tmp_path, codec, first=(1, 3, 6, 7))
    channel = build_channel(condition, ChannelConfig(), codec, np.random.default_rng(0), mask)
    assert np.flatnonzero(channel.transmit(frames(0, 1)[0], 0).mask).tolist() == [1, 3, 6, 7]


def test_pico_uses_the_shipped_mask_where_none_is_given_and_others_need_none(codec: Codec) -> None:
    shipped = load_masks(["pico"], [], codec)["pico"]
    assert shipped.record.objective == "pico"
    assert shipped.record.codec_sha256 == codec.sha256
    assert load_masks(["raw", "full", "random"], [], codec) == {}


def test_a_file_fitted_for_another_coder_is_refused_by_what_it_is_and_not_as_a_mask(
    tmp_path: Path, codec: Codec
) -> None:
    levels = tmp_path / "levels.safetensors"
    levels.write_bytes((WEIGHTS / "pico-rate.safetensors").read_bytes())
    assert load_masks(["pico-rate"], [levels], codec)["pico-rate"].record.objective == "pico-rate"
    with pytest.raises(ConfigError, match=r"levels\.safetensors was trained for pico-rate, which is not among"):
        load_masks(["pico", "coarse"], [levels], codec)
    record = CoderRecord("pico-rate", "ab" * 32, (), (), (), {})
    levels.write_bytes(dump_coder({"losses": np.zeros((32, 64), np.float32)}, record))
    with pytest.raises(MaskError, match="was fitted for other weights"):
        load_masks(["pico-rate"], [levels], codec)
    levels.write_bytes(dump_coder({"losses": np.zeros(2, np.float32)}, replace(record, objective="theirs")))
    with pytest.raises(MaskError, match="was fitted for coder theirs, which is not installed"):
        load_masks(["pico-rate"], [levels], codec)


def test_noise_at_no_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="flips at a rate of 0 is no noise"):
        ChannelConfig(noise="flips")


def test_masks_are_found_by_what_they_were_trained_for(tmp_path: Path, codec: Codec) -> None:
    paths = [write_mask(tmp_path / name, codec.sha256, name) for name in MASKS]
    masks = load_masks(["random", "pico", "perceptual"], paths, codec)
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
    shown: list[str], given: list[Any], told: str, tmp_path: Path, codec: Codec
) -> None:
    paths = [write_mask(tmp_path / str(number), codec.sha256, name) for number, name in enumerate(given)]
    with pytest.raises(ConfigError, match=told):
        load_masks(shown, paths, codec)


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
    condition: str, objective: str | None, told: str, tmp_path: Path, codec: Codec
) -> None:
    mask = mask_of(objective, tmp_path, codec) if objective else None
    with pytest.raises(ConfigError, match=told):
        build_channel(condition, ChannelConfig(), codec, np.random.default_rng(0), mask)


def test_a_slot_too_small_for_a_condition_is_refused_and_others_may_use_it() -> None:
    with pytest.raises(ConfigError, match="3 bits per step are too few for condition random; allow 4 or more"):
        check_conditions(["full", "random"], ChannelConfig(bits=3))
    check_conditions(["raw", "full"], ChannelConfig(bits=3))
    check_conditions(["random"], ChannelConfig(bits=4))


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


@pytest.mark.parametrize("condition", [name for name in condition_names() if name not in ("raw", "perceptual")])
def test_noise_is_reported_and_recorded_in_a_byte_of_its_own(condition: str, codec: Codec) -> None:
    config = ChannelConfig(noise="erasures", noise_rate=0.5)
    model = load_masks([condition], (), codec).get(condition)
    noisy = build_channel(condition, config, codec, np.random.default_rng(2), model)
    quiet = build_channel(
        condition, replace(config, noise="none", noise_rate=0.0), codec, np.random.default_rng(2), model
    )
    steps = [noisy.transmit(frame, 0) for frame in frames(3, 8)]
    assert {step.lost for step in steps} == {True, False}
    assert [step.packet[0] for step in steps] == [int(not step.lost) for step in steps]
    assert noisy.packet_bytes == quiet.packet_bytes + 1 == len(steps[0].packet)
    assert noisy.bits == quiet.bits


def test_a_mask_of_other_weights_is_refused(tmp_path: Path, codec: Codec) -> None:
    path = write_mask(tmp_path / "other.safetensors", "ef" * 32)
    with pytest.raises(MaskError, match="other weights"):
        load_masks(["pico"], [path], codec)


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
