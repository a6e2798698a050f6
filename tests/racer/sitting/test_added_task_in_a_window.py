"""The task of the how-to, installed, done with real keys and looked at again."""

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
PILOT = "pilot --task catch --model model --bits 30 --practice 0 --calibration 1 --exploration 1 --steps 30"


@pytest.mark.xvfb
def test_an_added_task_is_done_with_real_keys_and_replayed(tmp_path: Path) -> None:
    for block in blocks(ROOT / "docs" / "add-a-task.md"):
        if block.marker.startswith("file: "):
            (tmp_path / block.marker.removeprefix("file: ")).write_text(block.code)
    install(tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"], tmp_path)
    make_commands(tmp_path)
    run(TRAIN, tmp_path)
    with open_screen() as screen:
        with run_racer(screen, tmp_path, "session", "start", *shlex.split(PILOT)) as sitting:
            person = Person(screen, sitting, tmp_path / "recordings")
            # Opposite keys within a step cancel each other.
            keys = cycle((("Left", "space"), ("Right", "space")))
            person.until(person.ended, lambda: person.press(*next(keys)))
            out, err = sitting.communicate()
        assert (sitting.returncode, err) == (0, ""), out
        (path,) = sessions.find_recordings(tmp_path / "recordings")
        with sessions.open(path) as session:
            assert (session.status, session.info.task.name, session.info.driver) == ("complete", "catch", "keyboard")
            pressed = np.concatenate([episode.action for episode in session.episodes])
        assert set(pressed.tolist()) == {0, 1, 2}

        before = screen.pixels()
        with run_racer(screen, tmp_path, "session", "replay", str(path), "--model", "model") as replay:
            person = Person(screen, replay, tmp_path / "recordings")
            person.until(lambda: not np.array_equal(screen.pixels(), before))
            person.until(person.ended, lambda: person.press("Escape"))
            assert (replay.returncode, replay.communicate()[1]) == (0, "")
