"""Fit the coder `predictive` on several families of drivers, without anything of their eyes.

    python scripts/fits/predictive_on_families.py --drivers pursuit,two-point,edge-following --out build/predictive

People of each family drive whole laps through the coder as it ships, at few bits and on original frames; every drive
counts twice, the second time in a mirror, since CarRacing's tracks go round to the left. What of an error matters is a
third what these people do, a third the picture, and a third what the pixels show: a softmax regression from colours of
decoded pixels to the renderer's labels, wherever in the frame they are. The fit begins with the latent model's own
predictor. What was driven is kept in --work; the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from shipped_coders import TASK, drive_pilots, report, write  # type: ignore[import-not-found]

from compression.coders.coder import find_coder
from compression.coders.predictive import NAME
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.fitting.importance import Matrix, action_importance, picture_importance, sensitivity
from compression.fitting.pico_rate import fit_drivers
from compression.fitting.predictive import PredictiveConfig, fit_predictive
from compression.model.latent_model import LatentModel, use_one_thread
from racer.loop.attended import Unrecorded
from racer.loop.batched import Job, simulate
from racer.loop.conditions import ChannelConfig
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.training.labelled import collect_labelled
from sessions import Step

SPEEDS = (50.0, 60.0, 50.0, 55.0, 60.0, 45.0, 50.0, 65.0)
BITS = (0, 2, 3, 5, 8, 5, 3, 2)
"""Slots drawn from, one per lap; 0: original frames."""
_Piece = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Latents, float32[200, latents], and actions, uint8[200]."""
LAP = 1000
DRIVE = 200
"""Steps of the pieces that a lap is cut into."""
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


def drives(model: LatentModel, fitted: FittedModel, family: str, seeds: range) -> Iterator[_Piece]:
    """Yield pieces of laps that a family drove through a fitted coder, and their mirror images: latents, actions."""
    rng, kept, jobs = np.random.default_rng(5), {}, []
    for number in seeds:
        bits = BITS[rng.integers(len(BITS))]
        task = make_task(TASK, {"speed": SPEEDS[rng.integers(len(SPEEDS))]})
        channel = ChannelConfig(bits) if bits else ChannelConfig()
        jobs.append(Job(NAME if bits else "raw", channel, task, number, family, number, LAP, number))

    def open_kept(job: Job, clock: object) -> _Kept:
        kept[job.trial_seed] = _Kept()
        return kept[job.trial_seed]

    for job, score in zip(jobs, simulate(jobs, model, {NAME: fitted}, record=open_kept), strict=True):
        own, frames = kept.pop(job.trial_seed), []
        progress = score.metrics["progress"]
        report(f"{family}, {job.condition}, {job.channel.bits} bits: {score.steps} steps, {progress:.2f} of the lap")
        with closing(job.task.start(job.trial_seed)) as trial:
            for action in own.actions:
                frames.append(trial.frame()[:, ::-1].copy())
                trial.step(action)
        mirrored = [model.encode_frames(np.stack(frames[at : at + 64])) for at in range(0, len(frames), 64)]
        actions = np.array(own.actions, np.uint8)
        for latents, taken in ((np.stack(own.latents), actions), (np.concatenate(mirrored), 2 - actions)):
            for at in range(0, len(taken) - DRIVE + 1, DRIVE):
                yield latents[at : at + DRIVE], taken[at : at + DRIVE]


def kept_drives(
    model: LatentModel, families: Sequence[str], laps: int, work: Path
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return all families' pieces, latents float32[N, 200, latents] and actions uint8[N, 200], driven if not kept."""
    fitted = find_coder(NAME).read_shipped(model)
    assert fitted is not None
    work.mkdir(parents=True, exist_ok=True)
    latents, actions = [], []
    for family in families:
        path = work / f"{family}-{laps}.npz"
        if not path.exists():
            pieces = list(drives(model, fitted, family, range(FIRST_SEED, FIRST_SEED + laps)))
            begun = work / "begun.npz"
            np.savez(begun, latents=[piece for piece, _ in pieces], actions=[taken for _, taken in pieces])
            begun.replace(path)
        with np.load(path) as kept:
            latents.append(kept["latents"])
            actions.append(kept["actions"])
    return np.concatenate(latents), np.concatenate(actions)


def label_importance(model: LatentModel, latents: NDArray[np.float32]) -> Matrix:
    """Return how much what the decoded pixels show changes, by colours alone, averaged over float32[N, latents]."""
    frames, labels, _ = collect_labelled(TASK, {}, "coder", 24)
    shown = model.decode_latents(model.encode_frames(frames))
    colours = torch.from_numpy(shown.reshape(-1, 3)[::7].astype(np.float32) / 255)
    truth = torch.from_numpy(labels.reshape(-1)[::7].astype(np.int64))
    regression = torch.nn.Linear(3, len(make_task(TASK).spec.labels))
    torch.nn.init.zeros_(regression.weight)
    torch.nn.init.zeros_(regression.bias)
    optimizer = torch.optim.LBFGS(regression.parameters(), max_iter=200)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = torch.nn.functional.cross_entropy(regression(colours), truth)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    regression.requires_grad_(False)
    right = (regression(colours).argmax(1) == truth).float().mean()
    report(f"labels by the colour of decoded pixels: {100 * float(right):.1f} % right")
    return sensitivity(lambda z: regression(model.vae.decoder(z).permute(0, 2, 3, 1)).softmax(3).flatten(1), latents)


def main() -> None:
    """Drive and fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drivers", default="pursuit,two-point,edge-following")
    parser.add_argument("--laps", type=int, default=32, help="of each family")
    parser.add_argument("--rounds", type=int, default=480)
    parser.add_argument("--work", type=Path, default=Path("build/predictive"), help="where drives are kept")
    parser.add_argument("--out", type=Path, default=Path("build/predictive"), help="folder to write to")
    args = parser.parse_args()
    families = tuple(args.drivers.split(","))
    use_one_thread()
    model = load_task_model(make_task(TASK).spec)
    latents, actions = kept_drives(model, families, args.laps, args.work)
    pilots = [drive_pilots(model, family) for family in families]
    some = np.concatenate([each.latents[:, ::100].reshape(-1, model.sizes.latents) for each in pilots])
    fit = fit_drivers([each for own in pilots for each in own.episodes(model.sizes.blocks)], model, PicoConfig())
    x = torch.cat([fit.trained.x, fit.held.x])
    parts = (action_importance(fit.drivers, x[::4]), label_importance(model, some), picture_importance(model, some))
    config = PredictiveConfig(rounds=args.rounds, refit_each=40)
    tensors = fit_predictive(latents, actions, np.mean(parts, axis=0), model, config, report)
    record = FittedRecord(
        objective=NAME,
        model_sha256=model.sha256,
        participants=tuple(f"predictive_on_families_{family}" for family in families),
        sessions=(),
        seeds=tuple(range(FIRST_SEED, FIRST_SEED + args.laps)),
        config=asdict(config),
        task=TASK,
        drivers=families,
    )
    write(args.out, tensors, record)


if __name__ == "__main__":
    main()
