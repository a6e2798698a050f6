"""What every coder promises, whoever wrote it: the slot, a receiver that needs nothing else, and no fear of noise."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_agents import write_tiny_agent
from tiny_models import GREY, tiny_model

import compression
from compression.channel import Channel, InProcess, ReceiverEnd, SenderEnd
from compression.coders import BUILT_IN
from compression.coders.coder import Coder, CoderSettings, LatentReceiver, find_coder
from compression.coders.packing import packet_bytes
from compression.errors import CoderError, MaskError
from compression.fill import FILLS
from compression.fitting.fitted import FittedModel, dump_fitted
from compression.model.latent_model import LatentModel
from compression.noise import Link, NoiseName

ROOT = Path(compression.__file__).parents[1]
BITS = (1, 2, 3, 4, 5, 8, 12, 18, 27, 42, 85, 170)
"""The sweep's, and 4."""

FAR_END = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from compression.coders.coder import CoderSettings, find_coder
from compression.model.latent_model import load_model, use_one_thread
from compression.errors import PacketError
use_one_thread()
for line in sys.stdin:
    task = json.loads(line)
    model = load_model(Path(task["model"]))
    coder = find_coder(task["coder"])
    settings = CoderSettings(task["bits"], "step", task["fill"], np.random.default_rng(0), coder.read_shipped(model))
    receiver = coder.receiver(model, settings)
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
    """Return each coder; `perceptual` is `pico` with another file, and none is shipped for car-racing."""
    return find_coder(request.param)


@lru_cache(maxsize=8)
def agent_of(model: LatentModel) -> FittedModel:
    """Return an agent for a model; none is shipped."""
    with TemporaryDirectory() as folder:
        return find_coder("agent").read(write_tiny_agent(model, Path(folder) / "agent.safetensors"), model)


def fitted_path_of(coder: Coder, model: LatentModel, folder: Path) -> Path:
    """Return the file that comes with a model; that of an agent is made."""
    if coder.name == "agent":
        return write_tiny_agent(model, folder / "agent.safetensors")
    path = model.fitted_path(coder.needs or "")
    assert path is not None
    return path


def settings_of(coder: Coder, model: LatentModel, bits: int, fill: str = "hold", seed: int = 0) -> CoderSettings:
    fitted = agent_of(model) if coder.name == "agent" else coder.read_shipped(model)
    return CoderSettings(bits, "step", fill, np.random.default_rng(seed), fitted)  # type: ignore[arg-type]


def channel_of(
    coder: Coder, model: LatentModel, settings: CoderSettings, noise: NoiseName = "none", rate: float = 0.0
) -> Channel:
    link = Link(noise, rate, np.random.default_rng(7))
    width = coder.packet_bytes(model.sizes) if coder.packet_bytes else None
    receiver = coder.receiver(model, replace(settings, rng=np.random.default_rng(0)))
    return Channel(
        SenderEnd(coder.sender(model, settings), settings.bits, padded_bytes=width),
        InProcess(link),
        ReceiverEnd(receiver, link.noisy),
    )


