from __future__ import annotations

import csv
import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import matplotlib
import numpy as np
import pytest
from chromium import chromium
from racing_builders import car_racing_model, scored
from report_builders import SCORES, driven, evaluation, write_study

import sessions
from racer.report.scripting import script_hash
from racer.report.study import NothingToReportError, report_study
from racer.report.write import ReportFileError, Written, write_report
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.training.sheets import GAP

FIGURES = {
    "figure6_scatter",
    "figure6_bars",
    "figure6_strips",
    "participants",
    "blocks",
    "traversals",
    "agreement",
    "learning_by_episode",
    "learning_by_place",
}
SECTIONS = [
    "primary",
    "results",
    "figure6",
    "tests",
    "people",
    "answers",
    "mask",
    "actions",
    "learning",
    "timing",
    "excluded",
]
HOSTILE = "<script>alert(1)</script>\"'><img src=http://x.invalid/y onerror=alert(2)>&amp;{{ 7*7 }}"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recorded study of three simulated participants."""
    folder = tmp_path_factory.mktemp("study")
    for order, name in enumerate(("ann", "ben", "cleo")):
        start_session(
            StartConfig(
                participant=name,
                protocol=ProtocolConfig("evaluation", practice=0, evaluation=1, steps=12),
                driver="simulated",
                headless=True,
                data=folder,
                order=order,
            )
        )
    return folder


@pytest.fixture(scope="module")
def written(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return the report of the recorded study."""
    return write_report(study, tmp_path_factory.mktemp("out") / "report.html")


