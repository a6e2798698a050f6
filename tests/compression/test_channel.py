from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from itertools import count, product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import compression
from compression.channel import Bypass, Channel, Transmission
from compression.coders.blocks import BlockReceiver, BlockSender
from compression.coders.packet import layout_for
from compression.errors import PacketError
from compression.fill import FillName
from compression.masks import FixedMask, MaskInterval, MaskPolicy, RandomMasks, best_blocks, mask_table
from compression.model.latent_model import Codec

FILLS: tuple[FillName, ...] = get_args(FillName)
INTERVALS: tuple[MaskInterval, ...] = get_args(MaskInterval)
ROOT = Path(compression.__file__).parents[1]
FULL = 2
"""Slots of the `full` condition; one otherwise."""
LAST_BLOCKS = FixedMask(np.arange(8, dtype=np.float32))

FAR_END = """
import hashlib, json, sys
from compression.coders.blocks import BlockReceiver
from compression.model.latent_model import load_codec
from compression.coders.packet import layout_for
codec = load_codec()
for line in sys.stdin:
    episode = json.loads(line)
    receiver = BlockReceiver(codec, layout_for(85, episode["slots"]), episode["fill"])
    latents, frames = hashlib.sha256(), hashlib.sha256()
    for packet, action in episode["steps"]:
        frames.update(receiver.decode(bytes.fromhex(packet), action).tobytes())
        latents.update(receiver.latent.tobytes())
    print(json.dumps([latents.hexdigest(), frames.hexdigest()]))
"""


class TakesTurns:
    """Sends another mask whenever it is asked, and notes what it was shown."""

    def __init__(self) -> None:
        self.latents: list[NDArray[np.float32]] = []

    def choose(self, latent: NDArray[np.float32], blocks: int) -> NDArray[np.bool_]:
        self.latents.append(latent)
        mask: NDArray[np.bool_] = mask_table(blocks)[len(self.latents)]
        return mask


def new_channel(
    codec: Codec, fill: FillName, slots: int = 1, interval: MaskInterval = "step", policy: MaskPolicy | None = None
) -> Channel:
    layout = layout_for(85, slots)
    policy = policy or RandomMasks(np.random.default_rng(9))
    return Channel(BlockSender(codec, layout, policy, interval), BlockReceiver(codec, layout, fill), 85, slots)


def drive(channel: Channel, frames: NDArray[np.uint8]) -> tuple[list[Transmission], list[int]]:
    """Return what crossed, and the driver's last action at every step."""
    past = [0, *np.random.default_rng(2).integers(-1, 2, len(frames) - 1).tolist()]
    return [channel.transmit(frame, action) for frame, action in zip(frames, past, strict=True)], past