def scenes(frames: NDArray[np.uint8], seed: int) -> list[NDArray[np.uint8]]:
    """Return frames as the model draws them, one all noise, one black, one white."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(256, size=frames.shape[1:], dtype=np.uint8)
    return [*frames[rng.permutation(len(frames))[:5]], noise, np.zeros_like(noise), np.full_like(noise, 255)]


def actions(count: int, seed: int) -> list[int]:
    return [1, *np.random.default_rng(seed).integers(3, size=count - 1).tolist()]


def slots_of(coder: Coder, model: LatentModel) -> list[int]:
    return [bits for bits in BITS if bits >= coder.least_bits(model.sizes)]


def skip_unless_fitted(coder: Coder, model: LatentModel) -> None:
    """Skip what needs a world model where there is none."""
    if coder.name == "zero-bits" and not model.sizes.hidden:
        with pytest.raises(CoderError, match="has none"):
            coder.receiver(model, settings_of(coder, model, 85))
        pytest.skip("this model has no world model")
    if coder.needs and coder.name != "agent" and model.fitted_path(coder.needs) is None:
        assert coder.name == "rl-asc" or (coder.name, model.sizes.hidden) == ("predictive", 0)
        pytest.skip("nothing was fitted for it to this model")


def test_a_coder_says_what_it_shows_and_whence_it_comes(coder: Coder) -> None:
    assert 0 < len(coder.summary) <= 100 and not coder.summary.endswith(".")
    assert len(coder.source) > 20
    assert (coder.needs is None) == (coder.check is None)


def test_every_packet_obeys_the_slot_and_every_step_is_charged_what_it_cost(
    coder: Coder, any_model: LatentModel, any_frames: NDArray[np.uint8]
) -> None:
    skip_unless_fitted(coder, any_model)
    sizes = any_model.sizes
    for bits in slots_of(coder, any_model) if coder.hard else [85]:
        channel = channel_of(coder, any_model, settings_of(coder, any_model, bits))
        channel.reset()
        shown = scenes(any_frames, bits)
        for frame, action in zip(shown, actions(len(shown), bits), strict=True):
            downlink, received = channel.transmit(frame, action)
            assert received.shown is not None and downlink.packet is not None
            assert (received.shown.shape, received.shown.dtype.name) == (sizes.frame, "uint8")
            assert (channel.sender.latent.shape, channel.sender.latent.dtype.name) == ((sizes.latents,), "float32")
            assert (received.latent.shape, received.latent.dtype.name) == ((sizes.latents,), "float32")
            assert np.isfinite(received.latent).all()
            assert (received.mask.shape, received.mask.dtype.name) == ((sizes.blocks,), "bool")
            assert len(downlink.packet) == channel.packet_bytes
            if coder.hard:
                assert channel.packet_bytes == packet_bytes(bits)
                assert int.from_bytes(downlink.packet, "big").bit_length() <= bits
                assert downlink.bits == bits
            else:
                assert downlink.bits <= 8 * channel.packet_bytes
                assert (downlink.bits == 0) == coder.silent(sizes)
                assert not any(downlink.packet[downlink.bits // 8 :])


def test_a_slot_below_the_least_bits_is_refused(coder: Coder, any_model: LatentModel) -> None:
    skip_unless_fitted(coder, any_model)
    least = coder.least_bits(any_model.sizes)
    if least > 1:
        with pytest.raises(Exception) as refusal:
            channel_of(coder, any_model, settings_of(coder, any_model, least - 1))
        assert isinstance(refusal.value, compression.errors.CompressionError)


@pytest.mark.parametrize("noise", ["flips", "erasures", "gaussian"])
def test_no_noise_makes_a_receiver_fail_or_show_what_is_no_picture(
    coder: Coder, model: LatentModel, frames: NDArray[np.uint8], noise: NoiseName
) -> None:
    skip_unless_fitted(coder, model)
    for bits in slots_of(coder, model)[:: 3 if coder.hard else len(BITS)]:
        channel = channel_of(coder, model, settings_of(coder, model, bits), noise, 0.5)
        channel.reset()
        shown = scenes(frames, bits)
        for frame, action in zip(shown, actions(len(shown), bits), strict=True):
            downlink, received = channel.transmit(frame, action)
            assert received.shown is not None and received.shown.shape == (64, 64, 3)
            assert np.isfinite(received.latent).all()
            assert downlink.packet is None or len(downlink.packet) == channel.packet_bytes
            if not received.arrived:
                assert not received.mask.any()


def test_a_receiver_shows_something_though_no_packet_ever_arrives(coder: Coder, any_model: LatentModel) -> None:
    skip_unless_fitted(coder, any_model)
    for fill in FILLS if any_model.sizes.hidden else ("hold", "prior"):
        receiver = coder.receiver(any_model, settings_of(coder, any_model, 85, fill))
        for action in (1, 2, 0):
            assert receiver.decode(None, action).shape == any_model.sizes.frame
            assert not receiver.mask.any()


def test_a_receiver_in_another_process_needs_packets_and_actions_and_nothing_else(
    any_model: LatentModel, any_frames: NDArray[np.uint8]
) -> None:
    model = any_model
    assert model.folder is not None
    tasks, expected = [], []
    for name in BUILT_IN:
        coder = find_coder(name)
        if (coder.needs and not model.fitted_path(coder.needs)) or (name == "zero-bits" and not model.sizes.hidden):
            continue
        filled = "predict" if model.sizes.hidden else "prior"
        for bits, fill, noise in ((12, "hold", "erasures"), (85, filled, "flips")):
            channel = channel_of(coder, model, settings_of(coder, model, bits, fill, seed=5), noise, 0.05)  # type: ignore[arg-type]
            channel.reset()
            shown = scenes(any_frames, bits)
            past, digest, steps = actions(len(shown), bits), hashlib.sha256(), []
            for frame, action in zip(shown, past, strict=True):
                downlink, received = channel.transmit(frame, action)
                assert received.shown is not None
                digest.update(received.shown.tobytes() + received.latent.tobytes() + received.mask.tobytes())
                steps.append([None if downlink.packet is None else downlink.packet.hex(), action])
            task = {"model": str(model.folder), "coder": name, "bits": bits, "fill": fill, "steps": steps}
            tasks.append(json.dumps(task))
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
def test_a_mask_coder_refuses_to_send_without_its_mask_and_receives_all_the_same(name: str, model: LatentModel) -> None:
    settings = CoderSettings(85, "step", "hold", np.random.default_rng(0))
    with pytest.raises(CoderError, match=f"coder {name} needs a fitted file"):
        find_coder(name).sender(model, settings)
    assert find_coder(name).receiver(model, settings).decode(None, 0).shape == (64, 64, 3)


def test_a_reset_forgets_the_last_episode(coder: Coder, model: LatentModel, frames: NDArray[np.uint8]) -> None:
    def episode(channel: Channel) -> list[tuple[bytes, bytes]]:
        channel.reset()
        steps = [channel.transmit(frame, action) for frame, action in zip(frames[:4], (1, 2, 0, 2), strict=True)]
        return [(channel.recorded(downlink), bytes(received.shown)) for downlink, received in steps]  # type: ignore[arg-type]

    if coder.name in ("random", "random-step"):
        return  # draws other blocks
    skip_unless_fitted(coder, model)
    channel = channel_of(coder, model, settings_of(coder, model, 85))
    assert episode(channel) == episode(channel)


def test_latents_carried_without_frames_come_out_as_with_them(
    coder: Coder, model: LatentModel, frames: NDArray[np.uint8]
) -> None:
    skip_unless_fitted(coder, model)
    one, other = (channel_of(coder, model, settings_of(coder, model, 85, "predict")) for _ in range(2))
    if not one.in_latents:
        assert not coder.hard or coder.name in ("agent", "rl-asc")
        return
    assert isinstance(coder.receiver(model, settings_of(coder, model, 85)), LatentReceiver)
    for frame, action in zip(frames[:5], (1, 2, 0, 2, 1), strict=True):
        downlink, received = one.transmit(frame, action)
        carried = other.sender.advance_latent(model.encode_frame(frame), action)
        taken = other.receiver.take(other.transport.carry(carried))
        assert carried.packet == downlink.packet
        assert taken.latent.tobytes() == received.latent.tobytes()
        assert (taken.mask == received.mask).all()


def test_a_fitted_file_of_another_model_or_coder_is_refused(coder: Coder, model: LatentModel, tmp_path: Path) -> None:
    if coder.needs is None:
        return
    skip_unless_fitted(coder, model)
    path = fitted_path_of(coder, model, tmp_path)
    with pytest.raises(MaskError, match="other weights"):
        coder.read(path, tiny_model(tmp_path / "other", GREY))
    with pytest.raises(MaskError, match="was fitted for"):
        other = "coarse" if coder.needs == "pico" else "pico"
        coder.read(model.fitted_path(other), model)  # type: ignore[arg-type]


def test_a_fitted_file_of_other_shapes_is_refused(coder: Coder, tmp_path: Path) -> None:
    if coder.needs is None:
        return
    small = tiny_model(tmp_path, GREY)
    path = fitted_path_of(coder, small, tmp_path)
    fitted = coder.read(path, small)
    for wrong in ({}, {**fitted.tensors, "stranger": np.zeros(3, np.float32)}, _cut(fitted.tensors)):
        path.write_bytes(dump_fitted(wrong, fitted.record))
        with pytest.raises(MaskError, match="does not hold what") as refusal:
            coder.read(path, small)
        assert str(refusal.value).isprintable()


def _cut(tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.repeat(value, 2, axis=0) for name, value in tensors.items()}
