"""The page: one HTML file that needs nothing else. Every text in it that comes from a recording is escaped.

It runs one script, ours, which its security policy names by its hash: nothing else on it is ever run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from racer import __version__
from racer.analysis import analysis
from racer.loop.conditions import shown_under
from racer.plain_text import on_a_page
from racer.report import wording
from racer.report.answers import when
from racer.report.caveats import caveats
from racer.report.drawing import Illustration, colour_of
from racer.report.promises import outcome_lines, promise_lines
from racer.report.scripting import data_address, script_data, script_hash, source
from racer.report.statistics import RESAMPLES
from racer.report.study import StudyReport
from racer.report.timing import STAGES
from sessions.export.cells import Cell

GENERATOR = "racer study report"
"""Marks a page as one of ours, so that a new report may replace it."""
TEMPLATE = "report.html.j2"
SCRIPTS = ("pointing.js", "report.js")
"""What the page runs; `pointing.js` is what it shares with the page of a sweep."""


@dataclass(frozen=True)
class Pictures:
    """The figures of a report, by name, and why others are left out."""

    drawn: dict[str, Illustration]
    left_out: dict[str, str]


def render_page(
    report: StudyReport, pictures: Pictures, files_folder: str, item_texts: Mapping[tuple[str, str], str]
) -> str:
    """Return the page's HTML.

    Args:
        report: What it says.
        pictures: What it shows.
        files_folder: Name of the folder beside the page that has its figures and numbers as files.
        item_texts: Wording of questionnaire items by (questionnaire, item id), where known.
    """
    jinja2 = analysis("jinja2")

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=on_a_page
    )
    environment.globals.update(w=InPrint(), when=when, shows=shown_under, stages=STAGES, resamples=RESAMPLES, cell=cell)
    script = "".join(source(name) for name in SCRIPTS)
    template = environment.from_string(source(TEMPLATE))
    page: str = template.render(
        generator=GENERATOR,
        version=__version__,
        report=report,
        caveats=caveats(report),
        outcome=map(wording.in_print, outcome_lines(report)),
        script=script,
        script_hash=script_hash(script),
        parts=script_data(_parts(pictures)),
        promises=promise_lines(report.promise),
        pictures=pictures,
        image=data_address,
        folder=quote(files_folder),
        item_texts=item_texts,
        excluded=named_exclusions(report),
        items=_items(report),
        fractions=any(metric.unit == wording.FRACTION for metric in report.compared),
    )
    return page


class InPrint:
    """Words and numbers as `wording` has them, with minus signs."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def printed(*args: Any, **settings: Any) -> Any:
            found = getattr(wording, name)(*args, **settings)
            return wording.in_print(found) if isinstance(found, str) else found

        return printed


def cell(value: Cell) -> str:
    """Return a table cell's text."""
    if value is None:
        return "-"
    return wording.in_print(f"{value:.6g}") if isinstance(value, float) else str(value)


def _parts(pictures: Pictures) -> dict[str, Any]:
    """Return what can be pointed at and taken away of each figure, and the frames behind it, each once."""
    told = {name: drawn.parts for name, drawn in pictures.drawn.items() if drawn.parts}
    every = [mark for parts in told.values() for part in parts for mark in part.marks]
    frames = list(dict.fromkeys(mark.picture for mark in every if mark.picture))
    return {
        "figures": {
            name: [
                {
                    "name": part.name,
                    "marks": [
                        (wording.in_print(mark.words), frames.index(mark.picture) if mark.picture else None)
                        for mark in part.marks
                    ],
                }
                for part in parts
            ]
            for name, parts in told.items()
        },
        "colours": {part.name: colour_of(part.name) for parts in told.values() for part in parts},
        "pictures": [data_address(frame, "png") for frame in frames],
    }


def named_exclusions(report: StudyReport) -> dict[str, str]:
    """Return the recordings left out by file name: where they lie is nobody else's business."""
    named = {}
    for path, reason in report.excluded.items():
        for other in report.excluded:
            reason = reason.replace(other, Path(other).name)
        named[Path(path).name] = reason
    return named


def _items(report: StudyReport) -> list[dict[str, Any]]:
    """Return the rated items as rows with their means by condition."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for rating in report.answers.ratings:
        key = (rating.phase, rating.questionnaire, rating.item)
        rows.setdefault(key, {"key": key, "means": {}})["means"][rating.condition] = rating
    return list(rows.values())
