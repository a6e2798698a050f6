"""Recordings outlive the software: what was written as schema version 1 reads as it did, value by value."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest
from golden import everything_in

import sessions
from sessions.verify import structure_checks, verify

DATA = Path(__file__).parent / "data"


@pytest.fixture
def version1(tmp_path: Path) -> Path:
    path = tmp_path / "p01_evaluation_20260131T140509Z_0a1b2c.h5"
    with gzip.open(DATA / "version1.h5.gz") as packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file)
    return path


def without_what_is_new(read: Any, golden: Any) -> Any:
    """Return what was read without the keys that later versions have added."""
    if isinstance(golden, dict):
        return {key: without_what_is_new(read[key], value) for key, value in golden.items()}
    if isinstance(golden, list) and len(golden) == len(read):
        return [without_what_is_new(one, other) for one, other in zip(read, golden, strict=True)]
    return read


def test_every_value_of_a_version_1_recording_reads_as_it_did(version1: Path) -> None:
    golden = json.loads((DATA / "version1.json").read_text(encoding="utf-8"))
    assert golden["schema_version"] == 1
    assert {episode["info"]["condition"] for episode in golden["episodes"]} >= {"raw", "full", "pico"}
    assert any(episode["rejected"] for episode in golden["episodes"])
    assert golden["events"] and golden["answers"]
    read = json.loads(json.dumps(everything_in(version1)))
    assert without_what_is_new(read, golden) == golden


def test_a_version_1_recording_passes_its_checks(version1: Path) -> None:
    found = {finding.check: finding.outcome for finding in verify(version1, structure_checks())}
    assert set(found.values()) == {"ok"}


def test_a_later_schema_is_refused_with_what_to_do(version1: Path) -> None:
    with h5py.File(version1, "r+") as file:
        file.attrs.modify("schema_version", 2)
    before = version1.read_bytes()
    with pytest.raises(sessions.UnreadableRecordingError) as refused:
        sessions.open(version1)
    assert str(refused.value) == (
        f"{version1} has recording schema 2 and this Racer reads 1; "
        "it was not changed: open it with the Racer that made it or a newer one"
    )
    assert version1.read_bytes() == before
