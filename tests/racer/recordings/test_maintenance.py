"""The commands that look after recordings: what they print, what they ask, and how they end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import pytest
import typer
from footage_builders import Walk, golden
from person_builders import PERSON
from racing_builders import scored, write_mask, write_session
from typer.testing import CliRunner, Result

import sessions
from compression.model.latent_model import LatentModel
from racer.commands import maintenance
from racer.errors import ConfigError
from racer.recordings.withdrawal import StillDrivingError, finish_withdrawal
from racer.report.page import GENERATOR
from racer.sitting.leases import FOLDER, Leases
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.training.curves import places_of_curves
from sessions.export.dictionary import DESCRIPTION_NAME
from sessions.export.export import export_arrays, export_tables
from sessions.ledger import LEDGER_NAME, note_recorded
from sessions.maintenance.withdraw import interrupted
from sessions.maintenance.withdrawn import LOCK_NAME, LOG_NAME, NAMES_NAME

PROTOCOL = ProtocolConfig("pilot", practice=0, calibration=1, exploration=1, steps=3)
NASTY = "[bold red]me[/bold red]\x1b[31m:dog:"

Racer = Callable[..., Result]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Return a folder that has its surroundings for itself: a withdrawal looks there too."""
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


@pytest.fixture
def run() -> Racer:
    app = typer.Typer()
    for command in (maintenance.verify, maintenance.repair, maintenance.merge, maintenance.withdraw):
        app.command()(command)

    def run_command(*arguments: object, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=answer)

    return run_command


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    path = start_session(StartConfig("p01", PROTOCOL, driver="simulated", headless=True, data=folder)).path
    assert path is not None
    return path


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    """A data folder with one session, of p01."""
    (tmp_path / "recordings").mkdir()
    shutil.copy(original, tmp_path / "recordings")
    note_recorded(tmp_path / "recordings")
    return tmp_path / "recordings"


def kill(path: Path) -> Path:
    """Make a recording what it would be had its session been killed in the last episode."""
    with h5py.File(path, "r+") as file:
        file.attrs["status"] = "running"
        del file.attrs["seal"]
        list(file["episodes"].values())[-1].attrs["status"] = "running"
    (path.parent / LEDGER_NAME).unlink(missing_ok=True)
    return path.rename(str(path) + ".partial")


def only(folder: Path) -> Path:
    (path,) = sessions.find_recordings(folder)
    return path


def session_id(path: Path) -> str:
    with sessions.open(path) as session:
        return session.info.session_id


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def strictly(result: Result) -> Any:
    return json.loads(result.stdout)


# verify ---------------------------------------------------------------------------------------------------------


def test_recordings_in_order_end_with_code_0_and_a_fault_with_1_and_its_name(data: Path, run: Racer) -> None:
    result = run("verify", data, "--expected", 1)
    assert result.exit_code == 0, result.output
    assert "1 recording, 1 complete sitting: verified" in result.output
    with h5py.File(only(data), "r+") as file:
        file["episodes/001/packet"][1, 0] = 255
    result = run("verify", data)
    assert result.exit_code == 1
    assert f"FAIL  {only(data).name}: packets: episode 1: packet at step 1: packet exceeds its slot" in result.output
    assert "1 failed" in result.output


def test_verification_for_machines_lists_every_check_of_every_file(data: Path, run: Racer) -> None:
    found = strictly(run("verify", data, "--json", "--jobs", 1))
    assert (found["passed"], found["complete_sittings"], found["expected_sittings"]) == (True, 1, None)
    (recording,) = found["recordings"]
    assert (recording["recording"], recording["outcome"]) == (str(only(data)), "ok")
    assert {check["check"] for check in recording["checks"]} >= {"readable", "received", "replay"}
    assert all(set(check) == {"check", "outcome", "detail"} for check in recording["checks"])
    quick = strictly(run("verify", data, "--json", "--no-replay"))
    assert quick["verdict"] == "not checked"
    (replay,) = [check for check in quick["recordings"][0]["checks"] if check["check"] == "replay"]
    assert replay["outcome"] == "skipped"


def test_sittings_that_are_missing_end_with_code_1(data: Path, run: Racer) -> None:
    result = run("verify", data, "--expected", 2, "--no-replay")
    assert result.exit_code == 1
    assert "FAIL  1 complete sitting; 2 expected" in result.output
    assert strictly(run("verify", data, "--expected", 2, "--no-replay", "--json"))["passed"] is False


def test_nothing_to_verify_is_bad_usage(tmp_path: Path, run: Racer) -> None:
    for arguments in ([], [tmp_path], [tmp_path / "absent.h5"]):
        result = run("verify", *arguments)
        assert result.exit_code == 2 or isinstance(result.exception, ConfigError)


