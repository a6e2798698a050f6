from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from footage_builders import Walk, golden
from racing_builders import SESSION, pilot_drives, scored, write_session

import sessions
from racer.recordings.listing import describe_session, list_sessions, print_session, print_sessions


def test_recordings_are_listed_oldest_first_with_what_they_hold(tmp_path: Path) -> None:
    drives = pilot_drives(np.random.default_rng(0), calibration=1, exploration=2, steps=4)
    late = write_session(tmp_path, drives, participant="late", created_utc="2026-02-01T08:00:00Z")
    early = write_session(
        tmp_path, [], "aborted", participant="early", trial_run=True, created_utc="2026-01-01T08:00:00Z"
    )
    first, second = list_sessions(tmp_path)
    assert (first["recording"], second["recording"]) == (str(early), str(late))
    assert (first["participant"], first["status"], first["trial_run"], first["steps"]) == ("early", "aborted", True, 0)
    assert (second["status"], second["trial_run"], second["episodes"], second["steps"]) == ("complete", False, 3, 12)
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
    drives = [scored("random", 0.5, [True, False]), scored("full", 0.25, seed=99)]
    path = write_session(tmp_path, drives, config={"seed": 4})
    description = describe_session(path)
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    assert (description["recording"], description["config"]) == (str(path), {"seed": 4})
    assert [(e["condition"], e["seed"], e["steps"], e["metrics"]) for e in description["episodes"]] == [
        ("random", 7, 2, {"progress": 0.5, "off_road": 0.5}),
        ("full", 99, 1, {"progress": 0.25, "off_road": 0.0}),
    ]
    print_session(description)
    out = capsys.readouterr().out
    assert str(path) in out
    assert "road progress" in out
    assert "50.0 %" in out
    assert "25.0 %" in out


def test_another_task_is_listed_and_shown_without_its_package(walk: Walk, capsys: pytest.CaptureFixture[str]) -> None:
    walk.uninstall()
    (row,) = list_sessions(walk.path.parent)
    assert row["task"] == "grey-walk"
    description = describe_session(walk.path)
    assert description["task"] == {"name": "grey-walk", "settings": {"ramp": 5}}
    assert [metric["name"] for metric in description["metrics"]] == ["distance", "resting"]
    print_sessions(walk.path.parent, [row])
    print_session(description)
    out = capsys.readouterr().out
    distance = description["episodes"][0]["metrics"]["distance"]
    assert f"{distance:.4g} m" in out
    assert "grey-walk (ramp 5)" in out


def test_recordings_of_version_0_1_0_are_listed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [golden(name, tmp_path) for name in ("pilot01", "eval01", "noisy01")]
    assert {(row["task"], row["status"]) for row in list_sessions(tmp_path)} == {("car-racing", "complete")}
    for path in paths:
        print_session(describe_session(path))
    assert "speed 50.0" in capsys.readouterr().out


def test_a_rejected_episode_is_not_said_to_be_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_session(tmp_path, [scored("random", 0.5), scored("full", 0.5)])
    with h5py.File(path, "r+") as file:
        file["episodes/001"].attrs["rejected"] = True
    description = describe_session(path)
    assert [episode["rejected"] for episode in description["episodes"]] == [False, True]
    print_session(description)
    random, full = [line for line in capsys.readouterr().out.splitlines() if "evaluation " in line and "7" in line]
    assert "complete" in random
    assert "rejected" in full and "complete" not in full


def test_answers_and_notes_are_shown_as_they_were_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sessions.Recorder(tmp_path, SESSION) as recorder:
        for item in ("consent", "evaluation/1/pico/trust/control", "evaluation/1/pico/trust/words", "note"):
            recorder.answer(item, "yes", 1)
    description = describe_session(recorder.final_path)
    assert [answer["item"] for answer in description["answers"]] == [
        "consent",
        "evaluation/1/pico/trust/control",
        "evaluation/1/pico/trust/words",
    ]
    assert description["notes"] == ["yes"]
    print_session(description)
    shown = capsys.readouterr().out
    assert "evaluation/1/pico/trust/words: yes" in shown and "note: yes" in shown


@pytest.mark.parametrize(
    ("protocol", "trial_run", "told"),
    [("pilot", False, "racer train"), ("evaluation", False, "racer study report"), ("pilot", True, "session replay")],
)
def test_what_follows_is_what_may_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str, trial_run: bool, told: str
) -> None:
    path = write_session(tmp_path, [scored("random", 0.5)], protocol=protocol, trial_run=trial_run)
    print_session(describe_session(path))
    last = capsys.readouterr().out.splitlines()[-1]
    assert told in last
    assert ("racer train" in last) == (told == "racer train")


def test_an_episode_without_steps_is_described_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = scored("random", 0.5, [])
    description = describe_session(write_session(tmp_path, [empty]))
    assert description["episodes"][0]["metrics"] == {"progress": None, "off_road": None}
    print_session(description)
    assert "random" in capsys.readouterr().out


def test_text_from_a_recording_is_shown_as_it_is_and_styles_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = "[bold red]me[/bold red] [/] \x1b[31m"
    path = write_session(tmp_path, [scored(nasty, 0.5, phase=nasty)], driver=nasty, model_sha256=nasty)
    print_sessions(tmp_path, list_sessions(tmp_path))
    print_session(describe_session(path))
    out = capsys.readouterr().out
    assert out.count("[bold red]me[/bold red] [/]") >= 4
    assert "\x1b" not in out


def test_what_comes_next_follows_from_what_became_of_a_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = tmp_path / "recordings"
    cut = write_session(recordings, [], "aborted", participant="p01", protocol="pilot")
    whole = write_session(recordings, [], participant="p02", protocol="pilot", session_id="0a0b0c")

    def following(path: Path) -> str:
        print_session(describe_session(path))
        return capsys.readouterr().out.splitlines()[-1]

    assert "racer session start p01" in following(cut) and "--resume" in following(cut)
    assert f"racer train {whole}" in following(whole)
    own = write_session(recordings, [], "aborted", participant="p03", study="Mine", session_id="0a0b0d")
    assert "racer session start" in following(own), "that study is not here"
    (tmp_path / "study.toml").write_text('title = "Mine"')
    assert following(own) == f"Next: racer study status {tmp_path}"
