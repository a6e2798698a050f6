from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from compression.errors import WeightsError
from compression.fill import HoldFill, PredictFill, PriorFill
from compression.masks import LATENTS
from compression.model.latent_model import WEIGHTS, Codec, images_from_frames, load_codec
from compression.model.world_model import HIDDEN


@pytest.fixture(scope="module")
def weights() -> bytes:
    return WEIGHTS.read_bytes()


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        load_codec(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_codec_carries_the_hash_of_its_file(codec: Codec, weights: bytes) -> None:
    assert codec.sha256 == hashlib.sha256(weights).hexdigest()


def test_a_copy_of_the_weights_elsewhere_loads(weights: bytes, codec: Codec, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights)
    assert load_codec(copy).sha256 == codec.sha256


def test_no_weight_can_be_trained_by_accident(codec: Codec) -> None:
    for model in (codec.vae, codec.world_model):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    assert "absent.safetensors" in refusal(tmp_path / "absent.safetensors")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 200, 0.5, 0.99, -1])
def test_truncated_weights_are_refused(kept: float, weights: bytes, tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes(weights[: int(kept * len(weights)) if 0 < kept < 1 else int(kept)])
    refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        b"not weights at all",
        pickle.dumps({"vae.encoder.layers.1.weight": [1.0]}),
        b"\xff" * 64,
        save({"policy.layers.0.weight": torch.zeros(64, LATENTS)}),
    ],
    ids=["text", "pickle", "huge header", "a mask"],
)
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    refusal(path)


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    return damage


def cut(name: str) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name][:5].contiguous()

    return damage


def with_nan(name: str) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[0] = torch.nan

    return damage


def descending(tensors: dict[str, Tensor]) -> None:
    tensors["quantizer.codebook"] = tensors["quantizer.codebook"].flip(1).contiguous()


def with_stranger(tensors: dict[str, Tensor]) -> None:
    tensors["vae.stranger"] = torch.zeros(3)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(without("latent.mean"), id="no mean"),
        pytest.param(without("quantizer.codebook"), id="no codebook"),
        pytest.param(without("world_model.change.weight"), id="world model incomplete"),
        pytest.param(with_stranger, id="VAE of another make"),
        pytest.param(cut("latent.mean"), id="short mean"),
        pytest.param(cut("latent.covariance"), id="short covariance"),
        pytest.param(cut("quantizer.codebook"), id="codebook of five features"),
        pytest.param(descending, id="descending codebook"),
        pytest.param(with_nan("quantizer.codebook"), id="codebook not finite"),
        pytest.param(with_nan("latent.mean"), id="mean not finite"),
        pytest.param(with_nan("latent.covariance"), id="covariance not finite"),
        pytest.param(with_nan("vae.decoder.layers.0.bias"), id="decoder not finite"),
        pytest.param(with_nan("world_model.change.bias"), id="world model not finite"),
    ],
)
def test_weights_with_wrong_content_are_refused(
    damage: Callable[[dict[str, Tensor]], None], weights: bytes, tmp_path: Path
) -> None:
    tensors = load(weights)
    damage(tensors)
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(save(tensors))
    refusal(path)


def test_frames_become_latents_of_the_promised_shape_and_type(codec: Codec, frames: NDArray[np.uint8]) -> None:
    latents = codec.encode_frames(frames[:5])
    assert latents.shape == (5, LATENTS)
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()
    assert codec.encode_frame(frames[0]).shape == (LATENTS,)


@pytest.mark.parametrize("shade", [0, 255])
def test_frames_of_a_single_shade_have_finite_latents(codec: Codec, shade: int) -> None:
    assert np.isfinite(codec.encode_frame(np.full((64, 64, 3), shade, np.uint8))).all()


def test_latents_become_frames_of_the_promised_shape_and_type(codec: Codec) -> None:
    frames = codec.decode_latents(np.zeros((5, LATENTS), np.float32))
    assert frames.shape == (5, 64, 64, 3)
    assert frames.dtype == np.uint8
    assert frames.flags.c_contiguous
    assert codec.decode_latent(np.zeros(LATENTS, np.float32)).shape == (64, 64, 3)