def digest(arrays: list[NDArray[Any]]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_a_receiver_in_another_process_shows_the_very_same_frames(codec: Codec, frames: NDArray[np.uint8]) -> None:
    episodes, expected = [], []
    for fill, slots, interval in product(FILLS, (1, FULL), INTERVALS):
        steps, past = drive(new_channel(codec, fill, slots, interval), frames[:12])
        packets = [[step.packet.hex(), action] for step, action in zip(steps, past, strict=True)]
        episodes.append(json.dumps({"fill": fill, "slots": slots, "steps": packets}))
        expected.append([digest([step.received for step in steps]), digest([step.shown for step in steps])])
    far_end = subprocess.run(
        [sys.executable, "-c", FAR_END],
        input="\n".join(episodes),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert far_end.returncode == 0, far_end.stderr
    assert [json.loads(line) for line in far_end.stdout.splitlines()] == expected


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("slots", [1, FULL])
def test_received_follows_from_packets_and_actions_alone(
    codec: Codec, frames: NDArray[np.uint8], fill: FillName, slots: int
) -> None:
    steps, past = drive(new_channel(codec, fill, slots), frames)
    receiver = BlockReceiver(codec, layout_for(85, slots), fill)
    for step, action in zip(steps, past, strict=True):
        assert receiver.receive(step.packet, action).tobytes() == step.received.tobytes()
        assert (receiver.mask == step.mask).all()


@pytest.mark.parametrize("fill", FILLS)
def test_after_a_reset_an_episode_repeats(codec: Codec, frames: NDArray[np.uint8], fill: FillName) -> None:
    channel = new_channel(codec, fill, policy=LAST_BLOCKS)
    first, _ = drive(channel, frames[:6])
    channel.reset()
    again, _ = drive(channel, frames[:6])
    assert digest([step.received for step in first]) == digest([step.received for step in again])


@pytest.mark.parametrize("fill", FILLS)
def test_latents_stay_near_the_quantisers_range_in_a_long_episode_with_one_mask(codec: Codec, fill: FillName) -> None:
    layout, sent = layout_for(85), np.arange(16)
    widest = [codec.quantizer.decode([end] * 32, np.arange(32), (64,) * 32) for end in (0, 63)]
    receiver = BlockReceiver(codec, layout, fill)
    for latent in np.random.default_rng(4).standard_normal((300, 32)).astype(np.float32):
        receiver.receive(layout.pack(0, codec.quantizer.encode(latent, sent, layout.levels)), 0)
    assert np.abs(receiver.latent).max() < 2 * np.abs(widest).max()


@pytest.mark.parametrize("slots", [1, FULL])
def test_every_slot_of_every_packet_is_below_two_to_the_85(codec: Codec, frames: NDArray[np.uint8], slots: int) -> None:
    extremes = np.concatenate([frames, np.zeros_like(frames[:1]), np.full_like(frames[:1], 255)])
    steps, _ = drive(new_channel(codec, "hold", slots), extremes)
    for step in steps:
        assert step.bits == 85 * slots
        assert len(step.packet) == 11 * slots
        for start in range(0, len(step.packet), 11):
            assert int.from_bytes(step.packet[start : start + 11], "big") < 2**85


def test_full_shows_every_feature_to_within_its_quantiser(codec: Codec, frames: NDArray[np.uint8]) -> None:
    steps, _ = drive(new_channel(codec, "hold", FULL), frames)
    layout, everything = layout_for(85, FULL), np.arange(32)
    for step in steps:
        assert step.mask.all()
        symbols = codec.quantizer.encode(step.latent, everything, layout.levels)
        expected = codec.quantizer.decode(symbols, everything, layout.levels)
        assert step.received.tobytes() == expected.tobytes()


def test_only_the_features_of_the_mask_cross(codec: Codec, frames: NDArray[np.uint8]) -> None:
    policy = FixedMask(np.array([0, 1, 0, 1, 0, 1, 1, 0], np.float32))
    steps, _ = drive(new_channel(codec, "hold", policy=policy), frames[:3])
    for step in steps:
        assert np.flatnonzero(step.mask).tolist() == [1, 3, 5, 6]
        missing = np.repeat(~step.mask, 4)
        assert step.received[missing].tobytes() == codec.mean[missing].tobytes()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("bad", [b"", bytes(10), bytes(12), b"\xff" * 11], ids=["empty", "short", "long", "too large"])
def test_a_bad_packet_leaves_the_receiver_as_it_was(
    codec: Codec, frames: NDArray[np.uint8], fill: FillName, bad: bytes
) -> None:
    steps, past = drive(new_channel(codec, fill), frames[:5])
    receiver = BlockReceiver(codec, layout_for(85), fill)
    for step, action in zip(steps, past, strict=True):
        latent, mask = receiver.latent.copy(), receiver.mask.copy()
        with pytest.raises(PacketError):
            receiver.decode(bad, action)
        assert receiver.latent.tobytes() == latent.tobytes()
        assert (receiver.mask == mask).all()
        assert receiver.receive(step.packet, action).tobytes() == step.received.tobytes()


def test_an_episode_interval_asks_for_one_mask_per_episode(codec: Codec, frames: NDArray[np.uint8]) -> None:
    policy = TakesTurns()
    channel = new_channel(codec, "hold", interval="episode", policy=policy)
    first, _ = drive(channel, frames[:4])
    assert len(policy.latents) == 1
    assert policy.latents[0].tobytes() == first[0].latent.tobytes()
    assert all((step.mask == first[0].mask).all() for step in first)
    channel.reset()
    second, _ = drive(channel, frames[4:6])
    assert len(policy.latents) == 2
    assert policy.latents[1].tobytes() == second[0].latent.tobytes()
    assert (second[0].mask != first[0].mask).any()


def test_a_step_interval_asks_for_a_mask_in_every_step(codec: Codec, frames: NDArray[np.uint8]) -> None:
    policy = TakesTurns()
    steps, _ = drive(new_channel(codec, "hold", interval="step", policy=policy), frames[:5])
    assert len(policy.latents) == 5
    for number, step in enumerate(steps, start=1):
        assert policy.latents[number - 1].tobytes() == step.latent.tobytes()
        assert (step.mask == mask_table(4)[number]).all()


@pytest.mark.parametrize("bits", [4, 8, 18, 30, 60, 85, 120, 400])
def test_a_frame_crosses_in_any_slot(codec: Codec, frames: NDArray[np.uint8], bits: int) -> None:
    layout = layout_for(bits)
    channel = Channel(BlockSender(codec, layout, LAST_BLOCKS, "step"), BlockReceiver(codec, layout, "prior"), bits)
    step = channel.transmit(frames[0], 0)
    assert step.bits == bits
    assert int.from_bytes(step.packet, "big") < 2**bits
    assert (step.mask == best_blocks(np.arange(8, dtype=np.float32), layout.blocks)).all()
    assert step.shown.shape == (64, 64, 3)


def test_a_transmission_reports_both_ends(codec: Codec, frames: NDArray[np.uint8]) -> None:
    layout, ticks = layout_for(85), count(100, 7)
    channel = Channel(
        BlockSender(codec, layout, LAST_BLOCKS, "episode"),
        BlockReceiver(codec, layout, "hold"),
        85,
        clock=lambda: next(ticks),
    )
    step = channel.transmit(frames[0], 0)
    assert step.latent.tobytes() == codec.encode_frame(frames[0]).tobytes()
    assert step.shown.tobytes() == codec.decode_latent(step.received).tobytes()
    assert (step.sender_ns, step.receiver_ns) == (7, 7)


def test_a_transmission_keeps_its_values_when_the_next_step_is_sent(codec: Codec, frames: NDArray[np.uint8]) -> None:
    for fill in FILLS:
        channel = new_channel(codec, fill)
        step = channel.transmit(frames[0], 0)
        kept = [step.latent.copy(), step.received.copy(), step.mask.copy(), step.shown.copy()]
        channel.transmit(frames[1], 1)
        assert digest([step.latent, step.received, step.mask, step.shown]) == digest(kept)


def test_raw_shows_the_frame_itself_and_charges_nothing(codec: Codec, frames: NDArray[np.uint8]) -> None:
    step = Bypass(codec).transmit(frames[0], 1)
    assert (step.shown == frames[0]).all()
    assert (step.packet, step.bits) == (b"", 0)
    assert step.received.tobytes() == step.latent.tobytes() == codec.encode_frame(frames[0]).tobytes()
    assert step.mask.all()
