"""What every coder promises, whoever wrote it: the slot, a receiver that needs nothing else, and no fear of noise."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import compression
from compression.channel import Channel, arrived
from compression.coders import BUILT_IN
from compression.coders.coder import Coder, CoderSettings, Fitted, LatentReceiver, find_coder, packet_bytes
from compression.errors import CoderError
from compression.fill import FILLS
from compression.model.latent_model import Codec
from compression.noise import Link, NoiseName

ROOT = Path(compression.__file__).parents[1]
BITS = (1, 2, 3, 4, 5, 8, 12, 18, 27, 42, 85, 170)
"""The sweep's, and 4."""

FAR_END = """
import hashlib, json, sys
import numpy as np
from compression.coders.coder import CoderSettings, find_coder
from compression.model.latent_model import load_codec, use_one_thread
from compression.errors import PacketError
use_one_thread()
codec = load_codec()
for line in sys.stdin:
    task = json.loads(line)
    coder = find_coder(task["coder"])
    model = coder.load(coder.shipped, codec.sha256) if coder.shipped else None
    settings = CoderSettings(task["bits"], "step", task["fill"], np.random.default_rng(0), model)
    receiver = coder.receiver(codec, settings)
    shown = hashlib.sha256()
    for packet, action in task["steps"]:
        try:
            frame = receiver.decode(None if packet is None else bytes.fromhex(packet), action)
        except PacketError:
            frame = receiver.decode(None, action)
        shown.update(frame.tobytes() + receiver.latent.tobytes() + receiver.mask.tobytes())
    print(shown.hexdigest())
"""


@pytest.fixture(params=[name for name in BUILT_IN if name != "perceptual"])
def coder(request: pytest.FixtureRequest) -> Coder:
    """Return each coder; `perceptual` is `pico` with another file, and none is shipped."""
    return find_coder(request.param)


def model_of(coder: Coder, codec: Codec) -> Fitted | None:
    return coder.load(coder.shipped, codec.sha256) if coder.load and coder.shipped else None


def settings_of(coder: Coder, codec: Codec, bits: int, fill: str = "hold", seed: int = 0) -> CoderSettings:
    return CoderSettings(bits, "step", fill, np.random.default_rng(seed), model_of(coder, codec))  # type: ignore[arg-type]


def channel_of(
    coder: Coder, codec: Codec, settings: CoderSettings, noise: NoiseName = "none", rate: float = 0.0
) -> Channel:
    return Channel(
        coder.sender(codec, settings),
        coder.receiver(codec, replace(settings, rng=np.random.default_rng(0))),
        settings.bits,
        padded_bytes=coder.packet_bytes,
        link=Link(noise, rate, np.random.default_rng(7)),
    )


