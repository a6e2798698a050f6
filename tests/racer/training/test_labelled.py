"""Frames with label maps: whose trials they are of, and that nobody who acts or receives ever gets one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from tiny_models import CHANNELS, concept_tensors

from compression.coders.coder import find_coder
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.model.header import shipped_model
from compression.model.latent_model import load_model
from compression.rl_asc.networks import Design
from racer.errors import ConfigError
from racer.loop.batched import Job, simulate
from racer.loop.conditions import ChannelConfig
from racer.loop.episode import POOL
from racer.tasks.car_racing.task import LABELS
from racer.tasks.car_racing.track import Track
from racer.tasks.pictures.parts import part_of
from racer.tasks.registry import make_task
from racer.training import collect
from racer.training.labelled import EVERY, FIRST_SEED, collect_labelled


def test_the_same_arguments_give_the_same_frames_of_seeds_of_their_own() -> None:
    frames, labels, seeds = collect_labelled("vehicles", {}, "judge", 6)
    again = collect_labelled("vehicles", {}, "judge", 6)
    assert (frames.shape, labels.shape) == ((6, 64, 64, 3), (6, 64, 64))
    assert frames.tobytes() == again[0].tobytes() and labels.tobytes() == again[1].tobytes()
    assert seeds.tolist() == list(range(FIRST_SEED["judge"], FIRST_SEED["judge"] + 6))
    assert len({collect_labelled("vehicles", {}, use, 3)[0].tobytes() for use in FIRST_SEED}) == len(FIRST_SEED)


def test_no_trial_of_one_use_is_one_of_another_nor_of_a_latent_model() -> None:
    of_models = [range(first, first + POOL) for first in collect.FIRST_SEED.values()]
    ranges = [*of_models, *(range(first, first + 100_000) for first in FIRST_SEED.values())]
    ranges.sort(key=lambda each: each.start)
    assert all(one.stop <= other.start for one, other in pairwise(ranges))
    parts = {use: {part_of(first), part_of(first + 99_999)} for use, first in FIRST_SEED.items()}
    assert parts["coder"] == parts["judge"] == {"learnt"} and parts["held_out"] == {"held-out"}


def test_a_task_that_moves_on_is_looked_at_now_and_then() -> None:
    told: list[float] = []
    frames, labels, seeds = collect_labelled("lunar-lander", {}, "score", 2, told.append)
    assert told == [0.5, 1.0] and 4 <= len(frames) == len(labels) == len(seeds) <= 480 / EVERY
    assert seeds.tolist() == sorted(seeds.tolist()) and len(set(seeds.tolist())) == 2
    assert labels.max() < len(make_task("lunar-lander").spec.labels)


def test_a_task_without_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not say what its pixels show") as refusal:
        collect_labelled("digits", {}, "coder", 2)
    assert len(str(refusal.value).splitlines()) == 1


def test_neither_sender_nor_receiver_nor_driver_is_given_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(track: Any) -> NoReturn:
        raise AssertionError("somebody asked for labels")

    monkeypatch.setattr(Track, "labels", never)
    model = load_model(shipped_model("car-racing"))
    config = {"parts": list(LABELS), "channels": CHANNELS}
    record = FittedRecord("rl-asc", model.sha256, (), (), (), config, task="car-racing")
    tensors = concept_tensors(Design(model.sizes.frame, len(LABELS), CHANNELS), np.random.default_rng(0))
    path = tmp_path / "rl-asc.safetensors"
    path.write_bytes(dump_fitted({name: np.asarray(value, np.float32) for name, value in tensors.items()}, record))
    fitted = {"rl-asc": find_coder("rl-asc").read(path, model)}
    job = Job("rl-asc", ChannelConfig(bits=85), make_task("car-racing"), 3, "pursuit", 0, 4, 0)
    (score,) = simulate([job], model, fitted)
    assert (score.steps, score.bits_most, score.lost) == (4, 85, 0)
