from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from racing_builders import scored, write_session

from compression.coders.packet import CHANNEL_FORMAT
from racer.commands import study as commands
from racer.drivers.registry import KEYBOARD
from racer.sitting.leases import Leases
from racer.study.file import Study, load_study
from racer.study.sitting import remarks
from racer.study.status import study_status
from sessions.ledger import LEDGER_NAME

PILOT = {"protocol": "pilot"}


def test_damaged_ledger_is_told_and_hides_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.toml").write_text('title = "T"\npilots = 0\nconditions = ["raw", "full"]\n')
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / LEDGER_NAME).write_text("damaged\n")
    commands.study_status(tmp_path)
    told = capsys.readouterr().out
    assert "ledger        line 1 of" in told
    assert "Next: racer session start --study" in told


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of three people, one of whom is done."""
    (tmp_path / "study.toml").write_text('title = "T"\npilots = 0\nparticipants = 3\nconditions = ["random", "full"]\n')
    found = load_study(tmp_path)
    record(found, "p01", "000001", "complete")
    return found


def record(study: Study, name: str, session_id: str, status: Literal["complete", "aborted"], **kind: Any) -> None:
    settings = {"study": study.settings, "channel_format": CHANNEL_FORMAT}
    kind = {"protocol": "evaluation", "config": settings, "driver": "keyboard"} | kind
    write_session(study.recordings, [scored("random", 0.5)], status, participant=name, session_id=session_id, **kind)


def test_who_is_unfinished_comes_next_unless_they_stay_away(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    start = f"racer session start --study {study.folder}"
    for session_id, kind in (("0000a1", {"trial_run": True}), ("0000a2", {"driver": "simulated"}), ("0000a3", PILOT)):
        record(study, f"other{session_id}", session_id, "aborted", **kind)  # nobody is expected back from these
    assert (study_status(study).next, study_status(study).otherwise) == (start, "")
    record(study, "p02", "000002", "aborted")
    status = study_status(study)
    assert status.next == f"racer session start p02 --study {study.folder} --resume" and status.otherwise == start
    commands.study_status(study.folder)
    assert f"Next: {status.next}, or for somebody new {start}\n" in capsys.readouterr().out
    with Leases(study.recordings).lease("000002", "p02", "evaluation", 2):
        status = study_status(study)
        assert (status.running, status.next, status.otherwise) == (("p02",), start, "")
    record(study, "p03", "000003", "aborted")
    assert study_status(study).next == f"{start} --resume"  # which asks whose


def test_nobody_new_comes_while_those_who_are_there_fill_the_plan(study: Study) -> None:
    record(study, "p02", "000002", "aborted")
    record(study, "p03", "000003", "aborted")
    with (
        Leases(study.recordings).lease("000002", "p02", "evaluation", 2),
        Leases(study.recordings).lease("000003", "p03", "evaluation", 2),
    ):
        assert study_status(study).next == f"racer study status {study.folder}, when p02 and p03 are done"
        (remark,) = remarks(study, "evaluation", KEYBOARD)
        assert remark.startswith("1 of 3 planned evaluation sittings are complete, and 2 are running")


def test_a_change_has_to_be_amended_before_anybody_comes(study: Study) -> None:
    study.path.write_text(study.path.read_text() + "[episodes]\nsteps = 99\n")
    status = study_status(load_study(study.folder))
    assert set(status.changed) == {"p01"} and status.next == f"racer study amend {study.folder} --reason WHY"
