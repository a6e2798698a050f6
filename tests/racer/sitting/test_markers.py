from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest
from racing_builders import EPISODE, SESSION
from window_builders import FRAME, HUD, SPEC, TEXT

import sessions
from racer.drivers.registry import make_driver
from racer.errors import ConfigError
from racer.loop.attended import EpisodeRun, Setup, Unrecorded
from racer.loop.conditions import ChannelConfig
from racer.loop.display import Hud, NoDisplay
from racer.sitting.answers import ACCEPTED, CONSENT, NOTE
from racer.sitting.markers import CODES, OTHER_CODE, MarkedRecorder, Markers, MarkersConfig
from racer.sitting.protocol import EpisodePlan, ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.window.canvas import Canvas
from racer.window.drive_view import DriveView
from racer.window.texts import english
from sessions.extras import MissingPackageError

STEPS = 3
INLET = """
import pylsl
(info,) = pylsl.resolve_byprop("name", "Racer", timeout=30)
inlet = pylsl.StreamInlet(info)
inlet.open_stream(timeout=30)
print(info.type(), flush=True)
words = ""
while not words.startswith("episode_end"):
    (words,), time = inlet.pull_sample(timeout=30)
    print(words, time, pylsl.local_clock(), sep="|", flush=True)
"""


def config(data: Path, markers: MarkersConfig) -> StartConfig:
    protocol = ProtocolConfig("evaluation", practice=0, evaluation=1, steps=STEPS, conditions=("random",))
    return StartConfig("p01", protocol, driver="simulated", headless=True, data=data, markers=markers)


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """Return a serial port: the end to read from, and the name of the one to write to."""
    ours, theirs = os.openpty()
    yield ours, os.ttyname(theirs)
    for each in (ours, theirs):
        os.close(each)


def heard(port: int, count: int) -> list[int]:
    """Return so many bytes, or those that came within five seconds."""
    found: list[int] = []
    while len(found) < count and select.select([port], [], [], 5)[0]:
        found += os.read(port, count - len(found))
    return found


def test_a_stream_of_the_network_is_told_of_rounds_and_frames_at_their_own_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pylsl")
    scope = tmp_path / "lsl.cfg"
    scope.write_text("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")
    monkeypatch.setenv("LSLAPICFG", str(scope))
    inlet = subprocess.Popen([sys.executable, "-c", INLET], stdout=subprocess.PIPE, text=True)
    assert inlet.stdout is not None
    lines = inlet.stdout

    def listening(path: Path, episodes: int) -> None:
        assert lines.readline() == "Markers\n"

    result = start_session(config(tmp_path / "data", MarkersConfig(lsl=True, frames=True)), on_ready=listening)
    told = [line.rstrip("\n").split("|") for line in lines]
    assert inlet.wait(30) == 0
    assert result.path is not None
    with sessions.open(result.path) as session:
        (episode,) = session.episodes
        seed, shown_ns = episode.info.seed, episode.time_ns
        assert session.info.config["markers"] == {
            "lsl": True,
            "frames": True,
            "serial": "",
            "photodiode": 0,
            "sounds": False,
        }
    begin, *frames, end = [words for words, _, _ in told]
    assert begin == f"episode_begin 0 evaluation random {seed}"
    assert frames == [f"frame {step}" for step in range(STEPS)]
    assert end == "episode_end 0 complete"
    times = np.array([float(time) for _, time, _ in told[1:-1]])
    assert np.diff(times) == pytest.approx(np.diff(shown_ns) / 1e9, abs=1e-5)
    assert all(float(time) <= float(now) for _, time, now in told)


def test_a_serial_port_gets_a_byte_for_every_event(tmp_path: Path, port: tuple[int, str]) -> None:
    pytest.importorskip("serial")
    ours, theirs = port
    start_session(config(tmp_path, MarkersConfig(frames=True, serial=theirs)))
    expected = [CODES["episode_begin"], *[CODES["frame"]] * STEPS, CODES["episode_end"]]
    assert heard(ours, len(expected)) == expected


@pytest.mark.skipif(os.name != "posix", reason="Windows has no pseudo terminals")
def test_a_port_is_lost_when_it_takes_no_more_and_not_when_this_process_was_kept_waiting(port: tuple[int, str]) -> None:
    pytest.importorskip("serial")
    ours, theirs = port
    markers = Markers(MarkersConfig(serial=theirs), "0a1b2c")
    markers._port.write_timeout = 1e-9  # less than anything takes
    assert [markers.tell(kind, "", 0) for kind in ("pause", "resume")] == [False, False]
    assert heard(ours, 2) == [OTHER_CODE, OTHER_CODE]
    told = next(count for count in range(10**6) if markers.tell("pause", "", 0))
    assert len(heard(ours, told)) == told
    assert not markers.tell("pause", "", 0)
    markers.close()


