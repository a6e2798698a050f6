"""The data card of a latent model: how good it is on frames that it was not trained on."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compression.coders.blocks import full_layout
from compression.model.latent_model import LatentModel
from compression.model.training.data import Split
from compression.model.training.networks import Done, encode, rate_per_feature
from compression.model.vae import VAE

_FRAMES = 1000
"""Held-out frames that pictures are compared of."""
_TRIALS = 10
"""Held-out trials that predictions are compared on."""
_INFORMATIVE = 0.1, 0.05
"""Nats that a feature must carry and dB of PSNR that must be lost without it to count as informative."""


def measure(model: LatentModel, held_out: Split, progress: Done = lambda done: None) -> dict[str, Any]:
    """Return what a model does with held-out frames, through the very code that a session runs."""
    sample = _sample(held_out)
    mu, logvar = encode(model.vae, sample, torch.device("cpu"))
    latents: NDArray[np.float32] = mu.numpy()
    layout, size = full_layout(model.sizes), model.sizes.latents

    def through_packet(latent: NDArray[np.float32]) -> NDArray[np.float32]:
        _, symbols = layout.unpack(layout.pack(0, model.quantizer.encode(latent, np.arange(size), layout.levels)))
        return model.quantizer.decode(symbols, np.arange(size), layout.levels)

    def quality(z: NDArray[np.float32]) -> tuple[float, float]:
        return psnr(
            np.concatenate([model.decode_latents(part) for part in np.array_split(z, len(z) // 256 + 1)]), sample
        )

    rate = rate_per_feature(mu, logvar)
    exact, quantised = quality(latents), quality(np.stack([through_packet(latent) for latent in latents]))
    losses = []
    for feature in range(size):
        progress(feature / size)
        without = latents.copy()
        without[:, feature] = model.mean[feature]
        losses.append(exact[0] - quality(without)[0])
    least_nats, least_loss = _INFORMATIVE
    measured: dict[str, Any] = {
        "frames": len(sample),
        "psnr_unquantised_db": exact[0],
        "psnr_unquantised_mean_over_frames_db": exact[1],
        "psnr_quantised_db": quantised[0],
        "psnr_quantised_mean_over_frames_db": quantised[1],
        "quantised_bits": layout.bits,
        "quantisation_cost_db": exact[0] - quantised[0],
        "nats_per_feature": [round(value, 3) for value in rate.tolist()],
        "psnr_lost_without_feature_db": [round(value, 3) for value in losses],
        "informative_features": int(((rate > least_nats) & (torch.tensor(losses) > least_loss)).sum()),
        "informative_means": f"carries over {least_nats} nat, and over {least_loss} dB of PSNR is lost when it is "
        "replaced by its mean",
    }
    if model.world_model is not None:
        predicted, unchanged = _prediction_errors(model, held_out)
        measured |= {"next_latent_squared_error": predicted, "next_latent_squared_error_of_no_change": unchanged}
    return measured


def half_precision_cost(model: LatentModel, unrounded: VAE, held_out: Split) -> float:
    """Return by how many dB of PSNR held-out frames come back worse because the file's networks are rounded.

    Args:
        model: As it was read from its file.
        unrounded: Its autoencoder as it was trained, of float32.
        held_out: Frames that it was not trained on.
    """
    sample = _sample(held_out)
    parts = np.array_split(sample, len(sample) // 256 + 1)
    before, after = (
        psnr(np.concatenate([each.decode_latents(each.encode_frames(part)) for part in parts]), sample)[0]
        for each in (replace(model, vae=unrounded), model)
    )
    return before - after


def psnr(shown: NDArray[np.uint8], original: NDArray[np.uint8]) -> tuple[float, float]:
    """Return PSNR in dB of frames, uint8[N, H, W, C]: of the mean squared error, and the mean over frames."""
    errors = np.stack(
        [((one.astype(np.float64) - other) / 255) ** 2 for one, other in zip(shown, original, strict=True)]
    ).mean(axis=(1, 2, 3))
    return -10 * math.log10(max(errors.mean(), 1e-12)), float((-10 * np.log10(np.maximum(errors, 1e-12))).mean())


def _sample(held_out: Split) -> NDArray[np.uint8]:
    return np.array(held_out.frames[:: max(1, len(held_out.frames) // _FRAMES)])


def _prediction_errors(model: LatentModel, held_out: Split) -> tuple[float, float]:
    """Return the squared error per latent of the world model, and of predicting no change, on some trials."""
    assert model.world_model is not None
    ours, still = [], []
    long = [(begin, end) for begin, end in pairwise(held_out.starts.tolist()) if end - begin > 1]
    for begin, end in long[:_TRIALS]:
        z = torch.from_numpy(model.encode_frames(np.array(held_out.frames[begin:end])))
        a = torch.from_numpy(held_out.actions[begin:end].astype(np.int64))
        hidden = torch.zeros(1, model.sizes.hidden)
        with torch.inference_mode():
            for t in range(len(z) - 1):
                hidden, predicted = model.world_model(z[t : t + 1], a[t : t + 1], hidden)
                ours.append(((predicted[0] - z[t + 1]) ** 2).mean().item())
                still.append(((z[t] - z[t + 1]) ** 2).mean().item())
    return float(np.mean(ours)), float(np.mean(still))