def scenes(codec: Codec, frames: NDArray[np.uint8], seed: int) -> list[NDArray[np.uint8]]:
    """Return frames as the codec draws them, one all noise, one black, one white."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(256, size=frames.shape[1:], dtype=np.uint8)
    return [*frames[rng.permutation(len(frames))[:5]], noise, np.zeros_like(noise), np.full_like(noise, 255)]


def actions(count: int, seed: int) -> list[int]:
    return [0, *np.random.default_rng(seed).integers(-1, 2, count - 1).tolist()]


def slots_of(coder: Coder) -> list[int]:
    return [bits for bits in BITS if bits >= coder.least_bits]


def test_a_coder_says_what_it_shows_and_whence_it_comes(coder: Coder) -> None:
    assert 0 < len(coder.summary) <= 100 and not coder.summary.endswith(".")
    assert len(coder.source) > 20
    assert (coder.needs is None) == (coder.load is None)


def test_every_packet_obeys_the_slot_and_every_step_is_charged_what_it_cost(
    coder: Coder, codec: Codec, frames: NDArray[np.uint8]
) -> None:
    for bits in slots_of(coder) if coder.hard else [85]:
        channel = channel_of(coder, codec, settings_of(coder, codec, bits))
        channel.reset()
        shown = scenes(codec, frames, bits)
        for frame, action in zip(shown, actions(len(shown), bits), strict=True):
            step = channel.transmit(frame, action)
            assert (step.shown.shape, step.shown.dtype.name) == ((64, 64, 3), "uint8")
            assert (step.latent.shape, step.latent.dtype.name) == ((32,), "float32")
            assert (step.received.shape, step.received.dtype.name) == ((32,), "float32")
            assert np.isfinite(step.received).all()
            assert (step.mask.shape, step.mask.dtype.name) == ((8,), "bool")
            assert len(step.packet) == channel.packet_bytes
            if coder.hard:
                assert channel.packet_bytes == packet_bytes(bits)
                assert int.from_bytes(step.packet, "big").bit_length() <= bits
                assert step.bits == bits
            else:
                assert 0 < step.bits <= 8 * channel.packet_bytes
                assert not any(step.packet[step.bits // 8 :])


def test_a_slot_below_the_least_bits_is_refused(coder: Coder, codec: Codec) -> None:
    if coder.least_bits > 1:
        with pytest.raises(Exception) as refusal:
            channel_of(coder, codec, settings_of(coder, codec, coder.least_bits - 1))
        assert isinstance(refusal.value, compression.errors.CompressionError)


@pytest.mark.parametrize("noise", ["flips", "erasures", "gaussian"])
def test_no_noise_makes_a_receiver_fail_or_show_what_is_no_picture(
    coder: Coder, codec: Codec, frames: NDArray[np.uint8], noise: NoiseName
) -> None:
    for bits in slots_of(coder)[:: 3 if coder.hard else len(BITS)]:
        channel = channel_of(coder, codec, settings_of(coder, codec, bits), noise, 0.5)
        channel.reset()
        shown = scenes(codec, frames, bits)
        for frame, action in zip(shown, actions(len(shown), bits), strict=True):
            step = channel.transmit(frame, action)
            assert step.shown.shape == (64, 64, 3)
            assert np.isfinite(step.received).all()
            packet = arrived(step.packet, noisy=True)
            assert packet is None or len(packet) == channel.packet_bytes - 1
            if step.lost:
                assert not step.mask.any()


def test_a_receiver_shows_something_though_no_packet_ever_arrives(coder: Coder, codec: Codec) -> None:
    for fill in FILLS:
        receiver = coder.receiver(codec, settings_of(coder, codec, 85, fill))
        for action in (0, 1, -1):
            assert receiver.decode(None, action).shape == (64, 64, 3)
            assert not receiver.mask.any()


def test_a_receiver_in_another_process_needs_packets_and_actions_and_nothing_else(
    codec: Codec, frames: NDArray[np.uint8]
) -> None:
    tasks, expected = [], []
    for name in BUILT_IN:
        coder = find_coder(name)
        if coder.needs and not coder.shipped:
            continue
        for bits, fill, noise in ((max(12, coder.least_bits), "hold", "erasures"), (85, "predict", "flips")):
            channel = channel_of(coder, codec, settings_of(coder, codec, bits, fill, seed=5), noise, 0.05)  # type: ignore[arg-type]
            channel.reset()
            shown = scenes(codec, frames, bits)
            past, digest, steps = actions(len(shown), bits), hashlib.sha256(), []
            for frame, action in zip(shown, past, strict=True):
                step = channel.transmit(frame, action)
                digest.update(step.shown.tobytes() + step.received.tobytes() + step.mask.tobytes())
                packet = arrived(step.packet, noisy=True)
                steps.append([None if packet is None else packet.hex(), action])
            tasks.append(json.dumps({"coder": name, "bits": bits, "fill": fill, "steps": steps}))
            expected.append(digest.hexdigest())
    far_end = subprocess.run(
        [sys.executable, "-c", FAR_END],
        input="\n".join(tasks),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert far_end.returncode == 0, far_end.stderr
    assert far_end.stdout.split() == expected


@pytest.mark.parametrize("name", ["pico", "perceptual"])
def test_a_mask_coder_refuses_to_send_without_its_mask_and_receives_all_the_same(name: str, codec: Codec) -> None:
    settings = CoderSettings(85, "step", "hold", np.random.default_rng(0))
    with pytest.raises(CoderError, match="mask file"):
        find_coder(name).sender(codec, settings)
    assert find_coder(name).receiver(codec, settings).decode(None, 0).shape == (64, 64, 3)


def test_a_reset_forgets_the_last_episode(coder: Coder, codec: Codec, frames: NDArray[np.uint8]) -> None:
    def episode(channel: Channel) -> list[tuple[bytes, bytes]]:
        channel.reset()
        steps = [channel.transmit(frame, action) for frame, action in zip(frames[:4], (0, 1, -1, 1), strict=True)]
        return [(step.packet, step.shown.tobytes()) for step in steps]

    if coder.name == "random":
        return  # draws other blocks
    channel = channel_of(coder, codec, settings_of(coder, codec, 85))
    assert episode(channel) == episode(channel)


def test_latents_carried_without_frames_come_out_as_with_them(
    coder: Coder, codec: Codec, frames: NDArray[np.uint8]
) -> None:
    one, other = (channel_of(coder, codec, settings_of(coder, codec, 85, "predict")) for _ in range(2))
    if not one.in_latents:
        with pytest.raises(TypeError):
            one.carry(codec.encode_frame(frames[0]), 0)
        return
    assert isinstance(coder.receiver(codec, settings_of(coder, codec, 85)), LatentReceiver)
    for frame, action in zip(frames[:5], (0, 1, -1, 1, 0), strict=True):
        step, crossing = one.transmit(frame, action), other.carry(codec.encode_frame(frame), action)
        assert (step.packet, step.received.tobytes()) == (crossing.packet, crossing.received.tobytes())
        assert (step.mask == crossing.mask).all()
