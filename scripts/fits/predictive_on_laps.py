"""Fit the predictor of coder `predictive` again, on what driving through it leads to, and on the same in a mirror.

    python scripts/fits/predictive_on_laps.py --work build/predictive --out build/predictive

What comes of it does not ship: it drives people whom nothing met no better (docs/results.md, "Whole laps"). The file
that ships lost the road in whole laps: it had learnt from drives on original frames, and CarRacing's tracks
go round to the left: it predicted a bend to the right late or not at all. Here simulated people of `pursuit`, and
of no other family, drive whole laps through the coder itself at few bits; every drive counts twice, the second time
with frames and actions mirrored. The fit goes on from that file's predictor, and errors matter as they did for it. What
was driven is kept in --work.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shipped_coders import TASK, report, write  # type: ignore[import-not-found]

from compression.coders.coder import find_coder
from compression.coders.predictive import NAME, world_model
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.fitting.predictive import PredictiveConfig, fit_predictive
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


LAPS = 64
FIRST_SEED = 1_200_000
"""Of tracks and people, where no sitting, sweep or collection goes."""


class _Kept(Unrecorded):
    """Keeps latents of original frames and actions."""

    def __init__(self) -> None:
        self.latents: list[NDArray[np.float32]] = []
        self.actions: list[int] = []

    def append(self, step: Step) -> bool:
        self.latents.append(step.latent.copy())
        self.actions.append(step.action)
        return False


def drives(model: LatentModel, fitted: FittedModel) -> Iterator[_Piece]:
    """Yield pieces of laps driven through a fitted coder, and their mirror images: latents, actions."""
    rng, kept, jobs = np.random.default_rng(5), {}, []
    for number in range(FIRST_SEED, FIRST_SEED + LAPS):
        bits = BITS[rng.integers(len(BITS))]
        task = make_task(TASK, {"speed": SPEEDS[rng.integers(len(SPEEDS))]})
        channel = ChannelConfig(bits) if bits else ChannelConfig()
        jobs.append(Job(NAME if bits else "raw", channel, task, number, FAMILY, number, LAP, number))

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


def main() -> None:
    """Drive and fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/predictive"), help="where drives are kept")
    parser.add_argument("--out", type=Path, default=Path("build/predictive"), help="folder to write to")
    args = parser.parse_args()
    use_one_thread()
    model = load_task_model(make_task(TASK).spec)
    assert model.folder is not None
    before = find_coder(NAME).read_shipped(model)
    assert before is not None
    path = args.work / "drives.npz"
    if not path.exists():
        args.work.mkdir(parents=True, exist_ok=True)
        pieces = list(drives(model, before))
        np.savez(path, latents=[piece for piece, _ in pieces], actions=[taken for _, taken in pieces])
    with np.load(path) as kept:
        latents, actions = kept["latents"], kept["actions"]
    directions = before.tensors["directions"].astype(np.float64)
    begun = replace(model, world_model=copy.deepcopy(world_model(before, model.sizes)))
    config = PredictiveConfig(refit_each=40)
    tensors = fit_predictive(latents, actions, directions.T @ directions, begun, config, report)
    record = FittedRecord(
        objective=NAME,
        model_sha256=model.sha256,
        participants=before.record.participants,
        sessions=(),
        seeds=tuple(sorted({*before.record.seeds, *range(FIRST_SEED, FIRST_SEED + LAPS)})),
        config=asdict(config),
        task=TASK,
        drivers=(FAMILY,),
    )
    write(args.out, tensors, record)


if __name__ == "__main__":
    main()
