"""The model's file, whatever is in it, and what a model makes of frames and latents."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from tiny_models import GREY, STILL, tiny_model, write_tiny_model
from torch import Tensor, nn

from compression.errors import CoderError, WeightsError
from compression.fill import HoldFill, PredictFill, PriorFill
from compression.model.header import FILE_NAME, LARGEST_FILE, shipped_model
from compression.model.latent_model import LatentModel, images_from_frames, load_model, save_model
from compression.model.vae import VAE, straight

SHIPPED = shipped_model("car-racing") / FILE_NAME


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a small model's file."""
    return (write_tiny_model(tmp_path_factory.mktemp("tiny")) / FILE_NAME).read_bytes()


def refusal(folder: Path, content: bytes | None = None) -> str:
    """Return the one line with which a model's folder is refused."""
    if content is not None:
        (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(WeightsError) as error:
        load_model(folder)
    assert str(error.value).isprintable(), ascii(str(error.value))
    return str(error.value)


def with_header(weights: bytes, **metadata: str) -> bytes:
    """Return a model's file with other metadata."""
    end = 8 + int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8:end])
    header["__metadata__"] |= metadata
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + weights[end:]


def sizes_of(weights: bytes) -> dict[str, Any]:
    end = 8 + int.from_bytes(weights[:8], "little")
    sizes: dict[str, Any] = json.loads(json.loads(weights[8:end])["__metadata__"]["sizes"])
    return sizes


def test_the_model_carries_the_hash_of_its_file(model: LatentModel) -> None:
    assert model.sha256 == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert model.folder == SHIPPED.parent


def test_the_first_format_means_the_sizes_of_version_0_1_0(model: LatentModel) -> None:
    sizes = model.sizes
    assert (sizes.frame, sizes.latents, sizes.blocks, sizes.block_size) == ((64, 64, 3), 32, 8, 4)
    assert (sizes.actions, sizes.hidden, sizes.dense) == (3, 256, 512)


def test_what_was_saved_is_loaded_with_its_sizes(tmp_path: Path) -> None:
    for number, sizes in enumerate((GREY, STILL)):
        loaded = tiny_model(tmp_path / str(number), sizes)
        assert loaded.sizes == sizes
        assert (loaded.world_model is None) == (sizes.hidden == 0)


def test_the_same_model_gives_the_same_bytes(any_model: LatentModel) -> None:
    codebook = np.zeros((any_model.sizes.latents, 2080), np.float32)
    parts = (any_model.vae, any_model.world_model, any_model.mean, any_model.covariance, codebook)
    assert len({save_model(any_model.sizes, *parts) for _ in range(5)}) == 1


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    first = tiny_model(tmp_path, GREY, seed=0)
    os.utime(tmp_path / FILE_NAME, ns=(0, 0))
    assert tiny_model(tmp_path, GREY, seed=1).sha256 != first.sha256


def test_fitted_files_are_found_beside_the_model(model: LatentModel, tmp_path: Path) -> None:
    assert model.fitted_path("pico") == SHIPPED.parent / "pico.safetensors"
    assert model.fitted_path("perceptual") is None
    alone = write_tiny_model(tmp_path)
    (alone / "pico.safetensors").unlink()
    (alone / "pico.safetensors").mkdir()
    assert load_model(alone).fitted_path("pico") is None


def test_no_weight_can_be_trained_by_accident(any_model: LatentModel) -> None:
    for network in filter(None, (any_model.vae, any_model.world_model)):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_loading_leaves_the_global_generator_alone(weights: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(weights)
    state = torch.get_rng_state()
    load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    assert "absent" in refusal(tmp_path / "absent")


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    refusal(tmp_path)
    (tmp_path / "piped").mkdir()
    os.mkfifo(tmp_path / "piped" / FILE_NAME)  # opened, it would wait for ever
    refusal(tmp_path / "piped")


def test_a_file_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / FILE_NAME).open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert "large" in refusal(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 200, 0.5, 0.99, -1])
def test_truncated_weights_are_refused(kept: float, weights: bytes, tmp_path: Path) -> None:
    refusal(tmp_path, weights[: int(kept * len(weights)) if 0 < kept < 1 else int(kept)])


