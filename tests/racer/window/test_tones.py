from __future__ import annotations

import numpy as np
import pytest

from racer.errors import ConfigError
from racer.window.tones import PITCHES, RATE, Tones, tone


@pytest.mark.parametrize("hertz", PITCHES.values())
def test_a_tone_has_its_pitch_and_does_not_click(hertz: float) -> None:
    wave = tone(hertz)[:, 0].astype(float)
    loudest = np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave)
    assert loudest == pytest.approx(hertz, abs=RATE / len(wave))
    assert wave[0] == 0 and abs(wave[-1]) < 50 < np.abs(wave).max()


def test_tones_are_played_at_the_ends_of_a_round_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    tones = Tones()
    try:
        tones.tell("key_down")
        assert not pygame.mixer.get_busy()
        tones.tell("episode_begin")
        assert pygame.mixer.get_busy()
    finally:
        tones.close()
    tones.close()


def test_a_machine_without_sound_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "none-such")
    with pytest.raises(ConfigError, match=r"no sound can be played here: .*; nothing was recorded"):
        Tones()
