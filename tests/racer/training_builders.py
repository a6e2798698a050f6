"""Things to train on: short runs of a task, pictures of noise, and sessions of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from racing_builders import Drive, pilot_drives, write_session

from compression.model.latent_model import LatentModel
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


def keyboard_pilot(folder: Path, model: LatentModel, name: str, drives: list[Drive] | None = None) -> Path:
    """Write a session of somebody at the keyboard, whose latents follow from the name."""
    drives = drives or pilot_drives(np.random.default_rng(list(name.encode())))
    drives = [replace(each, steps=[replace(step, stimulus=each.info.seed) for step in each.steps]) for each in drives]
    changes = {"model_sha256": model.sha256, "session_id": name.encode().hex()[-6:]}
    return write_session(folder, drives, participant=name, **changes)
