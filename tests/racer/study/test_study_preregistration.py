from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_builders import CONFIG, write_study

from racer.report.promises import outcome_lines, promise_lines
from racer.report.recordings import read_evaluations
from racer.report.study import StudyContext, StudyReport, report_study
from racer.study.file import Study, StudyFileError, load_study
from racer.study.preregistration import (
    PREREGISTRATION,
    Preregistration,
    PreregistrationError,
    compare,
    preregister,
    read_preregistration,
)
from sessions import SessionInfo

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = np.array([[0.50, 0.61, 0.7], [0.40, 0.48, 0.6], [0.45, 0.58, 0.7], [0.55, 0.62, 0.8]])
STUDY = (
    'title = "demo"\npilots = 0\nparticipants = 4\n[masks]\npico = "shipped"\n[primary]\nexclusions = ["no licence"]\n'
)


def study(folder: Path, text: str = STUDY) -> Study:
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return load_study(folder)


@pytest.fixture(scope="module")
def promised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Preregistration, str]:
    """Return a study, what it promised before anybody came, and the hash of that."""
    made = study(tmp_path_factory.mktemp("promised") / "demo")
    path, sha256 = preregister(made, BEFORE)
    found = read_preregistration(path)
    assert found is not None and found[1] == sha256
    return made, *found


