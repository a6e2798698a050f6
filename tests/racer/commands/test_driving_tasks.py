"""Everything that Racer does with a task, done with the paced tasks that come with it besides car-racing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pygame
import pytest
from command_builders import Racer
from pygame.event import Event

from racer.recordings.replay import ReplayWindow
from racer.tasks.registry import make_task

STUDY = """
title = "A short one"
conditions = ["random", "pico"]
participants = 2
pilots = 0
[task]
name = "{task}"
[episodes]
practice = 0
evaluation = 1
steps = 6
[masks]
pico = "pico.safetensors"
"""


@pytest.mark.parametrize("task", ["lunar-lander", "car-racing-clutter"])
def test_a_task_goes_all_the_way_from_pilots_to_data_for_others(
    task: str, run: Racer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.toml").write_text(STUDY.format(task=task))
    for command in (
        f"session start pilot01 --task {task} --driver simulated --headless --practice 0 --calibration 2 "
        "--exploration 2 --steps 8 --data pilots",
        "train pilots --iterations 25 --out study/pico.safetensors",
        "study run study --jobs 1",
        "session export study --to csv --out tables",
        "session export study --to minari --out flights-v0",
    ):
        outcome = run(command)
        assert outcome.code in (0, None), f"{command}\n{outcome.err}"
    verified = run("session verify study pilots")
    assert verified.out.splitlines()[-1] == "3 recordings, 3 complete sittings: verified"
    (path,) = (tmp_path / "pilots").glob("*.h5")
    assert run(f"session video {path} --episode 0 --scale 2 --out film.mp4").code == 0

    (steps,) = (tmp_path / "tables").rglob("*steps*.csv")
    columns = steps.read_text().partition("\n")[0]
    spec = make_task(task).spec
    assert spec.primary.title in run("study report study").out
    assert all(metric.name in columns for metric in spec.metrics)

    now = 0

    def wait(nanoseconds: int) -> None:
        nonlocal now
        now += nanoseconds
        if replay.playhead.step == 3:
            pygame.event.post(Event(pygame.QUIT))

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    replay = ReplayWindow(path, size=(640, 480), clock=lambda: now, wait=wait)
    with closing(replay):
        replay.run()
        assert replay.footage.without_original == ""
    pygame.display.quit()
