"""Latent models that no training took: random weights from a seed, for tests of other sizes than those that ship."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from compression.coders.levels import gaussian_losses
from compression.coders.predictive import ANCHORS
from compression.coders.rl_allocation import shapes_for
from compression.fitting.config import OBJECTIVES
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.fitting.mask_policy import MaskNetwork
from compression.model.header import FILE_NAME
from compression.model.latent_model import LatentModel, load_model, save_model
from compression.model.quantizer import fit_codebook
from compression.model.sizes import Sizes
from compression.model.vae import VAE
from compression.model.world_model import WorldModel
from compression.rl_asc.concepts import table_shapes, whole_counts
from compression.rl_asc.networks import CELL, Design, System

GREY = Sizes(frame=(40, 40, 1), latents=12, blocks=4, actions=4, hidden=16, dense=32)
"""Small grey frames, and actions of a lander."""
LARGE = Sizes(frame=(96, 96, 3), latents=16, blocks=8, actions=3, hidden=16, dense=32)
"""Gymnasium's frames of CarRacing."""
STILL = Sizes(frame=(28, 28, 1), latents=8, blocks=4, actions=10, hidden=0, dense=16)
"""Pictures that do not follow one another, and so no world model."""

PARTS, CHANNELS = ("back", "middle", "front"), 4
"""Of the concepts of coder rl-asc."""


def write_tiny_model(folder: Path, sizes: Sizes = GREY, seed: int = 0) -> Path:
    """Write a model of random weights, and fitted files for every coder, into a new folder; return the folder."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae, world_model = VAE(sizes), WorldModel(sizes) if sizes.hidden else None
    mixing = np.eye(sizes.latents) + 0.2 * rng.standard_normal((sizes.latents, sizes.latents))
    latents = (rng.standard_normal((400, sizes.latents)) @ mixing).astype(np.float32)
    mean, covariance = latents.mean(axis=0), np.cov(latents.T).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    data = save_model(sizes, vae, world_model, mean, covariance, fit_codebook(latents, most_sweeps=3))
    (folder / FILE_NAME).write_bytes(data)
    for objective, tensors in _fitted(sizes, world_model, rng).items():
        masked = {"interval": "episode", "fill": "hold"} if objective in OBJECTIVES else {}
        digest = hashlib.sha256(data).hexdigest()
        config = {"seed": seed, "parts": list(PARTS), "channels": CHANNELS}
        record = FittedRecord(objective, digest, ("tiny",), (), (seed,), config, task="tiny", **masked)
        (folder / f"{objective}.safetensors").write_bytes(dump_fitted(tensors, record))
    return folder


def tiny_model(folder: Path, sizes: Sizes = GREY, seed: int = 0) -> LatentModel:
    """Write a model of random weights, and fitted files for every coder, into a new folder, and load it."""
    return load_model(write_tiny_model(folder, sizes, seed))


def _fitted(
    sizes: Sizes, world_model: WorldModel | None, rng: np.random.Generator
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return the tensors of fitted files, by objective."""
    fitted: dict[str, dict[str, NDArray[np.floating]]] = {
        "coarse": {"weights": rng.exponential(size=sizes.latents)},
        "pico-rate": {"losses": gaussian_losses(rng.exponential(size=sizes.latents))},
        "pico-transform": transform_tensors(sizes, rng),
        "rl-allocation": {name: rng.normal(0, 0.1, shape) for name, shape in shapes_for(sizes).items()},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fitted |= {objective: MaskNetwork(sizes).tensors() for objective in OBJECTIVES}
    if world_model is not None:
        one = np.eye(sizes.latents)
        fitted["predictive"] = {
            **{name: value.numpy() for name, value in world_model.state_dict().items()},
            "directions": np.linalg.qr(rng.standard_normal((sizes.latents, sizes.latents)))[0],
            "innovation": np.stack([0.05 * one] * len(ANCHORS)),
            "transition": np.stack([0.95 * one] * len(ANCHORS)),
            "start": np.zeros(sizes.latents),
        }
    if not (sizes.frame[0] % CELL or sizes.frame[1] % CELL):
        fitted["rl-asc"] = concept_tensors(Design(sizes.frame, len(PARTS), CHANNELS), rng)
    return {
        objective: {name: value.astype(np.float32) for name, value in tensors.items()}
        for objective, tensors in fitted.items()
    }


def transform_tensors(sizes: Sizes, rng: np.random.Generator) -> dict[str, NDArray[np.floating]]:
    """Return what a fitted file of coder pico-transform holds: components of any directions."""
    turned = np.linalg.qr(rng.standard_normal((sizes.latents, sizes.latents)))[0]
    return {
        "mean": rng.normal(0, 0.1, sizes.latents),
        "analysis": turned,
        "synthesis": turned.T,
        "codebook": fit_codebook(rng.standard_normal((200, sizes.latents)).astype(np.float32), most_sweeps=3),
        "losses": gaussian_losses(rng.exponential(size=sizes.latents)),
    }


def concept_tensors(design: Design, rng: np.random.Generator, plain: bool = False) -> dict[str, NDArray[np.floating]]:
    """Return what a fitted file of coder rl-asc holds: networks that nobody trained, and any tables."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        system = System(design).state_dict()
    return (
        {f"system.{name}": value.numpy() for name, value in system.items()}
        | {name: whole_counts(rng.exponential(size=shape) ** 4) for name, shape in table_shapes(design, plain).items()}
        | {"cell.weights": np.ones(design.parts), "prices": np.array([1e-4, 1e-2])}
    )