@pytest.mark.parametrize(
    "content",
    [
        b"not weights at all",
        pickle.dumps({"vae.encoder.layers.1.weight": [1.0]}),
        b"\xff" * 64,
        save({"policy.layers.0.weight": torch.zeros(64, 32)}),
        (SHIPPED.parent / "pico.safetensors").read_bytes(),
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
    ids=["text", "pickle", "huge header", "other tensors", "a mask", "brackets"],
)
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    refusal(tmp_path, content)


@pytest.mark.parametrize(
    "change",
    [
        {"latents": 13},
        {"latents": 10**9, "blocks": 2},
        {"blocks": 5},
        {"blocks": 0},
        {"actions": 5},
        {"actions": 1},
        {"hidden": 0},
        {"hidden": -1},
        {"hidden": 17},
        {"dense": 10**12},
        {"dense": 33},
        {"dense": "32"},
        {"dense": 32.0},
        {"dense": True},
        {"dense": None},
        {"frame": [48, 48, 1], "dense": 31},
        {"frame": [64, 64, 1]},
        {"frame": [40, 40, 3]},
        {"frame": [40, 40, 2]},
        {"frame": [40, 40]},
        {"frame": 40},
        {"frame": [10**9, 40, 1]},
        {"stranger": 1},
    ],
    ids=json.dumps,
)
def test_sizes_that_are_none_or_not_those_of_the_tensors_are_refused(
    change: dict[str, Any], weights: bytes, tmp_path: Path
) -> None:
    refusal(tmp_path, with_header(weights, sizes=json.dumps(sizes_of(weights) | change)))


@pytest.mark.parametrize(
    "text", ["", "3", "null", "[]", "{}", "[" * 100_000, "NaN", '{"frame": [1' + "0" * 9000 + "]}"]
)
def test_sizes_that_are_no_object_are_refused(text: str, weights: bytes, tmp_path: Path) -> None:
    refusal(tmp_path, with_header(weights, sizes=text))


@pytest.mark.parametrize("form", ["racer-model-3", "racer-codec-1", ""])
def test_another_format_is_refused(form: str, weights: bytes, tmp_path: Path) -> None:
    refusal(tmp_path, with_header(weights, format=form))


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    return damage


def cut(name: str) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name][:5].contiguous()

    return damage


def with_value(name: str, value: float) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[0] = value

    return damage


def descending(tensors: dict[str, Tensor]) -> None:
    tensors["quantizer.codebook"] = tensors["quantizer.codebook"].flip(1).contiguous()


def with_stranger(tensors: dict[str, Tensor]) -> None:
    tensors["vae.stranger"] = torch.zeros(3)


def singular(tensors: dict[str, Tensor]) -> None:
    tensors["latent.covariance"] = torch.ones_like(tensors["latent.covariance"])


NAN = torch.nan


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
        pytest.param(singular, id="features that say the same"),
        pytest.param(with_value("latent.covariance", -9.0), id="negative variance"),
        pytest.param(with_value("quantizer.codebook", NAN), id="codebook not finite"),
        pytest.param(with_value("latent.mean", NAN), id="mean not finite"),
        pytest.param(with_value("latent.mean", 1e30), id="mean beyond everything"),
        pytest.param(with_value("latent.covariance", NAN), id="covariance not finite"),
        pytest.param(with_value("vae.decoder.layers.0.bias", NAN), id="decoder not finite"),
        pytest.param(with_value("world_model.change.bias", NAN), id="world model not finite"),
    ],
)
def test_weights_with_wrong_content_are_refused(
    damage: Callable[[dict[str, Tensor]], None], weights: bytes, tmp_path: Path
) -> None:
    tensors = load(weights)
    damage(tensors)
    metadata = {"format": "racer-model-2", "sizes": json.dumps(sizes_of(weights))}
    refusal(tmp_path, save(tensors, metadata))


