"""Things to train a latent model on: short runs of a task, and pictures of noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from racer.training.collect import FIRST_SEED, CollectConfig, collect_run, plan_runs


def collect_short_runs(task: str, settings: Mapping[str, Any], config: CollectConfig, folder: Path, steps: int) -> None:
    """Do the runs of a collection for some steps only: a collection into this folder finds nothing missing."""
    folder.mkdir(parents=True)
    for split in FIRST_SEED:
        for run in plan_runs(task, settings, config, split, folder):
            collect_run(replace(run, steps=steps))


def draw_noise(folder: Path, count: int = 20) -> None:
    """Write pictures of 30 x 20 pixels into a new folder."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(256, size=(count, 20, 30, 3), dtype=np.uint8)
    for index, picture in enumerate(noise):
        Image.fromarray(picture).save(folder / f"{index:02}.png")
