"""Whatever a folder from somebody else holds in the place of a file: nothing outside is touched, nothing waits."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from racing_builders import SESSION, scored, write_session
from report_builders import write_study

import sessions
from compression.errors import CompressionError
from compression.fitting.fitted import objective_of
from compression.model.training.resumable import Work
from racer.errors import RacerError
from racer.rates.results import ResultsFile
from racer.rates.write import _put
from racer.recordings.deposit import Deposited, check_ledgers
from racer.recordings.listing import list_sessions
from racer.recordings.signing import make_key, read_signature, sign
from racer.recordings.withdrawal import find_traces, finish_withdrawal, remove_person
from racer.report.write import write_report
from racer.sitting.leases import Leases
from racer.study.file import load_study
from racer.study.init import init_study
from racer.study.run import _alone
from racer.training.models import read_card
from racer.training.train import write_new
from sessions.export.export import export_tables
from sessions.ledger import Ledger, note_recorded
from sessions.maintenance.merge import merge
from sessions.maintenance.repair import repair
from sessions.maintenance.withdraw import plan_withdrawal
from sessions.maintenance.withdrawn import note_given

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = sessions.recording_name("p09", "pilot", NOW, "0000aa")
PRECIOUS = b"precious"


def leased(folder: Path) -> None:
    with Leases(folder).lease("ffffff", None, "pilot", 1):
        pass


def withdrawn(folder: Path) -> None:
    plan = plan_withdrawal("p01", folder)
    remove_person(plan, find_traces(plan), NOW)


def make_key_once(folder: Path) -> Path:
    path = folder / "key.pem"
    make_key(path)
    return path


def reported(folder: Path) -> None:
    write_study(folder / "study", np.array([[0.5]]), ("raw",))
    write_report(folder / "study", folder / "report.html")


def merged(folder: Path) -> None:
    write_session(folder.parent / "desk", [scored("random", 0.5)], participant="p09", session_id="0000aa")
    merge([folder.parent / "desk", folder], folder.parent / "all")
    merge([folder.parent / "desk"], folder)


def studied(folder: Path) -> None:
    init_study("study", "default", folder.parent, "en")
    load_study(folder)


def study_read(folder: Path) -> None:
    text = (folder / "study.toml").read_text() if (folder / "study.toml").exists() else ""
    if not text:
        init_study("study", "default", folder.parent, "en")
        text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace('language = "en"', 'language = "own.toml"', 1))
    load_study(folder)


def simulated(folder: Path) -> None:
    init_study("study", "default", folder.parent, "en")
    with _alone(load_study(folder)):
        pass


def swept(folder: Path) -> None:
    with ResultsFile(folder, {"seed": 0}, ()):
        pass


PLACES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "lock of all leases": (".leases/lock", leased),
    "lock of a lease": (".leases/0a1b2c.lock", leased),
    "lock of a study that is simulated": ("recordings/.simulating.lock", simulated),
    "lock of names": (".names.lock", lambda folder: note_given(folder, ["p07"])),
    "lock of a sweep": (".cells.jsonl.lock", swept),
    "results of a sweep": ("cells.jsonl", swept),
    "memory of leases": (".leases/recordings.json", leased),
    "note of a lease": (".leases/0a1b2c.json", leased),
    "withdrawals": ("withdrawals.jsonl", withdrawn),
    "withdrawals at a start": ("withdrawals.jsonl", leased),
    "names": ("names.json", withdrawn),
    "names at a start": ("names.json", leased),
    "ledger": ("ledger.jsonl", note_recorded),
    "ledger to compare": ("ledger.jsonl", lambda folder: check_ledgers({folder / NAME: "0" * 64}, Deposited())),
    "signature": ("ledger.signature.json", lambda folder: sign(folder, Ledger(), make_key_once(folder.parent))),
    "signature to read": ("ledger.signature.json", lambda folder: read_signature(folder, "0" * 64)),
    "intent": (".withdrawing.json", withdrawn),
    "intent to finish": (".withdrawing.json", lambda folder: finish_withdrawal(folder, NOW)),
    "recording to list": (NAME, lambda folder: (list_sessions(folder), leased(folder))),
    "recording to merge": (NAME, merged),
    "recording to export": (NAME, lambda folder: export_tables([folder], folder / "tables", "csv")),
    "recording to repair": (NAME + ".partial", lambda folder: repair(folder / (NAME + ".partial"))),
    "recording to write": (NAME, lambda folder: sessions.Recorder(folder, SESSION).close("complete")),
    "numbers of a report": ("report_files/report.json", reported),
    "figure of a report": ("report_files/figure6_bars.svg", reported),
    "page of a report": ("report.html", reported),
    "study file": ("study.toml", studied),
    "recordings of a study": ("recordings", studied),
    "masks of a study": ("masks", studied),
    "language": ("own.toml", study_read),
    "fitted file": ("mask.safetensors", lambda folder: objective_of(folder / "mask.safetensors")),
    "fitted file to write": ("mask.safetensors", lambda folder: write_new(folder / "mask.safetensors", b"new")),
    "card of a model": ("card.json", read_card),
    "stage of a training": ("settings.json", lambda folder: Work(folder, {"seed": 1})),
    "table of a sweep": ("rates.csv", lambda folder: _put(folder / "rates.csv", b"new")),
}


@contextmanager
def at_once() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TimeoutError("it waits")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)


@pytest.mark.parametrize(
    "kind", ["pipe", "endless device", "link to a file", "link to nothing", "link to a folder", "folder"]
)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_outside_is_touched_and_nothing_waits(tmp_path: Path, place: str, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(PRECIOUS)
    folder = tmp_path / "study"
    name, act = PLACES[place]
    path = folder / name
    path.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        targets = {
            "endless device": Path("/dev/zero"),
            "link to a file": outside / "file",
            "link to nothing": outside / "no",
        }
        path.symlink_to(targets.get(kind, outside))
    with at_once(), suppress(RacerError, CompressionError, sessions.RecordingError):
        act(folder)
    assert [each.name for each in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == PRECIOUS


@pytest.mark.parametrize("place", [*(place for place in PLACES if "lock" in place), "results of a sweep"])
def test_hard_link_to_a_file_elsewhere_is_neither_locked_nor_added_to(tmp_path: Path, place: str) -> None:
    name, act = PLACES[place]
    path = tmp_path / "study" / name
    path.parent.mkdir(parents=True)
    if "lock" in place:
        (tmp_path / "outside").write_bytes(PRECIOUS)
    else:  # which is read first, and ends as a sweep that was killed leaves it
        swept(tmp_path)
        (tmp_path / name).rename(tmp_path / "outside")
        with (tmp_path / "outside").open("ab") as file:
            file.write(PRECIOUS)
    (tmp_path / "outside").chmod(0o640)
    before = (tmp_path / "outside").read_bytes()
    os.link(tmp_path / "outside", path)
    with at_once(), pytest.raises((RacerError, sessions.RecordingError), match="another name"):
        act(tmp_path / "study")
    assert (tmp_path / "outside").read_bytes() == before
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o640


@pytest.mark.parametrize("place", ["withdrawals", "note of a lease", "numbers of a report", "table of a sweep"])
def test_hard_link_to_a_file_elsewhere_leaves_that_file_as_it_is(tmp_path: Path, place: str) -> None:
    (tmp_path / "outside").write_bytes(PRECIOUS)
    name, act = PLACES[place]
    path = tmp_path / "study" / name
    path.parent.mkdir(parents=True)
    os.link(tmp_path / "outside", path)
    with at_once(), suppress(RacerError, sessions.RecordingError):
        act(tmp_path / "study")
    assert (tmp_path / "outside").read_bytes() == PRECIOUS