class Elements(HTMLParser):
    """The elements of a page and their attributes, and its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.text += " "  # cells stand apart

    def handle_data(self, data: str) -> None:
        self.text += data


def contents(written: Written) -> dict[str, bytes]:
    """Return everything that a report consists of, by file name."""
    return {path.name: path.read_bytes() for path in [written.page, *written.files.iterdir()]}


def told(written: Written) -> dict[str, Any]:
    """Return what the page says of the parts of each figure."""
    text = written.page.read_text().partition('id="parts">')[2].partition("</script>")[0]
    figures: dict[str, Any] = json.loads(text)["figures"]
    return figures


def hostile_study(folder: Path, model_sha256: str = "ab" * 32) -> Path:
    """Write a study whose every text is out to harm the page."""
    answers = [
        (f"evaluation/1/pico/{HOSTILE[:30]}/why".replace("/script", "script"), HOSTILE),
        ("evaluation/1/pico/driving/<b>control", "5"),
        ("evaluation/1/<i>/driving/control", "5"),
        ("end/0/-/driving/comment", "=HYPERLINK(1)\n\x07$\\frac$"),
        ("note", HOSTILE),
        ("consent", HOSTILE),
    ]
    drives = [driven("random", [1, 2]), driven("pico", [2, 2]), driven("full", [2, 1]), scored(HOSTILE, 0.5)]
    for number in range(2):
        evaluation(
            folder,
            f"p{number}",
            drives,
            number,
            answers=answers,
            study=HOSTILE,
            driver=HOSTILE,
            software={HOSTILE: HOSTILE, "torch": str(number)},
            model_sha256=model_sha256,
        )
    (folder / "<img src=x onerror=alert(3)>.h5").write_bytes(b"torn")
    return folder


def test_the_page_has_every_section_and_every_figure(written: Written) -> None:
    elements = Elements(written.page)
    ids = {attributes.get("id") for _, attributes in elements.found}
    assert {*SECTIONS, "versions", *FIGURES} <= ids
    assert written.left_out == {}
    assert "Nothing on this page is evidence about people." in elements.text
    assert "There are only 3 participants" in elements.text
    assert "not in real time" in elements.text


def test_every_figure_is_a_file_in_three_formats_and_its_numbers_are_the_reports(written: Written, study: Path) -> None:
    names = {path.name for path in written.files.iterdir()}
    assert names == {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png", "csv")} | {"report.json"}
    assert all((written.files / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in FIGURES)
    assert all(b"<svg" in (written.files / f"{name}.svg").read_bytes() for name in FIGURES)
    report = report_study(study)
    with (written.files / "figure6_bars.csv").open(newline="") as file:
        bars = {row["condition"]: row for row in csv.DictReader(file)}
    assert {name: float(row["progress"]) for name, row in bars.items()} == {
        mean.condition: mean.metrics["progress"].value for mean in report.conditions
    }
    numbers = json.loads((written.files / "report.json").read_text())
    assert numbers["report"]["gap_closed"] == report.gap_closed
    assert sorted(names) == numbers["files"]


def test_the_same_recordings_give_the_same_bytes_whatever_matplotlib_is_set_to(
    written: Written, study: Path, tmp_path: Path
) -> None:
    with matplotlib.rc_context({"font.size": 33, "svg.hashsalt": "other", "axes.grid": True}):
        again = write_report(study, tmp_path / "report.html")
        assert matplotlib.rcParams["font.size"] == 33
    assert contents(again) == contents(written)


def test_nothing_in_the_page_leads_out_of_it(written: Written) -> None:
    for tag, attributes in Elements(written.page).found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "action", "data"):
            address = attributes.get(name) or ""
            assert "//" not in address.split(",")[0], address
        assert not any(name.startswith("on") for name in attributes)
    style = written.page.read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_what_recordings_say_is_text_and_never_markup(tmp_path: Path) -> None:
    written = write_report(hostile_study(tmp_path / "study"), tmp_path / "report.html")
    elements = Elements(written.page)
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "div", "strong", "ul"}
    allowed |= {"li", "nav", "a", "section", "table", "thead", "tbody", "tr", "th", "td", "figure", "img", "span"}
    allowed |= {"figcaption", "dl", "dt", "dd", "details", "summary", "blockquote", "cite", "script"}
    assert {tag for tag, _ in elements.found} <= allowed
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert all((a.get("src") or "").startswith("data:") for tag, a in elements.found if tag == "img")
    # The data of the figures, and the one script that the page's policy lets run.
    page = written.page.read_text()
    ran = page.rpartition("<script>")[2].partition("</script>")[0]
    assert [attributes for tag, attributes in elements.found if tag == "script"] == [
        {"type": "application/json", "id": "parts"},
        {},
    ]
    assert f"script-src '{script_hash(ran)}'" in page
    # Title, two free answers, two notes, consent, software's name and value, driver: all there to be read.
    assert elements.text.count("<script>alert(1)</script>\"'><img") >= 7
    assert "<img src=x onerror=alert(3)>.h5" in elements.text
    assert elements.text.count("{{ 7*7 }}") >= 7


def test_wordings_and_titles_in_any_script_stand_on_the_page(tmp_path: Path) -> None:
    answers = [("end/0/-/أسئلة/题目🙂", "5"), ("evaluation/1/pico/driving/control", "5")]
    evaluation(tmp_path / "study", "ann", SCORES, answers=answers, study="研究")
    texts = {("driving", "control"): 'I was "in control" & <calm>'}
    text = Elements(write_report(tmp_path / "study", tmp_path / "report.html", item_texts=texts).page).text
    for expected in ("研究", "题目🙂", 'I was "in control" & <calm>', "أسئلة (end)"):
        assert expected in text


def test_recordings_of_other_weights_have_no_pictures_of_latents(tmp_path: Path) -> None:
    written = write_report(write_study(tmp_path / "study", np.array([[0.1, 0.2, 0.3]])), tmp_path / "report.html")
    assert set(written.left_out) == {"figure6_strips", "traversals"}
    assert "other weights" in written.left_out["figure6_strips"]
    assert "other weights" in written.left_out["traversals"]
    assert all(reason in Elements(written.page).text for reason in written.left_out.values())


@pytest.mark.parametrize("conditions", [("raw",), ("random", "full"), ("raw", "pico", "perceptual")])
def test_any_set_of_conditions_has_a_report(conditions: tuple[str, ...], tmp_path: Path) -> None:
    table = np.random.default_rng(0).uniform(0.1, 0.5, (3, len(conditions)))
    written = write_report(write_study(tmp_path / "study", table, conditions), tmp_path / "report.html")
    elements = Elements(written.page)
    assert not (written.files / "figure6_scatter.svg").exists()
    assert (written.files / "figure6_bars.svg").exists()
    expected = "Condition pico was not shown" if "pico" not in conditions else "Condition random was not shown"
    assert expected in elements.text


def test_equal_scores_have_a_report_without_tests_that_cannot_be_made(tmp_path: Path) -> None:
    written = write_report(write_study(tmp_path / "study", np.full((4, 3), 0.5)), tmp_path / "report.html")
    text = " ".join(Elements(written.page).text.split())
    assert "F(1, 3) = undefined (the differences do not vary), no p" in text
    assert "random and full do not differ, so there is no gap that pico could close." in text


def test_one_participant_has_a_report_that_says_so(tmp_path: Path) -> None:
    evaluation(tmp_path / "study", "ann", SCORES)
    text = Elements(write_report(tmp_path / "study", tmp_path / "report.html").page).text
    assert "There is one participant: no standard errors, no intervals and no tests." in text
    assert "One participant: no tests." in text


def test_a_paced_study_has_its_timing(tmp_path: Path) -> None:
    evaluation(tmp_path / "study", "ann", [driven("random", [1, 1, 1], times_ms=[0, 100, 350])])
    text = " ".join(Elements(write_report(tmp_path / "study", tmp_path / "report.html").page).text.split())
    assert "ann 10 3 97 175.0" in text


def test_a_recording_whose_progress_is_no_number_is_left_out(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", np.array([[0.1, 0.2, 0.3]]))
    odd = evaluation(folder, "odd", SCORES, 9)
    with h5py.File(odd, "r+") as file:
        file["episodes/000/progress"][:] = float("nan")
    written = write_report(folder, tmp_path / "report.html")
    assert ["which cannot be" in reason for reason in written.report.excluded.values()] == [True]
    assert str(tmp_path) not in written.page.read_text()
    assert str(tmp_path) not in (written.files / "report.json").read_text()


def test_nothing_to_analyse_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    with pytest.raises(NothingToReportError):
        write_report(tmp_path / "study", tmp_path / "out" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a folder with the smallest study."""
    return write_study(tmp_path / "study", np.array([[0.5]]), ("raw",))


