from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from racing_builders import CAR_RACING, TASK, Drive, scored
from report_builders import CONDITIONS, driven, evaluation

from compression.model.latent_model import LatentModel
from racer.report.recordings import read_evaluations
from racer.report.strips import FRAMES, FilmStrips, NoStripError, film_strips
from racer.training.sheets import DEVIATIONS, traverse


def real_drive(condition: str, actions: list[int], seed: int) -> Drive:
    """Return an episode that was really driven, its latents apart."""
    drive = driven(condition, actions, seed=seed)
    trial = CAR_RACING.start(seed)
    metrics = [trial.step(action).metrics for action in actions]
    trial.close()
    return Drive(drive.info, [replace(step, metrics=own) for step, own in zip(drive.steps, metrics, strict=True)])


def strips_of(folder: Path, drives: list[Drive], model: LatentModel) -> FilmStrips:
    """Record a sitting and return its strips."""
    evaluation(folder, "ann", drives, model_sha256=model.sha256)
    return film_strips(read_evaluations(folder))


def test_originals_are_the_frames_that_were_driven_and_shown_is_what_was_received(
    tmp_path: Path, model: LatentModel
) -> None:
    film = strips_of(tmp_path, [real_drive(name, [2, 1, 0] * 5, 11) for name in ("random", "raw")], model)
    raw, random = film.strips
    assert (raw.condition, random.condition) == ("raw", "random")
    assert film.steps.tolist() == sorted(set(np.linspace(0, 14, FRAMES).round().astype(int)))
    trial = CAR_RACING.start(11)
    assert np.array_equal(raw.original[0], trial.frame())
    trial.close()
    assert np.array_equal(raw.shown, raw.original)
    assert np.array_equal(random.original, raw.original)
    assert np.array_equal(random.shown[0], model.decode_latent(np.zeros(32, np.float32)))


def test_a_short_episode_shows_every_step_once(tmp_path: Path, model: LatentModel) -> None:
    assert strips_of(tmp_path, [real_drive("random", [1, 1, 1], 11)], model).steps.tolist() == [0, 1, 2]


def test_doing_it_again_that_gives_something_else_is_no_strip(tmp_path: Path, model: LatentModel) -> None:
    drives = [driven(condition, [1, 2], seed=3) for condition in CONDITIONS]
    with pytest.raises(NoStripError, match="replayed here, it goes differently") as refusal:
        strips_of(tmp_path, drives, model)
    assert str(tmp_path) not in str(refusal.value)


def test_a_seed_that_not_all_conditions_met_is_no_strip(tmp_path: Path, model: LatentModel) -> None:
    with pytest.raises(NoStripError, match="ann met no seed under all conditions"):
        strips_of(tmp_path, [scored("random", 0.1, seed=1), scored("pico", 0.1, seed=2)], model)


@pytest.mark.parametrize("settings", [{"handling": "hovering"}, {"speed": "fast"}, {"wings": 2}])
def test_settings_of_the_task_that_cannot_be_are_no_strip(
    settings: dict[str, object], tmp_path: Path, model: LatentModel
) -> None:
    drives = [driven("raw", [1], seed=3)]
    evaluation(tmp_path, "ann", drives, model_sha256=model.sha256, task=replace(TASK, settings=settings))
    with pytest.raises(NoStripError):
        film_strips(read_evaluations(tmp_path))


def test_a_traversal_moves_one_feature_at_a_time_about_the_mean_latent(model: LatentModel) -> None:
    frames = traverse(model)
    assert frames.shape == (32, len(DEVIATIONS), 64, 64, 3)
    middle = frames[:, DEVIATIONS.index(0.0)].astype(int)
    # One by one and in batches, decoding may round otherwise.
    assert np.abs(middle - model.decode_latent(model.mean)).max() <= 1
    moved = model.mean.copy()
    moved[5] += 2 * np.sqrt(model.covariance[5, 5])
    assert np.abs(frames[5, DEVIATIONS.index(2.0)].astype(int) - model.decode_latent(moved)).max() <= 1