def test_other_tasks_are_verified_with_their_model_and_without_their_package(walk: Walk, run: Racer) -> None:
    result = run("verify", walk.path, "--model", walk.model)
    assert (result.exit_code, "not checked" in result.output) == (0, False)
    walk.uninstall()
    result = run("verify", walk.path)
    assert result.exit_code == 3
    for checks in ("weights, received", "replay"):
        told = f"not checked  {checks} of 1 recording: task grey-walk is not installed: install the package that has it"
        assert told in result.output


def test_killed_session_is_pointed_out_and_a_running_one_left_alone(data: Path, run: Racer) -> None:
    path = kill(only(data))
    result = run("verify", data)
    assert result.exit_code == 3
    assert "warn" in result.output
    assert "racer session repair" in result.output
    with Leases(data).lease(session_id(path), "p01", "pilot", 1):
        result = run("verify", data, "--no-replay")
    assert result.exit_code == 3
    assert "being recorded right now" in result.output


def test_names_and_texts_from_files_are_shown_as_they_are(tmp_path: Path, run: Racer) -> None:
    path = write_session(tmp_path, [scored(NASTY, 0.5)], config={"channel_format": 1})
    nasty = path.rename(tmp_path / f"{NASTY}.h5".replace("/", ""))
    output = run("verify", nasty).output
    assert "\x1b" not in output
    assert "[bold red]me[" in output
    assert ":dog:" in output


# repair ---------------------------------------------------------------------------------------------------------


def test_killed_session_is_repaired_beside_the_original_and_then_passes(data: Path, run: Racer) -> None:
    partial = kill(only(data))
    before = partial.read_bytes()
    result = run("repair", partial)
    assert result.exit_code == 0, result.output
    repaired = partial.with_name(partial.name.removesuffix(".partial"))
    assert f"Next: racer session verify {repaired}" in result.output
    assert partial.read_bytes() == before
    result = run("verify", data)
    assert result.exit_code == 0, result.output
    assert "1 recording, 0 complete sittings" in result.output


def test_repaired_session_is_no_second_sitting(data: Path, run: Racer) -> None:
    partial = kill(only(data))
    run("repair", partial)
    sittings, _ = sessions.find_sittings(sessions.find_recordings(data))
    assert [sitting.status for sitting in sittings] == ["aborted"]


def test_running_session_is_not_repaired(data: Path, run: Racer) -> None:
    path = kill(only(data))
    with Leases(data).lease(session_id(path), "p01", "pilot", 1):
        result = run("repair", path)
    assert result.exit_code == 2
    assert "being recorded right now" in result.output
    assert only(data) == path


def test_what_cannot_be_repaired_is_told_in_one_line_and_the_rest_repaired(data: Path, run: Racer) -> None:
    partial = kill(only(data))
    torn = data / "torn.h5.partial"
    torn.write_bytes(b"torn")
    result = run("repair", torn, partial, "--out", data / "new", "--json")
    assert result.exit_code == 2
    found = strictly(result)
    assert [entry["recording"] for entry in found["repaired"]] == [str(partial)]
    assert [entry["recording"] for entry in found["failed"]] == [str(torn)]
    assert only(data / "new").suffix == ".h5"
    assert [line for line in result.stderr.splitlines() if not line.startswith("racer: ")] == []


# merge ----------------------------------------------------------------------------------------------------------


def test_recordings_are_merged_and_what_is_there_already_is_counted(data: Path, tmp_path: Path, run: Racer) -> None:
    together = tmp_path / "all"
    result = run("merge", data, "--into", together, "--dry-run")
    assert "Would copy 1 recording" in result.output
    assert not together.exists()
    assert "Copied 1 recording" in run("merge", data, "--into", together).output
    result = run("merge", data, "--into", together)
    assert result.exit_code == 0
    assert "Copied 0 recordings" in result.output
    assert "1 were there already" in result.output


def test_conflict_ends_with_code_1_and_is_told(data: Path, tmp_path: Path, run: Racer) -> None:
    run("merge", data, "--into", tmp_path / "all")
    with h5py.File(only(data), "r+") as file:
        file["episodes/000/action"][0] = 5
    before = everything(tmp_path)
    result = run("merge", data, "--into", tmp_path / "all")
    assert result.exit_code == 1
    assert "conflict" in result.output
    assert "column action of episode 0" in result.output
    found = strictly(run("merge", data, "--into", tmp_path / "all", "--json"))
    assert [entry["fate"] for entry in found["recordings"]] == ["conflict"]
    assert everything(tmp_path) == before


