from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import compression
from compression.channel import Bypass, Channel, Downlink, InProcess, ReceiverEnd, SenderEnd
from compression.coders.blocks import BlockReceiver, BlockSender
from compression.coders.coder import CoderSettings, find_coder
from compression.coders.packet import layout_for
from compression.errors import PacketError
from compression.fill import FillName
from compression.masks import FixedMask, MaskInterval, MaskPolicy, RandomMasks, best_blocks, mask_table
from compression.model.latent_model import LatentModel
from compression.noise import Link, NoiseName
from compression.uplink import uplink_bits

FILLS: tuple[FillName, ...] = get_args(FillName)
INTERVALS: tuple[MaskInterval, ...] = get_args(MaskInterval)
ROOT = Path(compression.__file__).parents[1]
FULL = 2
"""Slots of the `full` condition; one otherwise."""
LAST_BLOCKS = FixedMask(np.arange(8, dtype=np.float32))

FAR_END = """
import hashlib, json, sys
from compression.channel import Downlink, ReceiverEnd
from compression.coders.blocks import BlockReceiver
from compression.coders.packet import layout_for
from compression.model.header import shipped_model
from compression.model.latent_model import load_model
model = load_model(shipped_model("car-racing"))
for line in sys.stdin:
    episode = json.loads(line)
    layout = layout_for(85, model.sizes, episode["slots"])
    end = ReceiverEnd(BlockReceiver(model, layout, episode["fill"]))
    latents, frames = hashlib.sha256(), hashlib.sha256()
    for step, (packet, action) in enumerate(episode["steps"]):
        received = end.show(Downlink(step, bytes.fromhex(packet), action, layout.bits, layout.slots))
        frames.update(received.shown.tobytes())
        latents.update(received.latent.tobytes())
    print(json.dumps([latents.hexdigest(), frames.hexdigest()]))
"""


@dataclass(frozen=True)
class Crossed:
    """One step's journey through a channel."""

    latent: NDArray[np.float32]
    received: NDArray[np.float32]
    mask: NDArray[np.bool_]
    shown: NDArray[np.uint8]
    arrived: bool
    packet: bytes
    bits: int


class TakesTurns:
    """Sends another mask whenever it is asked, and notes what it was shown."""

    def __init__(self) -> None:
        self.latents: list[NDArray[np.float32]] = []

    def choose(self, latent: NDArray[np.float32], sent: int) -> NDArray[np.bool_]:
        self.latents.append(latent)
        mask: NDArray[np.bool_] = mask_table(8, sent)[len(self.latents)]
        return mask


def link_of(noise: NoiseName = "none", rate: float = 0.0) -> Link:
    return Link(noise, rate, np.random.default_rng(7))


def new_channel(
    model: LatentModel,
    fill: FillName,
    slots: int = 1,
    interval: MaskInterval = "step",
    policy: MaskPolicy | None = None,
    bits: int = 85,
    link: Link | None = None,
) -> Channel:
    link = link or link_of()
    layout = layout_for(bits, model.sizes, slots)
    policy = policy or RandomMasks(8, np.random.default_rng(9))
    sender = SenderEnd(BlockSender(model, layout, policy, interval), bits, slots)
    return Channel(sender, InProcess(link), ReceiverEnd(BlockReceiver(model, layout, fill), link.noisy))


def transmit(channel: Channel, frame: NDArray[np.uint8], action: int) -> Crossed:
    arrived, received = channel.transmit(frame, action)
    assert received.shown is not None
    packet = channel.recorded(arrived)
    latent = channel.sender.latent
    return Crossed(latent, received.latent, received.mask, received.shown, received.arrived, packet, arrived.bits)


def drive(channel: Channel, frames: NDArray[np.uint8]) -> tuple[list[Crossed], list[int]]:
    """Return what crossed, and the action applied before every step."""
    past = [1, *np.random.default_rng(2).integers(3, size=len(frames) - 1).tolist()]
    return [transmit(channel, frame, action) for frame, action in zip(frames, past, strict=True)], past


