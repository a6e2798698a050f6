"""The page: one HTML file that needs nothing else. Every text in it that comes from a recording is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
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
from racer.report.drawing import Cell, Illustration
from racer.report.promises import outcome_lines, promise_lines
from racer.report.statistics import RESAMPLES
from racer.report.study import StudyReport
from racer.report.timing import STAGES

GENERATOR = "racer study report"
"""Marks a page as one of ours, so that a new report may replace it."""
TEMPLATE = "report.html.j2"


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
    environment.globals.update(w=wording, when=when, shows=shown_under, stages=STAGES, resamples=RESAMPLES, cell=cell)
    template = environment.from_string((files("racer.report") / TEMPLATE).read_text(encoding="utf-8"))
    page: str = template.render(
        generator=GENERATOR,
        version=__version__,
        report=report,
        caveats=caveats(report),
        outcome=outcome_lines(report),
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


def data_address(svg: bytes) -> str:
    """Return an image as an address that holds all of it; scripts in such an image never run."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def cell(value: Cell) -> str:
    """Return a table cell's text."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


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