def test_one_name_for_two_sittings_on_two_machines_is_warned_of(tmp_path: Path, run: Racer) -> None:
    for folder, number in (("a", "00000a"), ("b", "00000b")):
        write_session(tmp_path / folder, [scored("random", 0.5)], session_id=number)
    result = run("merge", tmp_path / "a", tmp_path / "b", "--into", tmp_path / "all")
    assert result.exit_code == 0
    assert "p01 has different sittings in two folders" in result.output


def test_source_that_does_not_exist_is_refused(tmp_path: Path, run: Racer) -> None:
    assert isinstance(run("merge", tmp_path / "absent", "--into", tmp_path).exception, ConfigError)


# withdraw -------------------------------------------------------------------------------------------------------


def test_person_is_withdrawn_and_forgotten(data: Path, run: Racer) -> None:
    other = write_session(data, [scored("random", 0.5)], participant="p02")
    Leases(data).live()
    with Leases(data).lease("ffffff", "p03", "pilot", 1):
        pass
    gone = next(path for path in sessions.find_recordings(data) if path != other)
    result = run("withdraw", "p01", "--data", data, "--yes")
    assert result.exit_code == 0, result.output
    assert str(gone) in result.output
    assert "Removed 1 file of 1 session." in result.output
    assert only(data) == other
    remembered = [path for path, content in everything(data).items() if b"p01" in content and path != other]
    assert remembered == []
    (line,) = (data / LOG_NAME).read_text().splitlines()
    assert json.loads(line).keys() == {"date_utc", "sessions", "salt", "name", "session_ids"}
    assert "p01" not in line


