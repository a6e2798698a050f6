"""Spoilt recordings: whatever is wrong with the bytes, reading gives values or an error of this package, in one line.

`scripts/proofs/fuzz_inputs.py` does the same for longer, and to everything that reads recordings.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_builders import EPISODE, SESSION, random_steps, read_everything, write_recording

from sessions import Recorder, RecordingError
from sessions.verify import structure_checks, verify

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 2**20), st.integers(0, 7)),
        st.tuples(st.just("cut"), st.integers(0, 2**20), st.just(0)),
        st.tuples(st.just("limit"), st.integers(0, 2**20), st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 1])),
        st.tuples(st.just("move"), st.integers(0, 2**20), st.integers(0, 2**20)),
        st.tuples(st.just("insert"), st.integers(0, 2**20), st.integers(1, 64)),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("finished"), frames=True)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that a kill left with a redo record."""
    recorder = Recorder(tmp_path_factory.mktemp("killed"), SESSION)
    recorder.begin_episode(EPISODE)
    for step in random_steps(20):
        recorder.append(step)
    recorder.retry()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("sessions.storage.committed_file.CommittedFile._make_changes", lambda file: None)
        recorder.answer("note", "", 0)
        recorder.retry()
        recorder.abandon()
    assert read_everything(recorder.path) == 20
    return recorder.path


def spoil(data: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    """Return bytes with changes made to those that are not 0: most of a recording is space for rows to come."""
    spoilt = bytearray(data)
    for kind, place, value in changes:
        used = [index for index, byte in enumerate(spoilt) if byte]
        if not used:
            break
        at = used[place % len(used)]
        if kind == "flip":
            spoilt[at] ^= 1 << value
        elif kind == "cut":
            del spoilt[at:]
        elif kind == "limit":
            at -= at % 8
            spoilt[at : at + 8] = value.to_bytes(8, "little")
        elif kind == "move":
            source = value % len(spoilt)
            spoilt[at : at + 64] = spoilt[source : source + 64]
        else:
            spoilt[at:at] = bytes(value)
    return bytes(spoilt)


@pytest.mark.parametrize("base", ["finished", "killed"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_spoilt_bytes_are_read_or_refused_in_one_line(
    base: str, changes: list[tuple[str, int, int]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    original: Path = request.getfixturevalue(base)
    path = tmp_path / original.name
    path.write_bytes(spoil(original.read_bytes(), changes))
    before = path.read_bytes()
    try:
        read_everything(path)
    except RecordingError as error:
        assert len(str(error).splitlines()) == 1
    with contextlib.suppress(RecordingError):
        verify(path, structure_checks())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
