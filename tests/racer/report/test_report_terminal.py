from __future__ import annotations

from pathlib import Path

import pytest
from racing_builders import scored, write_session
from report_builders import SCORES, evaluation

from racer.report.study import report_study
from racer.report.terminal import print_report


def test_a_report_is_printed_with_its_tests_and_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (random, pico, full) in enumerate([(0.1, 0.2, 0.3), (0.2, 0.35, 0.4), (0.1, 0.15, 0.6)]):
        drives = [scored("random", random), scored("pico", pico), scored("full", full)]
        write_session(tmp_path, drives, participant=f"p{number}", protocol="evaluation", session_id=f"{number:06x}")
    left_out = write_session(tmp_path, [], participant="odd")
    report = report_study(tmp_path)
    print_report(report)
    lines = capsys.readouterr().out.splitlines()
    difference = "+10.00 (SE 2.89) percentage points of road progress"
    assert lines[0] == "3 participants: p0, p1, p2"
    assert any(line.split()[:3] == ["random", "13.33", "3.33"] for line in lines)
    assert any(line.startswith(f"pico - random: {difference}, paired t(2) = 3.46, p = 0.0742") for line in lines)
    assert "road progress: higher is better; time off the road: lower is better" in lines
    assert "pico closes 33 % of the gap between random and full" in lines
    assert "RM-ANOVA, random / pico: F(1, 2) = 12.00, p = 0.0742" in lines
    assert f"left out {left_out}: a pilot user's session, for training" in lines
    assert any("Mauchly's W" in line and "Greenhouse-Geisser epsilon" in line for line in lines)
    assert any(line.startswith("Friedman, all conditions: chi2(2) = ") for line in lines)


def test_one_participant_is_said_to_allow_no_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation(tmp_path, "ann", SCORES)
    print_report(report_study(tmp_path))
    out = capsys.readouterr().out
    assert "One participant: no standard errors and no tests." in out
    assert "ANOVA" not in out
