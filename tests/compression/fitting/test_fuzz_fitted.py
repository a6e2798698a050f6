"""Fitted files of any bytes and headers: each is loaded and can be used, or is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compression.coders.coder import find_coder
from compression.errors import MaskError
from compression.fitting.mask_policy import LearnedMask
from compression.model.header import shipped_model
from compression.model.latent_model import LatentModel

SOUND = (shipped_model("car-racing") / "pico.safetensors").read_bytes()
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("objective", "codec_sha256", "interval", "fill", "participants", "sessions", "track_seeds", "config")


def load(data: bytes, folder: Path, model: LatentModel) -> bool:
    """Load a mask file; return whether it was refused, as it must be if it is not loaded."""
    path = folder / "spoilt.safetensors"
    path.write_bytes(data)
    try:
        mask = LearnedMask(find_coder("pico").read(path, model), model.sizes)
    except MaskError as error:
        assert len(str(error).splitlines()) == 1
        return True
    assert mask.choose(np.zeros(32, np.float32), 4).sum() == 4
    return False


def with_header(change: dict[str, Any] | bytes, record: str | None = None) -> bytes:
    """Return the shipped mask with another header, or with parts of it changed."""
    end = 8 + int.from_bytes(SOUND[:8], "little")
    packed = change
    if isinstance(change, dict):
        header = json.loads(SOUND[8:end])
        for name, value in change.items():
            header[name] = value
        if record is not None:
            header["__metadata__"]["record"] = record
        packed = json.dumps(header).encode()
    assert isinstance(packed, bytes)
    return len(packed).to_bytes(8, "little") + packed + SOUND[end:]


def sound_record() -> dict[str, Any]:
    end = 8 + int.from_bytes(SOUND[:8], "little")
    record: dict[str, Any] = json.loads(json.loads(SOUND[8:end])["__metadata__"]["record"])
    return record


def test_shipped_mask_is_loaded_with_its_header_written_anew(tmp_path: Path, model: LatentModel) -> None:
    assert not load(with_header({}), tmp_path, model)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(SOUND) - 1), st.binary(max_size=16), st.booleans())
def test_spoilt_bytes_are_loaded_or_refused(
    tmp_path: Path, model: LatentModel, at: int, data: bytes, cut: bool
) -> None:
    load(SOUND[:at] + data + (b"" if cut else SOUND[at + len(data) :]), tmp_path, model)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FIELDS), ANY_JSON)
def test_any_value_in_the_record_is_loaded_or_refused(
    tmp_path: Path, model: LatentModel, name: str, value: Any
) -> None:
    record = json.dumps({**sound_record(), name: value})
    load(with_header({}, record), tmp_path, model)


@pytest.mark.parametrize("length", [0, 1, 7, 2**31, 2**63, 2**64 - 1])
def test_header_of_an_impossible_length_is_refused(tmp_path: Path, model: LatentModel, length: int) -> None:
    assert load(length.to_bytes(8, "little") + SOUND[8:], tmp_path, model)


@pytest.mark.parametrize("bomb", [b"[" * 200_000, b'{"a":' * 200_000, b"1" * 200_000, b"", b'"\xff"'])
def test_header_that_explodes_is_refused(tmp_path: Path, model: LatentModel, bomb: bytes) -> None:
    assert load(with_header(bomb), tmp_path, model)
    assert load(with_header({}, bomb.decode("latin-1")), tmp_path, model)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]},
        {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [2**64 - 1, 0]},
        None,
    ],
)
def test_tensor_that_is_none_is_refused(tmp_path: Path, model: LatentModel, entry: Any) -> None:
    assert load(with_header({"policy.layers.0.weight": entry}), tmp_path, model)
