"""Make the pictures of README.md and docs/tutorial.md from real runs: a sitting on a bare X server, and a report.

    python scripts/documents/take_screenshots.py                        # the sitting's pictures
    python scripts/documents/take_screenshots.py --report report.html   # the report's pictures

Needs Xvfb, xdotool and Chromium (Debian: xvfb, xdotool, chromium), and Pillow. The sitting is gone through by the hands
of tests/racer/study/test_study_in_a_window.py. The report of the tutorial is of simulated participants.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
TUTORIAL = "tutorial"
ROW, ROW_SIZE, MARGIN = ("drive", "driving", "experimenter"), (460, 345), 4
"""Pictures of the tutorial that stand side by side in README.md, and their size there, pixels."""
WIDTH = 1024
"""Of the browser's window, pixels."""
COLOURS = 192
BEND = 66
"""Step at which whoever never steers sees the first bend of the track ahead."""
STUDY = """
title = "Driving by half a picture"
pilots = 0
[episodes]
practice = 1
evaluation = 1
steps = 110
seeds = [44]
[masks]
pico = "shipped"
[screens]
consent = '''
You will drive a car in a simple video game for about twenty minutes. We record the keys that you press and what was on
the screen, under a number instead of your name.

You may stop at any time and need not say why.'''
break_every = 1
[questionnaires]
end = ["nasa-tlx"]
[experimenter]
code = "lab2026"
"""


def main() -> None:
    """Parse the command line and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder for the pictures")
    parser.add_argument("--report", type=Path, help="take pictures of this report instead")
    arguments = parser.parse_args()
    (arguments.out / TUTORIAL).mkdir(parents=True, exist_ok=True)
    if arguments.report:
        picture_report(arguments.report, arguments.out / TUTORIAL)
    else:
        picture_sitting(arguments.out)


def picture_sitting(out: Path) -> None:
    """Go through a short sitting and keep a picture of each kind of screen."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "racer")]
    from desk import open_screen, run_racer  # type: ignore[import-not-found]
    from seated import Participant  # type: ignore[import-not-found]

    from racer.study.file import load_study

    with tempfile.TemporaryDirectory() as place, open_screen() as screen:
        folder = Path(place) / "demo"
        folder.mkdir()
        (folder / "study.toml").write_text(STUDY)
        study = load_study(folder)

        def keep(name: str) -> None:
            save(Image.fromarray(np.ascontiguousarray(screen.pixels())), out / TUTORIAL / f"{name}.png")

        with run_racer(screen, folder.parent, "session", "start", "--study", "demo", "--trial") as process:
            go_through(Participant(screen, process, study), study, keep)
            _, err = process.communicate()
        if process.returncode:
            raise SystemExit(err)
        picture_beside(study, out / "beside.png")
    picture_row(out)


def picture_row(out: Path) -> None:
    """Put three of the tutorial's pictures side by side."""
    width, height = ROW_SIZE
    row = Image.new("RGB", (len(ROW) * (width + 2 * MARGIN), height + 2 * MARGIN), "white")
    for place, name in enumerate(ROW):
        with Image.open(out / TUTORIAL / f"{name}.png") as image:
            part = image.convert("RGB").resize(ROW_SIZE, Image.Resampling.LANCZOS)
        row.paste(part, (place * (width + 2 * MARGIN) + MARGIN, MARGIN))
    save(row, out / "screens.png")


def picture_beside(study: Any, out: Path) -> None:
    """Draw the bend that the sitting came to under `pico` as `racer play --beside` shows it."""
    import pygame

    import sessions
    from racer.drivers.keyboard import HeldKeys
    from racer.loop.attended import hud_at
    from racer.recordings.footage import Footage
    from racer.window.screens import Painter

    task, texts = study.file.make_task(), study.language.texts
    spec = task.spec
    text, heading = spec.text(study.language.code), texts.round.format(number=1, count=1)
    (path,) = sessions.find_recordings(study.recordings)
    surface = pygame.Surface((960, 720), 0, 32)
    with sessions.open(path) as session:
        episode = next(episode for episode in session.episodes if episode.info.condition == "pico")
        metrics = {spec.primary.name: float(episode[spec.primary.name][BEND])}
        hud = hud_at(spec, text, heading, BEND, 0, episode.n_steps, metrics, task.reach(episode.n_steps))
        with Footage(session, episode) as footage:
            Painter(surface, texts, HeldKeys(spec), text).drive(footage.shown(BEND), hud, footage.original(BEND))
    save(Image.frombytes("RGB", surface.get_size(), pygame.image.tobytes(surface, "RGB")), out)


