"""Fit the predictor of coder `predictive` again, on what driving through it leads to, and on the same in a mirror.

    python scripts/fits/predictive_on_laps.py --work build/predictive

Version 0.1.0's file lost the road in whole laps: it had learnt from drives on original frames, and CarRacing's tracks
go round to the left, so that it foresaw a bend to the right late or not at all. Here simulated people of `pursuit`, and
of no other family, drive whole laps through the coder itself at few bits; every drive counts twice, the second time
with frames and actions mirrored. Two rounds, each from the last one's file. In the second, errors matter by what they
do to a model of these people's actions and to the picture, and no longer by where on the screen the road is. Every
stage keeps what it made in --work. Writes compression/weights/car-racing/predictive.safetensors.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from shipped_coders import STEPS, TASK, drive_pilots, report, write  # type: ignore[import-not-found]

from compression.coders.coder import find_coder
from compression.coders.predictive import NAME, world_model
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.fitting.importance import Matrix, action_importance, picture_importance
from compression.fitting.pico_rate import fit_drivers
from compression.fitting.predictive import PredictiveConfig, fit_predictive
from compression.model.header import earlier_paths
from compression.model.latent_model import LatentModel, use_one_thread
from racer.loop.attended import Unrecorded
from racer.loop.batched import Job, simulate
from racer.loop.conditions import ChannelConfig
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from sessions import Step

FAMILY = "pursuit"
SPEEDS = (50.0, 60.0, 50.0, 55.0, 60.0, 45.0, 50.0, 65.0)
BITS = (0, 2, 3, 5, 8, 5, 3, 2)
"""Slots drawn from, one per lap; 0: original frames."""
_Piece = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Latents, float32[200, latents], and actions, uint8[200]."""
LAP = 1000
DRIVE = 200
"""Steps of the pieces that a lap is cut into."""


@dataclass(frozen=True)
class Round:
    """One pass of driving and fitting."""

    laps: int
    first_seed: int
    """Of tracks and people, where no sitting, sweep or collection goes."""
    config: PredictiveConfig


ROUNDS = (
    Round(64, 1_200_000, PredictiveConfig(refit_each=40)),
    Round(24, 1_200_100, PredictiveConfig(refit_each=40, learning_rate=5e-4)),
)


class _Kept(Unrecorded):
    """Keeps latents of original frames and actions."""

    def __init__(self) -> None:
        self.latents: list[NDArray[np.float32]] = []
        self.actions: list[int] = []

    def append(self, step: Step) -> bool:
        self.latents.append(step.latent.copy())
        self.actions.append(step.action)
        return False


def drives(model: LatentModel, fitted: FittedModel, which: int) -> Iterator[_Piece]:
    """Yield pieces of laps driven through a fitted coder, and their mirror images: latents, actions."""
    of = ROUNDS[which]
    rng, kept, jobs = np.random.default_rng(5 + which), {}, []
    for number in range(of.first_seed, of.first_seed + of.laps):
        bits = BITS[rng.integers(len(BITS))] or (85 if which == 0 else 2)
        task = make_task(TASK, {"speed": SPEEDS[rng.integers(len(SPEEDS))]})
        condition = "raw" if bits == 85 else NAME
        jobs.append(Job(condition, ChannelConfig(bits), task, number, FAMILY, number, LAP, number))

    def open_kept(job: Job, clock: object) -> _Kept:
        kept[job.trial_seed] = _Kept()
        return kept[job.trial_seed]

    for job, score in zip(jobs, simulate(jobs, model, {NAME: fitted}, record=open_kept), strict=True):
        own, frames = kept.pop(job.trial_seed), []
        report(
            f"{job.condition}, {job.channel.bits} bits: {score.steps} steps, {score.metrics['progress']:.2f} of the lap"
        )
        with closing(job.task.start(job.trial_seed)) as trial:
            for action in own.actions:
                frames.append(trial.frame()[:, ::-1].copy())
                trial.step(action)
        mirrored = [model.encode_frames(np.stack(frames[at : at + 64])) for at in range(0, len(frames), 64)]
        actions = np.array(own.actions, np.uint8)
        for latents, taken in ((np.stack(own.latents), actions), (np.concatenate(mirrored), 2 - actions)):
            for at in range(0, len(taken) - DRIVE + 1, DRIVE):
                yield latents[at : at + DRIVE], taken[at : at + DRIVE]


def importance(model: LatentModel) -> Matrix:
    """Return how much errors matter to what people of `pursuit` do and to the picture, half and half."""
    pilots = drive_pilots(model)
    fit = fit_drivers(pilots.episodes(model.sizes.blocks), model, PicoConfig())
    x = torch.cat([fit.trained.x, fit.held.x])
    some = pilots.latents[:, :: STEPS // 12].reshape(-1, model.sizes.latents)
    weights: Matrix = (action_importance(fit.drivers, x[::4]) + picture_importance(model, some)) / 2
    return weights


def main() -> None:
    """Drive and fit, round by round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/predictive"), help="where drives and rounds are kept")
    parser.add_argument("--out", type=Path, help="folder to write to (default: that of the latent model)")
    args = parser.parse_args()
    use_one_thread()
    model = load_task_model(make_task(TASK).spec)
    assert model.folder is not None
    args.work.mkdir(parents=True, exist_ok=True)
    coder = find_coder(NAME)
    fitted = coder.read(earlier_paths(model.folder, NAME)[0], model)
    seeds: tuple[int, ...] = fitted.record.seeds
    latents, actions = [], []
    for which, of in enumerate(ROUNDS):
        path = args.work / f"drives_{which}.npz"
        if not path.exists():
            pieces = list(drives(model, fitted, which))
            np.savez(path, latents=[piece for piece, _ in pieces], actions=[taken for _, taken in pieces])
        with np.load(path) as kept:
            latents.append(kept["latents"])
            actions.append(kept["actions"])
        directions = fitted.tensors["directions"].astype(np.float64)
        weights = importance(model) if which else directions.T @ directions
        begun = replace(model, world_model=copy.deepcopy(world_model(fitted, model.sizes)))
        tensors = fit_predictive(np.concatenate(latents), np.concatenate(actions), weights, begun, of.config, report)
        seeds = (*seeds, *range(of.first_seed, of.first_seed + of.laps))
        record = FittedRecord(
            objective=NAME,
            model_sha256=model.sha256,
            participants=fitted.record.participants,
            sessions=(),
            seeds=tuple(sorted(set(seeds))),
            config=asdict(of.config),
            task=TASK,
            drivers=(FAMILY,),
        )
        last = of is ROUNDS[-1]
        write((args.out or model.folder) if last else args.work, tensors, record)
        if not last:
            fitted = coder.read(args.work / f"{NAME}.safetensors", model)


if __name__ == "__main__":
    main()
