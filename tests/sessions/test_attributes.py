from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from session_builders import EPISODE, SESSION, TASK

from sessions import EpisodeInfo, SessionInfo
from sessions.attributes import encode_info, read_attribute, read_info


@pytest.fixture
def group(tmp_path: Path) -> Iterator[h5py.Group]:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        yield file


def test_descriptions_come_back_equal(group: h5py.Group) -> None:
    group.attrs.update(encode_info(SESSION))
    assert read_info(SessionInfo, group) == SESSION
    episode = group.create_group("episode")
    episode.attrs.update(encode_info(EPISODE))
    assert read_info(EpisodeInfo, episode) == EPISODE


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"path": Path("x")}},
        {"config": {"speed": float("nan")}},
        {"config": {"text": "x" * 2**17}},
        {"task": replace(TASK, settings={"path": Path("x")})},
        {"study": "x" * (2**17 + 1)},
        {"study": "a\0b"},
        {"study": "\udc80"},
    ],
    ids=["no JSON", "not a number", "long JSON", "no JSON in the task", "long text", "NUL", "half a character"],
)
def test_what_no_attribute_can_hold_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        encode_info(replace(SESSION, **changes))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, 1),
        (str, np.array(["a", "b"], object)),
        (str, np.bytes_(b"fixed")),
        (str, "x" * (2**17 + 1)),
        (int, "1"),
        (int, 1.0),
        (int, True),
        (int, np.arange(3)),
        (bool, 1),
        (bool, np.zeros(2, np.bool_)),
        (int, h5py.Empty("i8")),
    ],
)
def test_attribute_of_another_type_is_refused(group: h5py.Group, kind: type[Any], value: Any) -> None:
    group.attrs["x"] = value
    with pytest.raises(ValueError, match="attribute x"):
        read_attribute(group, "x", kind)


@pytest.mark.parametrize("kind", [str, int, bool])
def test_object_reference_is_refused(group: h5py.Group, kind: type[Any]) -> None:
    group.attrs["x"] = group.ref
    with pytest.raises(ValueError, match="attribute x"):
        read_attribute(group, "x", kind)


def test_attributes_may_have_other_names_and_fields_be_known(group: h5py.Group) -> None:
    group.attrs.update(encode_info(EPISODE))
    group.attrs["track_seed"] = 8
    del group.attrs["seed"], group.attrs["noisy"], group.attrs["packet_bytes"]
    read = read_info(EpisodeInfo, group, {"seed": "track_seed"}, packet_bytes=3)
    assert read == replace(EPISODE, seed=8, packet_bytes=3)


def test_missing_attribute_is_refused(group: h5py.Group) -> None:
    with pytest.raises(ValueError, match="attribute x is missing"):
        read_attribute(group, "x", int)


@pytest.mark.parametrize("name", ["config", "task"])
@pytest.mark.parametrize("text", ["[]", "1", "", "{", '{"a": 1', "[" * 100_000])
def test_what_is_no_json_object_is_refused(group: h5py.Group, name: str, text: str) -> None:
    group.attrs.update(encode_info(SESSION))
    group.attrs[name] = text
    with pytest.raises((ValueError, RecursionError)):
        read_info(SessionInfo, group)
