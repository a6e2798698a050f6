"""Trains a latent model, and fits what coders need that know nothing but the frames that it was trained on.

One stage after the other: the autoencoder; latents of all frames; the world model, where frames follow one another; the
quantiser tables; the model's file; what it does with held-out frames; fitted files for `coarse`, and for `predictive`
where there is a world model; the data card, last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.errors import TrainingError
from compression.fitting.classifiers import STAGES
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.fitting.importance import Matrix, action_importance, picture_importance
from compression.fitting.pico_rate import fit_drivers
from compression.fitting.predictive import LEAST_STEPS, PredictiveConfig, fit_predictive
from compression.fitting.recorded import RecordedEpisode
from compression.model.header import FILE_NAME
from compression.model.latent_model import LatentModel, chosen_device, load_model, save_model
from compression.model.quantizer import fit_codebook
from compression.model.sizes import Sizes
from compression.model.training.card import half_precision_cost, measure
from compression.model.training.config import TrainingConfig
from compression.model.training.data import Split, TrainingData
from compression.model.training.networks import Done, encode, standardise, train_vae, train_world_model, usual_length
from compression.model.training.resumable import Work, write_whole
from compression.model.vae import VAE
from compression.model.world_model import WorldModel
from disk.writing import make_folder

CARD = "card.json"
Progress = Callable[[str, float], None]
"""Callback (stage, fraction of the whole training that is done, in [0, 1])."""
_SHARES = {
    "autoencoder": 0.6,
    "latents of all frames": 0.05,
    "world model": 0.2,
    "quantiser": 0.02,
    "held-out frames": 0.03,
    "what matters": 0.02,
    "predictive coder": 0.08,
}
"""Stages, and the time that each takes of the whole, about."""
_ALONE = ("world model", "predictive coder")
"""Stages only of frames that follow one another."""
_WEIGHED = 320
"""Frames whose decoding is looked at for what matters to the picture."""
_SENSED = 1500
"""Frames for which the driver's sensitivity is averaged."""
_LEAST_VARIANCE = 1e-4
"""Least variance of the latents along any direction, so that their covariance can be inverted."""


