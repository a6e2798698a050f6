"""Ledgers are compared with recordings, and with heads that were deposited or signed."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from racing_builders import scored, write_session
from typer.testing import CliRunner

from racer.commands import study
from racer.errors import ConfigError
from racer.recordings.deposit import Deposited
from racer.recordings.places import find_files
from racer.recordings.signing import SIGNATURE_NAME, SignatureError, make_key, read_signature
from racer.recordings.verification import Verification, verify_recordings
from sessions.ledger import LEDGER_NAME, note_recorded, read_ledger
from sessions.maintenance.withdraw import plan_withdrawal, withdraw


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two sessions, noted."""
    folder = tmp_path / "recordings"
    for number in (1, 2):
        write_session(folder, [scored("random", 0.5)], participant=f"p0{number}", session_id=f"00000{number}")
    note_recorded(folder)
    return folder


def verified(data: Path, **deposited: Any) -> Verification:
    return verify_recordings(find_files([data]), replay=False, jobs=1, deposited=Deposited(**deposited))


def of_ledger(result: Verification) -> list[str]:
    return [finding.outcome for each in result.recordings for finding in each.findings if finding.check == "ledger"]


def head(data: Path) -> str:
    ledger = read_ledger(data)
    assert ledger is not None
    return ledger.head


def run(app: Any, *arguments: object) -> Any:
    return json.loads(CliRunner().invoke(app, [*map(str, arguments), "--json"]).stdout)


def test_recordings_that_are_as_they_were_noted_are_in_order(data: Path) -> None:
    result = verified(data, heads=(head(data),))
    assert of_ledger(result) == ["ok", "ok"]
    (ledger,) = result.ledgers
    assert (ledger.outcome, ledger.recorded, ledger.withdrawn, ledger.deposited) == ("ok", 2, 0, 2)


def test_one_changed_byte_is_found_and_so_is_the_recording_that_it_was(data: Path) -> None:
    path = find_files([data])[0]
    path.write_bytes(path.read_bytes() + b"\0")
    result = verified(data)
    assert of_ledger(result) == ["fail", "ok"]
    assert result.ledgers[0].detail.endswith("entries 1")
    assert result.verdict == "failed"


def test_recording_that_is_gone_is_found_where_the_folder_is_given_and_not_where_one_file_is(data: Path) -> None:
    first, second = find_files([data])
    assert verify_recordings([second], replay=False).ledgers[0].outcome == "ok"
    first.unlink()
    assert verified(data).ledgers[0].outcome == "fail"


def test_folder_without_a_ledger_is_not_checked_and_fails_where_a_head_was_deposited(data: Path) -> None:
    deposited = head(data)
    (data / LEDGER_NAME).unlink()
    assert verified(data).ledgers[0].outcome == "skipped"
    assert verified(data, heads=(deposited,)).verdict == "failed"


def test_ledger_that_was_made_anew_is_found_by_the_head_alone(data: Path) -> None:
    deposited = head(data)
    find_files([data])[0].unlink()
    (data / LEDGER_NAME).unlink()
    note_recorded(data)
    assert verified(data).ledgers[0].outcome == "ok"
    assert verified(data, heads=(deposited,)).ledgers[0].outcome == "fail"


def test_what_was_noted_after_the_deposit_is_not_checked_by_it(data: Path) -> None:
    deposited = head(data)
    third = write_session(data, [scored("random", 0.5)], participant="p03", session_id="000003")
    note_recorded(data, [third])
    result = verified(data, heads=(deposited,))
    assert sorted(of_ledger(result)) == ["ok", "ok", "skipped"]
    assert result.ledgers[0].outcome == "ok"


def test_recording_that_is_not_noted_is_not_called_changed_unless_one_that_was_noted_is_missing(data: Path) -> None:
    """As a session leaves it that is killed after its recording has its name."""
    third = write_session(data, [scored("random", 0.5)], participant="p03", session_id="000003")
    result = verified(data)
    assert of_ledger(result) == ["ok", "ok", "skipped"]
    assert result.ledgers[0].outcome == "ok"
    assert of_ledger(verify_recordings([third], replay=False)) == ["fail"]
    find_files([data])[0].unlink()
    assert of_ledger(verified(data)) == ["ok", "fail"]


def test_withdrawal_after_the_deposit_is_not_checked_until_it_is_deposited_again(data: Path) -> None:
    deposited = head(data)
    withdraw(plan_withdrawal("p01", data), datetime(2026, 1, 1, tzinfo=UTC))
    (ledger,) = verified(data, heads=(deposited,)).ledgers
    assert (ledger.outcome, ledger.withdrawn) == ("skipped", 1)
    assert verified(data, heads=(head(data),)).ledgers[0].outcome == "ok"


@pytest.mark.parametrize("wanted", ["", "0" * 63, "G" * 64, "0" * 65])
def test_what_is_no_head_is_refused(wanted: str) -> None:
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        Deposited((wanted,))


def test_signed_ledger_is_verified_by_its_public_key_and_by_no_other(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = tmp_path / "key.pem"
    public = run(study.app, "key", key)["public_key"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="File exists"):
        make_key(key)
    sealed = run(study.app, "seal", data, "--key", key)
    assert (sealed["head"], sealed["recorded"], sealed["public_key"]) == (head(data), 2, public)
    assert verified(data, public_key=public).ledgers[0].outcome == "ok"
    other = make_key(tmp_path / "other.pem")
    assert "not of this public key" in verified(data, public_key=other).ledgers[0].detail
    find_files([data])[0].unlink()
    (data / LEDGER_NAME).unlink()
    note_recorded(data)
    assert "another ledger" in verified(data, public_key=public).ledgers[0].detail


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"entries": 2, "head": "0", "signature": 1}', "{" * 99_999])
def test_damaged_signature_is_none(data: Path, tmp_path: Path, text: str) -> None:
    pytest.importorskip("cryptography")
    (data / SIGNATURE_NAME).write_text(text)
    with pytest.raises(SignatureError):
        read_signature(data, make_key(tmp_path / "key.pem"))


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_in_one_line(data: Path, tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("cryptography")
    (tmp_path / "key.pem").write_bytes(content)
    result = CliRunner().invoke(study.app, ["seal", str(data), "--key", str(tmp_path / "key.pem")])
    assert isinstance(result.exception, ConfigError)
    assert "nothing was signed" in str(result.exception)
