"""The ledger of a data folder: it holds every finished recording, and no entry can be changed without its head."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_builders import write_recording

from sessions import RecordingError, StorageError
from sessions.ledger import (
    BEGINNING,
    LEDGER_NAME,
    Ledger,
    LedgerEntry,
    add_entries,
    note_recorded,
    read_ledger,
    sha256_of,
)
from sessions.maintenance.withdraw import plan_withdrawal, withdraw

HASHES = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
ENTRIES = st.lists(st.builds(LedgerEntry, st.sampled_from(["recorded", "withdrawn"]), HASHES), min_size=1, max_size=6)


def test_recordings_are_noted_once_and_those_that_were_there_before_the_ledger_too(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) is None
    first = write_recording(tmp_path, (1,))
    assert note_recorded(tmp_path, [first]) == [first]
    assert note_recorded(tmp_path) == []
    ledger = read_ledger(tmp_path)
    assert ledger is not None
    assert ledger.entries == (LedgerEntry("recorded", sha256_of(first)),)
    (tmp_path / LEDGER_NAME).unlink()
    assert note_recorded(tmp_path, []) == [first]
    assert read_ledger(tmp_path) == ledger


def test_what_was_withdrawn_is_no_longer_held_and_nobody_is_named(tmp_path: Path) -> None:
    path = write_recording(tmp_path, (1,))
    note_recorded(tmp_path)
    sha256 = sha256_of(path)
    withdrawal = plan_withdrawal(path.name.partition("_")[0], tmp_path)
    withdraw(withdrawal, datetime(2026, 1, 1, tzinfo=UTC))
    ledger = read_ledger(tmp_path)
    assert ledger is not None
    assert ledger.entries == (LedgerEntry("recorded", sha256), LedgerEntry("withdrawn", sha256))
    assert ledger.held == {}
    text = (tmp_path / LEDGER_NAME).read_text()
    assert withdrawal.participant not in text
    assert not any(session_id in text.replace(sha256, "") for session_id in withdrawal.session_ids)


@given(ENTRIES, st.data())
def test_every_entry_and_their_order_decide_the_head(entries: list[LedgerEntry], data: st.DataObject) -> None:
    ledger = Ledger(tuple(entries))
    assert ledger.heads[0] == BEGINNING
    assert len(set(ledger.heads)) == len(ledger.heads) == len(entries) + 1
    index = data.draw(st.integers(0, len(entries) - 1))
    other = data.draw(ENTRIES)
    changed = entries[:index] + other + entries[index + 1 :]
    assert (Ledger(tuple(changed)).head == ledger.head) == (changed == entries)
    assert Ledger(tuple(entries[:-1])).head != ledger.head


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", "x" * 99, f'{{"kind": "recorded", "sha256": "{"0" * 64}", "head": "0"}}', "[" * 99_999]
)
def test_line_that_does_not_follow_is_refused_and_nothing_is_added(tmp_path: Path, line: str) -> None:
    add_entries(tmp_path, "recorded", ["1" * 64, "2" * 64])
    path = tmp_path / LEDGER_NAME
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, lines[1]]))
    with pytest.raises(RecordingError, match="line 2 of"):
        read_ledger(tmp_path)
    before = path.read_bytes()
    with pytest.raises(RecordingError, match="does not follow"):
        note_recorded(tmp_path)
    assert path.read_bytes() == before


def test_entry_taken_out_or_exchanged_is_found(tmp_path: Path) -> None:
    add_entries(tmp_path, "recorded", [f"{number}" * 64 for number in range(4)])
    path = tmp_path / LEDGER_NAME
    lines = path.read_text().splitlines()
    for changed in (lines[1:], lines[:1] + lines[2:], [lines[1], lines[0], *lines[2:]]):
        path.write_text("\n".join(changed))
        with pytest.raises(RecordingError, match="does not follow"):
            read_ledger(tmp_path)
    value = json.loads(lines[-1])
    path.write_text("\n".join([*lines[:-1], json.dumps(value | {"kind": "withdrawn"})]))
    with pytest.raises(RecordingError, match="line 4"):
        read_ledger(tmp_path)


def test_disk_that_refuses_is_told_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recording(tmp_path, (1,))

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sessions.ledger.write_whole", refuse)
    with pytest.raises(StorageError, match="they are saved"):
        note_recorded(tmp_path, [path])
    assert path.is_file()
