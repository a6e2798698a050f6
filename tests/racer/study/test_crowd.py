"""Trials for people elsewhere, and their answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from picture_folders import draw_folder
from PIL import Image
from tiny_models import write_tiny_model

import sessions
from compression.model.sizes import Sizes
from racer.errors import ConfigError
from racer.recordings.verification import verify_recordings
from racer.report.study import report_study
from racer.study.crowd import KEY, TRIALS, Imported, export_trials, import_answers
from racer.study.file import Study, load_study
from sessions.ledger import read_ledger

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
STUDY = """
title = "Crowd"
conditions = ["raw", "random"]
pilots = 0
[task]
name = "folder"
images = "pictures"
size = 24
model = "model"
[episodes]
practice = 1
evaluation = 1
catch = 2
repeats = 2
steps = 4
[channel]
bits = 8
[screens]
consent = "Do you agree?"
[questionnaires]
after_condition = []
"""
ANSWERED = 4 + 2 * 4 + 2 + 2
"""Pictures of a set."""
Row = dict[str, str]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and two exported sets; not to be changed."""
    folder = tmp_path_factory.mktemp("crowd")
    draw_folder(folder / "pets" / "pictures")
    write_tiny_model(folder / "pets" / "model", Sizes((24, 24, 3), 8, 4, 2, 0, 16))
    (folder / "pets" / "study.toml").write_text(STUDY)
    assert export_trials(load_study(folder / "pets"), folder / "trials", 2, now=NOW) == 2 * ANSWERED
    return folder


def trials(folder: Path) -> list[Row]:
    with (folder / "trials" / TRIALS).open(newline="") as file:
        return list(csv.DictReader(file))


def answering(folder: Path, worker: str, participant: str, right: bool = True) -> list[Row]:
    """Return what a worker says who sees pictures as they were drawn; or who always says the opposite."""
    rows = []
    for place, row in enumerate(each for each in trials(folder) if each["set"] == participant):
        pixels = np.asarray(Image.open(folder / "trials" / row["image"])).astype(int)
        left = pixels[:, :120].sum() > pixels[:, 120:].sum()
        answer = "left" if left == right else "right"
        rows.append({"worker": worker, "image": row["image"], "answer": answer, "time": f"{0.3 + place / 10:.1f}"})
    return rows


def imported(study: Study, folder: Path, rows: list[Row], where: Path, **options: object) -> Imported:
    path = where / "answers.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["worker", "image", "answer", "time"])
        writer.writeheader()
        writer.writerows(rows)
    return import_answers(study, folder / "trials", path, **options)  # type: ignore[arg-type]


@pytest.fixture
def fresh(exported: Path) -> Study:
    """The study without any recordings."""
    found = load_study(exported / "pets")
    for path in found.recordings.glob("*.h5") if found.recordings.exists() else ():
        path.unlink()
    return found


def test_a_set_is_a_sitting_in_pictures_that_tell_nothing_by_their_names(exported: Path) -> None:
    rows = trials(exported)
    assert [row["set"] for row in rows] == ["crowd01"] * ANSWERED + ["crowd02"] * ANSWERED
    assert len({row["image"] for row in rows}) == len(rows)
    assert {row["question"] for row in rows} == {"side?"} and {row["answers"] for row in rows} == {"left|right"}
    assert all(Image.open(exported / "trials" / row["image"]).size == (240, 240) for row in rows)
    said = json.dumps(rows)
    assert all(word not in said for word in ("raw", "random", "catch", "repeats"))
    assert sorted(path.name for path in (exported / "trials").iterdir()) == [KEY, "pictures", TRIALS]


def test_answers_are_recorded_as_a_sitting_is(fresh: Study, exported: Path, tmp_path: Path) -> None:
    rows = [*answering(exported, "A1", "crowd01"), *answering(exported, "B2", "crowd02")]
    found = imported(fresh, exported, rows[::-1], tmp_path, attention=0.0)
    assert found.left_out == () and list(found.recordings) == ["B2", "A1"]
    path = found.recordings["A1"]
    with sessions.open(path) as session:
        info = session.info
        assert (info.participant, info.driver, session.status) == ("crowd01", "crowd", "complete")
        assert "A1" not in json.dumps(info.config) and session.answers() == []
        actions = [int(action) for episode in session.episodes for action in episode.action]
        seconds = [
            (response - shown) / 1e9
            for episode in session.episodes
            for shown, response in zip(episode.time_ns, np.array(episode["response_ns"]), strict=True)
        ]
    own = [row for row in rows if row["worker"] == "A1"]
    assert actions == [("left", "right").index(row["answer"]) for row in own]
    assert seconds == pytest.approx([float(row["time"]) for row in own])
    report = report_study(fresh.recordings)
    assert not report.simulated and report.participants == ("crowd01", "crowd02")
    assert [(each.catch, each.repeats, each.alike) for each in report.attention] == [(2, 2, 1.0)] * 2
    checked = verify_recordings([path], model=fresh.model)
    assert checked.passed, checked
    ledger = read_ledger(fresh.recordings)
    assert ledger is not None and len(ledger.hashes("recorded")) == 2


