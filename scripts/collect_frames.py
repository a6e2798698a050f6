"""Drive many tracks with noisy simulated drivers and store every frame: the data that pretraining learns from.

    python scripts/collect_frames.py --out build/frames

Writes, per split (`train`, `held_out`): `<split>_frames.npy` uint8[N, 64, 64, 3], `<split>_actions.npy` int8[N] (the
action taken on seeing the frame) and `<split>_starts.npy` int64[E + 1] (episode boundaries). No track, driver or
random stream is shared by the splits, nor with those that `racer` uses for sessions (track seeds below 1,000,000).
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from racer.drivers.families.pursuit import SimulatedParticipant, Traits
from racer.tasks.car_racing.track import ACTIONS, Track, TrackConfig

FIRST_TRACK = {"train": 1_000_000, "held_out": 2_000_000}
"""Track (and driver) seeds of the splits start here."""

EXPERT = Traits(
    look_ahead=15.0, gain=1.1, damping=0.5, anticipation=1.0, dead_zone=0.08, noise=0.0, delay=0, lapses=0.0
)


@dataclass(frozen=True)
class Run:
    """One episode to drive."""

    seed: int
    steps: int
    expert: bool
    config: TrackConfig
    wander: float
    """Probability per step of starting a burst of one wrong key, so that bad positions are seen too."""


def plan(split: str, tracks: int) -> list[Run]:
    """Return one run per track."""
    runs = []
    for index in range(tracks):
        seed = FIRST_TRACK[split] + index
        rng = np.random.default_rng([seed, 1])
        runs.append(
            Run(
                seed=seed,
                steps=int(rng.choice([200, 200, 300, 500])),
                expert=index % 2 == 0,
                config=TrackConfig(
                    handling="forgiving" if rng.random() < 0.2 else "stock",
                    target_speed=float(rng.uniform(30, 65)),
                ),
                wander=float(rng.choice([0.0, 0.005, 0.01, 0.02])),
            )
        )
    return runs


def drive(run: Run) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Return frames uint8[T, 64, 64, 3] and actions int8[T] of one run."""
    rng = np.random.default_rng([run.seed, 2])
    driver = SimulatedParticipant(run.seed, EXPERT if run.expert else None)
    track = Track(run.config, run.seed)
    frames, actions = [], []
    wrong_steps, wrong_key = 0, 0
    for _ in range(run.steps):
        frame = track.frame()
        action = driver.act(frame)
        if wrong_steps == 0 and rng.random() < run.wander:
            wrong_steps, wrong_key = int(rng.integers(5, 25)), int(rng.choice(ACTIONS))
        if wrong_steps > 0:
            wrong_steps, action = wrong_steps - 1, wrong_key
        frames.append(frame)
        actions.append(action)
        if track.step(action).over:
            break
    track.close()
    return np.stack(frames), np.array(actions, np.int8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/frames"))
    parser.add_argument("--train-tracks", type=int, default=320)
    parser.add_argument("--held-out-tracks", type=int, default=40)
    parser.add_argument("--processes", type=int, default=None)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for split, tracks in (("train", args.train_tracks), ("held_out", args.held_out_tracks)):
        runs = plan(split, tracks)
        with ProcessPoolExecutor(args.processes) as pool:
            episodes = list(pool.map(drive, runs, chunksize=4))
        starts = np.cumsum([0] + [len(actions) for _, actions in episodes], dtype=np.int64)
        np.save(args.out / f"{split}_frames.npy", np.concatenate([frames for frames, _ in episodes]))
        np.save(args.out / f"{split}_actions.npy", np.concatenate([actions for _, actions in episodes]))
        np.save(args.out / f"{split}_starts.npy", starts)
        (args.out / f"{split}_runs.json").write_text(json.dumps([asdict(run) for run in runs]))
        print(f"{split}: {starts[-1]} frames on {tracks} tracks")


if __name__ == "__main__":
    main()