def digest(arrays: list[NDArray[Any]]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_a_receiver_in_another_process_shows_the_very_same_frames(
    model: LatentModel, frames: NDArray[np.uint8]
) -> None:
    episodes, expected = [], []
    for fill, slots, interval in product(FILLS, (1, FULL), INTERVALS):
        steps, past = drive(new_channel(model, fill, slots, interval), frames[:12])
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
    model: LatentModel, frames: NDArray[np.uint8], fill: FillName, slots: int
) -> None:
    steps, past = drive(new_channel(model, fill, slots), frames)
    receiver = BlockReceiver(model, layout_for(85, model.sizes, slots), fill)
    for step, action in zip(steps, past, strict=True):
        assert receiver.receive(step.packet, action).tobytes() == step.received.tobytes()
        assert (receiver.mask == step.mask).all()


@pytest.mark.parametrize("fill", FILLS)
def test_after_a_reset_an_episode_repeats(model: LatentModel, frames: NDArray[np.uint8], fill: FillName) -> None:
    channel = new_channel(model, fill, policy=LAST_BLOCKS)
    first, _ = drive(channel, frames[:6])
    channel.reset()
    again, _ = drive(channel, frames[:6])
    assert digest([step.received for step in first]) == digest([step.received for step in again])


@pytest.mark.parametrize("fill", FILLS)
def test_latents_stay_near_the_quantisers_range_in_a_long_episode_with_one_mask(
    model: LatentModel, fill: FillName
) -> None:
    layout, sent = layout_for(85, model.sizes), np.arange(16)
    widest = [model.quantizer.decode([end] * 32, np.arange(32), (64,) * 32) for end in (0, 63)]
    receiver = BlockReceiver(model, layout, fill)
    for latent in np.random.default_rng(4).standard_normal((300, 32)).astype(np.float32):
        receiver.receive(layout.pack(0, model.quantizer.encode(latent, sent, layout.levels)), 1)
    assert np.abs(receiver.latent).max() < 2 * np.abs(widest).max()


@pytest.mark.parametrize("slots", [1, FULL])
def test_every_slot_of_every_packet_is_below_two_to_the_85(
    model: LatentModel, frames: NDArray[np.uint8], slots: int
) -> None:
    extremes = np.concatenate([frames, np.zeros_like(frames[:1]), np.full_like(frames[:1], 255)])
    steps, _ = drive(new_channel(model, "hold", slots), extremes)
    for step in steps:
        assert step.bits == 85 * slots
        assert len(step.packet) == 11 * slots
        for start in range(0, len(step.packet), 11):
            assert int.from_bytes(step.packet[start : start + 11], "big") < 2**85


