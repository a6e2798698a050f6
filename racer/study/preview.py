"""Every screen that somebody meets in a study, without a sitting: nothing is recorded, trained or asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pygame import Surface

from disk.writing import make_folder, write_whole
from racer.drivers.keyboard import HeldKeys
from racer.errors import RacerError
from racer.loop.attended import hud_at
from racer.loop.display import Page
from racer.loop.episode import block_seeds
from racer.sitting.agenda import Asking, Consent, Drive, make_agenda
from racer.sitting.protocol import ProtocolName, plan_episodes
from racer.study.file import Study
from racer.study.sitting import screens_of
from racer.tasks.task import TaskSpec, TaskText
from racer.window.controls import control_of
from racer.window.fonts import Fonts
from racer.window.gallery import Gallery, Shot, contact_sheet
from racer.window.menu_view import Menu
from racer.window.palette import BLUE, QUIET
from racer.window.screens import Painter

SIZE = (960, 720)
"""Width and height of the screens on a sheet, pixels."""


class PreviewError(RacerError):
    """The sheet cannot be written."""


def study_shots(study: Study, protocol: ProtocolName) -> list[Shot]:
    """Return every screen of a sitting once, in the order met, and then the menus over them.

    Args:
        study: The study; its masks need not be trained.
        protocol: Whose screens: of a pilot, or of an evaluated participant.
    """
    texts, task = study.language.texts, study.file.make_task()
    text = task.spec.text(study.language.code)
    alone = not task.spec.paced
    planned = study.file.protocol_config(protocol)
    plans = plan_episodes(planned, "preview", study.file.seed, 0, alone=alone)
    keys = HeldKeys(task.spec, study.file.keys.given)
    shots: list[Shot] = []
    met: set[object] = set()
    frames: list[NDArray[np.uint8]] = []
    drive: Shot | None = None
    probes = planned.probes > 0
    for item in make_agenda(plans, screens_of(study), texts, text, keys.bindings, alone=alone, probes=probes):
        kind = _kind(item)
        if kind in met:
            continue
        met.add(kind)
        if isinstance(item, Page):
            shots += _page(item, study)
        elif isinstance(item, Consent):
            shots += _page(item.page, study, item.choices)
            shots += _page(item.declined, study)
        elif isinstance(item, Asking):
            shots += _questions(item, study)
        else:
            together = block_seeds(item.plan.seed, min(task.spec.page, item.plan.steps))
            frames = frames or [task.start(seed).frame() for seed in together]
            drive = _drive(item, frames, task.spec, text)
            shots.append(drive)
    return [*shots, *(_menus(study, drive) if drive else ())]


def write_sheet(study: Study, protocol: ProtocolName, out: Path, overwrite: bool) -> int:
    """Write all screens to one PNG and return how many there are.

    Raises:
        PreviewError: If the file exists and may not be replaced, or cannot be written.
        ConfigError: If the font that the study names is not installed.
    """
    shots = study_shots(study, protocol)
    try:
        make_folder(out.parent)
        write_whole(out, contact_sheet(shots, painter_of(study), SIZE), overwrite=overwrite)
    except FileExistsError:
        raise PreviewError(f"{out} exists and was left as it is; give another name, or add --overwrite") from None
    except OSError as error:
        raise PreviewError(f"cannot write {out}: {error.strerror or error}") from error
    return len(shots)


def open_gallery(study: Study, protocol: ProtocolName, fullscreen: bool) -> Gallery:
    """Return a window that shows the screens.

    Raises:
        NoDisplayError: If no window can be opened.
        ConfigError: If the font that the study names is not installed.
    """
    return Gallery(study_shots(study, protocol), painter_of(study), f"Preview of {study.file.title}", SIZE, fullscreen)


def painter_of(study: Study) -> Callable[[Surface], Painter]:
    """Return what makes a painter for a surface, with the study's words, keys and font."""
    task, fonts = study.file.make_task(), Fonts(study.file.font)
    keys = HeldKeys(task.spec, study.file.keys.given)
    text = task.spec.text(study.language.code)
    return lambda surface: Painter(surface, study.language.texts, keys, text, fonts)


def _kind(item: object) -> object:
    """Return what screens have in common that are shown once here."""
    if isinstance(item, Drive):
        return Drive, item.plan.phase
    if isinstance(item, Asking):
        return Asking, item.questionnaire.name
    if isinstance(item, Page):
        words = item.title, *item.lines
        return Page, item.show_keys, re.sub(r"\d+", "0", " ".join(words))
    return type(item)


def _page(page: Page, study: Study, choices: tuple[str, ...] = ()) -> Iterator[Shot]:
    """Yield the screens that a page takes at the sheet's size."""
    prompt = (study.language.texts.choice_hint, QUIET) if choices else (page.prompt, BLUE)
    count = painter_of(study)(Surface(SIZE)).page(page, 0, None, prompt, choices).screens

    def draw(painter: Painter, index: int) -> None:
        painter.page(page, index, None, prompt, choices)

    for index in range(count):
        place = f", page {index + 1} of {count}" if count > 1 else ""
        yield Shot(f"{page.title}{place}", lambda painter, index=index: draw(painter, index))  # type: ignore[misc]


def _questions(asking: Asking, study: Study) -> Iterator[Shot]:
    for page, heading in asking.pages(study.language.texts):
        filled = [control_of(item, "").filled for item in page]
        back = page[0] is not asking.questionnaire.items[0]

        def draw(painter: Painter, filled=filled, heading=heading, back=back) -> None:  # type: ignore[no-untyped-def]
            painter.form(filled, heading, back)

        yield Shot(f"{asking.questionnaire.name}, {' '.join(item.id for item in page)}", draw)


def _drive(drive: Drive, frames: Sequence[NDArray[np.uint8]], spec: TaskSpec, text: TaskText) -> Shot:
    counted = (0, drive.plan.steps) if spec.paced else (drive.before, drive.total or drive.plan.steps)
    hud = hud_at(spec, text, drive.heading, 0, *counted)
    if spec.page > 1:
        return Shot(hud.heading, lambda painter: painter.catalogue(frames, hud))
    return Shot(hud.heading, lambda painter: painter.drive(frames[0], hud))


def _menus(study: Study, below: Shot) -> Iterator[Shot]:
    texts = study.language.texts
    paused = Menu(texts.paused, f"{texts.paused_by_key} {texts.paused_locked}", (texts.resume,))
    experimenter = Menu(
        texts.experimenter,
        texts.experimenter_text,
        (texts.experimenter_back, texts.note, texts.redo, texts.fullscreen_leave, texts.end),
    )
    for menu in (paused, experimenter):

        def draw(painter: Painter, menu: Menu = menu) -> None:
            below.draw(painter)
            painter.menu(menu, 0)

        yield Shot(menu.title, draw)