def test_extreme_latents_are_clipped_and_never_wrap_around(codec: Codec) -> None:
    latents = 30 * np.random.default_rng(2).standard_normal((4, LATENTS)).astype(np.float32)
    with torch.inference_mode():
        images = codec.vae.decoder(torch.from_numpy(latents)).numpy()
    assert images.min() < 0 or images.max() > 1, "the latents are not extreme enough for this test"
    expected = np.clip(images, 0, 1).transpose(0, 2, 3, 1) * 255
    assert np.abs(codec.decode_latents(latents) - expected).max() <= 0.5 + 1e-3


def test_a_single_frame_equals_a_batch_of_one(codec: Codec, frames: NDArray[np.uint8]) -> None:
    assert codec.encode_frame(frames[3]).tobytes() == codec.encode_frames(frames[3:4]).tobytes()
    latents = codec.encode_frames(frames[3:4])
    assert codec.decode_latent(latents[0]).tobytes() == codec.decode_latents(latents).tobytes()


def test_a_batch_agrees_with_its_frames_one_by_one(codec: Codec, frames: NDArray[np.uint8]) -> None:
    latents = codec.encode_frames(frames[:6])
    assert np.allclose(latents, [codec.encode_frame(frame) for frame in frames[:6]], atol=1e-3)
    singly = np.stack([codec.decode_latent(latent) for latent in latents]).astype(int)
    assert np.abs(codec.decode_latents(latents).astype(int) - singly).max() <= 1


def test_encoding_leaves_the_frame_as_it_was(codec: Codec, frames: NDArray[np.uint8]) -> None:
    frame = frames[0].copy()
    codec.encode_frame(frame)
    assert (frame == frames[0]).all()


def test_images_keep_channels_and_positions() -> None:
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[0, 10, 20, 2] = 255
    images = images_from_frames(torch.from_numpy(frames))
    assert images.shape == (1, 3, 64, 64)
    assert images[0, 2, 10, 20] == 1
    assert images.sum() == 1


def test_fills_come_by_name(codec: Codec) -> None:
    assert isinstance(codec.fill("hold"), HoldFill)
    assert isinstance(codec.fill("prior"), PriorFill)
    assert isinstance(codec.fill("predict"), PredictFill)


def test_histories_are_the_world_models_states_before_each_step(codec: Codec) -> None:
    latents = np.random.default_rng(3).standard_normal((6, LATENTS)).astype(np.float32)
    actions = np.array([-1, 0, 1, 1, 0, -1], np.int8)
    states = codec.histories(latents[None], actions[None])[0]
    assert states.shape == (6, HIDDEN)
    assert (states[0] == 0).all()
    hidden = torch.zeros(1, HIDDEN)
    for step in range(5):
        hidden, _ = codec.world_model(
            torch.from_numpy(latents[step : step + 1]), torch.tensor([int(actions[step])]), hidden
        )
        assert np.allclose(states[step + 1], hidden[0].numpy(), atol=1e-6)


def test_a_history_knows_nothing_of_its_own_step_or_later(codec: Codec) -> None:
    latents = np.random.default_rng(3).standard_normal((6, LATENTS)).astype(np.float32)
    actions = np.zeros(6, np.int8)
    states = codec.histories(latents[None], actions[None])[0]
    latents[3:], actions[3:] = 0, 1
    changed = codec.histories(latents[None], actions[None])[0]
    assert states[:4].tobytes() == changed[:4].tobytes()
    assert (states[4] != changed[4]).any()


def test_an_episode_without_steps_has_no_histories(codec: Codec) -> None:
    assert codec.histories(np.zeros((1, 0, LATENTS), np.float32), np.zeros((1, 0), np.int8)).shape == (1, 0, HIDDEN)
