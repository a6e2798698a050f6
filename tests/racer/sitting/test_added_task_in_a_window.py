"""Paced tasks besides car-racing, the how-to's among them, done with real keys and looked at again."""

from __future__ import annotations

import shlex
import tomllib
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from desk import Person, open_screen, run_racer
from pages import ROOT, blocks, install, make_commands, run

import sessions

TRAIN = (
    "racer model train --task catch --out model --latents 16 --runs 2 --held-out-runs 2 --vae-steps 5 "
    "--world-model-steps 5"
)


SHORT = "--practice 0 --calibration 1 --exploration 1 --steps"


@pytest.mark.xvfb
def test_an_added_task_is_done_with_real_keys_and_replayed(tmp_path: Path) -> None:
    for block in blocks(ROOT / "docs" / "add-a-task.md"):
        if block.marker.startswith("file: "):
            (tmp_path / block.marker.removeprefix("file: ")).write_text(block.code)
    install(tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"], tmp_path)
    make_commands(tmp_path)
    run(TRAIN, tmp_path)
    assert do_and_replay(tmp_path, "catch", f"--bits 30 {SHORT} 30", "--model", "model") == {0, 1, 2}


@pytest.mark.xvfb
@pytest.mark.parametrize("task", ["lunar-lander", "car-racing-clutter"])
def test_a_task_that_comes_with_racer_is_done_with_real_keys_and_replayed(task: str, tmp_path: Path) -> None:
    assert len(do_and_replay(tmp_path, task, f"{SHORT} 40")) > 1


def do_and_replay(folder: Path, task: str, words: str, *model: str) -> set[int]:
    """Sit down as a pilot in a window, press left and right in turn, replay it, and return the actions recorded."""
    keys = cycle((("Left", "space"), ("Right", "space")))  # opposite keys within a step cancel each other
    with open_screen() as screen:
        start = ("session", "start", "pilot", "--task", task, *shlex.split(words), *model)
        with run_racer(screen, folder, *start) as sitting:
            person = Person(screen, sitting, folder / "recordings")
            person.until(person.ended, lambda: person.press(*next(keys)))
            out, err = sitting.communicate()
        assert (sitting.returncode, err) == (0, ""), out
        (path,) = sessions.find_recordings(folder / "recordings")
        with sessions.open(path) as session:
            assert (session.status, session.info.task.name, session.info.driver) == ("complete", task, "keyboard")
            pressed = np.concatenate([episode.action for episode in session.episodes])

        before = screen.pixels()
        with run_racer(screen, folder, "session", "replay", str(path), *model) as replay:
            person = Person(screen, replay, folder / "recordings")
            person.until(lambda: not np.array_equal(screen.pixels(), before))
            person.until(person.ended, lambda: person.press("Escape"))
            assert (replay.returncode, replay.communicate()[1]) == (0, "")
    return set(pressed.tolist())