def test_who_fails_the_catch_trials_is_left_out(fresh: Study, exported: Path, tmp_path: Path) -> None:
    found = imported(fresh, exported, answering(exported, "bot", "crowd01", right=False), tmp_path)
    assert found.recordings == {} and found.left_out == ("worker bot: 0 % of the catch trials right, too few",)
    assert sessions.find_recordings(fresh.recordings) == []


def test_a_set_is_answered_once(fresh: Study, exported: Path, tmp_path: Path) -> None:
    both = [row for worker in ("first", "second") for row in answering(exported, worker, "crowd01")]
    found = imported(fresh, exported, both, tmp_path, attention=0.0)
    assert list(found.recordings) == ["first"]
    assert found.left_out == ("worker second: somebody else answered crowd01 before",)
    again = imported(fresh, exported, answering(exported, "third", "crowd01"), tmp_path, attention=0.0)
    assert again.recordings == {} and "somebody else" in again.left_out[0]


def other(rows: list[Row], **cells: str) -> list[Row]:
    return [{**rows[0], **cells}, *rows[1:]]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: other(rows, image="x.png"), "line 2: x.png is not a picture of these trials"),
        (lambda rows: other(rows, answer="up"), "line 2: up is not one of the answers left, right"),
        (lambda rows: other(rows, time="soon"), "line 2: soon is not a time from 0 to 3600 seconds"),
        (lambda rows: other(rows, time="nan"), "line 2: nan is not a time"),
        (lambda rows: other(rows, time="-1"), "line 2: -1 is not a time"),
        (lambda rows: other(rows, worker=""), "line 2: it names no worker"),
        (lambda rows: rows[:-1], "1 of the 16 pictures of crowd01 are not answered"),
    ],
)
def test_what_is_no_answer_is_listed_and_its_worker_is_not_taken(
    spoil: Callable[[list[Row]], list[Row]], said: str, fresh: Study, exported: Path, tmp_path: Path
) -> None:
    found = imported(fresh, exported, spoil(answering(exported, "A1", "crowd01")), tmp_path, attention=0.0)
    assert found.recordings == {}
    assert any(said in line for line in found.left_out) and "pictures of crowd01" in found.left_out[-1]


def test_of_two_answers_to_a_picture_the_first_counts(fresh: Study, exported: Path, tmp_path: Path) -> None:
    rows = answering(exported, "A1", "crowd01")
    found = imported(fresh, exported, [*rows, {**rows[0], "answer": "left"}], tmp_path, attention=0.0)
    assert list(found.recordings) == ["A1"] and "answered" in found.left_out[0] and "first" in found.left_out[0]


def test_a_worker_of_two_sets_is_not_taken(fresh: Study, exported: Path, tmp_path: Path) -> None:
    rows = [*answering(exported, "A1", "crowd01"), *answering(exported, "A1", "crowd02")]
    found = imported(fresh, exported, rows, tmp_path, attention=0.0)
    assert found.left_out == ("worker A1: answered pictures of 2 sets (crowd01, crowd02), not of one",)


@pytest.mark.parametrize(
    "text", ["worker,image,answer\na,b,c\n", "worker,image,answer,time\n=1+1,b,c,1\n", "worker,image,answer,time\n", ""]
)
def test_a_file_that_is_no_table_of_answers_is_refused(text: str, fresh: Study, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(ConfigError) as refusal:
        import_answers(fresh, exported / "trials", tmp_path / "answers.csv")
    assert "\n" not in str(refusal.value) and "nothing was changed" in str(refusal.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: "[]", "is not the key of exported trials"),
        (lambda text: text.replace('"order": 0', '"order": 1e400'), "is not the key of exported trials"),
        (lambda text: "{" * 50_000, "is not the key of exported trials"),
        (lambda text: text.replace("crowd01", "../x"), "is not the key of exported trials"),
        (lambda text: text.replace("crowd01", "crowd03"), "was changed"),
        (lambda text: text.replace("+00:00", ""), "is not the key of exported trials"),
        (lambda text: text.replace("+00:00", "+02:00"), "is not the key of exported trials"),
        (lambda text: text.replace('"study": "', '"study": "0'), "is of another study"),
    ],
)
def test_a_key_that_was_changed_is_refused(
    edit: Callable[[str], str], said: str, fresh: Study, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / KEY).write_text(edit((exported / "trials" / KEY).read_text()))
    (tmp_path / "answers.csv").write_text("worker,image,answer,time\n")
    with pytest.raises(ConfigError) as refusal:
        import_answers(fresh, tmp_path, tmp_path / "answers.csv")
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_nothing_is_exported_over_anything(fresh: Study, exported: Path) -> None:
    with pytest.raises(ConfigError, match="is there already"):
        export_trials(fresh, exported / "trials", 1)
