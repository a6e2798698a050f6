from __future__ import annotations

from pathlib import Path

import pytest

from racer.commands.study import study_status
from sessions.ledger import LEDGER_NAME


def test_damaged_ledger_is_told_and_hides_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.toml").write_text('title = "T"\npilots = 0\nconditions = ["raw", "full"]\n')
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / LEDGER_NAME).write_text("damaged\n")
    study_status(tmp_path)
    told = capsys.readouterr().out
    assert "ledger        line 1 of" in told
    assert "Next: racer session start --study" in told
