from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pygame
import pytest
from footage_builders import CONDITIONS, STEPS, Walk, copy_recording, golden, other_progress, record
from numpy.typing import NDArray
from racing_builders import scored, write_session

import sessions
from racer.errors import ConfigError
from racer.recordings.footage import FootageError
from racer.recordings.rerun import Rerun
from racer.recordings.scene import Scene, View, scene_size
from racer.recordings.video import VideoConfig, make_video
from racer.window.palette import BLUE, ORANGE, PANEL
from sessions.export.folder import ExportError
from sessions.extras import MissingPackageError

FRAME = (64, 64, 3)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"))


def read_video(path: Path) -> tuple[dict[str, Any], list[NDArray[np.uint8]]]:
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    width, height = meta["size"]
    return meta, [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in frames]


def difference(picture: NDArray[np.uint8], place: pygame.Rect, frame: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference between a part of a picture, reduced to 64 x 64, and a frame."""
    part = picture[place.top : place.bottom, place.left : place.right].astype(float)
    scale = place.width // 64
    return float(np.abs(part.reshape(64, scale, 64, scale, 3).mean((1, 3)) - frame).mean())


def test_the_video_holds_each_step_once_with_the_original_left_of_what_was_shown(
    recording: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    config = VideoConfig((recording,), tmp_path / "out.mp4", fps=20.0)
    summary = make_video(config, lambda done, total: told.append((done, total)))
    meta, pictures = read_video(summary.out)
    steps = len(CONDITIONS) * STEPS
    assert (summary.pictures, len(pictures), told[-1]) == (steps, steps, (steps, steps))
    assert meta["size"] == summary.size == scene_size(FRAME, 4, beside=True)
    assert meta["fps"] == 20.0
    assert list(tmp_path.iterdir()) == [summary.out]
    scene = Scene(pygame.Surface(summary.size, 0, 24), FRAME, beside=True, scale=4)
    assert scene.original is not None and scene.original.right < scene.shown.left
    assert scene.original.size == scene.shown.size == (256, 256)
    with sessions.open(recording) as session:
        for number, episode in enumerate(session.episodes):
            with closing(Rerun(session.info, episode)) as again:
                picture, frame = pictures[number * STEPS + 7], again.frame(7)
            assert difference(picture, scene.original, frame) < 4
            same = difference(picture, scene.shown, frame)
            assert same < 4 if episode.info.condition == "raw" else same < 40


@pytest.mark.parametrize("frame", [(64, 64, 3), (8, 8, 1), (24, 32, 1), (256, 64, 3), (40, 256, 3)])
@pytest.mark.parametrize("scale", [2, 3, 7, 16])
@pytest.mark.parametrize("beside", [True, False])
def test_every_size_leaves_room_for_the_frames_and_what_is_around_them(
    frame: tuple[int, int, int], scale: int, beside: bool
) -> None:
    width, height = scene_size(frame, scale, beside)
    assert width % 2 == height % 2 == 0
    screen = pygame.Surface((width, height), 0, 24)
    scene = Scene(screen, frame, beside, scale)
    places = [scene.shown, *([scene.original] if scene.original else [])]
    for place in places:
        assert place.size == (frame[1] * scale, frame[0] * scale)
        assert screen.get_rect().contains(place)
    assert height - scene.shown.bottom > 0.2 * scene.shown.height
    assert scene.shown.top > 0.1 * scene.shown.height


@pytest.mark.parametrize("actions", [("left", "straight", "right"), tuple("abcdefghij"), tuple(map(str, range(64)))])
@pytest.mark.parametrize("frame", [(8, 8, 1), (64, 64, 3)])
def test_the_action_taken_alone_is_lit_however_many_there_are(
    actions: tuple[str, ...], frame: tuple[int, int, int]
) -> None:
    screen = pygame.Surface((960, 720), 0, 24)
    scene = Scene(screen, frame, beside=True)
    picture = np.zeros(frame, np.uint8)
    lit = []
    for action in range(len(actions)):
        scene.draw(View("p01", "", "facts", picture, picture, actions, action, 0.0, 0.0))
        footer = pygame.surfarray.array3d(screen)[:, scene.shown.bottom :]
        columns = np.flatnonzero((footer == BLUE).all(axis=2).any(axis=1))
        assert len(columns), f"action {action} is not lit"
        lit.append(columns.mean())
    assert lit == sorted(set(lit)), "each in its own place, in their order"


def test_a_score_whose_limits_nobody_knows_has_no_bar() -> None:
    screen = pygame.Surface((960, 720), 0, 24)
    scene = Scene(screen, FRAME, beside=False)
    frame = np.zeros(FRAME, np.uint8)
    seen = []
    for score in (0.5, None):
        scene.draw(View("p01", "", "facts", frame, None, ("no", "yes"), 0, 0.5, score))
        seen.append(bool((pygame.surfarray.array3d(screen) == ORANGE).all(axis=2).any()))
    assert seen == [True, False]


def test_recordings_of_several_tasks_share_a_picture(recording: Path, walk: Walk, tmp_path: Path) -> None:
    summary = make_video(VideoConfig((recording, walk.path), tmp_path / "out.mp4", 2, scale=2))
    width, height = scene_size(FRAME, 2, beside=True)
    assert (summary.size, summary.pictures) == ((2 * width, height), STEPS)
    assert summary.without_original == {}
    _, pictures = read_video(summary.out)
    assert pictures[3][:, width:].std() > 1


def test_a_recording_whose_task_is_not_installed_is_refused_in_a_line(walk: Walk, tmp_path: Path) -> None:
    walk.uninstall()
    with pytest.raises(FootageError, match="task grey-walk is not installed: install the package") as error:
        make_video(VideoConfig((walk.path,), tmp_path / "out.mp4"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("participant", ["pilot01", "eval01", "noisy01"])
def test_recordings_of_version_0_1_0_become_videos(participant: str, tmp_path: Path) -> None:
    summary = make_video(VideoConfig((golden(participant, tmp_path),), tmp_path / "out.mp4", 0, scale=2))
    assert summary.pictures >= 10
    assert summary.without_original == {}


def test_several_recordings_share_the_picture_and_the_shorter_waits(recording: Path, tmp_path: Path) -> None:
    shorter = record(tmp_path / "other", "p02", steps=5, conditions=("raw",))
    longer = record(tmp_path / "third", "p03", steps=7, conditions=("raw",))
    summary = make_video(VideoConfig((shorter, longer, recording), tmp_path / "grid.mp4", episode=0, scale=2))
    width, height = scene_size(FRAME, 2, beside=True)
    _, pictures = read_video(summary.out)
    assert (summary.pictures, len(pictures)) == (STEPS, STEPS)
    assert summary.size == (2 * width, 2 * height)
    scene = Scene(pygame.Surface((width, height), 0, 24), FRAME, beside=True, scale=2)
    with sessions.open(shorter) as session, closing(Rerun(session.info, session.episodes[0])) as again:
        assert scene.original is not None
        assert difference(pictures[-1], scene.original, again.frame(4)) < 6


def test_an_original_that_would_be_wrong_is_left_out_and_said_to_be(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, step=other_progress)
    out = tmp_path / "out.mp4"
    with sessions.open(path) as session:
        (index,) = [episode.index for episode in session.episodes if episode.info.condition == "full"]
    summary = make_video(VideoConfig((path,), out, episode=index))
    assert "goes differently" in summary.without_original[path]
    _, pictures = read_video(out)
    scene = Scene(pygame.Surface(summary.size, 0, 24), FRAME, beside=True, scale=4)
    assert scene.original is not None
    centre = pictures[3][scene.original.centery, scene.original.centerx].astype(int)
    assert np.abs(centre - PANEL).max() < 6


def test_a_video_without_originals_is_narrower_and_needs_no_game(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(recording, tmp_path, step=other_progress)
    with sessions.open(path) as session:
        (index,) = [episode.index for episode in session.episodes if episode.info.condition == "full"]
    summary = make_video(VideoConfig((path,), tmp_path / "out.mp4", index, beside=False))
    assert summary.size == scene_size(FRAME, 4, beside=False)
    assert summary.without_original == {}


def test_the_pace_of_the_recording_is_that_of_the_video(tmp_path: Path) -> None:
    path = record(tmp_path, steps=3, conditions=("raw",), pace=25.0)
    assert make_video(VideoConfig((path,), tmp_path / "out.mp4", scale=2)).fps == 25.0


def test_an_interruption_leaves_nothing(recording: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_video(VideoConfig((recording,), tmp_path / "out.mp4"), interrupt)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_overwritten(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        make_video(VideoConfig((recording,), out))
    assert out.read_text() == "mine"


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/ffmpeg"])
def test_an_encoder_that_fails_says_so_in_a_line_and_leaves_nothing(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    with pytest.raises(ExportError, match="ffmpeg could not write the video") as error:
        make_video(VideoConfig((recording,), tmp_path / "out.mp4"))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_without_ffmpeg_one_line_says_what_to_install(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingPackageError, match='pip install "imageio-ffmpeg"'):
        make_video(VideoConfig((recording,), tmp_path / "out.mp4"))


def test_an_episode_that_is_not_there_or_empty_is_refused(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(FootageError, match="no episode 9"):
        make_video(VideoConfig((recording,), tmp_path / "out.mp4", episode=9))
    empty = write_session(tmp_path / "empty", [scored("raw", 0.0, ())])
    with pytest.raises(FootageError, match="no steps"):
        make_video(VideoConfig((empty,), tmp_path / "out.mp4"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"recordings": ()},
        {"recordings": (Path("x.h5"),) * 17},
        {"out": Path("x.gif")},
        {"fps": 0.5},
        {"fps": float("nan")},
        {"scale": 1},
        {"scale": 17},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        VideoConfig(**{"recordings": (Path("x.h5"),), "out": Path("x.mp4"), **wrong})


def test_texts_of_any_length_and_kind_can_be_drawn(recording: Path, tmp_path: Path) -> None:
    path = copy_recording(
        recording, tmp_path, episode=lambda info: replace(info, phase="W" * 100_000 + "\n\x1b[31m", fill="x" * 999)
    )
    assert make_video(VideoConfig((path,), tmp_path / "out.mp4", episode=0, scale=2)).pictures == STEPS