def test_full_shows_every_feature_to_within_its_quantiser(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    steps, _ = drive(new_channel(model, "hold", FULL), frames)
    layout, everything = layout_for(85, model.sizes, FULL), np.arange(32)
    for step in steps:
        assert step.mask.all()
        symbols = model.quantizer.encode(step.latent, everything, layout.levels)
        expected = model.quantizer.decode(symbols, everything, layout.levels)
        assert step.received.tobytes() == expected.tobytes()


def test_only_the_features_of_the_mask_cross(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    policy = FixedMask(np.array([0, 1, 0, 1, 0, 1, 1, 0], np.float32))
    steps, _ = drive(new_channel(model, "hold", policy=policy), frames[:3])
    for step in steps:
        assert np.flatnonzero(step.mask).tolist() == [1, 3, 5, 6]
        missing = np.repeat(~step.mask, 4)
        assert step.received[missing].tobytes() == model.mean[missing].tobytes()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("bad", [b"", bytes(10), bytes(12), b"\xff" * 11], ids=["empty", "short", "long", "too large"])
def test_a_bad_packet_leaves_the_receiver_as_it_was(
    model: LatentModel, frames: NDArray[np.uint8], fill: FillName, bad: bytes
) -> None:
    steps, past = drive(new_channel(model, fill), frames[:5])
    end = ReceiverEnd(BlockReceiver(model, layout_for(85, model.sizes), fill))
    for number, (step, action) in enumerate(zip(steps, past, strict=True)):
        with pytest.raises(PacketError):
            end.show(Downlink(number, bad, action, 85))
        received = end.take(Downlink(number, step.packet, action, 85))
        assert received.latent.tobytes() == step.received.tobytes()
        assert (received.mask == step.mask).all()


def test_an_episode_interval_asks_for_one_mask_per_episode(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    policy = TakesTurns()
    channel = new_channel(model, "hold", interval="episode", policy=policy)
    first, _ = drive(channel, frames[:4])
    assert len(policy.latents) == 1
    assert policy.latents[0].tobytes() == first[0].latent.tobytes()
    assert all((step.mask == first[0].mask).all() for step in first)
    channel.reset()
    second, _ = drive(channel, frames[4:6])
    assert len(policy.latents) == 2
    assert policy.latents[1].tobytes() == second[0].latent.tobytes()
    assert (second[0].mask != first[0].mask).any()


def test_a_step_interval_asks_for_a_mask_in_every_step(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    policy = TakesTurns()
    steps, _ = drive(new_channel(model, "hold", interval="step", policy=policy), frames[:5])
    assert len(policy.latents) == 5
    for number, step in enumerate(steps, start=1):
        assert policy.latents[number - 1].tobytes() == step.latent.tobytes()
        assert (step.mask == mask_table(8, 4)[number]).all()


@pytest.mark.parametrize("bits", [4, 8, 18, 30, 60, 85, 120, 400])
def test_a_frame_crosses_in_any_slot(model: LatentModel, frames: NDArray[np.uint8], bits: int) -> None:
    step = transmit(new_channel(model, "prior", policy=LAST_BLOCKS, bits=bits), frames[0], 1)
    assert step.bits == bits
    assert int.from_bytes(step.packet, "big") < 2**bits
    sent = layout_for(bits, model.sizes).sent
    assert (step.mask == best_blocks(np.arange(8, dtype=np.float32), sent)).all()
    assert step.shown.shape == (64, 64, 3)


def test_both_ends_report_what_they_did(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    layout, ticks = layout_for(85, model.sizes), count(100, 7)
    sender = SenderEnd(BlockSender(model, layout, LAST_BLOCKS, "episode"), 85, clock=lambda: next(ticks))
    receiver = ReceiverEnd(BlockReceiver(model, layout, "hold"), clock=lambda: next(ticks))
    downlink = sender.advance(frames[0], 2)
    assert (downlink.step, downlink.action, downlink.bits) == (0, 2, 85)
    received = receiver.show(downlink)
    assert sender.latent.tobytes() == model.encode_frame(frames[0]).tobytes()
    assert received.shown is not None
    assert received.shown.tobytes() == model.decode_latent(received.latent).tobytes()
    assert (sender.spent_ns, receiver.spent_ns) == (7, 7)


def test_what_was_received_keeps_its_values_when_the_next_step_is_sent(
    model: LatentModel, frames: NDArray[np.uint8]
) -> None:
    for fill in FILLS:
        channel = new_channel(model, fill)
        step = transmit(channel, frames[0], 1)
        kept = [step.latent.copy(), step.received.copy(), step.mask.copy(), step.shown.copy()]
        transmit(channel, frames[1], 2)
        assert digest([step.latent, step.received, step.mask, step.shown]) == digest(kept)


@pytest.mark.parametrize("numbers", [[1], [0, 0], [0, 2], [0, 1, 0]])
def test_packets_that_do_not_follow_one_another_are_refused(model: LatentModel, numbers: list[int]) -> None:
    channel = new_channel(model, "hold")
    *sound, wrong = numbers
    for number in sound:
        channel.receiver.take(Downlink(number, None, 1, 85))
    for method in (channel.receiver.take, channel.receiver.show):
        with pytest.raises(PacketError, match=f"packet {wrong} arrived where packet {len(sound)} was due"):
            method(Downlink(wrong, None, 1, 85))
    channel.receiver.reset()
    assert not channel.receiver.take(Downlink(0, None, 1, 85)).arrived


def test_a_sender_numbers_its_packets_anew_in_every_episode(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    sender = new_channel(model, "hold").sender
    for _ in range(2):
        sender.reset()
        assert [sender.advance(frame, 1).step for frame in frames[:3]] == [0, 1, 2]


def test_latents_cross_as_their_frames_do(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    one, other = new_channel(model, "hold"), new_channel(model, "hold")
    assert one.in_latents and one.sender.in_latents and one.receiver.in_latents
    for frame in frames[:4]:
        whole = transmit(one, frame, 1)
        received = other.receiver.take(other.sender.advance_latent(model.encode_frame(frame), 1))
        assert received.shown is None
        assert received.latent.tobytes() == whole.received.tobytes()
        assert received.showing(whole.shown).shown is whole.shown


def test_ends_that_need_frames_say_so(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    coder = find_coder("jpeg")
    settings = CoderSettings(85, "step", "hold", np.random.default_rng(0))
    sender = SenderEnd(coder.sender(model, settings), 85, padded_bytes=4096)
    receiver = ReceiverEnd(coder.receiver(model, settings))
    assert not sender.in_latents and not receiver.in_latents
    with pytest.raises(TypeError):
        sender.advance_latent(model.mean, 1)
    downlink = sender.advance(frames[0], 1)
    assert downlink.packet is not None
    assert len(downlink.packet) == sender.packet_bytes == 4096
    assert downlink.bits < sender.bits == 8 * 4096
    assert receiver.take(downlink).shown is not None


def test_noise_hits_only_what_crosses_of_a_padded_packet() -> None:
    downlink = Downlink(0, b"\x0f" * 4 + bytes(60), 1, 32)
    arrived = InProcess(link_of("flips", 1.0)).carry(downlink)
    assert arrived == replace(downlink, packet=b"\xf0" * 4 + bytes(60))


def test_noise_hits_every_slot_for_itself() -> None:
    arrived = InProcess(link_of("flips", 1.0)).carry(Downlink(3, bytes(4), 1, bits=20, slots=2))
    assert arrived.packet == b"\x03\xff\x03\xff"


@pytest.mark.parametrize("noise", ["erasures", "flips"])
def test_what_is_lost_or_no_packet_any_more_has_not_arrived(
    model: LatentModel, frames: NDArray[np.uint8], noise: NoiseName
) -> None:
    channel = new_channel(model, "hold", link=link_of(noise, 0.5))
    assert channel.noisy
    receiver = BlockReceiver(model, layout_for(85, model.sizes), "hold")
    steps, past = drive(channel, frames)
    lost = [step for step in steps if not step.arrived]
    assert 0 < len(lost) <= len(steps)
    for step in lost:
        assert not step.mask.any()
    if noise == "erasures":
        assert {step.packet for step in lost} == {bytes(11)}
    for step, action in zip(steps, past, strict=True):
        again = receiver.take(step.packet if step.arrived else None, action)
        assert again.tobytes() == step.received.tobytes()


@pytest.mark.parametrize("packet", [bytes(10), b"\xff" * 11, bytes(22)])
def test_a_sender_that_breaks_its_slot_is_a_defect(
    model: LatentModel, frames: NDArray[np.uint8], packet: bytes
) -> None:
    class Broken(BlockSender):
        def encode_latent(self, latent: NDArray[np.float32], action: int) -> bytes:
            return packet

    end = SenderEnd(Broken(model, layout_for(85, model.sizes), LAST_BLOCKS, "step"), 85)
    with pytest.raises(AssertionError, match="slot"):
        end.advance(frames[0], 1)


@pytest.mark.parametrize(("actions", "bits"), [(2, 1), (3, 2), (4, 2), (5, 3), (10, 4), (64, 6)])
def test_an_action_costs_the_bits_that_tell_it_from_the_others(actions: int, bits: int) -> None:
    assert uplink_bits(actions) == bits


def test_raw_shows_the_frame_itself_and_charges_nothing(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    bypass = Bypass(model)
    received = bypass.transmit(frames[0])
    assert received.shown is not None
    assert (received.shown == frames[0]).all()
    assert (bypass.packet_bytes, bypass.bits, bypass.in_latents, bypass.noisy) == (0, 0, False, False)
    assert received.latent.tobytes() == model.encode_frame(frames[0]).tobytes()
    assert received.mask.all() and received.arrived
    assert bypass.show(frames[0], bypass.nothing).latent.tobytes() == bytes(4 * 32)
