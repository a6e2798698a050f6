"""A desk: a bare X server whose picture can be looked at, a sitting that runs on it, and somebody at the keyboard."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pygame
from numpy.typing import NDArray

import racer
import sessions
from racer.drivers.keyboard import HeldKeys
from racer.window.screens import Painter
from racer.window.texts import Texts

SCREEN = (960, 720)
"""Pixels: a window of its usual size fills it. Full screen on a larger one would need a window manager."""
POLL_S = 0.05
_PATIENCE_S = 60.0
_STILL = 10
_SETTLED, _RARELY = 8, 40
"""Looks until a screen has been in view for long enough to take an answer, and then between two presses: one too
many would act on the next screen."""
Areas = TypeVar("Areas")


class Screen:
    """An X server without window manager or mouse pointer, and its picture.

    Args:
        name: Of the display, such as `:99`.
        folder: Where the server keeps its picture.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._file = folder / "Xvfb_screen0"

    def pixels(self) -> NDArray[np.uint8]:
        """Return what is on the screen, uint8[720, 960, 3]."""
        data = self._file.read_bytes()
        # The X window dump format: 25 numbers of 32 bits, a name, a table of colours, then the rows.
        header, colours, line = (struct.unpack_from(">I", data, 4 * place)[0] for place in (0, 19, 12))
        rows = np.frombuffer(data, np.uint8, SCREEN[1] * line, header + 12 * colours).reshape(SCREEN[1], line)
        return rows[:, : 4 * SCREEN[0]].reshape(SCREEN[1], SCREEN[0], 4)[:, :, 2::-1]


@contextmanager
def open_screen() -> Iterator[Screen]:
    """Run a bare X server."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        # -noreset: a server that resets when its last client leaves is away for a moment.
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "{}x{}x24".format(*SCREEN), "-fbdir", folder]
        command += ["-nolisten", "tcp", "-noreset", "-nocursor"]
        with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                name = ":" + pipe.readline().strip()
            try:
                yield Screen(name, Path(folder))
            finally:
                server.terminate()


@contextmanager
def run_racer(screen: Screen, folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command of Racer's in a folder, its window on the screen."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "WAYLAND"))}
    root = Path(racer.__file__).parent.parent
    environment |= {"DISPLAY": screen.name, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "racer", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests without a terminal has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Person:
    """Somebody who looks at the screen and uses keyboard and mouse.

    Args:
        screen: What they look at.
        process: The sitting; when it ends there is nothing left to wait for.
        recordings: Folder that it records to.
    """

    def __init__(self, screen: Screen, process: subprocess.Popen[str], recordings: Path) -> None:
        self._screen = screen
        self._process = process
        self._recordings = recordings
        self._looks: deque[NDArray[np.uint8]] = deque(maxlen=_STILL)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other; `ctrl+shift+x` is a chord."""
        self._do("key", *keys)

    def write(self, text: str) -> None:
        """Type a text, as fast as people can."""
        self._do("type", "--delay", "40", text)

    def click(self, spot: tuple[int, int]) -> None:
        """Click the left button at (x, y)."""
        self._do("mousemove", *map(str, spot), "click", "1")

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Hold a key."""
        self._do("keydown", key)
        yield
        self._do("keyup", key)

    def until(
        self, happened: Callable[[], bool], meanwhile: Callable[[], None] | None = None, settled: bool = True
    ) -> None:
        """Wait for something to happen; do something about it now and, while it does not help, rarely.

        Args:
            happened: What to wait for.
            meanwhile: What to do about it.
            settled: Whether the screen has been in view for a while; if not, wait that long before doing anything.
        """
        deadline = time.monotonic() + _PATIENCE_S
        looks = 0 if settled else -_SETTLED
        while not happened():
            assert time.monotonic() < deadline, "the sitting got stuck"
            if meanwhile is not None and looks >= 0 and looks % _RARELY == 0:
                meanwhile()
            looks += 1
            try:
                self._process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                continue
            assert happened(), self._process.communicate()

    def stands_still(self) -> bool:
        """Return whether the screen has not changed over the last looks, half a second of them."""
        self._looks.append(self._screen.pixels())
        return len(self._looks) == _STILL and all(np.array_equal(look, self._looks[0]) for look in self._looks)

    def ended(self) -> bool:
        """Return whether the command has ended."""
        return self._process.poll() is not None

    def episodes(self) -> Sequence[tuple[str, bool, int]]:
        """Return status, whether rejected, and the number of steps of each episode that is on disk."""
        try:
            (path,) = sessions.find_recordings(self._recordings)
            with sessions.open(path) as session:
                return [(episode.status, episode.rejected, episode.n_steps) for episode in session.episodes]
        except (ValueError, sessions.RecordingError):
            return []  # not yet there, or being written at this moment

    def episodes_done(self) -> int:
        """Return the number of episodes that ended well, rejected ones included."""
        return sum(status == "complete" for status, _, _ in self.episodes())

    def _do(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=os.environ | {"DISPLAY": self._screen.name}, check=True)


class Reader(Person):
    """Somebody who knows what the screens should show.

    Args:
        screen: What they look at.
        process: The sitting.
        recordings: Folder that it records to.
        texts: The words that they expect to read.
        keys: Of the task's actions, which they expect to see.
    """

    def __init__(
        self, screen: Screen, process: subprocess.Popen[str], recordings: Path, texts: Texts, keys: HeldKeys
    ) -> None:
        super().__init__(screen, process, recordings)
        pygame.font.init()
        self._expected = pygame.Surface(SCREEN, 0, 32)
        self._painter = Painter(self._expected, texts, keys, keys.spec.text("en"))

    def sees(self, draw: Callable[[Painter], Areas]) -> Areas | None:
        """Return what drawing returns if the screen shows to the pixel what it draws; else None."""
        areas = draw(self._painter)
        expected = pygame.surfarray.pixels3d(self._expected).swapaxes(0, 1)
        return areas if np.array_equal(expected, self._screen.pixels()) else None

    def waits_for(self, draw: Callable[[Painter], Areas], meanwhile: Callable[[], None] | None = None) -> Areas:
        """Wait until the screen shows what is drawn; `meanwhile` is done now and, while it does not help, rarely."""
        found: list[Areas] = []

        def appears() -> bool:
            areas = self.sees(draw)
            found.extend([] if areas is None else [areas])
            return bool(found)

        self.until(appears, meanwhile)
        return found[0]