@pytest.fixture(scope="module")
def folder(promised: tuple[Study, Preregistration, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which four people were recorded as was promised."""
    made, promise, _ = promised
    fitted = " ".join(sha for sha in promise.fitted.values() if sha)
    settings: dict[str, Any] = {"model_sha256": promise.model_sha256, "fitted_sha256": fitted, "software": {}}
    found = tmp_path_factory.mktemp("recordings")
    return write_study(found, TABLE, config=CONFIG | {"study": made.settings}, **settings)


@pytest.fixture(scope="module")
def infos(folder: Path) -> list[SessionInfo]:
    """Return what those recordings say."""
    return [info for person in read_evaluations(folder).people for info in person.sitting.infos]


def test_what_is_promised_names_all_that_decides(promised: tuple[Study, Preregistration, str]) -> None:
    made, promise, _ = promised
    assert (promise.primary.minuend, promise.primary.subtrahend) == ("pico", "random")
    assert (promise.primary.metric, promise.primary.claim, promise.primary.margin) == ("progress", "differs", 0.05)
    assert promise.exclusions[0] == "no licence" and len(promise.exclusions) > 1
    assert promise.stopping == "when 4 participants have completed their sitting"
    assert promise.study_sha256 == made.sha256 and promise.settings == made.settings
    assert list(promise.fitted) == ["pico"] and promise.fitted["pico"] and promise.evaluated_before == 0


def test_a_promise_is_not_replaced(promised: tuple[Study, Preregistration, str]) -> None:
    made = promised[0]
    before = (made.folder / PREREGISTRATION).read_bytes()
    with pytest.raises(PreregistrationError, match="exists and was left as it is"):
        preregister(made, BEFORE)
    assert (made.folder / PREREGISTRATION).read_bytes() == before


def test_nothing_is_promised_once_somebody_was_evaluated(tmp_path: Path) -> None:
    made = study(tmp_path / "demo")
    write_study(made.recordings, TABLE[:1], trial_run=True, session_id="00ffff")
    write_study(made.recordings, TABLE[:2], status="aborted")
    with pytest.raises(PreregistrationError, match="2 took part in the evaluation already"):
        preregister(made, BEFORE)
    assert not (made.folder / PREREGISTRATION).exists()
    path, sha256 = preregister(made, BEFORE, late=True)
    found = read_preregistration(path)
    assert found is not None and found[0].evaluated_before == 2
    lines = promise_lines(compare(found[0], sha256, [], 4))
    assert "By then 2 people had been evaluated." in lines


def test_masks_of_pilots_to_come_are_not_promised(tmp_path: Path) -> None:
    made = study(tmp_path / "demo", 'title = "demo"\n')
    found = read_preregistration(preregister(made, BEFORE)[0])
    assert found is not None and found[0].fitted == {"pico": None}
    promise = compare(*found, [], 12)
    assert promise.later == ("pico",) and promise.changes == ()


def test_kept_promises_are_called_kept(promised: tuple[Study, Preregistration, str], infos: list[SessionInfo]) -> None:
    made, promise, sha256 = promised
    found = compare(promise, sha256, infos, 4, made.settings)
    assert found.changes == ()
    lines = promise_lines(found)
    assert "Nothing promised was changed." in lines
    # Nobody is told that somebody was left out of whom Racer knows nothing.
    assert "Promised to be left out, which Racer cannot check: no licence." in lines
    assert "Left out, as promised: trial runs." in lines


@pytest.mark.parametrize(
    ("changes", "item"),
    [
        ({"model_sha256": "ab" * 32}, "latent model"),
        ({"fitted_sha256": "ab" * 32}, "what was fitted for pico"),
        ({"software": {"racer": "9.9"}}, "software: racer"),
        ({"created_utc": "2025-12-31T23:59:59Z"}, "p00 was evaluated after the preregistration"),
    ],
)
def test_whatever_was_changed_is_named(
    promised: tuple[Study, Preregistration, str], infos: list[SessionInfo], changes: dict[str, Any], item: str
) -> None:
    _, promise, sha256 = promised
    found = compare(promise, sha256, [replace(infos[0], **changes)], 4)
    assert [change.item for change in found.changes] == [item]


def test_workers_elsewhere_come_when_their_pictures_were_made(
    promised: tuple[Study, Preregistration, str], infos: list[SessionInfo]
) -> None:
    config = {**infos[0].config, "simulated_time": True}
    worker = replace(infos[0], created_utc="2025-12-31T23:59:59Z", driver="crowd", config=config)
    found = compare(promised[1], promised[2], [worker], 4)
    assert [change.item for change in found.changes] == ["p00 was evaluated after the preregistration"]
    assert not compare(promised[1], promised[2], [replace(worker, driver="simulated")], 4).changes


def test_changed_settings_people_and_code_are_named(
    tmp_path: Path, promised: tuple[Study, Preregistration, str], infos: list[SessionInfo]
) -> None:
    promise = promised[1]
    other = study(tmp_path / "demo", STUDY.replace("[primary]", '[primary]\nclaim = "keeps"\nmargin = 0.2'))
    altered = promise.model_copy(update={"code_sha256": "0" * 64})
    found = compare(altered, "0" * 64, infos, 3, other.settings)
    assert {change.item for change in found.changes} == {
        "primary.claim",
        "primary.margin",
        "participants analysed",
        "code",
    }


@pytest.mark.parametrize("damage", [b"", b"{}", b"[" * 100_000, b"\xff" * 10, b"x" * 1_100_000])
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / PREREGISTRATION
    path.write_bytes(damage)
    with pytest.raises(PreregistrationError, match="is not a preregistration, or is damaged") as refusal:
        read_preregistration(path)
    assert len(str(refusal.value).splitlines()) == 1
    path.unlink()
    assert read_preregistration(path) is None
    (tmp_path / "elsewhere").write_bytes(damage)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PreregistrationError):
        read_preregistration(path)


def test_the_report_tests_what_was_promised(folder: Path, promised: tuple[Study, Preregistration, str]) -> None:
    _, promise, sha256 = promised
    plain = report_study(folder)
    assert plain.outcome is not None and plain.outcome.declared and plain.promise is None
    # What was promised counts, whatever the recordings say.
    kept = promise.model_copy(
        update={"primary": promise.primary.model_copy(update={"claim": "keeps", "margin": 0.5, "minuend": "full"})}
    )
    report = report_study(folder, StudyContext(kept, sha256))
    assert report.outcome is not None and report.outcome.outcome.claim == "keeps" and report.outcome.kept is not None
    assert report.outcome.shown is (report.outcome.kept.p is not None and report.outcome.kept.p < 0.05)
    assert "promised before anybody was evaluated" in outcome_lines(report)[0]


def lines_of(report: StudyReport) -> str:
    return "\n".join(outcome_lines(report))


def test_people_are_tested_and_simulated_ones_are_not(tmp_path: Path) -> None:
    write_study(tmp_path / "people", TABLE, driver="keyboard")
    write_study(tmp_path / "programs", TABLE, driver="simulated")
    people, programs = report_study(tmp_path / "people"), report_study(tmp_path / "programs")
    assert "by default; the study file names none" in lines_of(people)
    assert "paired t(3)" in lines_of(people) and "by sign flips p = 0.1250" in lines_of(people)
    assert "p = " not in lines_of(programs) and "Cohen's dz" in lines_of(programs)


def test_a_primary_outcome_must_be_one_of_the_study(tmp_path: Path) -> None:
    for primary, problem in {
        'metric = "speed"': "primary.metric: must be a metric of car-racing with a direction",
        'contrast = ["pico", "raw"]': "primary.contrast: must name two of the conditions",
        'contrast = ["pico", "pico"]': "must name two conditions",
        "margin = 0": "primary.margin: ",
        'claim = "wins"': "primary.claim: must be",
    }.items():
        with pytest.raises(StudyFileError) as refusal:
            study(tmp_path / "demo", f'title = "demo"\n[primary]\n{primary}\n')
        assert problem in str(refusal.value)


def test_the_primary_outcome_splits_no_study(tmp_path: Path) -> None:
    one = study(tmp_path / "demo", 'title = "demo"\n')
    other = study(tmp_path / "demo", 'title = "demo"\n[primary]\nmargin = 0.1\n')
    assert one.settings_sha256 == other.settings_sha256
    assert json.loads(json.dumps(other.settings))["primary"]["margin"] == 0.1
