"""The shipped codec: generative model, world model, latent statistics and quantiser tables from one weights file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from compression.errors import WeightsError
from compression.fill import Fill, FillName, HoldFill, PredictFill, PriorFill
from compression.masks import LATENTS
from compression.model.quantizer import Quantizer
from compression.model.vae import VAE
from compression.model.world_model import HIDDEN, WorldModel

WEIGHTS = Path(__file__).parents[1] / "weights" / "codec.safetensors"


@dataclass(frozen=True, eq=False)
class Codec:
    """Everything both ends of the channel share. Latents have zero mean and unit variance over training frames."""

    vae: VAE
    world_model: WorldModel
    mean: NDArray[np.float32]
    """float32[32], mean of the latents over the training frames."""
    covariance: NDArray[np.float32]
    """float32[32, 32], their covariance."""
    quantizer: Quantizer
    sha256: str
    """Hash of the weights file, recorded with every session and mask."""

    def encode_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the latent, float32[32], of a frame, uint8[64, 64, 3]: the posterior's mean."""
        latent: NDArray[np.float32] = self.encode_frames(frame[None])[0]
        return latent

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the latents, float32[N, 32], of frames, uint8[N, 64, 64, 3]."""
        with torch.inference_mode():
            mu, _ = self.vae.encoder(images_from_frames(torch.from_numpy(np.require(frames, requirements=["C", "W"]))))
        result: NDArray[np.float32] = mu.numpy()
        return result

    def decode_latent(self, latent: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the frame, uint8[64, 64, 3], that a latent, float32[32], stands for."""
        frame: NDArray[np.uint8] = self.decode_latents(latent[None])[0]
        return frame

    def decode_latents(self, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the frames, uint8[N, 64, 64, 3], of latents, float32[N, 32]."""
        with torch.inference_mode():
            images = self.vae.decoder(torch.from_numpy(latents))
            frames = images.clamp_(0, 1).mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)
        result: NDArray[np.uint8] = np.ascontiguousarray(frames.numpy())
        return result

    def fill(self, name: FillName) -> Fill:
        """Return a fresh fill of this name."""
        if name == "hold":
            return HoldFill(self.mean)
        if name == "prior":
            return PriorFill(self.mean, self.covariance)
        return PredictFill(self.world_model, self.mean)

    def histories(self, latents: NDArray[np.float32], actions: NDArray[np.int8]) -> NDArray[np.float32]:
        """Return the world model's states, float32[N, T, 256], before each step of N episodes of T steps.

        State t has seen latents and actions 0 to t - 1; state 0 is zero.

        Args:
            latents: float32[N, T, 32].
            actions: int8[N, T] in {-1, 0, 1}, taken on seeing them.
        """
        states = np.zeros((*latents.shape[:2], HIDDEN), np.float32)
        hidden = torch.zeros(len(latents), HIDDEN)
        z, a = torch.from_numpy(np.ascontiguousarray(latents)), torch.from_numpy(actions.astype(np.int64))
        with torch.inference_mode():
            for step in range(latents.shape[1] - 1):
                hidden, _ = self.world_model(z[:, step], a[:, step], hidden)
                states[:, step + 1] = hidden.numpy()
        return states


def use_one_thread() -> None:
    """Make this process run its models on one thread.

    Single frames gain nothing from more, the window keeps a core to itself, and sums come out alike on every machine.
    """
    torch.set_num_threads(1)


def images_from_frames(frames: Tensor) -> Tensor:
    """Return images float32[N, 3, 64, 64] in [0, 1] of frames uint8[N, 64, 64, 3], in channels-last memory."""
    return frames.permute(0, 3, 1, 2).float().div_(255)


def load_codec(path: Path | None = None) -> Codec:
    """Load a codec; the shipped one by default.

    Raises:
        WeightsError: If the file is missing, damaged or no codec of this version.
    """
    return _load(path or WEIGHTS)


@lru_cache(maxsize=2)
def _load(path: Path) -> Codec:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read codec weights {path}: {error.strerror}; reinstall racer") from error
    try:
        tensors = {name: tensor.float() for name, tensor in load_tensors(data).items()}
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise ValueError(f"{name} is not finite")
        vae, world_model = VAE(), WorldModel()
        vae.load_state_dict(_part(tensors, "vae."))
        world_model.load_state_dict(_part(tensors, "world_model."))
        mean, covariance = tensors["latent.mean"].numpy(), tensors["latent.covariance"].numpy()
        if mean.shape != (LATENTS,) or covariance.shape != (LATENTS, LATENTS):
            raise ValueError("latent statistics have the wrong shape")
        if len(tensors["quantizer.codebook"]) != LATENTS:
            raise ValueError(f"the codebook must have {LATENTS} features")
        quantizer = Quantizer(tensors["quantizer.codebook"].numpy())
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path} holds no codec weights of this version ({reason})") from error
    vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Codec(
        vae=vae.eval().requires_grad_(False),
        world_model=world_model.eval().requires_grad_(False),
        mean=mean,
        covariance=covariance,
        quantizer=quantizer,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