def go_through(person: Any, study: Any, keep: Callable[[str], None]) -> None:
    """Meet everything of a sitting; `keep` keeps what is on the screen under a name."""
    from seated import Experimenter, chosen_from, shown

    from racer.drivers.keyboard import check_bindings
    from racer.sitting.agenda import Asking, Consent, Drive, make_agenda
    from racer.sitting.protocol import plan_episodes
    from racer.study.sitting import sitting_config
    from racer.window.palette import YELLOW

    texts = person.texts
    config = sitting_config(study, "evaluation", None)
    plans = plan_episodes(config.protocol, "p01", config.seed, 0)
    drives = 0
    kept: set[str] = set()

    def keep_first(name: str) -> None:
        if name not in kept:
            kept.add(name)
            keep(name)

    text = config.task.spec.text(config.language.code)
    keys = check_bindings(config.task.spec, config.keys)
    for item in make_agenda(plans, config.screens, texts, text, keys):
        if isinstance(item, Consent):
            person.waits_for(chosen_from(item, texts, None))
            keep_first("consent")
            person.consents(item, 0)
        elif isinstance(item, Asking):
            items = item.questionnaire.items
            numbers = [min(5, question.points) if question.points <= 9 else 13 for question in items]
            looks = {"rating": item.questionnaire.name, "writing": "comment"}
            person.answers(item, numbers, "I lost the road in the bends.", look=lambda kind: keep_first(looks[kind]))  # noqa: B023
        elif isinstance(item, Drive):
            drives += 1
            person.until(lambda: [steps >= BEND for *_, steps in person.episodes()[drives - 1 :]] == [True])  # noqa: B023
            keep_first("drive")
            if drives == 1:
                person.press("Escape")
                person.until(lambda: person.stands_still())
                keep_first("pause")
                person.press("Return")
            person.until(lambda: person.episodes_done() == drives)  # noqa: B023
        elif item.test_keys:
            first = texts.press_keys.format(keys=texts.key_names(next(iter(keys.values()))))
            person.waits_for(shown(item, (first, YELLOW)))
            keep_first("key-test")
            person.tries_the_keys(item)
        else:
            person.waits_for(shown(item))
            if item.title == texts.break_title and "break" not in kept:
                keep_first("break")
                experimenter = Experimenter(person, item)
                experimenter.opens_the_menu("lab2026")
                keep_first("experimenter")
                experimenter.takes_a_note("The telephone rang during the last drive.", lambda: keep_first("note"))
                person.waits_for(shown(item), lambda: person.press("Return"))
            elif item.title == text.title:
                keep_first("instructions")
            elif item.title == texts.thanks_title:
                keep_first("thanks")
                person.until(person.ended, lambda: person.press("space"))
                return
            person.reads(item)


def picture_report(report: Path, out: Path) -> None:
    """Keep pictures of a report's beginning, of its figure 6 without the strips, and of what two blocks stand for."""
    sys.path[:0] = [str(ROOT / "tests" / "racer")]
    from chromium import chromium  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, chromium(Path(folder)) as page:
        page.open(report.resolve(), WIDTH)
        top = page.evaluate("document.querySelector('#figure6').getBoundingClientRect().top")
        strips = page.evaluate("document.querySelectorAll('#figure6 figure')[2].getBoundingClientRect().top")
        for name, y, length in (("report", 0, top), ("figure6", top, strips - top)):
            clip = {"x": 0, "y": y, "width": WIDTH, "height": length, "scale": 1}
            shot = page.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
            with Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as image:
                save(image.convert("RGB"), out / f"{name}.png", colours=24)
    with Image.open(report.with_name(f"{report.stem}_files") / "traversals.png") as image:
        first = image.convert("RGB").crop((0, 0, image.width, image.height * 245 // 1000))
        resized = first.resize((first.width * 3 // 5, first.height * 3 // 5), Image.Resampling.LANCZOS)
        save(resized, out / "traversals.png", colours=40)


def save(image: Image.Image, path: Path, colours: int = COLOURS) -> None:
    """Write a small PNG: few colours, no dithering."""
    few = image.quantize(colours, Image.Quantize.MEDIANCUT, kmeans=4, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
