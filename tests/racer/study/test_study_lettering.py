from __future__ import annotations

import json
from pathlib import Path

import pytest

from racer.commands import study as commands
from racer.doctor.doctor import check_letters
from racer.study.file import Study, StudyFileError, load_study
from racer.study.lettering import find_unshown
from racer.study.sitting import sitting_config

ARABIC = "أوافق على المشاركة في الدراسة"
HINDI = "मैं भाग लेता हूँ"


def study_with(folder: Path, screens: str, top: str = "") -> Study:
    path = folder / "study.toml"
    path.write_text(f'title = "T"\npilots = 0\nconditions = ["raw", "full"]\n{top}\n[screens]\n{screens}\n')
    return load_study(path)


def consent(text: str) -> str:
    return f"consent = {json.dumps(text, ensure_ascii=False)}"


def test_nobody_agrees_to_what_nobody_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("racer.window.fonts._system_font", lambda letter: None)
    study = study_with(tmp_path, consent(HINDI))
    with pytest.raises(StudyFileError, match=r"screens\.consent has characters .*DEVANAGARI.* nothing was recorded"):
        sitting_config(study, "evaluation", None)
    assert sitting_config(study, "evaluation", "p01", driver="simulated", headless=True).screens.consent == HINDI


def test_text_from_right_to_left_is_refused_in_one_line(tmp_path: Path) -> None:
    study = study_with(tmp_path, consent(ARABIC))
    with pytest.raises(StudyFileError, match=r"screens\.consent is written from right to left") as refused:
        sitting_config(study, "evaluation", None)
    assert "\n" not in str(refused.value)
    assert check_letters(study).status == "fail"


def test_status_and_doctor_name_what_cannot_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("racer.window.fonts._system_font", lambda letter: None)
    study = study_with(tmp_path, f'instructions = "Drive {HINDI[0]}"')
    commands.study_status(tmp_path)
    told = capsys.readouterr().out
    assert "unreadable    screens.instructions has characters" in told
    assert f"Next: racer doctor --study {tmp_path}" in told, "no session would begin"
    check = check_letters(study)
    assert check.status == "fail" and "U+092E (DEVANAGARI LETTER MA)" in check.value


def test_a_preview_says_what_could_not_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_with(tmp_path, consent(ARABIC))
    commands.study_preview(tmp_path, out=tmp_path / "screens.png")
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line.startswith("racer: screens.consent is written from right to left") and (tmp_path / "screens.png").exists()
    )


def test_what_a_font_of_this_machine_has_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_with(tmp_path, consent("Ich fahre über Łódź nach Αθήνα — „gern“."))
    assert find_unshown(study) == []
    assert check_letters(study).status == "ok"


def test_a_font_that_is_missing_is_said_before_anybody_sits_down(tmp_path: Path) -> None:
    study = study_with(tmp_path, consent("Yes."), 'font = "Racer Sans No Such"')
    check = check_letters(study)
    assert (check.status, check.advice[:40]) == ("fail", "no font 'Racer Sans No Such' is installe")
    assert study.settings_sha256 == study_with(tmp_path, consent("Yes.")).settings_sha256
