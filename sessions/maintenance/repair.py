"""Repair: a killed session's `.h5.partial` written anew as a finished recording, the original untouched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from disk.writing import make_folder, open_new, rename_without_overwriting, scratch_folder, sync_folder
from sessions.comparison import first_difference
from sessions.errors import RecordingError, RecordingExistsError, StorageError
from sessions.ledger import note_recorded, read_ledger, sha256_of
from sessions.maintenance.copying import copy_recording
from sessions.names import PARTIAL_SUFFIX, SUFFIX
from sessions.reader import Episode, Session
from sessions.recorder import Recorder
from sessions.schema import BLOCK_ROWS, FRAME, EndStatus, Step


class RepairError(RecordingError):
    """A recording cannot be repaired."""


def repaired_path(path: Path, folder: Path | None = None) -> Path:
    """Return where the repaired recording goes: the finished name, beside the partial one or in `folder`.

    Raises:
        RepairError: If the file has no name of an unfinished recording.
    """
    if not path.name.endswith(PARTIAL_SUFFIX):
        raise RepairError(f"{path} is not a {PARTIAL_SUFFIX} file: only recordings of killed sessions need repair")
    return (folder or path.parent) / (path.name.removesuffix(PARTIAL_SUFFIX) + SUFFIX)


def repair(path: Path, folder: Path | None = None, *, make_file: Callable[[Path], FileIO] = open_new) -> Path:
    """Write what a killed session's file holds as a finished recording, and return its path.

    What was running is marked as aborted, and its columns are cut to the length that all of them have. Everything is
    written to a hidden folder, put on the device and compared with the original before it gets its name; whatever
    stops this, the original is as it was and there is either a whole repaired recording or none. The session must not
    be running. A file that lacks nothing but its name, as the ledger says, gets it as it is, byte for byte.

    Args:
        path: `.h5.partial`; never changed.
        folder: Where the repaired recording goes; beside the original if left out.
        make_file: See `Recorder`.

    Raises:
        UnreadableRecordingError: If nothing can be read from the file.
        RecordingExistsError: If there is a recording of the finished name.
        RepairError: If the file needs no repair or holds what no recorder writes.
        StorageError: If the disk refuses.
        RecordingError: If the ledger of the folder is damaged.
    """
    target = repaired_path(path, folder)
    if target.exists():
        _note_if_cut_short(path, target)
        raise RecordingExistsError(f"{target} exists already and was left as it is; {path} was not changed")
    read_ledger(target.parent)  # says now what is wrong with it
    if _lacks_its_name(path):
        copy_recording(path, target)
    else:
        _repair(path, target, make_file)
    note_recorded(target.parent, [target])
    return target


def _lacks_its_name(path: Path) -> bool:
    """Return whether a recording was closed and noted, and killed before it got its name."""
    try:
        ledger = read_ledger(path.parent)
        return ledger is not None and sha256_of(path) in ledger.held
    except (RecordingError, OSError):
        return False


def _repair(path: Path, target: Path, make_file: Callable[[Path], FileIO]) -> None:
    with Session(path) as killed, ExitStack() as opened:
        try:
            make_folder(target.parent)
            workplace = opened.enter_context(scratch_folder(target.parent))
        except OSError as error:
            raise StorageError(
                f"cannot write to {target.parent}: {error.strerror}; {path} was not changed: choose another folder"
            ) from error
        copy = _write_anew(killed, workplace, make_file)
        with Session(copy) as written:
            if difference := first_difference(killed, written):
                raise RepairError(f"{path} cannot be repaired: {difference} came out differently; it was not changed")
        _give_name(copy, target)


def _note_if_cut_short(path: Path, target: Path) -> None:
    """Note a repaired recording whose repair was killed before it came to that."""
    with suppress(RecordingError):
        with Session(path) as killed, Session(target) as written:
            same = not first_difference(killed, written)
        if same:
            note_recorded(target.parent, [target])


def _write_anew(killed: Session, folder: Path, make_file: Callable[[Path], FileIO]) -> Path:
    """Record everything again, with the time standing still so that full blocks alone decide when it is written."""
    frames = any(FRAME in episode.columns for episode in killed.episodes)
    status: EndStatus = "complete" if killed.status == "complete" else "aborted"
    try:
        with Recorder(folder, killed.info, clock=lambda: 0, keep_frames=frames, make_file=make_file) as recorder:
            for event in killed.events():
                recorder.event(event.kind, event.detail, event.time_ns, event.episode, event.step)
            for answer in killed.answers():
                recorder.answer(answer.item, answer.answer, answer.time_ns)
            for episode in killed.episodes:
                _record(episode, recorder)
            return recorder.close(status)
    except StorageError as error:
        # The recorder speaks of its own file, which is about to be removed.
        reason = getattr(error.__cause__, "strerror", None) or error
        raise StorageError(
            f"cannot write to {folder.parent}: {reason}; {killed.path} was not changed: make room and repair it again"
        ) from error
    except ValueError as error:
        raise RepairError(
            f"{killed.path} cannot be repaired: it holds what no recorder writes ({error}); it was not changed"
        ) from error


def _record(episode: Episode, recorder: Recorder) -> None:
    recorder.begin_episode(episode.info)
    for start in range(0, episode.n_steps, BLOCK_ROWS):
        columns = {name: episode.rows(name, start, start + BLOCK_ROWS) for name in episode.columns}
        for row in range(len(columns["time_ns"])):
            values: dict[str, Any] = {name: column[row] for name, column in columns.items()}
            metrics = {metric.name: values.pop(metric.name) for metric in episode.task.metrics}
            # Arrays of one row fit their columns, whatever a Step would rather have.
            recorder.append(Step(metrics=metrics, **values))
    recorder.end_episode("complete" if episode.status == "complete" else "aborted")
    if episode.rejected:
        recorder.reject_episode()


def _give_name(copy: Path, target: Path) -> None:
    try:
        rename_without_overwriting(copy, target)
        sync_folder(target.parent)
    except FileExistsError as error:
        raise RecordingExistsError(f"{target} exists by now and was left as it is") from error
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}; nothing was changed") from error
