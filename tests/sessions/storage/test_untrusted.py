"""Files that are no recordings, were one once, or pretend to be one."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z
from session_builders import EPISODE, TASK, read_everything, write_recording

import sessions
from sessions import SCHEMA_VERSION, RecordingError, UnreadableRecordingError
from sessions.schema import episode_columns

COLUMNS = episode_columns(TASK, EPISODE.packet_bytes)
FRAME_BYTES = math.prod(TASK.frame)
TASK_TEXT = json.dumps(asdict(TASK))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("original"), frames=True)


@pytest.fixture
def recording(original: Path, tmp_path: Path) -> Path:
    """A copy of a recording, to be spoilt."""
    return Path(shutil.copy(original, tmp_path / "spoilt.h5"))


def refusal(path: Path) -> str:
    """Return the one line with which reading everything is refused."""
    with pytest.raises(UnreadableRecordingError) as refused:
        read_everything(path)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    return message


def test_whole_recording_is_read(recording: Path) -> None:
    assert read_everything(recording) == 8


def test_recording_cut_anywhere_is_refused(original: Path, tmp_path: Path) -> None:
    data = original.read_bytes()
    offsets = [*range(120), *random.Random(0).sample(range(len(data)), 100), len(data) - 1]
    for offset in offsets:
        (tmp_path / "cut.h5").write_bytes(data[:offset])
        refusal(tmp_path / "cut.h5")


@pytest.mark.parametrize("kind", ["bit", "byte", "block"])
def test_damaged_bytes_never_raise_anything_but_a_recording_error(original: Path, tmp_path: Path, kind: str) -> None:
    data = original.read_bytes()
    used = [offset for offset, byte in enumerate(data) if byte]
    rng = random.Random(kind)
    outcomes = set()
    for _ in range(100):
        damaged = bytearray(data)
        at = rng.choice(used)
        if kind == "bit":
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == "byte":
            damaged[at] = rng.randrange(256)
        else:
            start = rng.randrange(len(data))
            damaged[at : at + 64] = data[start : start + 64]
        (tmp_path / "damaged.h5").write_bytes(damaged)
        try:
            read_everything(tmp_path / "damaged.h5")
            outcomes.add("read")
        except RecordingError as error:
            assert len(str(error).splitlines()) == 1
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_missing_file_and_folder_are_told_apart_from_damage(tmp_path: Path) -> None:
    assert "there is no recording" in refusal(tmp_path / "absent.h5")
    assert "there is no recording" in refusal(tmp_path)


def test_empty_file_is_told_apart_from_damage(tmp_path: Path) -> None:
    (tmp_path / "empty.h5").touch()
    assert "ended before anything was recorded" in refusal(tmp_path / "empty.h5")


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_other_hdf5_is_no_recording(tmp_path: Path, libver: str) -> None:
    with h5py.File(tmp_path / "other.h5", "w", libver=libver) as file:
        file["x"] = np.arange(1000)
    assert "not a Racer recording" in refusal(tmp_path / "other.h5")


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    refusal(tmp_path / "pipe.h5")


def test_newer_schema_is_named(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    assert f"recording schema {SCHEMA_VERSION + 1} and this Racer reads 1 and {SCHEMA_VERSION}" in refusal(recording)


def replace_link(name: str, link: Callable[[Path], object]) -> Callable[[h5py.File, Path], None]:
    def spoil(file: h5py.File, other: Path) -> None:
        del file[name]
        file[name] = link(other)

    return spoil


def replace_data(name: str, **options: object) -> Callable[[h5py.File, Path], None]:
    def spoil(file: h5py.File, other: Path) -> None:
        del file[name]
        file.create_dataset(name, **options)

    return spoil


def narrow(name: str, width: int) -> dict[str, Any]:
    """Return what makes a dataset of a column's type whose rows have another width."""
    chunk = (COLUMNS[name].chunk[0], width)
    return {"data": np.zeros((5, width), COLUMNS[name].dtype), "chunks": chunk, "maxshape": (None, width)}