def test_keys_and_questions_are_told_and_answers_are_not(tmp_path: Path, port: tuple[int, str]) -> None:
    pytest.importorskip("serial")
    told: list[str] = []

    class Heard(Markers):
        def tell(self, kind: str, detail: str, time_ns: int) -> bool:
            told.append(f"{kind} {detail}")
            return super().tell(kind, detail, time_ns)

    ours, theirs = port
    markers = Heard(MarkersConfig(serial=theirs), "0a1b2c")
    with MarkedRecorder(sessions.Recorder(tmp_path, SESSION), lambda error: None, markers) as recorder:
        recorder.answer(CONSENT, ACCEPTED, 1)
        recorder.answer(NOTE, "late", 2)
        recorder.begin_episode(EPISODE)
        recorder.event("key_down", "left", 5, 0, 0)
        recorder.end_episode("complete")
        recorder.event("pause", "escape", 6, 0, 0)
        recorder.event("key_down", "5", 7, 0, 0)  # by which a question is answered
        recorder.answer("end/0/-/age/years", "37", 7)
        recorder.shown(0, 8)  # not asked for
        expected = ["episode_begin", "key_down", "episode_end", "pause", "answer"]
        assert heard(ours, 5) == [CODES.get(kind, OTHER_CODE) for kind in expected]
        assert [words.split()[0] for words in told] == expected and "5" not in "".join(told[3:])
        markers._port.close()  # as if it had been pulled out
        recorder.event("pause", "escape", 9, 0, 0)
        recorder.event("resume", "escape", 10, 0, 0)
        recorder.close("complete")
    assert len(told) == 7
    (path,) = sessions.find_recordings(tmp_path)
    with sessions.open(path) as session:
        kinds = [event.kind for event in session.events()]
    assert kinds == ["key_down", "pause", "key_down", "markers_lost", "pause", "resume"]


def test_tones_are_told_like_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    told = MarkersConfig(sounds=True)
    assert told.told and not MarkersConfig().told
    markers = Markers(told, "0a1b2c")
    try:
        assert not markers.tell("episode_begin", "0 evaluation random 7", 0)
        assert pygame.mixer.get_busy()
    finally:
        markers.close()


@pytest.mark.parametrize("settings", [{"photodiode": 15}, {"photodiode": 401}, {"frames": True}])
def test_what_cannot_be_marked_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        MarkersConfig(**settings)  # type: ignore[arg-type]


def test_a_port_or_a_package_that_is_not_there_is_one_line_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("serial")
    with pytest.raises(ConfigError, match=r"cannot be opened: .*nothing was recorded: plug in") as error:
        start_session(config(tmp_path, MarkersConfig(serial=str(tmp_path / "none"))))
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(MissingPackageError, match=r'pip install "racer\[markers\]"'):
        start_session(config(tmp_path, MarkersConfig(lsl=True)))
    assert sessions.find_recordings(tmp_path) == []


class Looking(NoDisplay):
    """Notes what a photodiode would see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bool]] = []

    def countdown(self, hud: Hud, frame: object, original: object = None) -> None:
        assert hud.photodiode is not None
        self.seen.append(("countdown", hud.photodiode[1]))

    def show(self, frame: object, hud: Hud, original: object = None) -> int:
        assert hud.photodiode is not None and hud.photodiode[0] == 40
        self.seen.append(("frame", hud.photodiode[1]))
        return super().show(FRAME, hud)


def test_the_square_flips_with_each_frame_from_black_before_the_first() -> None:
    task = make_task("car-racing")
    setup = Setup(task, ChannelConfig(), load_task_model(task.spec, None), {}, 0, TEXT, photodiode=40)
    display = Looking()
    run = EpisodeRun(setup, make_driver("simulated", task, 0), display, Unrecorded())
    run.run(EpisodePlan(0, "round", "raw", 7, 4), "Round 1")
    assert display.seen == [("countdown", False), *[("frame", white) for white in (True, False, True, False)]]


def test_the_square_has_the_size_that_was_asked_for_and_lies_in_the_corner() -> None:
    pygame.font.init()
    screen = pygame.Surface((960, 720))
    view = DriveView(Canvas(screen), english().texts, SPEC.frame)
    for white in (True, False):
        view.drive(FRAME, Hud(HUD.heading, 0.5, photodiode=(40, white)))
        pixels = pygame.surfarray.array3d(screen)
        assert (pixels[-40:, :40] == (255 if white else 0)).all()
        assert not (pixels[-41, :40] == (255 if white else 0)).all()
        assert not (pixels[-40:, 40] == (255 if white else 0)).all()


def test_a_recording_says_nothing_of_markers_where_there_were_none(tmp_path: Path) -> None:
    result = start_session(config(tmp_path, MarkersConfig()))
    assert result.path is not None
    with sessions.open(result.path) as session:
        assert "markers" not in session.info.config
