"""The latent model: generative model, world model, latent statistics and quantiser tables, from one file.

Its file, `model.safetensors`, lies in a folder of its own, and what was fitted to behaviour seen through it beside it::

    model = load_model(shipped_model("car-racing"))
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.errors import CoderError, DeviceError, SizeError
from compression.fill import Fill, FillName, HoldFill, PredictFill, PriorFill
from compression.fitting.fitted import FittedRecord, dump_record, parse_record
from compression.model.header import (
    FILE_NAME,
    FORMAT,
    LARGEST_FILE,
    TUNING,
    fitted_path,
    no_model,
    sizes_of,
    unreadable,
)
from compression.model.quantizer import Quantizer
from compression.model.sizes import Sizes
from compression.model.vae import VAE, Layers, straight
from compression.model.world_model import WorldModel
from compression.tensor_files import TensorFileError, dump_tensors, parse_tensors, with_tensors
from disk.reading import read_plain

PROCESSOR = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class LatentModel:
    """Everything both ends of the channel share. Latents have zero mean and unit variance over training frames."""

    sizes: Sizes
    vae: VAE
    world_model: WorldModel | None
    """None for pictures that do not follow one another."""
    mean: NDArray[np.float32]
    """float32[latents], mean of the latents over the training frames."""
    covariance: NDArray[np.float32]
    """float32[latents, latents], their covariance."""
    quantizer: Quantizer
    sha256: str
    """Hash of the model's file, recorded with every session and everything fitted."""
    folder: Path | None = None
    """Where its file lies."""
    tuning: FittedRecord | None = None
    """What its decoder was tuned to, see `compression.fitting.tuning`; None for one as it was trained."""
    device: torch.device = PROCESSOR
    """What frames are encoded and decoded on, and networks fitted; all else is done by the processor."""

    @property
    def latents_sha256(self) -> str:
        """Hash of the model that the latents are of: what was fitted to them serves a tuned decoder as well."""
        return self.tuning.model_sha256 if self.tuning else self.sha256

    def encode_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the latent, float32[latents], of a frame, uint8[H, W, C]: the posterior's mean."""
        latent: NDArray[np.float32] = self.encode_frames(frame[None])[0]
        return latent

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the latents, float32[N, latents], of frames, uint8[N, H, W, C]."""
        with torch.inference_mode():
            mu, _ = self.vae.encoder.forward(images_of(frames).to(self.device), self._layers[0])
        result: NDArray[np.float32] = mu.cpu().numpy()
        return result

    def decode_latent(self, latent: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the frame, uint8[H, W, C], that a latent, float32[latents], stands for."""
        frame: NDArray[np.uint8] = self.decode_latents(latent[None])[0]
        return frame

    def decode_latents(self, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the frames, uint8[N, H, W, C], of latents, float32[N, latents]."""
        with torch.inference_mode():
            images = self.vae.decoder.forward(torch.from_numpy(latents).to(self.device), self._layers[1])
            return frames_of(images)

    @cached_property
    def _layers(self) -> tuple[Layers, Layers]:
        return straight(self.vae.encoder.layers), straight(self.vae.decoder.layers)

    def fill(self, name: FillName) -> Fill:
        """Return a fresh fill of this name.

        Raises:
            CoderError: If it needs a world model and there is none.
        """
        if name == "hold":
            return HoldFill(self.mean)
        if name == "prior":
            return PriorFill(self.mean, self.covariance)
        if self.world_model is None:
            raise CoderError(
                "fill predict needs a world model, and this latent model, trained on pictures that do not follow one "
                "another, has none: use fill hold or prior"
            )
        return PredictFill(self.world_model, self.mean)

    def histories(self, latents: NDArray[np.float32], actions: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the world model's states, float32[N, T, hidden], before each step of N episodes of T steps.

        State t has seen latents and actions 0 to t - 1; state 0 is zero. Without a world model they are empty.

        Args:
            latents: float32[N, T, latents].
            actions: int[N, T], 0 to actions - 1, taken on seeing them.
        """
        states = np.zeros((*latents.shape[:2], self.sizes.hidden), np.float32)
        if self.world_model is None:
            return states
        hidden = torch.zeros(len(latents), self.sizes.hidden)
        z, a = torch.from_numpy(np.ascontiguousarray(latents)), torch.from_numpy(actions.astype(np.int64))
        with torch.inference_mode():
            for step in range(latents.shape[1] - 1):
                hidden, _ = self.world_model(z[:, step], a[:, step], hidden)
                states[:, step + 1] = hidden.numpy()
        return states

    def for_actions(self, actions: int) -> LatentModel:
        """Return this model for a task of so many actions.

        The pictures of one world serve several questions. Actions count for nothing in a model of pictures that do not
        follow one another.

        Raises:
            SizeError: If its world model knows another number of them.
        """
        if actions == self.sizes.actions:
            return self
        if self.world_model is not None:
            raise SizeError(f"this latent model has {self.sizes.actions} actions, not {actions}")
        return replace(self, sizes=replace(self.sizes, actions=actions))

    def on(self, device: torch.device | str) -> LatentModel:
        """Return this model on a device, as of `chosen_device`; sums round differently there. Raises DeviceError."""
        chosen = chosen_device(device)
        if chosen == self.device:
            return self
        return replace(self, vae=copy.deepcopy(self.vae).to(chosen), device=chosen)

    def fitted_path(self, objective: str) -> Path | None:
        """Return the file that comes with the model and was fitted for an objective; None if there is none."""
        return fitted_path(self.folder, objective) if self.folder else None


def use_one_thread() -> None:
    """Make this process run its models on one thread.

    Single frames gain nothing from more, the window keeps a core to itself, and sums come out alike on every machine.
    """
    torch.set_num_threads(1)


def chosen_device(device: torch.device | str) -> torch.device:
    """Return a device for networks; `auto` is a GPU where there is one. Raises DeviceError if it is not here."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"there is no {device} here that PyTorch can use; nothing was done: leave out --device"
        ) from error
    return chosen


def images_from_frames(frames: Tensor) -> Tensor:
    """Return images float32[N, C, H, W] in [0, 1] of frames uint8[N, H, W, C], in channels-last memory."""
    return frames.permute(0, 3, 1, 2).float().div_(255)


def images_of(frames: NDArray[np.uint8]) -> Tensor:
    """Return the images, as `images_from_frames`, of an array of frames."""
    return images_from_frames(torch.from_numpy(np.require(frames, requirements=["C", "W"])))


def frames_of(images: Tensor) -> NDArray[np.uint8]:
    """Return the frames, uint8[N, H, W, C], of images float32[N, C, H, W], which change; what is no number is black."""
    frames = images.nan_to_num_(0).clamp_(0, 1).mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)
    result: NDArray[np.uint8] = np.ascontiguousarray(frames.cpu().numpy())
    return result


def save_model(
    sizes: Sizes,
    vae: VAE,
    world_model: WorldModel | None,
    mean: NDArray[np.float32],
    covariance: NDArray[np.float32],
    codebook: NDArray[np.float32],
) -> bytes:
    """Return the bytes of a model's file: the same model gives the same bytes. Networks are rounded to half precision.

    Args:
        sizes: Of everything.
        vae: The generative model.
        world_model: None if `sizes.hidden` is 0.
        mean: float32[latents].
        covariance: float32[latents, latents].
        codebook: float32[latents, 2080], see `compression.model.quantizer.fit_codebook`.
    """
    networks: Mapping[str, nn.Module | None] = {"vae.": vae, "world_model.": world_model}
    tensors = {
        prefix + name: tensor.half().numpy()
        for prefix, network in networks.items()
        if network is not None
        for name, tensor in network.state_dict().items()
    }
    statistics = {"latent.mean": mean, "latent.covariance": covariance, "quantizer.codebook": codebook}
    tensors |= {name: array.astype(np.float32) for name, array in statistics.items()}
    return dump_tensors(tensors, {"format": FORMAT, "sizes": json.dumps(asdict(sizes), sort_keys=True)})


def with_decoder(data: bytes, decoder: nn.Module, tuning: FittedRecord) -> bytes:
    """Return the bytes of a model's file with another decoder; all other tensors are kept, bit for bit.

    Args:
        data: Of the model's own file.
        decoder: Of the same sizes.
        tuning: What it was tuned to; names the hash of the model that the latents are of.
    """
    tensors = {f"vae.decoder.{name}": tensor.numpy() for name, tensor in decoder.state_dict().items()}
    return with_tensors(data, tensors, {TUNING: dump_record(tuning)})


def load_model(folder: Path) -> LatentModel:
    """Load a latent model.

    Args:
        folder: That of its file, `model.safetensors`.

    Raises:
        WeightsError: If the file is missing, damaged or no latent model of this version.
    """
    path = folder / FILE_NAME
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return _load(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _load(path: Path, changed_ns: int, size: int) -> LatentModel:
    try:
        data = read_plain(path, LARGEST_FILE)
        arrays, metadata = parse_tensors(data)
        sizes = sizes_of(metadata)
        tuning = parse_record(metadata[TUNING]) if TUNING in metadata else None
        with torch.device("meta"):  # sizes are not believed before the tensors were found to have them
            vae = VAE(sizes)
            world_model = WorldModel(sizes) if sizes.hidden else None
        parts = {"vae.": vae, "world_model.": world_model or nn.Module()}
        for prefix, network in parts.items():
            _fill_network(network, arrays, prefix)
        mean, covariance = arrays["latent.mean"], arrays["latent.covariance"]
        if mean.shape != (sizes.latents,) or covariance.shape != (sizes.latents, sizes.latents):
            raise ValueError("latent statistics have the wrong shape")
        if (
            not np.allclose(covariance, covariance.T, atol=1e-4)
            or np.linalg.eigvalsh(covariance.astype(np.float64)).min() <= 0
        ):
            raise ValueError("the latents' covariance is not valid")
        if len(arrays["quantizer.codebook"]) != sizes.latents:
            raise ValueError(f"the codebook must have {sizes.latents} features")
        quantizer = Quantizer(arrays["quantizer.codebook"])
    except OSError as error:
        raise unreadable(path, error) from error
    except (TensorFileError, SizeError, KeyError, RuntimeError, TypeError, ValueError, RecursionError) as error:
        raise no_model(path, error) from error
    vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LatentModel(
        sizes=sizes,
        vae=vae.eval().requires_grad_(False),
        world_model=world_model.eval().requires_grad_(False) if world_model else None,
        mean=mean,
        covariance=covariance,
        quantizer=quantizer,
        sha256=hashlib.sha256(data).hexdigest(),
        folder=path.parent,
        tuning=tuning,
    )


def _fill_network(network: nn.Module, arrays: Mapping[str, NDArray[np.float32]], prefix: str) -> None:
    tensors = {
        name.removeprefix(prefix): torch.from_numpy(array) for name, array in arrays.items() if name.startswith(prefix)
    }
    network.load_state_dict(tensors, assign=True)