def test_flipped_bytes_are_refused_or_leave_a_model(weights: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    header_end = 8 + int.from_bytes(weights[:8], "little")
    for number in range(40):
        damaged = bytearray(weights)
        damaged[rng.integers(header_end if number % 4 else len(weights))] ^= int(rng.integers(1, 256))
        (tmp_path / FILE_NAME).write_bytes(damaged)
        os.utime(tmp_path / FILE_NAME, ns=(number, number))
        try:
            loaded = load_model(tmp_path)
        except WeightsError as error:
            assert str(error).isprintable(), ascii(str(error))
        else:
            assert loaded.decode_latent(loaded.mean).shape == GREY.frame


def test_frames_become_latents_of_the_promised_shape_and_type(
    any_model: LatentModel, any_frames: NDArray[np.uint8]
) -> None:
    size = any_model.sizes.latents
    latents = any_model.encode_frames(any_frames[:5])
    assert (latents.shape, latents.dtype) == ((5, size), np.float32)
    assert np.isfinite(latents).all()
    assert any_model.encode_frame(any_frames[0]).shape == (size,)


@pytest.mark.parametrize("shade", [0, 255])
def test_frames_of_a_single_shade_have_finite_latents(any_model: LatentModel, shade: int) -> None:
    assert np.isfinite(any_model.encode_frame(np.full(any_model.sizes.frame, shade, np.uint8))).all()


def test_latents_become_frames_of_the_promised_shape_and_type(any_model: LatentModel) -> None:
    frames = any_model.decode_latents(np.stack([any_model.mean] * 5))
    assert (frames.shape, frames.dtype) == ((5, *any_model.sizes.frame), np.uint8)
    assert frames.flags.c_contiguous
    assert any_model.decode_latent(any_model.mean).shape == any_model.sizes.frame


def test_extreme_latents_are_clipped_and_never_wrap_around(model: LatentModel) -> None:
    latents = 30 * np.random.default_rng(2).standard_normal((4, 32)).astype(np.float32)
    with torch.inference_mode():
        images = model.vae.decoder(torch.from_numpy(latents)).numpy()
    assert images.min() < 0 or images.max() > 1, "the latents are not extreme enough for this test"
    expected = np.clip(images, 0, 1).transpose(0, 2, 3, 1) * 255
    assert np.abs(model.decode_latents(latents) - expected).max() <= 0.5 + 1e-3


def test_a_single_frame_equals_a_batch_of_one(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    assert model.encode_frame(frames[3]).tobytes() == model.encode_frames(frames[3:4]).tobytes()
    latents = model.encode_frames(frames[3:4])
    assert model.decode_latent(latents[0]).tobytes() == model.decode_latents(latents).tobytes()


def test_a_batch_agrees_with_its_frames_one_by_one(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    latents = model.encode_frames(frames[:6])
    assert np.allclose(latents, [model.encode_frame(frame) for frame in frames[:6]], atol=1e-3)
    singly = np.stack([model.decode_latent(latent) for latent in latents]).astype(int)
    assert np.abs(model.decode_latents(latents).astype(int) - singly).max() <= 1


def test_encoding_leaves_the_frame_as_it_was(model: LatentModel, frames: NDArray[np.uint8]) -> None:
    frame = frames[0].copy()
    model.encode_frame(frame)
    assert (frame == frames[0]).all()


def test_images_keep_channels_and_positions() -> None:
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[0, 10, 20, 2] = 255
    images = images_from_frames(torch.from_numpy(frames))
    assert images.shape == (1, 3, 64, 64)
    assert images[0, 2, 10, 20] == 1
    assert images.sum() == 1


@pytest.mark.parametrize("side", [8, 15, 16, 17, 64, 96, 128, 129, 200, 256])
def test_frames_of_any_size_are_padded_and_cropped(side: int) -> None:
    sizes = replace(GREY, frame=(side, max(8, side // 2), 3), dense=4)
    vae = VAE(sizes)
    with torch.inference_mode():
        mu, logvar = vae.encoder(torch.rand(2, 3, *sizes.frame[:2]))
        assert mu.shape == logvar.shape == (2, sizes.latents)
        assert vae.decoder(mu).shape == (2, 3, *sizes.frame[:2])
    # Four halvings up to 128 pixels, and one more beyond.
    deepest = sum(layer.stride == (2, 2) for layer in vae.encoder.layers if isinstance(layer, nn.Conv2d))
    assert deepest == (3 if side <= 128 else 4)


def test_straight_layers_give_the_bits_of_their_modules(any_model: LatentModel) -> None:
    vae, sizes = any_model.vae, any_model.sizes
    for batch in (1, 6):
        images, latents = torch.rand(batch, sizes.frame[2], *sizes.frame[:2]), torch.randn(batch, sizes.latents)
        with torch.inference_mode():
            ours = vae.encoder.forward(images, straight(vae.encoder.layers))
            assert all(map(torch.equal, ours, vae.encoder(images)))
            assert torch.equal(vae.decoder.forward(latents, straight(vae.decoder.layers)), vae.decoder(latents))


def test_fills_come_by_name(model: LatentModel) -> None:
    assert isinstance(model.fill("hold"), HoldFill)
    assert isinstance(model.fill("prior"), PriorFill)
    assert isinstance(model.fill("predict"), PredictFill)


def test_without_a_world_model_nothing_is_predicted_and_histories_are_empty(tmp_path: Path) -> None:
    still = tiny_model(tmp_path, STILL)
    with pytest.raises(CoderError, match="use fill hold or prior"):
        still.fill("predict")
    assert isinstance(still.fill("prior"), PriorFill)
    assert still.histories(np.zeros((2, 5, 8), np.float32), np.zeros((2, 5), np.uint8)).shape == (2, 5, 0)


def test_histories_are_the_world_models_states_before_each_step(model: LatentModel) -> None:
    assert model.world_model is not None
    latents = np.random.default_rng(3).standard_normal((6, 32)).astype(np.float32)
    actions = np.array([0, 1, 2, 2, 1, 0], np.int8)
    states = model.histories(latents[None], actions[None])[0]
    assert states.shape == (6, 256)
    assert (states[0] == 0).all()
    hidden = torch.zeros(1, 256)
    for step in range(5):
        hidden, _ = model.world_model(
            torch.from_numpy(latents[step : step + 1]), torch.tensor([int(actions[step])]), hidden
        )
        assert np.allclose(states[step + 1], hidden[0].numpy(), atol=1e-6)


def test_a_history_knows_nothing_of_its_own_step_or_later(model: LatentModel) -> None:
    latents = np.random.default_rng(3).standard_normal((6, 32)).astype(np.float32)
    actions = np.zeros(6, np.int8)
    states = model.histories(latents[None], actions[None])[0]
    latents[3:], actions[3:] = 0, 2
    changed = model.histories(latents[None], actions[None])[0]
    assert states[:4].tobytes() == changed[:4].tobytes()
    assert (states[4] != changed[4]).any()


def test_an_episode_without_steps_has_no_histories(model: LatentModel) -> None:
    assert model.histories(np.zeros((1, 0, 32), np.float32), np.zeros((1, 0), np.uint8)).shape == (1, 0, 256)
