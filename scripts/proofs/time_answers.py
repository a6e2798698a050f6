"""Answer pictures in a real window by real keys and clicks, and compare when they were sent with what was recorded.

python scripts/proofs/time_answers.py --trials 60 --out answers.json --picture window.png
python scripts/proofs/time_answers.py --trials 60 --task faces --page 6

It runs `racer session start` on a bare X server (Xvfb) and somebody who waits for each picture to appear, and answers
it after a time drawn by chance: by key, by mouse, in turn. With `--page` several pictures stand on each screen, and one
or more of them are marked. Keys and clicks are sent by one `xdotool` that listens; what is measured holds its time and
the X server's.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pygame
from numpy.typing import NDArray

import sessions
from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Hud
from racer.tasks.registry import make_task
from racer.tasks.task import Task
from racer.window.palette import BLUE, EDGE, GROUND
from racer.window.screens import Painter
from racer.window.texts import english

SIZE = (960, 720)
GREY = 128
_PATIENCE_S = 120.0
Process = subprocess.Popen[bytes]
Sent = tuple[str, int, int]
"""By what, which answer, and when, monotonic nanoseconds."""


class Desk:
    """A bare X server and hands on its keyboard and mouse."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._file = folder / "Xvfb_screen0"
        self._hands = subprocess.Popen(
            ["xdotool", "-"], stdin=subprocess.PIPE, env=os.environ | {"DISPLAY": name}, text=True, bufsize=1
        )

    def do(self, command: str) -> int:
        """Do what a line says; return when it was sent, monotonic nanoseconds."""
        assert self._hands.stdin is not None
        sent = time.monotonic_ns()
        self._hands.stdin.write(f"{command}\n")
        self._hands.stdin.flush()
        return sent

    def pixels(self) -> NDArray[np.uint8]:
        """Return what is on the screen, uint8[720, 960, 3]."""
        data = self._file.read_bytes()
        header, colours, line = (struct.unpack_from(">I", data, 4 * place)[0] for place in (0, 19, 12))
        rows = np.frombuffer(data, np.uint8, SIZE[1] * line, header + 12 * colours).reshape(SIZE[1], line)
        return rows[:, : 4 * SIZE[0]].reshape(SIZE[1], SIZE[0], 4)[:, :, 2::-1]

    def pixel(self, spot: tuple[int, int]) -> bytes:
        """Return what is on the screen at (x, y): blue, green and red."""
        with self._file.open("rb", buffering=0) as file:
            head = file.read(100)
            header, colours, line = (struct.unpack_from(">I", head, 4 * place)[0] for place in (0, 19, 12))
            file.seek(header + 12 * colours + spot[1] * line + 4 * spot[0])
            return file.read(3)

    def close(self) -> None:
        """Take the hands away."""
        self._hands.kill()
        self._hands.wait()