def test_a_report_replaces_an_earlier_one_and_its_files_and_keeps_what_others_put_there(
    small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "report.html"
    first = write_report(small, out)
    (first.files / "notes.txt").write_text("mine")
    (first.files / "folder").mkdir()
    stale = json.loads((first.files / "report.json").read_text())
    (first.files / "stale.svg").write_text("of an earlier report")
    (first.files / "report.json").write_text(json.dumps(stale | {"files": [*stale["files"], "stale.svg"]}))
    second = write_report(small, out)
    names = {path.name for path in second.files.iterdir()}
    assert {"notes.txt", "folder", "figure6_bars.svg"} <= names
    assert "stale.svg" not in names
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []


def test_a_page_that_is_no_report_is_left_as_it_is(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "thesis.html"
    out.write_text("my thesis")
    with pytest.raises(ReportFileError, match="not a report that Racer wrote and was left as it is"):
        write_report(small, out)
    assert out.read_text() == "my thesis"
    assert not (tmp_path / "thesis_files").exists()
    write_report(small, out, overwrite=True)
    assert "my thesis" not in out.read_text()


def test_a_file_that_is_no_reports_is_not_replaced(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report_files"
    folder.mkdir()
    (folder / "figure6_bars.svg").write_text("mine")
    with pytest.raises(ReportFileError, match=r"figure6_bars\.svg belongs to no report"):
        write_report(small, tmp_path / "report.html")
    assert (folder / "figure6_bars.svg").read_text() == "mine"
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("place", ["study", "study/x.h5/report.html"])
def test_a_place_that_cannot_be_written_is_one_line(place: str, small: Path, tmp_path: Path) -> None:
    (small / "x.h5").write_bytes(b"torn")
    with pytest.raises(ReportFileError) as refusal:
        write_report(small, tmp_path / place)
    assert len(str(refusal.value).splitlines()) == 1
    assert "--out" in str(refusal.value)


def test_a_failure_half_way_leaves_the_earlier_report(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_report(small, tmp_path / "report.html")
    before = contents(first)
    write_study(small, np.array([[0.1], [0.2], [0.3]])[1:], ("raw",), session_id="0000aa")

    def full_disk(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(ReportFileError, match="No space left on device; nothing was changed"):
        write_report(small, tmp_path / "report.html")
    assert contents(first) == before


@pytest.mark.chromium
def test_a_browser_shows_all_of_it_at_any_width_without_a_request_or_a_complaint(
    written: Written, tmp_path: Path
) -> None:
    hostile = write_report(hostile_study(tmp_path / "study", car_racing_model().sha256), tmp_path / "report.html")
    with chromium(tmp_path / "profile") as page:
        for report, width in ((written, 1280), (written, 360), (hostile, 360)):
            page.open(report.page, width)
            still = "[...document.querySelectorAll('.paper img')]"
            images = page.evaluate(f"{still}.map(i => i.complete && i.naturalWidth > 0 && i.alt != '')")
            assert images == [True] * len(images)
            assert len(images) >= len(FIGURES) - 1
            ids = page.evaluate("[...document.querySelectorAll('section')].map(s => s.id)")
            assert ids == [*SECTIONS, "versions"]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            wide = "[...document.querySelectorAll('.wide, .paper')].filter(e => e.scrollWidth > e.clientWidth)"
            assert page.evaluate(f"{wide}.length") == 0
            assert page.evaluate("document.querySelectorAll('figure.live').length") == len(told(report))
            outward = [url for url in page.requests() if not url.startswith("data:")]
            assert outward == [report.page.as_uri()]
            assert page.complaints() == []


@pytest.mark.chromium
def test_points_say_their_numbers_and_show_their_frames_and_conditions_come_and_go(
    written: Written, tmp_path: Path
) -> None:
    with chromium(tmp_path / "profile") as page:
        page.open(written.page, 1280)

        def said(figure: str) -> str:
            return str(page.evaluate(f"document.querySelector('#{figure} .said').textContent"))

        for figure, parts in told(written).items():
            for number, part in enumerate(parts):
                drawn = f"document.querySelector('#{figure}-part{number}')"
                assert page.evaluate(f"{drawn} !== null"), f"{figure} {number}"
                points = f"({drawn}.querySelectorAll('use').length || {drawn}.querySelectorAll('path').length)"
                assert not part["marks"] or page.evaluate(points) == len(part["marks"])
        bar = "document.querySelector('#figure6_bars-part0')"
        page.move_to(f"{bar}.querySelector('path')")
        assert said("figure6_bars") == told(written)["figure6_bars"][0]["marks"][0][0]
        box = "document.querySelectorAll('#figure6_bars input')[0]"
        page.evaluate(f"{box}.click()")
        assert page.evaluate(f"{bar}.getClientRects().length") == 0
        page.evaluate(f"{box}.click()")
        assert page.evaluate(f"{bar}.getClientRects().length") > 0
        frames = "document.querySelector('#figure6_strips .frames')"
        assert page.evaluate(f"{frames}.hidden") is True
        page.evaluate("document.querySelector('#figure6_strips svg').focus()")
        page.press("ArrowRight")
        assert "step 1, original and shown: road progress" in said("figure6_strips")
        assert page.evaluate(f"{frames}.decode().then(() => {frames}.naturalWidth)") == 2 * 64 + GAP
        assert page.complaints() == []
        page.ask("Emulation.setEmulatedMedia", media="print")
        seen = "e => e.getClientRects().length > 0"
        assert page.evaluate(f"[...document.querySelectorAll('.paper img')].every({seen})")
        assert not page.evaluate(f"[...document.querySelectorAll('.paper svg, .panel')].some({seen})")


def test_what_is_negative_has_a_minus_sign(tmp_path: Path) -> None:
    table = np.array([[0.5, 0.2], [0.6, 0.4], [0.55, 0.25]])
    written = write_report(write_study(tmp_path / "study", table, ("random", "pico")), tmp_path / "report.html")
    text = Elements(written.page).text.partition("What was promised")[0].partition("Read this first")[2]
    assert "pico \u2212 random: \u221226.67" in text
    assert " -" not in text


def test_the_strips_show_the_median_participant_and_a_common_seed(written: Written, study: Path) -> None:
    report = report_study(study)
    with (written.files / "figure6_strips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = {
        condition: [score.metrics["progress"] for score in report.scores if score.condition == condition]
        for condition in ("random", "pico")
    }
    differences = dict(zip(report.participants, np.subtract(column["pico"], column["random"]), strict=True))
    (shown,) = {row["participant"] for row in rows}
    assert differences[shown] == np.median(list(differences.values()))
    (seed,) = {int(row["seed"]) for row in rows}
    for path in sessions.find_recordings(study):
        with sessions.open(path) as session:
            if session.info.participant == shown:
                seeds = {episode.info.seed for episode in session.episodes}
    assert seed in seeds
    assert {row["condition"] for row in rows} == {"random", "pico", "full"}
    assert [int(row["step"]) for row in rows if row["condition"] == "pico"][-1] == 12
