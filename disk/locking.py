"""Locks on files of their own and on folders, given back by the system when the process ends, however it ends.

    with FileLock(folder / "lock"):
        ...
    with alone(folder):
        ...

The file of a lock is a plain one, is never written to, and stays when the lock is given back. One that is empty may
have other names, as a snapshot of hard links gives it; any other may be somebody's file elsewhere.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from disk.writing import has_name, open_single

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POLL_S = 0.02
_HELD = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
FOLDER_PATIENCE_S = 60.0
"""Seconds to wait for a folder; whoever has it may be reading all recordings in it."""


class HeldError(Exception):
    """Somebody else holds the lock."""


class FolderHeldError(OSError):
    """A folder stayed locked."""

    def __init__(self, folder: Path, patience_s: float) -> None:
        super().__init__(errno.EAGAIN, f"another Racer command has kept {folder} locked for {patience_s:g} seconds")


@contextmanager
def alone(folder: Path, patience_s: float = FOLDER_PATIENCE_S) -> Iterator[None]:
    """Keep whoever else asks for the same folder waiting until the block has ended, where the system locks folders.

    Args:
        folder: That nobody has locked in this process: not even that one may lock it again.
        patience_s: Seconds to wait for whoever holds it.

    Raises:
        FolderHeldError: If somebody still does.
        OSError: If there is no such folder.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + patience_s
        while not _taken(descriptor):
            if time.monotonic() >= until:
                raise FolderHeldError(folder, patience_s)
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


class FileLock:
    """A lock that one process at a time, and in it one of these, can hold. Windows: the file's first byte; else flock.

    Args:
        path: The file; made if missing, in a folder that is there.
        rights: Of the file, such as 0o600; those of everything that is made in the folder if None.
    """

    def __init__(self, path: Path, rights: int | None = None) -> None:
        self._path = path
        self._rights = rights
        self._file: FileIO | None = None

    def acquire(self, patience_s: float = 0.0) -> Self:
        """Take the lock.

        Args:
            patience_s: Seconds to wait for whoever holds it.

        Raises:
            HeldError: If somebody else still does.
            NotPlainError: If the file is something else than a plain one, or has another name and is not empty.
            OSError: If it cannot be opened, or the file system has no locks.
        """
        until = time.monotonic() + patience_s
        while not self._try():
            if time.monotonic() >= until:
                raise HeldError(self._path)
            time.sleep(_POLL_S)
        return self

    def release(self) -> None:
        """Give the lock back, from processes forked meanwhile as well; nothing happens if it is not held."""
        file, self._file = self._file, None
        if file is not None:
            with file:
                _lock(file, False)

    def __enter__(self) -> Self:
        return self.acquire() if self._file is None else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _try(self) -> bool:
        with ExitStack() as opened:
            file = opened.enter_context(open_single(self._path, self._rights, linked=True))
            try:
                _lock(file, True)
            except OSError as error:
                if error.errno in _HELD:
                    return False
                raise
            # Whoever held it before may have removed it: then the next one locks another file of the name.
            if not has_name(file.fileno(), self._path):
                return False
            opened.pop_all()
            self._file = file
            return True


def _taken(descriptor: int) -> bool:
    """Return whether a folder was locked, or cannot be."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without such locks
        pass
    return True


def _lock(file: FileIO, take: bool) -> None:
    if sys.platform == "win32":
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK if take else msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB if take else fcntl.LOCK_UN)
