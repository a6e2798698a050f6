"""Windows to test with: synthetic events, clocks that pass by being asked, and a bare X server with real keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pygame
import pytest
from pygame.event import Event

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Hud, Page
from racer.tasks.registry import make_task
from racer.window.window import Window

MS = 1_000_000
FRAME = np.full((64, 64, 3), 90, np.uint8)
HUD = Hud("Run 1 of 3", 0.0, "Road", "0 %", 0.0)
SPEC = make_task("car-racing").spec
TEXT = SPEC.text("en")
PAGE = Page("Welcome", ("Steer with the arrow keys.",))


def down(key: int, mod: int = 0) -> Event:
    return Event(pygame.KEYDOWN, key=key, mod=mod)


def up(key: int) -> Event:
    return Event(pygame.KEYUP, key=key)


def click(x: int = 5, y: int = 5) -> Event:
    return Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(x, y))


SPACE, RETURN, ESC, ARROW_DOWN = map(down, (pygame.K_SPACE, pygame.K_RETURN, pygame.K_ESCAPE, pygame.K_DOWN))
QUIT = Event(pygame.QUIT)
FOCUS_LOST, FOCUS_GAINED = Event(pygame.WINDOWFOCUSLOST), Event(pygame.WINDOWFOCUSGAINED)
TICK = down(pygame.K_F9)
"""A key that means nothing to the window: a script reacts to its being noted."""


class Clock:
    """Time that passes by being asked for; posts each event when its time comes."""

    def __init__(self) -> None:
        self.now = 0
        self._due: list[tuple[int, Event]] = []

    def at(self, milliseconds: int, *events: Event) -> None:
        self._due += [(milliseconds * MS, event) for event in events]

    def __call__(self) -> int:
        self.now += 10 * MS
        while self._due and self._due[0][0] <= self.now:
            pygame.event.post(self._due.pop(0)[1])
        return self.now


class Script:
    """A listener that keeps what it is told and answers with events: each answer is given once."""

    def __init__(self, **answers: list[Event]) -> None:
        self.told: list[tuple[str, str]] = []
        self.times: list[int] = []
        self._answers = answers

    def __call__(self, kind: str, detail: str, time_ns: int) -> None:
        self.told.append((kind, detail))
        self.times.append(time_ns)
        for name in (kind, f"{kind}_{detail}"):
            for event in self._answers.pop(name, []):
                pygame.event.post(event)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told if not kind.startswith("key")]


OpenWindow = Callable[..., Window]


@contextmanager
def windows_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenWindow]:
    """Yield what opens windows that nobody sees; they are closed in the end."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    opened: list[Window] = []

    def open_one(**settings: Any) -> Window:
        keys = settings.pop("keys", None) or HeldKeys(SPEC)
        opened.append(Window(keys, settings.pop("text", TEXT), size=(640, 480), **settings))
        pygame.event.clear()
        return opened[-1]

    try:
        yield open_one
    finally:
        for window in opened:
            window.close()


@contextmanager
def x_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Run a bare X server, no window manager; yield the command that presses its keys."""
    for program in ("Xvfb", "xdotool"):
        assert shutil.which(program), f"{program} is not installed (Debian: xvfb, xdotool); deselect with -m 'not xvfb'"
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            monkeypatch.setenv("DISPLAY", ":" + pipe.readline().strip())
        monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)

        def run(*words: str) -> None:
            subprocess.run(["xdotool", *words], check=True)

        try:
            yield run
        finally:
            pygame.display.quit()
            server.terminate()


def wait_until(window: Window, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline, "the X server's events never came"
        window.wait(time.monotonic_ns() + 5 * MS)
