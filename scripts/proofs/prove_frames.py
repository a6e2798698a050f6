"""Compare the frames that Racer draws with Gymnasium's, byte by byte, on drives that no driver would choose.

    SDL_VIDEODRIVER=dummy python scripts/proofs/prove_frames.py
    SDL_VIDEODRIVER=dummy python scripts/proofs/prove_frames.py --tracks 6 --steps 100

On every track both are given the same controls from the first step on, the opening zoom included; the kinds of driving
and stock and random colours take turns. Prints one JSON object; fails if a byte differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import gymnasium
import numpy as np
from gymnasium.envs.box2d import car_racing as stock
from numpy.typing import NDArray

from racer.tasks.car_racing import raster
from racer.tasks.car_racing.frames import SCENE_ROWS
from racer.tasks.car_racing.rendering import FastCarRacing
from racer.tasks.car_racing.task import ZOOM_STEPS

Controls = NDArray[np.float32]
"""Steering in [-1, 1], gas and brake in [0, 1], float32[T, 3]."""
SEEDS = 900_000
_ZOOM_FRAMES = ZOOM_STEPS + 1


def held(rng: np.random.Generator, steps: int) -> Controls:
    """Draw controls, each held for 1 to 25 steps."""
    drawn = rng.uniform((-1, 0, 0), (1, 1, 0.3), (steps, 3))
    return np.repeat(drawn, rng.integers(1, 26, steps), axis=0)[:steps].astype(np.float32)


def away(rng: np.random.Generator, steps: int) -> Controls:
    """Full gas, hardly steered: off the road and over the field's edge."""
    return np.stack([rng.uniform(-0.02, 0.02, steps), np.ones(steps), np.zeros(steps)], axis=1).astype(np.float32)


def spin(rng: np.random.Generator, steps: int) -> Controls:
    """Full lock under gas, and the brake at times."""
    lock = np.repeat(rng.choice([-1.0, 1.0], steps), 40)[:steps]
    return np.stack([lock, np.ones(steps), rng.uniform(size=steps) < 0.1], axis=1).astype(np.float32)


def every_step(rng: np.random.Generator, steps: int) -> Controls:
    """Draw controls anew in every step."""
    return rng.uniform((-1, 0, 0), (1, 1, 1), (steps, 3)).astype(np.float32)


DRIVING: tuple[Callable[[np.random.Generator, int], Controls], ...] = (held, away, spin, every_step)


def compare(seed: int, steps: int, driving: int, random_colors: bool) -> dict[str, int]:
    """Drive both on one track and count frames, those that differ, and those that are special."""
    theirs = gymnasium.make("CarRacing-v3", domain_randomize=random_colors, max_episode_steps=10 * steps)
    ours = FastCarRacing(draw_each_step=False)
    ours.domain_randomize = random_colors
    frame, _ = theirs.reset(seed=seed)
    ours.reset(seed=seed)
    found = {"frames": 0, "frames_that_differ": 0, "opening_zoom": 0, "beyond_the_field": 0, "random_colors": 0}
    for number, control in enumerate(DRIVING[driving](np.random.default_rng(seed), steps)):
        found["frames"] += 1
        found["frames_that_differ"] += not np.array_equal(ours.scene(), frame[:SCENE_ROWS])
        found["opening_zoom"] += number < _ZOOM_FRAMES
        found["beyond_the_field"] += not ours.camera().inside_field
        found["random_colors"] += random_colors
        frame, *_ = theirs.step(control)
        ours.step(control)
        if max(map(abs, ours.car.hull.position)) > 1.2 * stock.PLAYFIELD:
            break
    theirs.close()
    ours.close()
    return found


def main() -> None:
    """Compare on all tracks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=64, help="how many")
    parser.add_argument("--steps", type=int, default=400, help="on each")
    args = parser.parse_args()
    total: dict[str, int] = {}
    for number in range(args.tracks):
        driving, colors = number % len(DRIVING), number // len(DRIVING) % 2 == 1
        for key, count in compare(SEEDS + number, args.steps, driving, colors).items():
            total[key] = total.get(key, 0) + int(count)
    print(json.dumps({"drawn_by": raster.drawn_by(), "tracks": args.tracks, **total}, indent=2))
    if total["frames_that_differ"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
