"""The participant's whole sitting in a real window, with real keys."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from racing_builders import LEFT, RIGHT, STRAIGHT

import racer
import sessions

STEPS = 20
SITTING = (
    "session start pilot01 --protocol pilot --practice 1 --calibration 1 --exploration 1 "
    f"--steps {STEPS} --pace 10 --data recordings"
)


@pytest.fixture
def display() -> Iterator[str]:
    """A bare X server."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            yield ":" + pipe.readline().strip()
        server.terminate()


class Sitting:
    """Someone at the keyboard of a running sitting, who looks at the recording to know what happens."""

    def __init__(self, process: subprocess.Popen[str], display: str, folder: Path) -> None:
        self._process = process
        self._display = display
        self._folder = folder

    def press(self, *words: str) -> None:
        environment = os.environ | {"DISPLAY": self._display}
        subprocess.run(["xdotool", *words], env=environment, check=True)

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        self.press("keydown", key)
        yield
        self.press("keyup", key)

    def until(self, happened: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        deadline = time.monotonic() + 120
        while not happened():
            assert time.monotonic() < deadline, "the sitting got stuck"
            meanwhile()
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            assert happened(), self._process.communicate()

    def episodes_begun(self) -> int:
        return len(self._episodes())

    def episodes_done(self) -> int:
        return self._episodes().count("complete")

    def _episodes(self) -> list[str]:
        try:
            (path,) = sessions.find_recordings(self._folder)
            with sessions.open(path) as session:
                return [episode.status for episode in session.episodes]
        except (ValueError, sessions.RecordingError):
            return []  # not yet there, or being written at this moment


@pytest.mark.xvfb
def test_a_participant_drives_a_pilot_from_the_first_page_to_the_last(display: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "WAYLAND"))}
    environment |= {"DISPLAY": display, "PYTHONPATH": str(Path(racer.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "racer", *SITTING.split()],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        sitting = Sitting(process, display, tmp_path / "recordings")
        sitting.until(lambda: sitting.episodes_begun() == 1, meanwhile=lambda: sitting.press("key", "space"))
        sitting.until(lambda: sitting.episodes_done() == 1)
        with sitting.holding("Left"):
            sitting.until(lambda: sitting.episodes_done() == 2)
        with sitting.holding("d"):
            sitting.until(lambda: sitting.episodes_done() == 3)
        sitting.until(lambda: process.poll() is not None, meanwhile=lambda: sitting.press("key", "space"))
        out, err = process.communicate()
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")

    (path,) = sessions.find_recordings(tmp_path / "recordings")
    assert f"Recorded recordings/{path.name}" in out
    with sessions.open(path) as session:
        assert session.status == "complete"
        assert session.info.driver == "keyboard"
        events = session.events()
        practice, left, right = (episode.action.tolist() for episode in session.episodes)
        times = [time for episode in session.episodes for time in episode.time_ns.tolist()]
        assert [episode.info.phase for episode in session.episodes] == ["practice", "calibration", "exploration"]
    assert len(practice) == len(left) == len(right) == STEPS
    assert set(practice) == {STRAIGHT}
    assert set(left) <= {LEFT, STRAIGHT}
    assert set(right) <= {STRAIGHT, RIGHT}
    assert left.count(LEFT) >= 1
    assert right.count(RIGHT) >= 1
    assert times == sorted(times)

    pressed = [(event.kind, event.detail) for event in events if event.detail in ("left", "d")]
    assert pressed == [("key_down", "left"), ("key_up", "left"), ("key_down", "d"), ("key_up", "d")]
    assert ("key_down", "space") in {(event.kind, event.detail) for event in events}
    assert [event.time_ns for event in events] == sorted(event.time_ns for event in events)
