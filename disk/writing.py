"""The one way out: a file or folder appears under its name whole, on the device, or not at all.

    write_whole(path, data)
    with whole_folder(out) as folder:
        ...

Everything is made beside its place, under a hidden random name that nobody can have taken or linked before, and renamed
when it is whole. Nothing is ever written through a link. Whoever makes something holds a lock on it, which the
operating system gives back when the process ends, however it ends: what a killed process left is known by that, and the
next that writes to the folder removes it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from disk.reading import NotPlainError

try:
    import fcntl
except ImportError:  # Windows: what a killed process left cannot be told there from what is being made
    fcntl = None  # type: ignore[assignment]

_UNFINISHED = re.compile(r"\.racer-[0-9a-f]{16}\.unfinished(\.\w{1,20})?", re.ASCII)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_swept: set[str] = set()


def write_whole(path: Path, data: bytes, *, overwrite: bool = True) -> None:
    """Write a file; see `whole_file`.

    Raises:
        FileExistsError: If the name is taken and nothing is to be overwritten.
        OSError: If the disk refuses; what was there before is as it was.
    """
    with whole_stream(path, overwrite=overwrite) as file:
        file.write(data)


@contextmanager
def whole_stream(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Give a file to write to; see `whole_file`."""
    with whole_file(path, overwrite=overwrite) as fresh, fresh.open("r+b") as file:
        yield file


@contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give the name of an empty file to write, which takes the name `path` when the block has ended well.

    It has the same ending, which some writers look at. Its folder must be there.

    Args:
        path: Where it goes. A link there is replaced, and what it leads to stays as it is.
        overwrite: Whether to replace a file that has the name.

    Raises:
        FileExistsError: If the name is taken and nothing is to be overwritten.
        OSError: If the disk refuses.
    """
    sweep_once(path.parent)
    fresh = _unfinished(path)
    file = FileIO(fresh, "r+", opener=lambda name, flags: os.open(name, _NEW, 0o666))
    try:
        hold(file.fileno())
        yield fresh
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(fresh, follow_symlinks=False)):
            raise NotPlainError("something else took the place of what was being written")
        os.fsync(file.fileno())
        if os.name == "nt":  # it renames no file that is open
            file.close()
        if overwrite:
            os.replace(fresh, path)
        else:
            rename_without_overwriting(fresh, path)
        sync_folder(path.parent)
    finally:
        file.close()
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the name `path` when the block has ended well, and goes otherwise.

    Raises:
        FileExistsError: If the name is taken, when the block has ended.
        OSError: If the disk refuses.
    """
    with scratch_folder(path.parent) as fresh:
        yield fresh
        for place, _, names in os.walk(fresh):
            for name in names:
                _sync(Path(place) / name)
            sync_folder(Path(place))
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(fresh, path)
        sync_folder(path.parent)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give an empty hidden folder that goes when the block has ended.

    Raises:
        OSError: If the disk refuses.
    """
    sweep_once(parent)
    fresh = _unfinished(parent / "scratch")
    fresh.mkdir()
    descriptor = os.open(fresh, os.O_RDONLY) if fcntl else None
    try:
        if descriptor is not None:
            hold(descriptor)
        yield fresh
    finally:
        if descriptor is not None:
            os.close(descriptor)
        shutil.rmtree(fresh, ignore_errors=True)


def open_new(path: Path) -> FileIO:
    """Open a file that must not be there yet, for writing, unbuffered: in a folder that appears whole.

    Raises:
        FileExistsError: If the name is taken, by a link as well.
        OSError: If it cannot be made.
    """
    return FileIO(path, "x", opener=lambda name, flags: os.open(name, _NEW, 0o666))


def open_to_append(path: Path) -> FileIO:
    """Open a file to write at its end, unbuffered; made if missing, and never through a link.

    Raises:
        NotPlainError: If it is no plain file.
        OSError: If it cannot be opened.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path, follow_symlinks=False).st_mode):
            raise NotPlainError("it is no plain file")
    return FileIO(path, "a", opener=lambda name, flags: os.open(name, _APPEND, 0o666))


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of the data to an unbuffered file.

    Raises:
        OSError: If the disk refuses; part of them may have been written.
    """
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def rename_without_overwriting(source: Path, target: Path) -> None:
    """Give a file another name in the same folder.

    Raises:
        FileExistsError: If the name is taken.
        OSError: If the file system refuses.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        if not os.path.samestat(os.lstat(source), os.lstat(target)):
            raise
        os.unlink(source)  # what an earlier attempt did not come to
    except (OSError, NotImplementedError):
        # No hard links here (FAT, some network drives): claim the name first, then replace our own empty file.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(source, target)
        except OSError:
            os.unlink(target)
            raise
    else:
        os.unlink(source)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder have reached the device, where the system can do that."""
    if os.name == "posix":
        _sync(folder)


def hold(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder for as long as it is open; return whether that was possible.

    Args:
        descriptor: Of what is open.
        shared: Whether others may read meanwhile. The lock is advisory: whoever asks for one, as HDF5 does, learns of
            it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def left_over(path: Path) -> bool:
    """Return whether something was being made here by a process that has ended."""
    if fcntl is None or not _UNFINISHED.fullmatch(path.name):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return hold(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder; what cannot be removed stays."""
    try:
        left = [path for path in folder.iterdir() if left_over(path)]
    except OSError:
        return
    for path in left:
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def sweep_once(folder: Path) -> None:
    """Remove what killed processes left in a folder, once in the life of this process."""
    place = os.path.abspath(folder)
    if place not in _swept:
        _swept.add(place)
        sweep(folder)


def _unfinished(path: Path) -> Path:
    suffix = path.suffix if _UNFINISHED.fullmatch(f".racer-{'0' * 16}.unfinished{path.suffix}") else ""
    return path.with_name(f".racer-{secrets.token_hex(8)}.unfinished{suffix}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
