from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import gymnasium.utils.env_checker
import numpy as np
import pytest
from footage_builders import copy_recording, other_progress, record
from racing_builders import EPISODE, SESSION, STEP, Drive, write_session

import sessions
from compression.model.latent_model import Codec
from racer.recordings import rerun
from racer.recordings.footage import Footage, FootageError
from racer.recordings.rerun import Rerun, RerunError, recorded_pace, step_times, track_config
from racer.tasks.car_racing.track import Track, TrackConfig
from racer.tasks.steering_env import steering_spec
from sessions import Session


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def session(recording: Path) -> Iterator[Session]:
    with sessions.open(recording) as opened:
        yield opened


def test_the_frames_are_those_that_were_encoded_in_the_session(session: Session, codec: Codec) -> None:
    for episode in session.episodes:
        with closing(Rerun(session.info, episode)) as again:
            for step, latent in enumerate(episode.latent):
                assert np.array_equal(codec.encode_frame(again.frame(step)), latent)


def test_frames_are_the_same_in_any_order_and_however_few_are_kept(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerun, "_KEPT_FRAMES", 3)
    monkeypatch.setattr(rerun, "_DRAWN_BEFORE", 2)
    episode = session.episodes[0]
    with closing(Track(TrackConfig(), episode.info.track_seed)) as track:
        expected = [track.frame()]
        for action in episode.action.tolist():
            track.step(action)
            expected.append(track.frame())
    order = np.random.default_rng(0).integers(episode.n_steps + 1, size=40).tolist()
    with closing(Rerun(session.info, episode)) as again:
        for step in [episode.n_steps, episode.n_steps - 1, 0, *order]:
            assert np.array_equal(again.frame(step), expected[step])


def test_going_back_step_by_step_drives_from_the_start_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    episode = session.episodes[0]
    with closing(Rerun(session.info, episode)) as again:
        again.frame(episode.n_steps)
        tracks: list[Track] = []
        monkeypatch.setattr(rerun, "Track", lambda *settings: tracks.append(Track(*settings)) or tracks[-1])
        for step in range(episode.n_steps - 1, -1, -1):
            again.frame(step)
    assert len(tracks) == 1


def test_an_episode_that_goes_otherwise_is_refused(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, step=other_progress)
    with sessions.open(path) as session, pytest.raises(RerunError, match="goes otherwise"):
        Rerun(session.info, session.episodes[0])


@pytest.mark.parametrize(
    "track",
    [None, "stock", {}, {"handling": "stock"}, {"handling": "odd", "target_speed": 50.0, "skip_zoom": True}]
    + [{"handling": "stock", "target_speed": speed, "skip_zoom": True} for speed in ("fast", None, -1, float("nan"))]
    + [{"handling": ["stock"], "target_speed": 50.0, "skip_zoom": True}]
    + [{"handling": "stock", "target_speed": 50.0, "skip_zoom": 1}],
)
def test_a_configuration_that_does_not_say_how_the_car_was_driven_is_refused(track: Any) -> None:
    with pytest.raises(RerunError, match="configuration"):
        track_config(replace(SESSION, config={"track": track}))


def test_the_handling_of_a_session_comes_back(tmp_path: Path) -> None:
    config = TrackConfig("forgiving", 61.0, skip_zoom=False)
    with sessions.open(record(tmp_path, steps=3, track=config, conditions=("raw",))) as session:
        assert track_config(session.info) == config
        Rerun(session.info, session.episodes[0]).close()


def timed(folder: Path, times_ns: list[int], **config: Any) -> Any:
    drive = Drive(EPISODE, [replace(STEP, time_ns=time_ns) for time_ns in times_ns])
    with sessions.open(write_session(folder, [drive], config=config)) as session:
        return step_times(session.info, session.episodes[0]).tolist()


def test_steps_are_due_as_recorded_with_pauses_cut_to_a_second(tmp_path: Path) -> None:
    ms = 1_000_000
    assert timed(tmp_path, [7 * ms, 107 * ms, 210 * ms, 60_000 * ms, 60_100 * ms]) == [
        0,
        100 * ms,
        203 * ms,
        1203 * ms,
        1303 * ms,
    ]


def test_times_that_run_backwards_or_leap_stay_in_order(tmp_path: Path) -> None:
    assert timed(tmp_path, [2**62, -(2**62), 2**62]) == [0, 0, 1_000_000_000]


def test_a_session_without_a_window_has_the_pace_it_was_set_to(tmp_path: Path) -> None:
    assert timed(tmp_path, [0, 1, 2], headless=True, pace=20.0) == [0, 50_000_000, 100_000_000]


@pytest.mark.parametrize(("pace", "expected"), [(20, 20.0), (None, 10.0), ("fast", 10.0), (1e9, 10.0)])
def test_a_pace_that_cannot_be_is_ten(pace: Any, expected: float) -> None:
    assert recorded_pace(replace(SESSION, config={"pace": pace})) == expected


def test_footage_shows_what_was_received_beside_the_original(session: Session, codec: Codec) -> None:
    for episode in session.episodes:
        with Footage(session, episode, codec) as footage, closing(Rerun(session.info, episode)) as again:
            assert footage.without_original == ""
            for step in (0, episode.n_steps - 1):
                view = footage.view(step)
                raw = episode.info.condition == "raw"
                shown = again.frame(step) if raw else codec.decode_latent(episode.received[step])
                assert np.array_equal(view.shown, shown)
                assert view.original is not None
                assert np.array_equal(view.original, again.frame(step))
                assert view.action == episode.action[step]
                assert view.progress == episode.progress[step]
                assert f"{episode.bits[step]} bits" in view.facts


def test_footage_leaves_out_an_original_that_would_be_wrong(recording: Path, tmp_path: Path, codec: Codec) -> None:
    with sessions.open(copy_recording(recording, tmp_path, step=other_progress)) as session:
        conditions = [episode.info.condition for episode in session.episodes]
        for condition, episode in zip(conditions, session.episodes, strict=True):
            if condition == "raw":
                with pytest.raises(FootageError, match="cannot be drawn"):
                    Footage(session, episode, codec)
                continue
            with Footage(session, episode, codec) as footage:
                assert "goes otherwise" in footage.without_original
                assert footage.view(0).original is None


def test_footage_recorded_with_other_weights_is_refused(recording: Path, tmp_path: Path, codec: Codec) -> None:
    path = copy_recording(recording, tmp_path, session=lambda info: replace(info, codec_sha256="ab" * 32))
    with sessions.open(path) as session, pytest.raises(FootageError, match="other codec weights"):
        Footage(session, session.episodes[0], codec)


def test_the_environment_repeats_a_recorded_episode(session: Session) -> None:
    episode = session.episodes[0]
    environment = gymnasium.make(steering_spec(track_config(session.info)))
    with closing(Rerun(session.info, episode)) as again:
        frame, _ = environment.reset(seed=episode.info.track_seed)
        for step, action in enumerate(episode.action.tolist()):
            assert np.array_equal(frame, again.frame(step))
            frame, reward, terminated, truncated, info = environment.step(action + 1)
            assert np.float32(reward) == episode.reward[step]
            assert info["progress"] == episode.progress[step]
            assert not (terminated or truncated)
        assert np.array_equal(frame, again.frame(episode.n_steps))
    environment.close()


def test_the_environment_keeps_to_what_gymnasium_asks_for() -> None:
    environment = gymnasium.make(steering_spec(TrackConfig()))
    gymnasium.utils.env_checker.check_env(environment.unwrapped, skip_render_check=True)
    environment.close()
