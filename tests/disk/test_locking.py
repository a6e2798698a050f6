from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import disk.locking
from disk.locking import FileLock, FolderHeldError, HeldError, alone
from disk.reading import NotPlainError
from disk.writing import scratch_folder

CHILD = """
import sys
from pathlib import Path
from disk.locking import FileLock
with FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time_holds_a_lock_and_it_can_be_taken_again(tmp_path: Path) -> None:
    lock, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    for _ in range(2):
        with lock, pytest.raises(HeldError):
            other.acquire()
        other.acquire().release()
    lock.release()


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, cwd=Path(disk.__file__).parents[1]) as child:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        with pytest.raises(HeldError):
            FileLock(path).acquire()
        child.kill()
        child.wait()
        FileLock(path).acquire(10.0).release()


@pytest.mark.skipif(os.name != "posix", reason="folders are not locked there")
def test_a_folder_that_this_very_process_has_locked_is_given_up_and_named(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        with pytest.raises(FolderHeldError) as refused, alone(folder, patience_s=0):
            pass
        assert refused.value.strerror == f"another Racer command has kept {folder} locked for 0 seconds"
    with alone(tmp_path, patience_s=0), pytest.raises(FolderHeldError), alone(tmp_path, patience_s=0):
        pass


def test_a_lock_that_was_given_back_is_free_in_what_was_forked_meanwhile(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock").acquire()
    held = os.dup(lock._file.fileno())  # type: ignore[union-attr]  # as a fork has it
    lock.release()
    with FileLock(tmp_path / "lock"):
        os.close(held)


def test_a_lock_whose_file_is_removed_while_it_is_taken_is_taken_on_the_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.touch()
    take: Callable[..., None] = disk.locking._lock

    def remove_before(file: object, taking: bool) -> None:
        monkeypatch.setattr(disk.locking, "_lock", take)
        path.unlink()
        take(file, taking)

    monkeypatch.setattr(disk.locking, "_lock", remove_before)
    with FileLock(path).acquire(10.0), pytest.raises(HeldError):
        FileLock(path).acquire()


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize(
    ("kind", "told"),
    [("link", "it is a link"), ("hard link", "another name"), ("pipe", "not a plain file"), ("folder", "not a plain")],
)
def test_only_a_plain_file_of_its_own_is_locked(tmp_path: Path, kind: str, told: str) -> None:
    outside, path = tmp_path / "outside", tmp_path / "lock"
    outside.write_bytes(b"precious")
    outside.chmod(0o640)
    {
        "link": lambda: path.symlink_to(outside),
        "hard link": lambda: os.link(outside, path),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()
    with pytest.raises(NotPlainError, match=told):
        FileLock(path, 0o666).acquire()
    assert outside.read_bytes() == b"precious"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="rights are the folder's there")
@pytest.mark.parametrize(("rights", "had"), [(None, 0o600), (0o666, 0o666)])
def test_the_file_has_the_rights_that_were_asked_for_and_what_is_in_it_stays(
    tmp_path: Path, rights: int | None, had: int
) -> None:
    (tmp_path / "old").write_bytes(b"precious")
    for name in ("old", "new"):
        FileLock(tmp_path / name, rights).acquire().release()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == had
    assert (tmp_path / "old").read_bytes() == b"precious"
