"""Files of fitted coders: whatever is in them, one clear line or a usable coder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compression.errors import MaskError
from compression.fitting.fitted import WEIGHTS, CoderRecord, dump_coder, load_coder, objective_of

SHAPES = {"losses": (2, 3)}
TENSORS = {"losses": np.arange(6, dtype=np.float32).reshape(2, 3)}
RECORD = CoderRecord("pico-rate", "a" * 64, ("p",), (), (1, 2), {"seed": 0})


def write(folder: Path, data: bytes) -> Path:
    path = folder / "coder.safetensors"
    path.write_bytes(data)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    loaded = load_coder(write(tmp_path, dump_coder(TENSORS, RECORD)), "a" * 64, "pico-rate", SHAPES)
    assert (loaded.tensors["losses"] == TENSORS["losses"]).all()
    assert loaded.record == RECORD


def test_the_same_fit_gives_the_same_bytes() -> None:
    assert dump_coder(TENSORS, RECORD) == dump_coder(dict(TENSORS), RECORD)


@pytest.mark.parametrize(
    ("objective", "codec", "shapes", "says"),
    [
        ("predictive", "a" * 64, SHAPES, "not for predictive"),
        ("pico-rate", "b" * 64, SHAPES, "other weights"),
        ("pico-rate", "a" * 64, {"losses": (3, 2)}, "damaged"),
        ("pico-rate", "a" * 64, {"other": (2, 3)}, "damaged"),
    ],
)
def test_a_file_fitted_for_something_else_is_refused(
    tmp_path: Path, objective: str, codec: str, shapes: dict[str, tuple[int, ...]], says: str
) -> None:
    with pytest.raises(MaskError, match=says) as caught:
        load_coder(write(tmp_path, dump_coder(TENSORS, RECORD)), codec, objective, shapes)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    data = dump_coder({"losses": np.full((2, 3), np.nan, np.float32)}, RECORD)
    with pytest.raises(MaskError, match="finite"):
        load_coder(write(tmp_path, data), "a" * 64, "pico-rate", SHAPES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_in_one_line_or_read(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(dump_coder(TENSORS, RECORD))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        load_coder(write(tmp_path, cut), "a" * 64, "pico-rate", SHAPES)
    except MaskError as error:
        assert "\n" not in str(error) and str(error).isprintable()


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MaskError):
            load_coder(path, "a" * 64, "pico-rate", SHAPES)


def test_what_a_file_was_fitted_for_is_read_from_small_plain_files_alone(tmp_path: Path) -> None:
    path = write(tmp_path, dump_coder(TENSORS, RECORD))
    assert objective_of(path) == RECORD.objective
    with path.open("ab") as file:
        file.truncate(5_000_000)
    os.mkfifo(tmp_path / "pipe")  # opened, it would wait for ever
    assert [objective_of(path), objective_of(tmp_path / "pipe"), objective_of(tmp_path / "none")] == [None] * 3


def test_all_shipped_weights_stay_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 12_000_000