def test_withdrawal_that_was_cut_short_is_finished_by_whatever_looks_at_the_folder_next(
    data: Path, run: Racer, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".h5":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert isinstance(run("withdraw", "p01", "--data", data, "--yes").exception, sessions.StorageError)
    monkeypatch.undo()
    write_session(data, [scored("random", 0.5)], participant="p02")
    (data.parent / "empty").mkdir()
    result = run("merge", data.parent / "empty", "--into", data)
    assert "finished a withdrawal that was cut short" in result.stderr
    assert sessions.open(only(data)).info.participant == "p02"
    assert interrupted(data) is None
    assert len((data / LOG_NAME).read_text().splitlines()) == 1


def test_withdrawal_that_a_damaged_ledger_holds_up_turns_nobody_away(
    data: Path, run: Racer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        assert isinstance(run("withdraw", "p01", "--data", data, "--yes").exception, sessions.StorageError)
    (data / LEDGER_NAME).write_text("damaged\n")
    maintenance.finish_begun_or_say(data)
    told = capsys.readouterr().err
    assert "waits to be finished" in told and "line 1 of" in told
    assert interrupted(data) is not None
    (data / LEDGER_NAME).unlink()
    maintenance.finish_begun_or_say(data)
    assert interrupted(data) is None


def test_traces_are_listed_and_removed_when_asked_for(
    data: Path, tmp_path: Path, run: Racer, model: LatentModel
) -> None:
    (tmp_path / "study.toml").touch()
    (tmp_path / "masks").mkdir()
    mask = write_mask(tmp_path / "masks" / "pico.safetensors", model, participants=("p01", "p02"))
    other_mask = write_mask(tmp_path / "masks" / "other.safetensors", model, participants=("p02",))
    for place in (*places_of_curves(mask), *places_of_curves(other_mask)):
        place.write_bytes(b"0.5")
    other = write_session(data, [scored("random", 0.5)], participant="p02", session_id="0000ff")
    export_tables([data], tmp_path / "tables", "csv")
    export_tables([other], tmp_path / "theirs", "csv")
    generator = f'<meta name="generator" content="{GENERATOR}">'
    page = tmp_path / "report.html"
    page.write_text(f"<html><head>{generator}</head><td>p01</td>")
    files = tmp_path / "report_files"
    files.mkdir()
    (files / "report.json").write_text(json.dumps({"made_by": GENERATOR, "files": ["report.json", "figure.csv"]}))
    (files / "figure.csv").write_text("p01,0.5")
    (files / "notes.txt").write_text("mine")
    foreign = tmp_path / "brains" / "dataset_description.json"
    foreign.parent.mkdir()
    foreign.write_text('{"Name": "somebody else\'s", "who": "p01"}')
    notes = tmp_path / "notes.md"
    notes.write_text("p01 was late")
    (tmp_path / "p011.csv").write_text("p011,xp01")
    driver, own_id = tmp_path / "me.json", session_id(next(data.glob("p01_*.h5")))
    driver.write_text(PERSON.model_copy(update={"sessions": (own_id,)}).model_dump_json())
    other_driver = tmp_path / "you.json"
    other_driver.write_text(PERSON.model_copy(update={"sessions": ("0000ff",)}).model_dump_json())
    away = write_mask(tmp_path.parent / f"{tmp_path.name}.safetensors", model, participants=("p01",))
    try:
        found = strictly(run("withdraw", "p01", "--data", data, "--dry-run", "--json"))
        kinds = {entry["path"]: entry["kind"] for entry in found["traces"]}
        assert kinds == {
            str(mask): "mask",
            str(driver): "driver",
            str(tmp_path / "tables"): "export",
            str(page): "report",
            str(notes): "mention",
            str(foreign): "mention",
            str(away): "mask",
        }
        listed = run("withdraw", "p01", "--data", data, "--dry-run").output
        assert "--traces removes these" in listed
        assert run("withdraw", "p01", "--data", data, "--yes").exit_code == 0
        traces = run("withdraw", "p01", "--data", data, "--yes", "--traces").output
        assert " files.\n" in traces and "0 sessions" not in traces
        assert away.exists()
    finally:
        away.unlink()
    assert not (tmp_path / "tables").exists()
    assert not page.exists()
    assert [path.name for path in files.iterdir()] == ["notes.txt"]
    assert not mask.exists() and not driver.exists()
    assert not any(place.exists() for place in places_of_curves(mask))
    assert all(place.exists() for place in places_of_curves(other_mask))
    assert all(
        path.exists()
        for path in (other_driver, other_mask, other, notes, foreign, tmp_path / "theirs", tmp_path / "p011.csv")
    )


def test_exports_that_are_no_text_are_found_too(data: Path, tmp_path: Path, run: Racer) -> None:
    (tmp_path / "study.toml").touch()
    other = write_session(data, [scored("random", 0.5)], participant="p02", session_id="0000ff")
    mine = next(path for path in sessions.find_recordings(data) if path != other)
    stem = mine.name.removesuffix(".h5")
    export_tables([data], tmp_path / "tables", "parquet")
    export_tables([other], tmp_path / "theirs", "parquet")
    export_arrays([data], tmp_path / "arrays")
    (tmp_path / "films").mkdir()
    film, folder, copy = tmp_path / "films" / f"{stem}.mp4", tmp_path / f"{stem}.minari", tmp_path / mine.name
    film.touch()
    folder.mkdir()
    (folder / "data.bin").touch()
    shutil.copy(mine, copy)
    former = tmp_path / "former"
    shutil.copytree(tmp_path / "theirs", former)
    description = json.loads((former / DESCRIPTION_NAME).read_text())
    del description["participants"], description["sessions"]
    (former / DESCRIPTION_NAME).write_text(json.dumps(description))
    arrays = {path for path in (tmp_path / "arrays").iterdir() if path.name.startswith(stem)}
    assert arrays
    found = strictly(run("withdraw", "p01", "--data", data, "--dry-run", "--json"))
    assert {entry["path"]: entry["kind"] for entry in found["traces"]} == {
        str(tmp_path / "tables"): "export",
        **{str(path): "export" for path in (film, folder, *arrays)},
        str(copy): "mention",
        str(former): "unknown",
    }
    assert run("withdraw", "p01", "--data", data, "--yes", "--traces").exit_code == 0
    gone = (tmp_path / "tables", film, folder, *arrays)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in (other, copy, former, tmp_path / "theirs", tmp_path / "arrays"))


def test_numbers_in_an_export_are_no_session_of_the_person(data: Path, tmp_path: Path, run: Racer) -> None:
    (tmp_path / "study.toml").touch()
    write_session(data, [scored("random", 0.5)], participant="p03", session_id="123456")
    other = write_session(data, [scored("random", 0.5)], participant="p02", session_id="0000ff")
    export_tables([other], tmp_path / "theirs", "csv")
    (tmp_path / "theirs" / "data" / "more.csv").write_text("0.123456,123456.5,-123456,1234567\n")
    found = strictly(run("withdraw", "p03", "--data", data, "--dry-run", "--json"))
    assert found["traces"] == []
    (tmp_path / "theirs" / "data" / "more.csv").write_text("see 123456.\n")
    found = strictly(run("withdraw", "p03", "--data", data, "--dry-run", "--json"))
    assert [trace["kind"] for trace in found["traces"]] == ["export"]


def test_exports_made_since_a_withdrawal_was_cut_short_stay(
    data: Path, tmp_path: Path, run: Racer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.toml").touch()
    write_session(data, [scored("random", 0.5)], participant="p02", session_id="0000ff")
    export_tables([data], tmp_path / "tables", "csv")
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".h5":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert run("withdraw", "p01", "--data", data, "--yes", "--traces").exit_code == 1
    monkeypatch.undo()
    export_tables([data], tmp_path / "since", "csv")
    listed = run("withdraw", "p01", "--data", data, "--dry-run").output
    assert f"  {tmp_path / 'tables'}\n" in listed
    assert f"  {tmp_path / 'since'}\n" not in listed
    assert finish_withdrawal(data, datetime(2026, 1, 1, tzinfo=UTC)) is not None
    assert not (tmp_path / "tables").exists()
    assert (tmp_path / "since").exists()


def test_another_persons_interrupted_withdrawal_is_none_of_somebody_unknown(
    data: Path, run: Racer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    run("withdraw", "p01", "--data", data, "--yes")
    monkeypatch.undo()
    assert interrupted(data) is not None
    result = run("withdraw", "p99", "--data", data, "--dry-run")
    assert "nothing in" in str(result.exception)
    assert "Would remove" not in result.output


def test_traces_of_somebody_who_has_withdrawn_can_be_removed_afterwards(
    data: Path, tmp_path: Path, run: Racer, model: LatentModel
) -> None:
    (tmp_path / "study.toml").touch()
    (tmp_path / "masks").mkdir()
    mask = write_mask(tmp_path / "masks" / "pico.safetensors", model, participants=("p01",))
    assert run("withdraw", "p01", "--data", data, "--yes").exit_code == 0
    again = run("withdraw", "p01", "--data", data, "--yes")
    assert "--traces" in str(again.exception)
    assert run("withdraw", "p01", "--data", data, "--yes", "--traces").exit_code == 0
    assert not mask.exists()


def test_person_of_version_0_1_0_is_forgotten_too(tmp_path: Path, run: Racer) -> None:
    golden("pilot01", tmp_path)
    for folder in (FOLDER, ".claims"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "recordings.json").write_text('{"participant": "pilot01"}')
    assert run("withdraw", "pilot01", "--data", tmp_path, "--yes").exit_code == 0
    assert [path for path, content in everything(tmp_path).items() if b"pilot01" in content] == []


def test_withdrawal_is_agreed_to_first(data: Path, run: Racer) -> None:
    before = everything(data)
    listed = run("withdraw", "p01", "--data", data, "--dry-run")
    assert listed.exit_code == 0
    assert str(only(data)) in listed.output
    assert isinstance(run("withdraw", "p01", "--data", data, answer="y\n").exception, ConfigError)
    assert isinstance(run("withdraw", "p01", "--data", data, "--json").exception, ConfigError)
    assert everything(data) == before


def test_only_a_yes_removes(data: Path, run: Racer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("racer.commands.maintenance._asks", lambda: True)
    before = everything(data)
    assert run("withdraw", "p01", "--data", data, answer="n\n").exit_code == 1
    assert everything(data) == before
    assert run("withdraw", "p01", "--data", data, answer="y\n").exit_code == 0
    assert {path.name for path in everything(data)} == {LOG_NAME, NAMES_NAME, LOCK_NAME, LEDGER_NAME}


def test_masks_trained_on_the_persons_data_are_named(
    data: Path, tmp_path: Path, run: Racer, model: LatentModel
) -> None:
    (tmp_path / "masks").mkdir()
    by_name = write_mask(tmp_path / "masks" / "pico.safetensors", model, participants=("p01", "p02"))
    by_session = write_mask(data / "old.safetensors", model, model_sha256="cd" * 32, sessions=(session_id(only(data)),))
    write_mask(tmp_path / "masks" / "other.safetensors", model)
    (tmp_path / "masks" / "torn.safetensors").write_bytes(b"torn")
    found = strictly(run("withdraw", "p01", "--data", data, "--yes", "--json"))
    assert found["masks_to_retrain"] == sorted([str(by_name.resolve()), str(by_session.resolve())])
    assert (found["removed"], found["sessions"]) == (True, 1)


def test_person_who_is_driving_is_not_withdrawn(data: Path, run: Racer) -> None:
    before = only(data).read_bytes()
    with Leases(data).lease("ffffff", "p01", "pilot", 1):
        result = run("withdraw", "p01", "--data", data, "--yes")
    assert isinstance(result.exception, StillDrivingError)
    assert only(data).read_bytes() == before


def test_person_nobody_knows_is_refused(data: Path, run: Racer) -> None:
    before = os.listdir(data)
    assert isinstance(run("withdraw", "p99", "--data", data, "--yes").exception, ConfigError)
    assert os.listdir(data) == before
