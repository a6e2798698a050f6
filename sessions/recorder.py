"""The recorder: one session into one HDF5 file that stays readable whatever happens to the process or the disk.

    with Recorder(Path("recordings"), info) as recorder:
        recorder.begin_episode(episode_info)
        recorder.append(step)                      # at every step
        recorder.end_episode("complete")
        path = recorder.close("complete")

Rows are held in memory, written in blocks, and committed twice a second and at every end of an episode. Where the
disk refuses a commit, the rows stay in memory and a `StorageWaitError` says so; `retry` commits them once it can.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from disk.writing import make_folder, open_new, rename_without_overwriting, sync_folder
from sessions.attributes import encode_info
from sessions.errors import RecordingError, RecordingExistsError, StorageError, StorageWaitError, reason_of
from sessions.names import PARTIAL_SUFFIX, SUFFIX, recording_name
from sessions.rows import EpisodeRows, TableRows
from sessions.schema import (
    ANSWER_CHUNK,
    ANSWER_DTYPE,
    EVENT_CHUNK,
    EVENT_DTYPE,
    MENDED,
    MOST_EPISODES,
    ROW_MEANING,
    SCHEMA_VERSION,
    EndStatus,
    EpisodeInfo,
    SessionInfo,
    Step,
    check_end,
    episode_name,
)
from sessions.seal import ATTRIBUTE, Chain
from sessions.storage.interrupts import interrupts_held
from sessions.storage.staging import StagedFile

FLUSH_NS = 500_000_000
"""Nanoseconds after which rows held in memory are put on disk: with a slow step and a slow disk on top, a process that
is killed still loses less than a second."""


class Recorder:
    """Writes one recording. A context manager: closes as complete, or as aborted when an exception passes.

    Args:
        folder: Where recordings are kept; made if missing.
        info: About the session.
        clock: Monotonic nanoseconds; decides when rows are flushed.
        keep_frames: Whether steps carry frames, to be kept losslessly (about 2 kB each of CarRacing).
        in_background: Whether a thread commits while an episode runs: `append`, `event` and `answer` then never wait
            for the disk, and say that it refused one call later. A disk that takes long delays the next commit.
        durable: Whether what is written waits for the device; not where the file is one to be read and thrown away.
        on_whole: Told of the file at `path` when every byte of it is on the device and was read back, before it gets
            its name; told again where that is tried again.
        make_file: Makes the file that is written: one that was not there, to read and write, unbuffered.

    Raises:
        RecordingExistsError: If the file or its `.partial` exists.
        StorageError: If the file cannot be made; nothing is left of it then.
        StorageWaitError: In every method but `event`, if the disk refuses for now, or the file is not as it was left
            and cannot be made whole from memory; call `retry` when that may have changed, before anything else.
        ValueError: If `info` cannot be stored.
    """

    path: Path
    """The file being written: `.h5.partial`."""
    final_path: Path
    """Its name once closed: `.h5`."""

    def __init__(
        self,
        folder: Path,
        info: SessionInfo,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        keep_frames: bool = False,
        in_background: bool = False,
        durable: bool = True,
        on_whole: Callable[[Path], None] = lambda path: None,
        make_file: Callable[[Path], FileIO] = open_new,
    ) -> None:
        attributes = encode_info(info)
        name = recording_name(info.participant, info.protocol, info.created, info.session_id)
        self.final_path = folder / name
        self.path = folder / (name.removesuffix(SUFFIX) + PARTIAL_SUFFIX)
        self._task = info.task
        self._chain = Chain(info)
        self._rejected: set[int] = set()
        self._clock = clock
        self._keep_frames = keep_frames
        self._in_background, self._durable = in_background, durable
        self._on_whole = on_whole
        self._episodes = self._steps = 0
        self._episode: EpisodeRows | None = None
        self._last_episode: EpisodeRows | None = None
        self._flushed_ns = clock()
        self._failure: RecordingError | None = None
        # Sealed: HDF5 has finished with the file, which is complete but for a commit and its name.
        self._sealed = self._closed = False
        with interrupts_held():
            self._staged = self._create(make_file)
            # The oldest format whose structures carry checksums, and one that every HDF5 since 2008 reads.
            self._file = h5py.File(self._staged, "w", libver=("v108", "v108"))
            try:
                with self._storing():
                    self._write_header(attributes)
            except StorageWaitError as error:
                self.abandon()
                raise StorageError(str(error)) from error

    def begin_episode(self, info: EpisodeInfo) -> None:
        """Start the next episode, once the one before has reached the device.

        Raises:
            RuntimeError: If one is running or the recording is closed.
            ValueError: If `info` cannot be stored or there are MOST_EPISODES already.
        """
        self._check_open()
        if self._episode is not None:
            raise RuntimeError("end the running episode first")
        if self._episodes == MOST_EPISODES:
            raise ValueError(f"a recording has at most {MOST_EPISODES} episodes")
        with self._storing():
            name = episode_name(self._episodes)
            self._episode = EpisodeRows(self._file["episodes"], name, info, self._task, self._keep_frames)
            self._episodes += 1
            self._staged.wait()
            self._raise_failure()

    def append(self, step: Step) -> None:
        """Record a step of the running episode. Takes microseconds, and a millisecond or two when a flush is due.

        Raises:
            RuntimeError: If no episode is running.
            ValueError: If a value does not fit its column; the step is not recorded.
        """
        self._running_episode().append(step)
        self._flush_if_due()

    def end_episode(self, status: EndStatus) -> None:
        """End the running episode and wait until it has reached the device; `in_background`, the next call waits.

        Raises:
            RuntimeError: If no episode is running.
            ValueError: If the status is another.
        """
        check_end(status)
        episode = self._running_episode()
        with self._storing():
            self._end(episode, status)
            self._staged.wait()
            self._flush(wait=not self._in_background)

    def reject_episode(self) -> None:
        """Flag the last episode, which has ended, as rejected: it stays in the file and is driven again.

        Raises:
            RuntimeError: If an episode is running or none has ended.
        """
        self._check_open()
        if self._episode is not None or self._last_episode is None:
            raise RuntimeError("only an episode that has ended can be rejected")
        with self._storing():
            self._last_episode.reject()
            self._rejected.add(self._episodes - 1)
            self._flush()

    def event(self, kind: str, detail: str, time_ns: int, episode: int, step: int) -> None:
        """Record an event; see `Event` for the limits. A disk that refuses waits for the next step or answer to say so.

        What happens while `close` is tried again comes too late to be recorded.

        Raises:
            ValueError: If a text is too long or holds a NUL.
        """
        self._check_open()
        self._events.append(time_ns, episode, step, kind, detail)
        with suppress(StorageWaitError):
            self._flush_if_due()

    def answer(self, item: str, answer: str, time_ns: int) -> None:
        """Record the answer to a questionnaire item; see `Answer` for the limits.

        Raises:
            ValueError: If a text is too long or holds a NUL.
        """
        self._check_open()
        self._answers.append(time_ns, item, answer)
        self._flush_if_due()

    def close(self, status: EndStatus) -> Path:
        """Put everything on the device, read it back, drop `.partial` from the name and return the final path.

        An episode that still runs ends as aborted. Closing again changes nothing.

        Raises:
            RecordingExistsError: If a file has taken the final name meanwhile; the recording is complete at `path`.
            StorageWaitError: If something else has changed it since the last event could tell so, too.
            ValueError: If the status is another.
        """
        check_end(status)
        if self._closed:
            return self.final_path
        self._check_open()
        with self._storing():
            if not self._sealed:
                if self._episode is not None:
                    self._end(self._episode, "aborted")
                self._flush()  # while an event can still tell what of the file had to be made good
                self._file.attrs["status"] = status
                self._write_rows()
                events, answers = self._events.digest, self._answers.digest
                self._file.attrs[ATTRIBUTE] = self._chain.close(status, events, answers, self._rejected)
                self._file.close()
                self._staged.check()
                self._sealed = True
            if not self._staged.closed:
                self._commit()
                self._staged.read_back()
                if mends := self._staged.take_mends():
                    raise StorageWaitError(
                        f"{self.path}: {mends[0]}; all is in it: close or repair it to give it its name"
                    )
                self._on_whole(self.path)
            if os.name == "nt":  # it renames no file that is open; elsewhere an open one can still be written anew
                self._staged.close()
            rename_without_overwriting(self.path, self.final_path)
            self._closed = True
            self._staged.close()
            sync_folder(self.path.parent)
        return self.final_path

    def retry(self) -> None:
        """Try again what a StorageWaitError stopped; `close` is called again by whoever called it.

        Raises:
            StorageWaitError: If the disk still refuses.
        """
        self._check_open()
        with self._storing():
            if not self._sealed:
                self._flush()
            elif not self._staged.closed:
                self._commit()

    def abandon(self) -> None:
        """Let go of the file as it was committed last: what is still in memory is lost."""
        self._closed = True
        if not self._sealed:
            with interrupts_held(), suppress(OSError, RuntimeError, MemoryError):
                self._file.close()
        self._staged.close()
        if not self._staged.committed:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._closed or self._failure:
            return
        if isinstance(error, StorageWaitError):
            self.abandon()
        else:
            self.close("complete" if error is None else "aborted")

    def _create(self, make_file: Callable[[Path], FileIO]) -> StagedFile:
        """Make the empty file, never over another one."""
        if os.path.lexists(self.final_path) or os.path.lexists(self.path):
            raise RecordingExistsError(
                f"{self.final_path} exists already and was left as it is: start the session again to get a new name"
            )
        try:
            make_folder(self.path.parent)
            return StagedFile(make_file(self.path), self._durable)
        except OSError as error:
            raise StorageError(
                f"cannot create {self.path}: {error.strerror}; nothing was recorded: choose another folder"
            ) from error

    def _write_header(self, attributes: dict[str, Any]) -> None:
        """Make the file open from its first commit on."""
        self._file.attrs["schema_version"] = np.int64(SCHEMA_VERSION)
        self._file.attrs["status"] = "running"
        self._file.attrs.update(attributes)
        self._file.create_group("episodes").attrs["row"] = ROW_MEANING
        self._events = TableRows(self._file, "events", EVENT_DTYPE, EVENT_CHUNK)
        self._answers = TableRows(self._file, "answers", ANSWER_DTYPE, ANSWER_CHUNK)
        self._flush()
        sync_folder(self.path.parent)

    def _flush_if_due(self) -> None:
        if self._sealed:
            return
        full = self._events.full or self._answers.full or (self._episode is not None and self._episode.full)
        if full or self._clock() - self._flushed_ns >= FLUSH_NS:
            with self._storing():
                self._flush(wait=not self._in_background)
        elif self._staged.failure is not None:
            with self._storing():
                self._raise_failure()

    def _flush(self, *, wait: bool = True) -> None:
        self._write_rows()
        self._file.flush()
        self._staged.check()
        if wait:
            self._commit()
        else:
            self._raise_failure()
            self._staged.commit_in_background(self._steps)
            self._flushed_ns = self._clock()

    def _end(self, episode: EpisodeRows, status: EndStatus) -> None:
        episode.set_status(status)
        self._write_rows()
        self._chain.add_episode(episode.info, status, episode.steps, episode.digests)
        self._last_episode, self._episode = episode, None

    def _write_rows(self) -> None:
        if self._episode is not None:
            self._steps += self._episode.write()
        for mend in self._staged.take_mends():
            latest = self._episode or self._last_episode
            self._events.append(self._clock(), max(self._episodes - 1, 0), latest.steps if latest else 0, MENDED, mend)
        self._events.write()
        self._answers.write()

    def _commit(self) -> None:
        try:
            self._staged.commit(self._steps)
        except OSError as error:
            raise StorageWaitError(self._explain(error)) from error
        self._flushed_ns = self._clock()

    def _raise_failure(self) -> None:
        """Say what stopped the last commit in the background."""
        error = self._staged.failure
        if isinstance(error, OSError):
            raise StorageWaitError(self._explain(error)) from error
        if error is not None:
            raise error

    def _running_episode(self) -> EpisodeRows:
        self._check_open()
        if self._episode is None:
            raise RuntimeError("begin an episode first")
        return self._episode

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise RuntimeError("the recording is closed")

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Keep signals out of HDF5, and end the recording where HDF5 itself fails: its caches do not recover."""
        with interrupts_held():
            try:
                yield
            except FileExistsError as error:
                self._failure = RecordingExistsError(
                    f"{self.final_path} exists already and was left as it is; the recording is complete in "
                    f"{self.path}: rename it by hand"
                )
                self.abandon()
                raise self._failure from error
            except (OSError, RuntimeError, MemoryError, LookupError) as error:
                if self._sealed and isinstance(error, OSError):
                    raise StorageWaitError(self._explain(error)) from error
                self._failure = StorageError(self._explain(self._staged.broken or error))
                self.abandon()
                raise self._failure from error

    def _explain(self, error: Exception) -> str:
        flushed = f"the {self._staged.mark} steps flushed before"
        if not self._staged.committed:
            safe = "nothing was recorded: make room and start again"
        elif self._staged.in_place:
            safe = f"{flushed} stay readable in it: make room and start a new session"
        else:
            safe = f"{flushed} are not safe: put the file back as it was, or start a new session"
        return f"cannot write {self.path}: {reason_of(error)}; {safe}"
