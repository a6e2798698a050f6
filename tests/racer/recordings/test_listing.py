from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from racing_builders import pilot_drives, scored, write_session

import sessions
from racer.recordings.listing import describe_session, list_sessions, print_session, print_sessions


def test_recordings_are_listed_oldest_first_with_what_they_hold(tmp_path: Path) -> None:
    drives = pilot_drives(np.random.default_rng(0), calibration=1, exploration=2, steps=4)
    late = write_session(tmp_path, drives, participant="late", created_utc="2026-02-01T08:00:00Z")
    early = write_session(tmp_path, [], "aborted", participant="early", pilot=True, created_utc="2026-01-01T08:00:00Z")
    first, second = list_sessions(tmp_path)
    assert (first["recording"], second["recording"]) == (str(early), str(late))
    assert (first["participant"], first["status"], first["pilot"], first["steps"]) == ("early", "aborted", True, 0)
    assert (second["status"], second["pilot"], second["episodes"], second["steps"]) == ("complete", False, 3, 12)
    json.dumps([first, second], allow_nan=False)


def test_an_unreadable_recording_is_listed_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_session(tmp_path, [scored("random", 0.5)])
    torn = tmp_path / "torn.h5"
    torn.write_bytes(b"torn")
    rows = list_sessions(tmp_path)
    assert [row["recording"] for row in rows] == [str(good), str(torn)]
    assert str(torn) in rows[1]["error"]
    print_sessions(tmp_path, rows)
    out = capsys.readouterr().out
    assert "unreadable" in out
    assert rows[1]["error"] in out


def test_a_session_still_being_recorded_is_listed_as_running(tmp_path: Path) -> None:
    with sessions.Recorder(tmp_path, sessions_info(tmp_path)):
        (row,) = list_sessions(tmp_path)
    assert row["status"] == "running"


def sessions_info(folder: Path) -> sessions.SessionInfo:
    with sessions.open(write_session(folder / "other", [])) as session:
        return session.info


def test_a_folder_without_recordings_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_sessions(tmp_path / "nowhere") == []
    print_sessions(tmp_path, [])
    assert f"racer session start NAME --data {tmp_path}" in capsys.readouterr().out


def test_a_session_is_described_episode_by_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drives = [scored("random", 0.5, [True, False]), scored("full", 0.25, track_seed=99)]
    path = write_session(tmp_path, drives, config={"seed": 4})
    description = describe_session(path)
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    assert (description["recording"], description["config"]) == (str(path), {"seed": 4})
    assert [
        (e["condition"], e["track_seed"], e["steps"], e["progress"], e["off_road"]) for e in description["episodes"]
    ] == [
        ("random", 7, 2, 0.5, 0.5),
        ("full", 99, 1, 0.25, 0.0),
    ]
    print_session(description)
    out = capsys.readouterr().out
    assert str(path) in out
    assert "50.0 %" in out
    assert "25.0 %" in out


def test_an_episode_without_steps_is_described_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = scored("random", 0.5, [])
    description = describe_session(write_session(tmp_path, [empty]))
    assert (description["episodes"][0]["progress"], description["episodes"][0]["off_road"]) == (None, None)
    print_session(description)
    assert "random" in capsys.readouterr().out


def test_text_from_a_recording_is_shown_as_it_is_and_styles_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = "[bold red]me[/bold red] [/] \x1b[31m"
    path = write_session(tmp_path, [scored(nasty, 0.5, phase=nasty)], driver=nasty, codec_sha256=nasty)
    print_sessions(tmp_path, list_sessions(tmp_path))
    print_session(describe_session(path))
    out = capsys.readouterr().out
    assert out.count("[bold red]me[/bold red] [/]") >= 4
    assert "\x1b" not in out