def store_outside(file: h5py.File, other: Path) -> None:
    del file["episodes/000/time_ns"]
    file["episodes/000"].create_dataset("time_ns", (5,), "<i8", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def store_virtually(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((5,), "<i8")
    layout[:] = h5py.VirtualSource(str(other), "episodes/000/time_ns", (5,))
    del file["episodes/000/time_ns"]
    file["episodes/000"].create_virtual_dataset("time_ns", layout)


def store_through_a_plugin(file: h5py.File, other: Path) -> None:
    del file["episodes/000/time_ns"]
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk((128,))
    plist.set_filter(32015, h5z.FLAG_OPTIONAL)
    space = h5s.create_simple((5,), (h5s.UNLIMITED,))
    h5d.create(file["episodes/000"].id, b"time_ns", h5t.STD_I64LE, space, plist)


def deflate(name: str, times: int) -> Callable[[h5py.File, Path], None]:
    """Store a column anew, compressed so many times."""

    def spoil(file: h5py.File, other: Path) -> None:
        group, column = file["episodes/000"], COLUMNS[name]
        del group[name]
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_chunk(column.chunk)
        for _ in range(times):
            plist.set_deflate(9)
        space = h5s.create_simple((5, *column.shape), (h5s.UNLIMITED, *column.shape))
        h5d.create(group.id, name.encode(), h5t.py_create(column.dtype), space, plist)
        group[name][...] = np.zeros((5, *column.shape), column.dtype)

    return spoil


def frame_of(size: int) -> Callable[[h5py.File, Path], None]:
    """Let a frame's compressed bytes be those of so many."""

    def spoil(file: h5py.File, other: Path) -> None:
        file["episodes/000/frame"].id.write_direct_chunk((2, 0, 0, 0), zlib.compress(bytes(size), 9))

    return spoil


def link_episode_often(file: h5py.File, other: Path) -> None:
    for index in range(2, 3000):
        file["episodes"][f"{index:03d}"] = file["episodes/001"]


def link_columns_often(file: h5py.File, other: Path) -> None:
    original = file["episodes/001"]
    for index in range(2, 200):
        group = file["episodes"].create_group(f"{index:03d}")
        for name, value in original.attrs.items():
            group.attrs[name] = value
        for name, column in original.items():
            group[name] = column


def claim_endless_rows(file: h5py.File, other: Path) -> None:
    for column in file["episodes/000"].values():
        column.resize(2**40, axis=0)
    file["episodes/000"].attrs["n_steps"] = 2**40


def claim_rows_beyond_the_file(file: h5py.File, other: Path) -> None:
    for column in file["episodes/000"].values():
        column.resize(2**17, axis=0)
    file["episodes/000"].attrs["n_steps"] = 2**17


def neither_true_nor_false(file: h5py.File, other: Path) -> None:
    file["episodes/000/wet"].id.write_direct_chunk((0,), b"\x02" * 128)


def forget_text_encoding(file: h5py.File, other: Path) -> None:
    file["answers"][0, "answer"] = b"\xff"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            replace_link("episodes", lambda other: h5py.ExternalLink(str(other), "episodes")),
            "episodes is missing or only",
        ),
        (replace_link("episodes", lambda other: h5py.SoftLink("/")), "episodes is missing or only a link"),
        (replace_link("episodes/001", lambda other: h5py.SoftLink("/episodes/000")), "001 is missing or only a link"),
        (
            replace_link("episodes/000/action", lambda other: h5py.ExternalLink(str(other), "/episodes/000/action")),
            "action is missing or only a link",
        ),
        (replace_link("events", lambda other: h5py.ExternalLink(str(other), "events")), "events is missing or only a"),
        (store_outside, "time_ns is not stored in chunks of this file"),
        (store_virtually, "time_ns is not stored in chunks of this file"),
        (store_through_a_plugin, "time_ns is stored through a foreign filter"),
        (deflate("frame", 2), "frame is stored through a foreign filter"),
        (deflate("frame", 0), "frame is stored through a foreign filter"),
        (deflate("latent", 1), "latent is stored through a foreign filter"),
        (frame_of(FRAME_BYTES - 1), "row 2 of frame is not of its size"),
        (frame_of(FRAME_BYTES + 1), "row 2 of frame is not of its size"),
        (frame_of(2**27), "row 2 of frame is not of its size"),
        (link_episode_often, "more episodes than lie in the file"),
        (link_columns_often, "more episodes than lie in the file"),
        (replace_data("episodes/000/action", data=np.zeros(5, "u1")), "action is not stored in chunks"),
        (
            replace_data("episodes/000/action", data=np.zeros(5, "<i2"), chunks=(128,), maxshape=(None,)),
            "not of type uint8",
        ),
        (
            replace_data("episodes/000/latent", **narrow("latent", TASK.latents - 1)),
            "latent has rows of the wrong shape",
        ),
        (
            replace_data("episodes/000/action", data=np.zeros(5, "u1"), chunks=(1,), maxshape=(None,)),
            "action has chunks of the wrong shape",
        ),
        (
            replace_data("episodes/000/action", shape=(5,), dtype=h5py.ref_dtype, chunks=(128,), maxshape=(None,)),
            "action is not of type uint8",
        ),
        (
            replace_data("episodes/000/packet", **narrow("packet", EPISODE.packet_bytes + 1)),
            "packet has rows of the wrong shape",
        ),
        (replace_data("episodes", data=1), "episodes is not a group"),
        (claim_endless_rows, "more than 131072 rows"),
        (claim_rows_beyond_the_file, "has more rows than lie in the file"),
        (lambda file, other: file["events"].resize(300, axis=0), "rows of events are missing"),
        (neither_true_nor_false, "wet holds something other than true and false"),
        (forget_text_encoding, "decode"),
        (lambda file, other: file["episodes/000/action"].resize(4, axis=0), "columns of episode 0 differ in length"),
        (lambda file, other: file["episodes"].move("001", "002"), "001 is missing"),
        (lambda file, other: file.attrs.modify("config", "[]"), "config is not a JSON object"),
        (lambda file, other: file.attrs.modify("config", "[" * 100_000), "recursion"),
        (lambda file, other: file.attrs.modify("config", "x" * 2**20), "a heap of"),
        (lambda file, other: file.attrs.modify("task", "{}"), "not a Racer recording: frame"),
        (lambda file, other: file.attrs.modify("task", TASK_TEXT.replace("crossing", "Crossing")), "task name"),
        (lambda file, other: file.attrs.modify("task", TASK_TEXT.replace("0.02", "NaN")), "step_seconds"),
        (lambda file, other: file.attrs.modify("status", "perhaps"), "status 'perhaps' is unknown"),
        (lambda file, other: file.attrs.modify("participant", "../x"), "participant name"),
        (lambda file, other: file.attrs.__delitem__("schema_version"), "schema_version is missing"),
        (lambda file, other: file.attrs.__setitem__("schema_version", file.ref), "schema_version is not of type int"),
        (lambda file, other: file["episodes/000"].attrs.modify("packet_bytes", -1), "packet_bytes must lie"),
    ],
)
def test_what_no_recorder_writes_is_refused(
    recording: Path, original: Path, spoil: Callable[[h5py.File, Path], None], reason: str
) -> None:
    with h5py.File(recording, "r+") as file:
        spoil(file, original)
    assert reason in refusal(recording)


