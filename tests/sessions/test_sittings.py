from __future__ import annotations

from pathlib import Path

import pytest
from session_builders import EPISODE, SESSION, random_steps, write_recording

import sessions
from sessions import Recorder


def ids(sittings: list[sessions.Sitting]) -> list[list[str]]:
    return [[info.session_id for info in sitting.infos] for sitting in sittings]


def test_recordings_that_continue_each_other_are_one_sitting_whatever_their_order(tmp_path: Path) -> None:
    paths = [
        write_recording(tmp_path, session_id="00000c", resumes="00000b"),
        write_recording(tmp_path, session_id="00000d"),
        write_recording(tmp_path, session_id="00000a"),
        write_recording(tmp_path, session_id="00000b", resumes="00000a"),
    ]
    found, unusable = sessions.find_sittings(paths)
    assert ids(found) == [["00000d"], ["00000a", "00000b", "00000c"]]
    assert unusable == {}
    assert found[1].info.session_id == "00000a"


@pytest.mark.parametrize(
    ("recordings", "reason"),
    [
        ([{"session_id": "00000b", "resumes": "00000a"}], "00000a, which is not here"),
        (
            [
                {"session_id": "00000a"},
                {"session_id": "00000b", "resumes": "00000a"},
                {"session_id": "00000c", "resumes": "00000a"},
            ],
            "as another recording does already",
        ),
        ([{"session_id": "00000a"}, {"session_id": "00000a", "protocol": "copy"}], "a second time"),
        (
            [{"session_id": "00000a"}, {"session_id": "00000b", "resumes": "00000a", "participant": "p02"}],
            "another participant's",
        ),
        (
            [{"session_id": "00000a", "resumes": "00000b"}, {"session_id": "00000b", "resumes": "00000a"}],
            "cannot be used",
        ),
    ],
)
def test_a_recording_whose_place_is_unclear_is_left_out_with_the_reason(
    recordings: list[dict[str, str]], reason: str, tmp_path: Path
) -> None:
    paths = [write_recording(tmp_path, **changes) for changes in recordings]
    found, unusable = sessions.find_sittings(paths)
    assert any(reason in text for text in unusable.values())
    used = [path for sitting in found for path in sitting.paths]
    assert sorted([*used, *unusable]) == sorted(paths)


def test_an_unreadable_recording_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.h5"
    path.write_bytes(b"nothing of the kind")
    assert list(sessions.find_sittings([path])[1]) == [path]


def test_a_rejected_episode_is_kept_flagged_and_not_accepted(tmp_path: Path) -> None:
    with Recorder(tmp_path, SESSION) as recorder:
        with pytest.raises(RuntimeError):
            recorder.reject_episode()
        for status in ("complete", "aborted", "complete"):
            recorder.begin_episode(EPISODE)
            for step in random_steps(3):
                recorder.append(step)
            with pytest.raises(RuntimeError):
                recorder.reject_episode()
            recorder.end_episode(status)  # type: ignore[arg-type]
            if status == "aborted":
                recorder.reject_episode()
        recorder.reject_episode()
        path = recorder.close("complete")
    with sessions.open(path) as session:
        assert [episode.rejected for episode in session.episodes] == [False, True, True]
        assert [episode.accepted for episode in session.episodes] == [True, False, False]
        assert [episode.n_steps for episode in session.episodes] == [3, 3, 3]
