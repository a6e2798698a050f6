from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from racing_builders import ScriptedDisplay, write_mask

from compression.model.latent_model import LatentModel
from racer.errors import ConfigError
from racer.loop.attended import EpisodeResult
from racer.sitting.play import PlayConfig, play_episodes

QUICK = PlayConfig(condition="random", driver="simulated", headless=True, episodes=2, steps=3)


def test_play_drives_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[EpisodeResult] = []
    result = play_episodes(QUICK, told.append)
    assert (result.path, result.complete) == (None, True)
    assert told == result.episodes
    assert [episode.steps for episode in told] == [3, 3]
    assert not list(tmp_path.iterdir())


def test_a_seed_names_those_of_the_trials(tmp_path: Path) -> None:
    def trial_seeds(seed: int) -> list[int]:
        return [episode.plan.seed for episode in play_episodes(replace(QUICK, seed=seed, steps=1)).episodes]

    assert trial_seeds(1) == trial_seeds(1)
    assert len({*trial_seeds(1), *trial_seeds(2)}) == 4


@pytest.mark.parametrize("condition", ["raw", "full", "pico"])
def test_every_condition_that_needs_no_file_can_be_driven_at_once(condition: str) -> None:
    assert play_episodes(replace(QUICK, condition=condition, episodes=1)).complete


def test_a_mask_for_another_condition_is_refused(tmp_path: Path, model: LatentModel) -> None:
    mask = write_mask(tmp_path / "mask", model, "perceptual")
    with pytest.raises(ConfigError, match="trained for perceptual"):
        play_episodes(replace(QUICK, condition="pico", mask=mask))


@pytest.mark.parametrize(("settings", "told"), [({"pace": 99.0}, "pace"), ({"driver": "keyboard"}, "window")])
def test_settings_that_cannot_work_are_refused(settings: dict[str, float | str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        replace(QUICK, **settings)  # type: ignore[arg-type]


def test_keys_switch_the_condition_amid_an_episode_and_every_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pressing(ScriptedDisplay):
        def show(self, *shown: Any) -> int:
            number = super().show(*shown)
            if self.listener is not None and number % 3 == 0:
                self.listener("key_down", "tab", number)
            return number

    display = Pressing()
    monkeypatch.setattr("racer.sitting.play.open_display", lambda *given, **others: display)
    result = play_episodes(replace(QUICK, condition="raw", headless=False, episodes=1, steps=13, pace=50.0))
    assert result.episodes[0].plan.condition == "raw and full and pico and random and coarse"
    marks = [hud.mark for hud in display.huds]
    assert marks[1] == "raw, original frames" and marks[4] == "full, 170 bits" and "pico, 85 bits" in marks[7]
    assert not np.array_equal(display.frames[2], display.frames[3]), "full shows another picture than raw"