def test_heaps_behind_a_filter_are_refused_before_hdf5_looks_for_a_plugin(recording: Path) -> None:
    """Of links and of attributes: both kinds begin with the same signature."""
    data = recording.read_bytes()
    heaps = [match.start() for match in re.finditer(b"FRHP", data)]
    assert heaps
    for heap in heaps:
        spoilt = bytearray(data)
        spoilt[heap + 7] = 8
        recording.write_bytes(spoilt)
        assert "a heap behind a filter" in refusal(recording)


def test_opening_an_episode_twice_counts_once(recording: Path) -> None:
    with sessions.open(recording) as session:
        size = recording.stat().st_size
        for _ in range(2 * size // session.episodes[0].stored_bytes):
            _ = session.episodes[0]


def test_rows_that_only_some_columns_have_are_left_out_of_an_episode_cut_short(recording: Path) -> None:
    with h5py.File(recording, "r+") as file:
        file["episodes/001"].attrs["status"] = "running"
        file["episodes/001/reward"].resize(2, axis=0)
    with sessions.open(recording) as session:
        episode = session.episodes[1]
        assert episode.n_steps == 2
        assert {len(episode[name]) for name in episode.columns} == {2}


def test_reading_does_not_change_the_file(recording: Path) -> None:
    before = recording.read_bytes()
    recording.chmod(0o400)
    read_everything(recording)
    assert recording.read_bytes() == before
