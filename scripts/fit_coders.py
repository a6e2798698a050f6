"""Fit the coders that ship with Racer, from simulated pilots and collected frames.

    python scripts/collect_frames.py
    python scripts/fit_coders.py --frames build/frames

The pilots are people and tracks of their own: nobody else meets them. Writes compression/weights/<coder>.safetensors.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compression.fitting.config import PicoConfig
from compression.fitting.fitted import WEIGHTS, CoderRecord, dump_coder
from compression.fitting.importance import action_importance, picture_importance, road_importance
from compression.fitting.pico_rate import fit_drivers, fit_pico_rate
from compression.fitting.predictive import PredictiveConfig, fit_predictive
from compression.fitting.recorded import RecordedEpisode
from compression.fitting.rl_allocation import AllocationConfig, fit_rl_allocation
from compression.masks import BLOCKS
from compression.model.latent_model import Codec, load_codec, use_one_thread
from racer.drivers.families.pursuit import SimulatedParticipant
from racer.tasks.car_racing.track import Track, TrackConfig

CODERS = ("coarse", "pico-rate", "rl-allocation", "predictive")
PILOTS = range(12)
"""Seeds of the simulated pilots."""
FIRST_TRACK = 210_000
SPEEDS = (50.0, 60.0)
STEPS = 250
DRIVE = 200
"""Steps of each drive that the predictor is trained on."""


@dataclass(frozen=True)
class Pilots:
    """What the pilots saw, on original frames, and did."""

    latents: NDArray[np.float32]
    """float32[N, T, 32]"""
    actions: NDArray[np.int8]
    """int8[N, T]"""

    @property
    def episodes(self) -> list[RecordedEpisode]:
        """As recordings are trained on."""
        everything = np.ones((self.actions.shape[1], BLOCKS), bool)
        return [
            RecordedEpisode(latents, latents, actions, everything, original=True)
            for latents, actions in zip(self.latents, self.actions, strict=True)
        ]


def drive_pilots(codec: Codec) -> Pilots:
    """Let the pilots drive."""
    latents, actions = [], []
    for number, (seed, speed) in enumerate((seed, speed) for seed in PILOTS for speed in SPEEDS):
        track = Track(TrackConfig(target_speed=speed), FIRST_TRACK + number)
        driver = SimulatedParticipant(seed)
        frames, taken = [], []
        for _ in range(STEPS):
            frames.append(track.frame())
            taken.append(driver.act(frames[-1]))
            if track.step(taken[-1]).over:
                break
        track.close()
        if len(frames) == STEPS:
            latents.append(codec.encode_frames(np.stack(frames)))
            actions.append(np.array(taken, np.int8))
    return Pilots(np.stack(latents), np.stack(actions))


def collected_drives(folder: Path, codec: Codec) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return latents, float32[N, 200, 32], and actions of the frames that `scripts/collect_frames.py` collected."""
    frames = np.load(folder / "train_frames.npy", mmap_mode="r")
    actions, starts = np.load(folder / "train_actions.npy"), np.load(folder / "train_starts.npy")
    latents = np.concatenate([codec.encode_frames(np.array(frames[i : i + 64])) for i in range(0, len(frames), 64)])
    ends = [*starts[1:], len(frames)]
    begins = [at for start, end in zip(starts, ends, strict=True) for at in range(start, end - DRIVE + 1, DRIVE)]
    return np.stack([latents[at : at + DRIVE] for at in begins]), np.stack([actions[at : at + DRIVE] for at in begins])


def report(line: str) -> None:
    """Say how a fit goes."""
    print(line, flush=True)


def write(folder: Path, data: bytes, name: str) -> None:
    """Write a fitted file over the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(data)
    report(f"{name}: {len(data)} bytes")


def record(objective: str, codec: Codec, config: dict[str, Any], tracks: tuple[int, ...] = ()) -> CoderRecord:
    """Return what the file says of its origin; `tracks` are those besides the pilots'."""
    return CoderRecord(
        objective=objective,
        codec_sha256=codec.sha256,
        participants=tuple(f"shipped_coders_pilot{seed}" for seed in PILOTS),
        sessions=(),
        track_seeds=(*range(FIRST_TRACK, FIRST_TRACK + len(PILOTS) * len(SPEEDS)), *tracks),
        config=config,
    )


def main() -> None:
    """Fit what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, default=Path("build/frames"))
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--coder", choices=CODERS, action="append", help="fit this one; may be repeated (default: all)")
    args = parser.parse_args()
    wanted = args.coder or CODERS
    use_one_thread()
    codec = load_codec()
    pilots = drive_pilots(codec)
    some = pilots.latents[:, ::20].reshape(-1, pilots.latents.shape[2])
    picture = picture_importance(codec, some)
    if "coarse" in wanted:
        weights = np.diag(picture).astype(np.float32)
        write(args.out, dump_coder({"weights": weights}, record("coarse", codec, {})), "coarse")
    if "pico-rate" in wanted:
        tensors, _ = fit_pico_rate(pilots.episodes, codec, PicoConfig())
        write(args.out, dump_coder(tensors, record("pico-rate", codec, asdict(PicoConfig()))), "pico-rate")
    if "rl-allocation" in wanted:
        settings = AllocationConfig()
        tensors = fit_rl_allocation(pilots.latents, codec, settings, report)
        write(args.out, dump_coder(tensors, record("rl-allocation", codec, asdict(settings))), "rl-allocation")
    if "predictive" in wanted:
        fit = fit_drivers(pilots.episodes, codec, PicoConfig())
        x = torch.cat([fit.trained.x, fit.held.x])
        importance = (action_importance(fit.drivers, x[::4]) + road_importance(codec, some) + picture) / 3
        config = PredictiveConfig()
        fitted = fit_predictive(*collected_drives(args.frames, codec), importance, codec, config, report)
        tracks = tuple(run["seed"] for run in json.loads((args.frames / "train_runs.json").read_text()))
        write(args.out, dump_coder(fitted, record("predictive", codec, asdict(config), tracks)), "predictive")


if __name__ == "__main__":
    main()
