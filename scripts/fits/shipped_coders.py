"""Fit the coders that ship for car-racing, from simulated pilots and collected frames.

    python scripts/fits/shipped_coders.py

The pilots are people and tracks of their own: nobody else meets them. What matters of a frame is said here by where the
road is, which only this task has; `racer model train` fits coders of other tasks without such knowledge. Writes
compression/weights/car-racing/<coder>.safetensors.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.fitting.importance import Matrix, action_importance, picture_importance, sensitivity
from compression.fitting.pico_rate import fit_drivers, fit_pico_rate
from compression.fitting.pico_transform import fit_pico_transform
from compression.fitting.predictive import PredictiveConfig, fit_predictive
from compression.fitting.recorded import RecordedEpisode
from compression.fitting.rl_allocation import AllocationConfig, fit_rl_allocation
from compression.model.latent_model import LatentModel, use_one_thread
from compression.tensor_files import Tensors
from racer.drivers.registry import make_driver
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.training.collect import CollectConfig, collect

TASK = "car-racing"
CODERS = ("coarse", "pico-rate", "pico-transform", "rl-allocation", "predictive")
PILOTS = range(12)
"""Seeds of the simulated pilots."""
FIRST_TRACK = 210_000
SPEEDS = (50.0, 60.0)
STEPS = 250
DRIVE = 200
"""Steps of each drive that the predictor is trained on."""
GREEN_EXCESS = 50
"""A pixel is grass where green exceeds red and blue by more than this (CarRacing: grass: 102 or more)."""
_SOFTNESS = 0.05
"""Green excess, of 1, over which grass turns to road: a hard edge has no slope."""
_AHEAD = slice(32, 44)
"""Frame rows of the road about 5 to 13 track units before the car, where it is steered at."""


@dataclass(frozen=True)
class Pilots:
    """What the pilots saw, on original frames, and did."""

    latents: NDArray[np.float32]
    """float32[N, T, latents]"""
    actions: NDArray[np.integer]
    """int[N, T]"""

    def episodes(self, blocks: int) -> list[RecordedEpisode]:
        """Return them as recordings are trained on."""
        everything = np.ones((self.actions.shape[1], blocks), bool)
        return [
            RecordedEpisode(latents, latents, actions, everything, original=True)
            for latents, actions in zip(self.latents, self.actions, strict=True)
        ]


def drive_pilots(model: LatentModel, family: str = "pursuit") -> Pilots:
    """Let a family's pilots drive."""
    latents, actions = [], []
    for number, (seed, speed) in enumerate((seed, speed) for seed in PILOTS for speed in SPEEDS):
        task = make_task(TASK, {"speed": speed})
        driver = make_driver(family, task, seed)
        driver.reset()
        frames, taken = [], []
        with closing(task.start(FIRST_TRACK + number)) as trial:
            for _ in range(STEPS):
                frames.append(trial.frame())
                taken.append(driver.act(frames[-1]))
                if trial.step(taken[-1]).over:
                    break
        if len(frames) == STEPS:
            latents.append(model.encode_frames(np.stack(frames)))
            actions.append(np.array(taken, np.uint8))
    return Pilots(np.stack(latents), np.stack(actions))


def collected_drives(
    folder: Path, model: LatentModel
) -> tuple[NDArray[np.float32], NDArray[np.uint8], tuple[int, ...]]:
    """Return latents, float32[N, 200, latents], actions and track seeds of frames that are collected into a folder."""
    found = collect(TASK, {}, folder, CollectConfig())["train"]
    latents = np.concatenate(
        [model.encode_frames(np.array(found.frames[i : i + 64])) for i in range(0, len(found.frames), 64)]
    )
    begins = [
        at
        for start, end in zip(found.starts, found.starts[1:], strict=False)
        for at in range(start, end - DRIVE + 1, DRIVE)
    ]
    drives = [slice(at, at + DRIVE) for at in begins]
    actions = np.stack([found.actions[drive] for drive in drives])
    return np.stack([latents[drive] for drive in drives]), actions, found.seeds


