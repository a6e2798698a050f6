from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compression.fitting.classifiers import LossPoint
from racer.training.curves import curve_files, places_of_curves

CURVE = [LossPoint("mask policy", 0, 25, 0.75, 0.5, 0.25), LossPoint("mask policy", 0, 50, 0.5, 0.625, 0.5)]


def records(data: bytes) -> Iterator[bytes]:
    """Yield what a file of TensorBoard's holds: length, checksum, bytes, checksum, over and over."""
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        yield data[at + 12 : at + 12 + length]
        at += length + 16


def test_tensorboard_is_given_the_curves_by_name_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    mask = tmp_path / "pico.v2.safetensors"
    place = places_of_curves(mask)[2]
    assert place.name == "pico.v2_curves.tfevents"  # by this ending TensorBoard finds it
    data = curve_files(CURVE, mask)[place]
    _, *found = map(events.Event.FromString, records(data))
    read = [{value.tag: value.simple_value for value in event.summary.value} for event in found]
    assert [event.step for event in found] == [25, 50]
    names = (f"pico.v2/mask policy/0/{name}" for name in ("loss", "held_out_loss", "held_out_quality"))
    assert read[1] == dict(zip(names, (0.5, 0.625, 0.5), strict=True))
    assert curve_files(CURVE, mask)[place] == data


def test_without_tensorboard_there_is_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    mask = tmp_path / "pico.safetensors"
    assert set(curve_files(CURVE, mask)) == set(places_of_curves(mask)[:2])
