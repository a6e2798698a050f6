"""The errors this package raises; each message is one line for a person: what is wrong, what is safe, what to do."""

from __future__ import annotations


class RecordingError(Exception):
    """Base class: a recording cannot be made or read."""


class ParticipantNameError(RecordingError, ValueError):
    """A name cannot become part of a file name: letters, digits, `-` and `_` only, 1 to 64 of them."""


class RecordingExistsError(RecordingError):
    """A recording of that name exists already. Recordings are never overwritten."""


class StorageError(RecordingError):
    """The disk refused a write, and the recording is closed; the message says what of it is safe."""


class StorageWaitError(StorageError):
    """The disk refused a write for now. Nothing is lost while the recorder lives: `Recorder.retry` tries it again."""


class UnreadableRecordingError(RecordingError):
    """A file is missing, damaged, foreign, of a newer schema, or asks for something a recording never needs."""


def reason_of(error: Exception) -> str:
    """Return what went wrong in one line: what the system says, the error's own first line, or what kind it is."""
    if isinstance(error, MemoryError):
        return "out of memory"
    own = isinstance(error, OSError) and error.strerror
    return own or str(error).partition("\n")[0] or type(error).__name__