def road_of(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels are road, bool[..., R, C], of frames or parts of them, uint8[..., R, C, 3]."""
    pixels = frames.astype(np.int16)
    road: NDArray[np.bool_] = pixels[..., 1] - np.maximum(pixels[..., 0], pixels[..., 2]) < GREEN_EXCESS
    return road


def road_lost(original: NDArray[np.uint8], shown: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return 1 less the intersection over union of the road, float64[N], of frames, uint8[N, H, W, 3]."""
    first, second = road_of(original), road_of(shown)
    both, either = (first & second).sum(axis=(1, 2)), (first | second).sum(axis=(1, 2))
    lost: NDArray[np.float64] = 1 - np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return lost


def road_importance(model: LatentModel, latents: NDArray[np.float32]) -> Matrix:
    """Return how much the middle of the road ahead moves, averaged over latents, float32[N, latents]."""

    def middles(z: Tensor) -> Tensor:
        images = model.vae.decoder(z)[:, :, _AHEAD]
        green = images[:, 1] - torch.maximum(images[:, 0], images[:, 2])
        road = ((GREEN_EXCESS / 255 - green) / _SOFTNESS).sigmoid()
        columns = torch.arange(road.shape[2]) - (road.shape[2] - 1) / 2
        middle: Tensor = (road * columns).sum(2) / road.sum(2).clamp_min(1)
        return middle

    return sensitivity(middles, latents)


def report(line: str) -> None:
    """Say how a fit goes."""
    print(line, flush=True)


def write(folder: Path, tensors: Tensors, record: FittedRecord) -> None:
    """Write a fitted file over the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    data = dump_fitted(tensors, record)
    (folder / f"{record.objective}.safetensors").write_bytes(data)
    report(f"{record.objective}: {len(data)} bytes")


def record_for(
    objective: str, model: LatentModel, config: dict[str, Any], tracks: tuple[int, ...] = ()
) -> FittedRecord:
    """Return what the file says of its origin; `tracks` are those besides the pilots'."""
    return FittedRecord(
        objective=objective,
        model_sha256=model.sha256,
        participants=tuple(f"shipped_coders_pilot{seed}" for seed in PILOTS),
        sessions=(),
        seeds=(*range(FIRST_TRACK, FIRST_TRACK + len(PILOTS) * len(SPEEDS)), *tracks),
        config=config,
        task=TASK,
        drivers=("pursuit",),
    )


def main() -> None:
    """Fit what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, default=Path("build/frames"), help="where collected frames are kept")
    parser.add_argument("--out", type=Path, help="folder to write to (default: that of the latent model)")
    parser.add_argument("--coder", choices=CODERS, action="append", help="fit this one; may be repeated (default: all)")
    args = parser.parse_args()
    wanted = args.coder or CODERS
    use_one_thread()
    model = load_task_model(make_task(TASK).spec)
    assert model.folder is not None
    out = args.out or model.folder
    pilots = drive_pilots(model)
    episodes = pilots.episodes(model.sizes.blocks)
    some = pilots.latents[:, ::20].reshape(-1, model.sizes.latents)
    picture = picture_importance(model, some)
    if "coarse" in wanted:
        write(out, {"weights": np.diag(picture).astype(np.float32)}, record_for("coarse", model, {}))
    for name, fit_to_pilots in (("pico-rate", fit_pico_rate), ("pico-transform", fit_pico_transform)):
        if name in wanted:
            tensors, _ = fit_to_pilots(episodes, model, PicoConfig())
            write(out, tensors, record_for(name, model, asdict(PicoConfig())))
    if "rl-allocation" in wanted:
        settings = AllocationConfig()
        tensors = fit_rl_allocation(pilots.latents, model, road_lost, settings, report)
        write(out, tensors, record_for("rl-allocation", model, asdict(settings)))
    if "predictive" in wanted:
        fit = fit_drivers(episodes, model, PicoConfig())
        x = torch.cat([fit.trained.x, fit.held.x])
        importance = (action_importance(fit.drivers, x[::4]) + road_importance(model, some) + picture) / 3
        config = PredictiveConfig()
        latents, actions, tracks = collected_drives(args.frames, model)
        fitted = fit_predictive(latents, actions, importance, model, config, report)
        write(out, fitted, record_for("predictive", model, asdict(config), tracks))


if __name__ == "__main__":
    main()