@contextmanager
def open_desk() -> Iterator[Desk]:
    """Run a bare X server."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "{}x{}x24".format(*SIZE), "-fbdir", folder]
        with subprocess.Popen([*command, "-noreset"], pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                desk = Desk(":" + pipe.readline().strip(), Path(folder))
            try:
                yield desk
            finally:
                desk.close()
                server.terminate()


def main() -> None:
    """Sit down, answer, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--page", type=int, default=1, help="Pictures on a screen.")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--picture", type=Path, help="Keep a picture of the window, PNG.")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    task = make_task(arguments.task, {"page": arguments.page})
    spec = task.spec
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "WAYLAND"))}
    words = ["session", "start", "p01", "--task", spec.name, "--protocol", "evaluation", "--conditions", "raw"]
    words += ["--practice", "0", "--evaluation", "1", "--steps", str(arguments.trials), "--windowed"]
    words += ["--set", f"page={arguments.page}", "--data"]
    with tempfile.TemporaryDirectory() as folder, open_desk() as desk:
        environment |= {"DISPLAY": desk.name, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "racer", *words, folder], env=environment, stdout=subprocess.DEVNULL
        )
        somebody = _answering if arguments.page == 1 else _marking
        sent = somebody(desk, process, task, arguments.trials, arguments.picture, rng)
        while process.poll() is None:
            time.sleep(0.5)
            desk.do("key space")
        (path,) = sessions.find_recordings(Path(folder))
        with sessions.open(path) as session:
            (episode,) = session.episodes
            actions, shown, responses = (np.array(episode[name]) for name in ("action", "time_ns", "response_ns"))
            clicks = sum(event.kind == "click" for event in session.events())
    found = _compared(sent, actions, shown, responses)
    found["clicks_recorded"] = clicks
    print(json.dumps(found, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def _answering(
    desk: Desk,
    process: subprocess.Popen[bytes],
    task: Task,
    trials: int,
    picture: Path | None,
    rng: np.random.Generator,
) -> list[Sent]:
    """Answer one picture after the other."""
    sent: list[Sent] = []
    spec = task.spec
    spots, corner = _places(task)
    pressed = 0.0
    while not _shows(desk, corner, GREY):  # looked for more often than the 300 ms that it lasts
        assert process.poll() is None
        if time.monotonic() - pressed > 0.5:
            desk.do("key space")
            pressed = time.monotonic()
        time.sleep(0.01)
    for trial in range(trials):
        _until(lambda: _shows(desk, corner, GREY))
        _until(lambda: not _shows(desk, corner, GREY))
        if trial == trials // 2 and picture:
            _keep(desk, picture)
        answer, by = int(rng.integers(len(spec.actions))), ("key", "click")[trial % 2]
        x, y = spots[answer]
        if by == "click":
            desk.do(f"mousemove {x} {y}")
        time.sleep(rng.uniform(0.2, 0.9))
        key = spec.actions[answer].keys[0]
        sent.append((by, answer, desk.do(f"key {_symbol(key)}" if by == "key" else "click 1")))
    return sent


def _marking(
    desk: Desk,
    process: subprocess.Popen[bytes],
    task: Task,
    trials: int,
    picture: Path | None,
    rng: np.random.Generator,
) -> list[Sent]:
    """Mark some pictures of every screen, the first one always: by its frame is told when another screen is there."""
    sent: list[Sent] = []
    frame = np.full(task.spec.frame, 90, np.uint8)
    areas = _painter(task, pygame.Surface(SIZE, 0, 32)).catalogue(
        [frame] * task.spec.page, Hud(task.spec.text("en").title, 0.0, count=(1, trials))
    )
    edge = areas.pictures[0].left - 1, areas.pictures[0].centery
    _until(lambda: desk.pixel((5, 5)) == bytes(reversed(GROUND)))
    while desk.pixel(edge) != bytes(reversed(EDGE)):
        assert process.poll() is None
        desk.do("key space")
        time.sleep(5)
    for first in range(0, trials, task.spec.page):
        _until(lambda: desk.pixel(edge) != bytes(reversed(BLUE)))
        count = min(task.spec.page, trials - first)
        marked = {0, *(int(place) for place in np.flatnonzero(rng.random(count) < 0.5))}
        own: dict[int, Sent] = {}
        for turn, place in enumerate(rng.permutation(sorted(marked))):
            by = ("key", "click")[turn % 2]
            if by == "click":
                desk.do("mousemove {} {}".format(*areas.pictures[place].center))
            time.sleep(rng.uniform(0.2, 0.9))
            own[int(place)] = by, 0, desk.do(f"key {place + 1}" if by == "key" else "click 1")
        _until(lambda: desk.pixel(edge) == bytes(reversed(BLUE)))
        if first == trials // 2 // task.spec.page * task.spec.page and picture:
            _keep(desk, picture)
        time.sleep(rng.uniform(0.2, 0.9))
        left = desk.do("key space")
        sent += [own.get(place, ("key", 1, left)) for place in range(count)]
    return sent


def _compared(
    sent: list[Sent],
    actions: NDArray[np.integer],
    shown: NDArray[np.int64],
    responses: NDArray[np.int64],
) -> dict[str, object]:
    late = {
        by: [(at - when) / 1e6 for (kind, _, when), at in zip(sent, responses, strict=True) if kind == by]
        for by in ("key", "click")
    }
    every = np.array([each for of_kind in late.values() for each in of_kind])
    return {
        "trials": len(sent),
        "answers_as_sent": int(sum(answer == action for (_, answer, _), action in zip(sent, actions, strict=True))),
        "late_ms": {
            by: {
                name: round(float(value), 2)
                for name, value in zip(
                    ("median", "95 %", "most"), (*np.percentile(each, [50, 95]), max(each)), strict=True
                )
            }
            for by, each in late.items()
        },
        "within_20_ms": int((np.abs(every) <= 20).sum()),
        "response_times_ms": [round(float(each), 1) for each in np.percentile((responses - shown) / 1e6, [0, 50, 100])],
        "load_average": round(os.getloadavg()[0], 1),
    }


def _painter(task: Task, surface: pygame.Surface) -> Painter:
    pygame.font.init()
    return Painter(surface, english().texts, HeldKeys(task.spec), task.spec.text("en"))


def _keep(desk: Desk, path: Path) -> None:
    pygame.image.save(pygame.surfarray.make_surface(desk.pixels().swapaxes(0, 1)), path)


def _places(task: Task) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Return the middle of each answer's button, and a corner of the frame that no fixation cross reaches."""
    surface = pygame.Surface(SIZE, 0, 32)
    painter, text = _painter(task, surface), task.spec.text("en")
    marked = np.full(task.spec.frame, 255, np.uint8)
    painter.drive(marked, Hud(text.title, 0.0, count=(1, 1)))
    grid = {(x, y): painter.answer_at((x, y)) for x in range(0, SIZE[0], 4) for y in range(0, SIZE[1], 4)}
    spots = []
    for answer in range(len(task.spec.actions)):
        xs, ys = zip(*(spot for spot, at in grid.items() if at == answer), strict=True)
        spots.append((int(np.mean(xs)), int(np.mean(ys))))
    white = np.argwhere((pygame.surfarray.array3d(surface) == 255).all(axis=2))
    left, top = white.min(axis=0).tolist()
    return spots, (left + 3, top + 3)


def _shows(desk: Desk, spot: tuple[int, int], level: int) -> bool:
    return desk.pixel(spot) == bytes([level] * 3)


def _until(happened: object) -> None:
    assert callable(happened)
    deadline = time.monotonic() + _PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "the sitting got stuck"
        time.sleep(0.01)


def _symbol(key: str) -> str:
    return {"left": "Left", "right": "Right", "up": "Up", "down": "Down"}.get(key, key)


if __name__ == "__main__":
    main()
