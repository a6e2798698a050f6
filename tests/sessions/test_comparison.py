from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from session_builders import EPISODE, SESSION, TASK, Clock, random_steps, write_recording

import sessions
from sessions import Recorder
from sessions.comparison import first_difference
from sessions.schema import episode_columns

COLUMNS = episode_columns(TASK, linked=False)


def difference(one: Path, other: Path, grown: bool = False) -> str:
    with sessions.open(one) as first, sessions.open(other) as second:
        return first_difference(first, second, grown=grown)


def change(name: str, row: int) -> Callable[[h5py.File], None]:
    """Return a change of the first byte of a row of a column of episode 1."""

    def spoil(file: h5py.File) -> None:
        column = file[f"episodes/001/{name}"]
        values = column[:]
        values[row : row + 1].view(np.uint8).reshape(-1)[0] ^= 1
        column[:] = values

    return spoil


def reject(file: h5py.File) -> None:
    file["episodes/001"].attrs["rejected"] = True


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        *((change(name, 2), f"column {name} of episode 1") for name in COLUMNS),
        (lambda file: file.attrs.modify("driver", "somebody"), "the attributes of the session"),
        (lambda file: file.attrs.modify("status", "aborted"), "the status of the session"),
        (lambda file: file["events"].resize(1, axis=0), "the events"),
        (lambda file: file["answers"].resize(1, axis=0), "the answers"),
        (lambda file: file["episodes"].__delitem__("001"), "the number of episodes"),
        (lambda file: file["episodes/001"].attrs.modify("phase", "practice"), "the attributes of episode 1"),
        (lambda file: file["episodes/001"].attrs.modify("status", "aborted"), "the status of episode 1"),
        (reject, "the rejection of episode 1"),
    ],
)
def test_any_difference_is_named_from_either_side(
    tmp_path: Path, spoil: Callable[[h5py.File], None], told: str
) -> None:
    one = write_recording(tmp_path, frames=True)
    other = Path(shutil.copy(one, tmp_path / "other.h5"))
    assert difference(one, other) == ""
    with h5py.File(other, "r+") as file:
        spoil(file)
    assert difference(one, other) == difference(other, one) == told
    assert difference(one, other, grown=True) == told, "a finished recording does not grow"


def test_every_state_of_a_recording_grows_into_all_later_ones_and_not_into_earlier_ones(tmp_path: Path) -> None:
    clock = Clock()
    recorder = Recorder(tmp_path, SESSION, clock=clock)
    states = [Path(shutil.copy(recorder.path, tmp_path / "0.h5.partial"))]

    def keep() -> None:
        states.append(Path(shutil.copy(recorder.path, tmp_path / f"{len(states)}.h5.partial")))

    for index in range(2):
        recorder.begin_episode(EPISODE)
        for step in random_steps(3, seed=index):
            clock.now_ns += 10**10
            recorder.append(step)
            keep()
        clock.now_ns += 10**10
        recorder.event("key_down", "left", index, index, 0)
        keep()
        clock.now_ns += 10**10
        recorder.answer("control", "5", index)
        keep()
        recorder.end_episode("complete")
        keep()
        recorder.reject_episode()
        keep()
    states.append(recorder.close("complete"))
    for i, one in enumerate(states):
        for j, other in enumerate(states):
            assert (difference(one, other, grown=True) == "") == (i <= j), (i, j)
            assert (difference(one, other) == "") == (i == j), (i, j)
