from __future__ import annotations

from pathlib import Path

import numpy as np
import pygame
import pytest
from PIL import Image
from window_builders import click, down

from racer.errors import ConfigError
from racer.loop.display import Hud
from racer.study.file import Study, load_study
from racer.study.preview import SIZE, PreviewError, open_gallery, painter_of, study_shots, write_sheet
from racer.study.sitting import screens_of
from racer.window.screens import Painter

STUDY = """
title = "Looked at"
[screens]
consent = "{consent}"
[questionnaires]
end = ["nasa-tlx"]
"""


def study_in(folder: Path, consent: str = "We record the keys.") -> Study:
    (folder / "study.toml").write_text(STUDY.format(consent=consent))
    return load_study(folder)


def test_every_kind_of_screen_is_there_once_and_nothing_is_recorded(tmp_path: Path) -> None:
    captions = [shot.caption for shot in study_shots(study_in(tmp_path), "evaluation")]
    assert captions[:2] == ["Your consent", "That is fine"]
    assert [caption for caption in captions if caption.startswith("Time for a break")] == ["Time for a break"]
    assert [caption for caption in captions if caption.startswith("Part")] == ["Part 1 of 3"]
    assert sum(caption.startswith("nasa-tlx") for caption in captions) == 6
    assert captions[-3:] == ["Thank you", "Paused", "Experimenter"]
    assert "driving, ahead" in captions and len(captions) == len(set(captions))
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize(("page", "shown"), [(1, "drive"), (4, "catalogue")])
def test_pictures_are_shown_under_their_question_as_in_a_sitting(
    page: int, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f'title = "Faces"\n[task]\nname = "faces"\npage = {page}\n[episodes]\npractice = 0\nsteps = 6\n'
    (tmp_path / "study.toml").write_text(said)
    study = load_study(tmp_path)
    title = study.file.make_task().spec.text("en").title
    drawn: list[tuple[np.ndarray, Hud]] = []
    monkeypatch.setattr(Painter, shown, lambda painter, frames, hud: drawn.append((np.asarray(frames), hud)))
    painter = painter_of(study)(pygame.Surface(SIZE))
    for shot in study_shots(study, "evaluation"):
        if shot.caption == title:
            shot.draw(painter)
    ((frames, hud),) = drawn
    assert hud.heading == title and hud.count is not None and hud.count[0] == 1 and hud.count[1] >= 6
    assert frames.shape == (*([page] if page > 1 else []), 64, 64, 3)


def test_pictures_to_choose_from_are_read_from_the_study_s_folder(tmp_path: Path) -> None:
    for name, size in (("wide", (64, 32)), ("high", (20, 40))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    item = '{id = "which", text = "Which?", kind = "picture", options = {wide = "wide.png", high = "high.png"}}'
    asked = f'start = ["looks"]\n[[questionnaires.custom]]\nname = "looks"\nitems = [{item}]\n'
    (tmp_path / "study.toml").write_text(f'title = "T"\n[questionnaires]\n{asked}')
    study = load_study(tmp_path)
    pictures = screens_of(study).start[0].items[0].pictures
    red, white = (255, 0, 0), (255, 255, 255)
    for name, beside in (("wide", (10, 128)), ("high", (128, 10))):
        assert pictures[name].shape == (256, 256, 3)
        assert (tuple(pictures[name][128, 128]), tuple(pictures[name][beside])) == (red, white), "it keeps its shape"
    assert "looks, which" in [shot.caption for shot in study_shots(study, "evaluation")]
    (tmp_path / "wide.png").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"wide\.png cannot be read as a picture"):
        screens_of(study)


def test_a_pilot_is_not_asked_what_follows_a_condition(tmp_path: Path) -> None:
    captions = [shot.caption for shot in study_shots(study_in(tmp_path), "pilot")]
    assert "driving, ahead" not in captions and "nasa-tlx, mental" in captions


def test_a_long_consent_takes_several_screens_that_differ(tmp_path: Path) -> None:
    study = study_in(tmp_path, "We record the keys that you press. " * 120)
    shots = [shot for shot in study_shots(study, "evaluation") if shot.caption.startswith("Your consent")]
    count = len(shots)
    assert count > 2
    assert [shot.caption.partition(", ")[2] for shot in shots] == [f"page {i} of {count}" for i in range(1, count + 1)]
    screen = pygame.Surface(SIZE)
    painter, drawn = painter_of(study)(screen), set()
    for shot in shots:
        shot.draw(painter)
        drawn.add(pygame.surfarray.array3d(screen).tobytes())
    assert len(drawn) == count


def test_the_sheet_holds_every_screen_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    study, out = study_in(tmp_path), tmp_path / "new" / "sheet.png"
    count = write_sheet(study, "evaluation", out, overwrite=False)
    sheet = pygame.surfarray.array3d(pygame.image.load(out))
    assert count == len(study_shots(study, "evaluation"))
    assert sheet.shape[1] > -(-count // 4) * 360 and len(np.unique(sheet)) > 50
    with pytest.raises(PreviewError, match="exists and was left as it is"):
        write_sheet(study, "evaluation", out, overwrite=False)


def test_keys_lead_through_the_screens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    gallery = open_gallery(study_in(tmp_path), "evaluation", fullscreen=False)
    try:
        for key in (pygame.K_LEFT, pygame.K_SPACE, pygame.K_RIGHT, pygame.K_LEFT):
            gallery.handle(down(key))
            gallery.look()
        gallery.handle(click())
        assert (gallery.index, gallery.closed) == (1, False)
        gallery.handle(down(pygame.K_ESCAPE))
        assert gallery.closed
    finally:
        gallery.close()
