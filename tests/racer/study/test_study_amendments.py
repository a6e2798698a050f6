from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from report_builders import CONFIG, write_study
from typer.testing import CliRunner

from racer.cli import make_app
from racer.commands.study_data import find_data
from racer.engines import LocalEngine
from racer.errors import ConfigError
from racer.report.caveats import caveats
from racer.report.study import report_study
from racer.report.write import write_report
from racer.study.amendments import AMENDMENTS_FILE, Difference, amend, read_amendments, versions
from racer.study.file import Study, StudyFileError, load_study
from racer.study.run import run_study
from racer.study.sitting import sitting_config
from racer.study.status import study_status

TEXT = """
title = "Amended"
conditions = ["full", "raw"]
participants = 2
pilots = 0
[episodes]
practice = 0
evaluation = 1
steps = 8
[questionnaires]
after_condition = []
"""
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def study_of(folder: Path, text: str = TEXT) -> Study:
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(text)
    return load_study(folder)


@pytest.fixture(scope="module")
def amended(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two people of a study, an amendment, and two more."""
    folder = tmp_path_factory.mktemp("amended")
    run_study(study_of(folder), engine=LocalEngine(1))
    study = study_of(folder, TEXT.replace("steps = 8", "steps = 9").replace("participants = 2", "participants = 4"))
    amend(study, "Rounds were  too short.", NOW)
    run_study(study, engine=LocalEngine(1))
    return study


def test_an_amendment_keeps_its_date_reason_and_difference(amended: Study) -> None:
    (kept,) = read_amendments(amended.folder)
    assert (kept.at_utc, kept.reason) == ("2026-03-01T12:00:00Z", "Rounds were too short.")
    assert kept.difference == (Difference("episodes.steps", "8", "9"),)
    assert versions((kept,)) == (kept.before, amended.settings_sha256)
    status = study_status(amended)
    assert (status.changed, status.amendments, len(status.participants)) == ({}, (kept,), 4)


def test_the_report_shows_the_amendment_and_splits_by_it(amended: Study, tmp_path: Path) -> None:
    amendments = read_amendments(amended.folder)
    report = report_study(amended.recordings, amendments=amendments)
    assert report.participants == ("p01", "p02", "p03", "p04")
    assert [(mean.version, mean.condition, mean.participants) for mean in report.by_version] == [
        (0, "raw", 2),
        (0, "full", 2),
        (1, "raw", 2),
        (1, "full", 2),
    ]
    assert any("See Amendments" in caveat for caveat in caveats(report))
    for version, people in ((0, ("p01", "p02")), (1, ("p03", "p04"))):
        report = report_study(amended.recordings, amendments=amendments, version=version)
        assert report.participants == people
        assert ["another version" in reason for reason in report.excluded.values()] == [True, True]
    page = write_report(amended.recordings, tmp_path / "r.html", amendments=amendments).page.read_text()
    assert "episodes.steps 8 -&gt; 9" in page and "Rounds were too short." in page and "2026-03-01" in page


def test_a_version_that_is_none_is_refused_and_a_study_is_known_by_its_recordings(amended: Study) -> None:
    runner = CliRunner()
    result = runner.invoke(make_app(), ["study", "report", str(amended.folder), "--version", "2"])
    assert isinstance(result.exception, ConfigError) and "there have been 1; got 2" in str(result.exception)
    assert find_data(amended.recordings) == find_data(amended.folder)


def test_without_its_amendment_a_changed_study_takes_nobody(amended: Study, tmp_path: Path) -> None:
    shutil.copytree(amended.folder, tmp_path / "copy")
    (tmp_path / "copy" / AMENDMENTS_FILE).unlink()
    study = load_study(tmp_path / "copy")
    with pytest.raises(StudyFileError, match=r"before episodes\.steps was changed.*`racer study amend"):
        sitting_config(study, "evaluation", None, driver="simulated", headless=True)
    assert report_study(study.recordings).participants == ("p01", "p02")


def test_nothing_is_amended_that_was_not_changed_or_leads_back(amended: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="nothing that decides what people do was changed"):
        amend(amended, "Why not", NOW)
    with pytest.raises(ConfigError, match="needs a reason"):
        amend(amended, " ", NOW)
    with pytest.raises(StudyFileError, match="nobody has been recorded with other settings"):
        amend(study_of(tmp_path / "new"), "Why not", NOW)
    shutil.copytree(amended.folder, tmp_path / "back")
    with pytest.raises(StudyFileError, match="an earlier version"):
        amend(study_of(tmp_path / "back"), "Back", NOW)


@pytest.mark.parametrize("damage", ["{", "[]", "null", '{"at_utc": 1}', "\xff"])
def test_a_damaged_file_of_amendments_is_said_in_a_line(amended: Study, tmp_path: Path, damage: str) -> None:
    (tmp_path / AMENDMENTS_FILE).write_bytes(damage.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"amendments\.jsonl (is damaged|cannot be read)"):
        read_amendments(tmp_path)


def test_an_amendment_knows_its_recordings_by_what_pilots_explored(tmp_path: Path) -> None:
    # Which masks decide follows from settings that themselves do not: the number of pilots.
    mask = 'pilots = 1\n[masks]\npico = "shipped"\n'
    text = TEXT.replace("pilots = 0\n", mask).replace("steps = 8", 'steps = 8\nexplore = "pico"')
    study = study_of(tmp_path / "study", text)
    write_study(study.recordings, np.array([[0.5, 0.6, 0.7]]), config=CONFIG | {"study": study.settings})
    changed = study_of(study.folder, text.replace("steps = 8", "steps = 9"))
    kept = amend(changed, "Too short", NOW)
    assert kept.before == study.settings_sha256
    assert kept.difference == (Difference("episodes.steps", "8", "9"),)
    assert study_status(changed).changed == {}


def test_a_line_taken_out_of_the_middle_is_noticed(amended: Study, tmp_path: Path) -> None:
    line = json.loads((amended.folder / AMENDMENTS_FILE).read_text())
    others = [line, line | {"before": "0" * 64, "after": "1" * 64}]
    (tmp_path / AMENDMENTS_FILE).write_text("".join(json.dumps(each) + "\n" for each in others))
    with pytest.raises(ConfigError, match="a line is missing"):
        read_amendments(tmp_path)