def train_model(
    data: TrainingData,
    out: Path,
    work: Path,
    config: TrainingConfig | None = None,
    progress: Progress = lambda stage, done: None,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Train a latent model and return its data card.

    The same data and settings give the same files on one kind of processor, whether a training was killed or not.

    Args:
        data: What to train on.
        out: Folder for `model.safetensors`, `card.json` and the fitted files; is made if it is not there.
        work: Folder in which the training leaves what it has; given again, a killed training goes on.
        config: Settings; the default ones if left out.
        progress: Called now and then.
        device: To train the networks on; `auto` is a GPU where there is one.

    Raises:
        TrainingError: If the data do not do, `work` holds another training, or a file cannot be written.
        DeviceError: If the device is not here.
    """
    config = config or TrainingConfig()
    sizes = config.sizes(data.frame, data.actions, data.sequential)
    decisive = {name: value for name, value in asdict(config).items() if name != "checkpoint_steps"}
    kept = Work(work, {"config": decisive, "sizes": asdict(sizes), "data": data.fingerprint()})
    try:
        make_folder(out)
    except OSError as error:
        raise TrainingError(f"cannot write {out}: {error.strerror}; give another folder") from error
    stages, device = _Stages(progress, data.sequential), chosen_device(device)
    with repeatable():
        vae, unrounded, latents = _autoencoder(sizes, config, data.train, kept, device, stages)
        world_model = _world_model(sizes, config, latents, data.train, kept, device, stages)
        codebook = kept.stage("quantiser", lambda: _codebook(latents, config, stages("quantiser")))["codebook"]
        mean, covariance = latents.mean(0).numpy(), _covariance(latents)
        write_whole(out / FILE_NAME, save_model(sizes, vae, world_model, mean, covariance, codebook.numpy()))
        model = load_model(out)
        held_out = measure(model, data.held_out, stages("held-out frames"))
        held_out["half_precision_cost_db"] = half_precision_cost(model, unrounded, data.held_out)
        fitted = _fit(model, data, latents.numpy(), config, kept, stages)
    for objective, content in fitted.items():
        write_whole(out / f"{objective}.safetensors", content)
    card = {
        "task": data.task,
        "data": {
            "source": data.source,
            "train_frames": len(data.train.frames),
            "train_trials": max(len(data.train.starts) - 1, 0),
            "held_out_frames": len(data.held_out.frames),
            "held_out_trials": max(len(data.held_out.starts) - 1, 0),
        },
        "sizes": asdict(sizes),
        "config": decisive,
        "held_out": held_out,
        "sha256": model.sha256,
        "bytes": (out / FILE_NAME).stat().st_size,
    }
    write_whole(out / CARD, (json.dumps(card, indent=2) + "\n").encode())
    progress("done", 1.0)
    return card


class _Stages:
    """Turns the share of a stage that is done into that of the whole."""

    def __init__(self, progress: Progress, sequential: bool) -> None:
        self._progress = progress
        self._shares = {name: share for name, share in _SHARES.items() if sequential or name not in _ALONE}

    def __call__(self, stage: str) -> Done:
        names, total = list(self._shares), sum(self._shares.values())
        before = sum(self._shares[name] for name in names[: names.index(stage)])

        def told(done: float) -> None:
            self._progress(stage, (before + self._shares[stage] * done) / total)

        told(0.0)
        return told


@contextmanager
def repeatable() -> Iterator[None]:
    """Make the same computation give the same numbers."""
    deterministic, benchmark = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    # Adam's moments of idle weights decay into denormal numbers, which are ten times slower than zero.
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark


def _autoencoder(
    sizes: Sizes, config: TrainingConfig, split: Split, work: Work, device: torch.device, stages: _Stages
) -> tuple[VAE, VAE, Tensor]:
    """Return the autoencoder, rounded as its file is and before that, and all frames' latents, float32[N, latents]."""

    def train() -> dict[str, Tensor]:
        trained = train_vae(sizes, config, split.frames, work, device, stages("autoencoder"))
        standardise(trained, *encode(trained, split.frames, device))
        return dict(trained.state_dict())

    def built(tensors: dict[str, Tensor]) -> VAE:
        with torch.device("meta"):
            vae = VAE(sizes)
        vae.load_state_dict(tensors, assign=True)
        return vae.eval().requires_grad_(False)

    tensors = work.stage("vae", train)
    vae = built({name: tensor.half().float() for name, tensor in tensors.items()})
    # What ships is rounded to half precision; all that follows is fitted to the rounded weights.
    told = stages("latents of all frames")
    latents = work.stage("latents", lambda: {"latents": encode(vae, split.frames, device, told)[0]})["latents"]
    return vae, built(tensors), latents


def _world_model(
    sizes: Sizes,
    config: TrainingConfig,
    latents: Tensor,
    split: Split,
    work: Work,
    device: torch.device,
    stages: _Stages,
) -> WorldModel | None:
    if not sizes.hidden:
        return None

    def train() -> dict[str, Tensor]:
        told = stages("world model")
        return dict(train_world_model(sizes, config, latents, split, work, device, told).state_dict())

    with torch.device("meta"):
        model = WorldModel(sizes)
    model.load_state_dict(work.stage("world-model", train), assign=True)
    return model.eval().requires_grad_(False)


def _codebook(latents: Tensor, config: TrainingConfig, progress: Done) -> dict[str, Tensor]:
    rng = np.random.default_rng(config.seed)
    chosen = rng.choice(len(latents), min(config.quantiser_samples, len(latents)), replace=False)
    return {"codebook": torch.from_numpy(fit_codebook(latents.numpy()[chosen]))}


def _covariance(latents: Tensor) -> NDArray[np.float32]:
    """Return the covariance of latents, float32[N, latents], made such that it has an inverse."""
    covariance: NDArray[np.float64] = np.atleast_2d(np.cov(latents.double().numpy().T))
    lacking = _LEAST_VARIANCE - float(np.linalg.eigvalsh(covariance).min())
    return (covariance + max(lacking, 0.0) * np.eye(len(covariance))).astype(np.float32)


def _fit(
    model: LatentModel,
    data: TrainingData,
    latents: NDArray[np.float32],
    config: TrainingConfig,
    work: Work,
    stages: _Stages,
) -> dict[str, bytes]:
    """Return the fitted files that need no behaviour but that of the training data, by objective."""
    told = stages("what matters")
    picture = picture_importance(model, _some(latents, _WEIGHED))

    def fitted_file(objective: str, tensors: dict[str, NDArray[np.floating[Any]]], settings: dict[str, Any]) -> bytes:
        return dump_fitted(
            tensors,
            FittedRecord(
                objective=objective,
                model_sha256=model.sha256,
                participants=data.participants,
                sessions=(),
                seeds=data.seeds,
                config=settings,
                task=data.task,
                drivers=data.drivers,
            ),
        )

    files = {"coarse": fitted_file("coarse", {"weights": np.diag(picture).astype(np.float32)}, {})}
    if model.world_model is None:
        return files
    drives = _Drives(latents, data.train, config.drive)
    count, steps = drives.actions.shape
    if steps < LEAST_STEPS or count < 2:
        return files
    settings = PredictiveConfig(
        rounds=min(config.predictive_rounds, config.world_model_steps),
        window=min(PredictiveConfig.window, steps),
        measured=min(PredictiveConfig.measured, max(1, count // 4)),
        seed=config.seed,
    )

    def fit() -> dict[str, Tensor]:
        importance = (_driver_importance(model, drives, config, told) + picture) / 2
        report = stages("predictive coder")
        tensors = fit_predictive(drives.latents, drives.actions, importance, model, settings, progress=report)
        return {name: torch.from_numpy(np.ascontiguousarray(tensor)) for name, tensor in tensors.items()}

    fitted = {name: tensor.numpy() for name, tensor in work.stage("predictive", fit).items()}
    files["predictive"] = fitted_file("predictive", fitted, asdict(settings))
    return files


class _Drives:
    """Pieces of equal length of the trials that were trained on.

    Args:
        latents: float32[N, latents] of all frames.
        split: Their actions and trials.
        most: The most steps of a piece.
    """

    def __init__(self, latents: NDArray[np.float32], split: Split, most: int) -> None:
        steps = usual_length(split, most)
        starts = split.starts.tolist()
        begins = [at for start, end in pairwise(starts) for at in range(start, end - steps + 1, steps)]
        self.latents = np.stack([latents[at : at + steps] for at in begins])
        """float32[M, T, latents]"""
        self.actions = np.stack([split.actions[at : at + steps] for at in begins])
        """int[M, T]"""


def _driver_importance(model: LatentModel, drives: _Drives, config: TrainingConfig, progress: Done) -> Matrix:
    """Return how much errors of the latent change what whoever did the task would do."""
    everything = np.ones((drives.actions.shape[1], model.sizes.blocks), bool)
    episodes = [
        RecordedEpisode(latents, latents, actions, everything, original=True)
        for latents, actions in zip(drives.latents, drives.actions, strict=True)
    ]
    settings = PicoConfig(iterations=config.driver_iterations, seed=config.seed)
    fit = fit_drivers(episodes, model, settings, lambda stage, done: progress(STAGES * done))
    x = torch.cat([fit.trained.x, fit.held.x])
    return action_importance(fit.drivers, x[:: max(1, len(x) // _SENSED)])


def _some(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(rows[:: max(1, len(rows) // count)])
