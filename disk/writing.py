"""The one way out: a file or folder appears under its name whole, on the device, or not at all.

    write_whole(path, data)
    with whole_folder(out) as folder:
        ...

Everything is made beside its place, under a hidden random name that nobody can have taken or linked before, and renamed
when it is whole. Nothing is ever written through a link. Whoever makes something holds a lock on it, which the
operating system gives back when the process ends, however it ends: what a killed process left is known by that, and the
next that writes to the folder removes it.

Nobody but its owner may read what is made, and a group in whose folder it is made: a folder that the group may write
to. Windows keeps to the rights of the folder.
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
_SINGLE = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)
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
    fresh, file = _new_file(path)
    try:
        yield fresh
        if not has_name(file.fileno(), fresh):
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
    fresh, descriptor = _new_folder(parent)
    try:
        yield fresh
    finally:
        if descriptor is not None:
            os.close(descriptor)
        shutil.rmtree(fresh, ignore_errors=True)


def open_new(path: Path) -> FileIO:
    """Make a file that must not be there yet, to read and write, unbuffered: one that need not appear whole.

    Raises:
        FileExistsError: If the name is taken, by a link as well.
        OSError: If it cannot be made.
    """
    return FileIO(path, "x+", opener=lambda name, flags: os.open(name, _NEW, _mode(path.parent)))


def make_folder(path: Path) -> None:
    """Make a folder, and those above it; one that is there stays as it is.

    Raises:
        OSError: If it cannot be made, or is something else.
    """
    for each in (*reversed(path.parents), path):
        if not each.is_dir():
            each.mkdir(_mode(each.parent, 0o700), exist_ok=True)


def open_to_append(path: Path) -> FileIO:
    """Open a file to write at its end, unbuffered; see `open_single`."""
    return open_single(path, append=True)


def open_single(
    path: Path, rights: int | None = None, *, append: bool = False, make: bool = True, linked: bool = False
) -> FileIO:
    """Open a file to read and write, unbuffered, never through a link.

    Args:
        path: A file that has no other name: whoever made a second one elsewhere (hard link) would see it changed.
        rights: It gets these, if they are its owner's to give; if None, those of everything that is made here.
        append: Whether everything is written at its end.
        make: Whether it is made if missing.
        linked: Whether it may have other names while it is empty; its rights then stay as they are.

    Raises:
        NotPlainError: If it is not a plain file, or has other names.
        OSError: If it cannot be opened.
    """
    with suppress(*[FileNotFoundError] * make):
        found = os.stat(path, follow_symlinks=False)
        if found.st_nlink > 1:  # as a process leaves it that is killed while it gives a file its name
            sweep(path.parent)
            found = os.stat(path, follow_symlinks=False)
        _refuse_shared(found, linked)
    flags = _SINGLE | os.O_APPEND if append else _SINGLE
    mode = _mode(path.parent) if rights is None else rights
    file = FileIO(path, "a+" if append else "r+", opener=lambda name, _: os.open(name, flags, mode))
    try:
        found = os.fstat(file.fileno())
        _refuse_shared(found, linked)
        if rights is not None and os.name == "posix" and found.st_nlink == 1:
            with suppress(PermissionError):  # somebody else's
                os.fchmod(file.fileno(), rights)
    except BaseException:
        file.close()
        raise
    return file


def _refuse_shared(found: os.stat_result, linked: bool) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotPlainError("it is a link, which Racer does not follow")
    if not stat.S_ISREG(found.st_mode):
        raise NotPlainError("it is not a plain file")
    if found.st_nlink > 1 and not (linked and found.st_size == 0):
        raise NotPlainError("it has another name (hard link), perhaps elsewhere")


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
    if os.name == "nt":
        os.rename(source, target)
        return
    try:
        os.link(source, target)
    except FileExistsError:
        if not os.path.samestat(os.lstat(source), os.lstat(target)):
            raise
        os.unlink(source)  # what an earlier attempt did not come to
    except (OSError, NotImplementedError):
        # No hard links here (FAT, some network drives): claim the name first, then replace our own empty file.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _mode(target.parent)))
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


def hold(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file or folder for as long as it is open; return whether that was possible.

    Args:
        descriptor: Of what is open.
        shared: Whether others may read meanwhile. The lock is advisory: whoever asks for one, as HDF5 does, learns of
            it.
        wait: Whether to wait for whoever holds it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def left_over(path: Path) -> bool:
    """Return whether something was being made here by a process that has ended."""
    with _ownerless(path) as left:
        return left


@contextmanager
def _ownerless(path: Path) -> Iterator[bool]:
    """Tell whether the process that was making this has ended; if so, keep others from beginning until the block has
    ended."""
    if fcntl is None or not _UNFINISHED.fullmatch(path.name):
        yield False
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        yield hold(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder; what cannot be removed stays."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    for path in paths:
        with _ownerless(path) as left, suppress(OSError):
            if left and path.is_dir():
                shutil.rmtree(path)
            elif left:
                path.unlink()


def sweep_once(folder: Path) -> None:
    """Remove what killed processes left in a folder, once in the life of this process."""
    place = os.path.abspath(folder)
    if place not in _swept:
        _swept.add(place)
        sweep(folder)


def _new_file(path: Path) -> tuple[Path, FileIO]:
    """Make a file to be renamed to `path`, and hold it."""
    while True:
        fresh = _unfinished(path)
        file = FileIO(fresh, "r+", opener=lambda name, flags: os.open(name, _NEW, _mode(path.parent)))
        try:
            hold(file.fileno(), wait=True)
            if has_name(file.fileno(), fresh):
                return fresh, file
        except BaseException:
            file.close()
            raise
        file.close()  # somebody took it for left over before it was held, and removed it


def _new_folder(parent: Path) -> tuple[Path, int | None]:
    """Make a hidden folder, and hold it where folders can be opened."""
    while True:
        fresh = _unfinished(parent / "scratch")
        fresh.mkdir(_mode(parent, 0o700))
        if not fcntl:
            return fresh, None
        try:
            descriptor = os.open(fresh, os.O_RDONLY)
        except FileNotFoundError:  # as above
            continue
        try:
            hold(descriptor, wait=True)
            if has_name(descriptor, fresh):
                return fresh, descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def has_name(descriptor: int, path: Path) -> bool:
    """Return whether a name leads to what is open, itself and not through a link."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _mode(folder: Path, owners: int = 0o600) -> int:
    """Return the rights of what is made in a folder: its owner's, and the group's where that may write to it."""
    shared = os.name == "posix" and os.stat(folder).st_mode & stat.S_IWGRP
    return owners | owners >> 3 if shared else owners


def _unfinished(path: Path) -> Path:
    suffix = path.suffix if _UNFINISHED.fullmatch(f".racer-{'0' * 16}.unfinished{path.suffix}") else ""
    return path.with_name(f".racer-{secrets.token_hex(8)}.unfinished{suffix}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
