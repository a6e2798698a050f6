from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from racing_builders import Drive, scored
from report_builders import CONDITIONS, CONFIG, driven, evaluation

from compression.model.latent_model import Codec
from racer.report.recordings import read_evaluations
from racer.report.strips import FRAMES, FilmStrips, NoStripError, film_strips
from racer.report.traversals import DEVIATIONS, traverse
from racer.tasks.car_racing.track import Track, TrackConfig


def real_drive(condition: str, actions: list[int], track_seed: int) -> Drive:
    """Return an episode that was really driven, its latents apart."""
    drive = driven(condition, actions, track_seed=track_seed)
    track = Track(TrackConfig(), track_seed)
    steps = []
    for step, action in zip(drive.steps, actions, strict=True):
        outcome = track.step(action)
        steps.append(replace(step, progress=outcome.progress, speed=outcome.speed, off_road=outcome.off_road))
    info = replace(drive.info, road_patches=track.road_patches)
    track.close()
    return Drive(info, steps)


def strips_of(folder: Path, drives: list[Drive], codec: Codec) -> FilmStrips:
    """Record a sitting and return its strips."""
    evaluation(folder, "ann", drives, codec_sha256=codec.sha256)
    return film_strips(read_evaluations(folder), codec)


def test_originals_are_the_frames_that_were_driven_and_shown_is_what_was_received(tmp_path: Path, codec: Codec) -> None:
    film = strips_of(tmp_path, [real_drive(name, [1, 0, -1] * 5, 11) for name in ("random", "raw")], codec)
    raw, random = film.strips
    assert (raw.condition, random.condition) == ("raw", "random")
    assert film.steps.tolist() == sorted(set(np.linspace(0, 14, FRAMES).round().astype(int)))
    track = Track(TrackConfig(), 11)
    assert np.array_equal(raw.original[0], track.frame())
    track.close()
    assert np.array_equal(raw.shown, raw.original)
    assert np.array_equal(random.original, raw.original)
    assert np.array_equal(random.shown[0], codec.decode_latent(np.zeros(32, np.float32)))


def test_a_short_episode_shows_every_step_once(tmp_path: Path, codec: Codec) -> None:
    assert strips_of(tmp_path, [real_drive("random", [0, 0, 0], 11)], codec).steps.tolist() == [0, 1, 2]


def test_driving_again_that_gives_something_else_is_no_strip(tmp_path: Path, codec: Codec) -> None:
    drives = [driven(condition, [0, 1], track_seed=3) for condition in CONDITIONS]
    with pytest.raises(NoStripError, match="driven again") as refusal:
        strips_of(tmp_path, drives, codec)
    assert str(tmp_path) not in str(refusal.value)


def test_a_track_that_not_all_conditions_drove_is_no_strip(tmp_path: Path, codec: Codec) -> None:
    with pytest.raises(NoStripError, match="ann drove no track under all conditions"):
        strips_of(tmp_path, [scored("random", 0.1, track_seed=1), scored("pico", 0.1, track_seed=2)], codec)


@pytest.mark.parametrize("track", [None, {}, {"handling": "hovering"}, {"target_speed": "fast"}])
def test_settings_of_the_car_that_are_not_known_are_no_strip(track: object, tmp_path: Path, codec: Codec) -> None:
    drives = [driven("raw", [0], track_seed=3)]
    evaluation(tmp_path, "ann", drives, codec_sha256=codec.sha256, config=CONFIG | {"track": track})
    with pytest.raises(NoStripError):
        film_strips(read_evaluations(tmp_path), codec)


def test_a_traversal_moves_one_feature_at_a_time_about_the_mean_latent(codec: Codec) -> None:
    frames = traverse(codec)
    assert frames.shape == (32, len(DEVIATIONS), 64, 64, 3)
    middle = frames[:, DEVIATIONS.index(0.0)].astype(int)
    # One by one and in batches, decoding may round otherwise.
    assert np.abs(middle - codec.decode_latent(codec.mean)).max() <= 1
    moved = codec.mean.copy()
    moved[5] += 2 * np.sqrt(codec.covariance[5, 5])
    assert np.abs(frames[5, DEVIATIONS.index(2.0)].astype(int) - codec.decode_latent(moved)).max() <= 1
