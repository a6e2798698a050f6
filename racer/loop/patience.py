"""Recording that waits while the disk is full: whoever sits there is told, and goes on once there is room."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from racer.loop.display import EndSession, RedoEpisode
from sessions import EpisodeInfo, Recorder, Step, StorageWaitError

Status = Literal["complete", "aborted"]


class PatientRecorder:
    """A recorder whose calls come back once they are done, however long the disk refuses.

    Apart from the recorder, which knows files and neither windows nor whoever gives up: repairs, simulations and tests
    that must not wait take it as it is.

    Args:
        recorder: Does the work.
        wait: Called each time the disk refuses; returns when it may have room again. Raises EndSession to give up.
    """

    def __init__(self, recorder: Recorder, wait: Callable[[StorageWaitError], None]) -> None:
        self._recorder = recorder
        self._wait = wait
        self._given_up = False

    def begin_episode(self, info: EpisodeInfo) -> None:
        """See `Recorder.begin_episode`."""
        self._patiently(lambda: self._recorder.begin_episode(info))

    def append(self, step: Step) -> bool:
        """See `Recorder.append`; return whether time has passed because the disk refused."""
        return self._patiently(lambda: self._recorder.append(step))

    def end_episode(self, status: Status) -> None:
        """See `Recorder.end_episode`."""
        self._patiently(lambda: self._recorder.end_episode(status))

    def reject_episode(self) -> None:
        """See `Recorder.reject_episode`."""
        self._patiently(self._recorder.reject_episode)

    def event(self, kind: str, detail: str, time_ns: int, episode: int, step: int) -> None:
        """See `Recorder.event`."""
        self._recorder.event(kind, detail, time_ns, episode, step)

    def answer(self, item: str, answer: str, time_ns: int) -> None:
        """See `Recorder.answer`."""
        self._patiently(lambda: self._recorder.answer(item, answer, time_ns))

    def close(self, status: Status) -> None:
        """See `Recorder.close`."""
        self._patiently(lambda: self._recorder.close(status), lambda: self._recorder.close(status))

    def __enter__(self) -> Self:
        self._recorder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._recorder.__exit__(kind, error, traceback)

    def _patiently(self, call: Callable[[], object], retry: Callable[[], object] | None = None) -> bool:
        """Make a call and, as often as the disk refuses, wait and try again; return whether it was refused.

        Raises:
            StorageWaitError: If whoever sits there gave up; nothing is asked of them again.
        """
        waited = False
        while True:
            try:
                call()
                return waited
            except StorageWaitError as error:
                if self._given_up:
                    raise
                waited = True
                try:
                    self._wait(error)
                except RedoEpisode:
                    pass  # there is nowhere to drive it again before there is room
                except EndSession:
                    self._given_up = True
                    raise error from None
                call = retry or self._recorder.retry
