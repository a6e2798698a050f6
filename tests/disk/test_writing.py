from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from disk.writing import (
    hold,
    left_over,
    make_folder,
    open_new,
    open_to_append,
    rename_without_overwriting,
    scratch_folder,
    sweep,
    whole_file,
    whole_folder,
    write_whole,
)


def test_rename_gives_the_file_its_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("recording")
    rename_without_overwriting(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "recording"


def test_rename_that_was_cut_short_is_brought_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("recording")
    os.link(tmp_path / "a", tmp_path / "b")
    rename_without_overwriting(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_rename_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", _no_hard_links)
    (tmp_path / "a").write_text("recording")
    (tmp_path / "b").write_text("another")
    with pytest.raises(FileExistsError):
        rename_without_overwriting(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_text() == "recording"
    assert (tmp_path / "b").read_text() == "another"


def test_rename_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _no_hard_links)
    (tmp_path / "a").write_text("recording")
    rename_without_overwriting(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    with pytest.raises(FileNotFoundError):
        rename_without_overwriting(tmp_path / "a", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def _no_hard_links(source: Path, target: Path) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_whole(path, b"first")
    with pytest.raises(RuntimeError), whole_file(path, overwrite=True) as fresh:
        assert fresh.suffix == ".csv"
        fresh.write_bytes(b"half")
        raise RuntimeError
    assert names(tmp_path) == ["a.csv"]
    assert path.read_bytes() == b"first"
    with pytest.raises(FileExistsError):
        write_whole(path, b"second", overwrite=False)
    assert names(tmp_path) == ["a.csv"]
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError), whole_folder(out) as fresh:
        (fresh / "a").write_bytes(b"half")
        raise RuntimeError
    assert names(tmp_path) == []
    with whole_folder(out) as fresh:
        (fresh / "below").mkdir()
        (fresh / "below" / "a").write_bytes(b"whole")
        assert not out.exists()
    assert (out / "below" / "a").read_bytes() == b"whole"
    with pytest.raises(FileExistsError), whole_folder(out):
        pass
    assert names(tmp_path) == ["out"]


def test_link_in_the_place_of_what_is_written_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "a").symlink_to("outside")
    write_whole(tmp_path / "a", b"mine")
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert not (tmp_path / "a").is_symlink()


def test_something_that_takes_the_place_of_what_is_being_written_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    with pytest.raises(OSError, match="took the place"), whole_file(tmp_path / "a") as fresh:
        fresh.unlink()
        fresh.symlink_to(tmp_path / "outside")
    assert names(tmp_path) == ["outside"]


@pytest.mark.parametrize(
    ("kind", "told"), [("link", "it is a link"), ("hard link", "another name"), ("pipe", "not a plain file")]
)
def test_nothing_is_appended_through_a_link_or_to_a_pipe(tmp_path: Path, kind: str, told: str) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    if kind == "link":
        (tmp_path / "log").symlink_to("outside")
    elif kind == "hard link":
        os.link(tmp_path / "outside", tmp_path / "log")
    else:
        os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match=told):
        open_to_append(tmp_path / "log")
    assert (tmp_path / "outside").read_bytes() == b"precious"


def test_a_second_name_that_a_killed_process_left_is_removed_and_the_file_appended_to(tmp_path: Path) -> None:
    (tmp_path / f".racer-{'0' * 16}.unfinished.jsonl").write_bytes(b"a\n")
    os.link(tmp_path / f".racer-{'0' * 16}.unfinished.jsonl", tmp_path / "log.jsonl")
    with open_to_append(tmp_path / "log.jsonl") as file:
        file.write(b"b\n")
    assert names(tmp_path) == ["log.jsonl"]
    assert (tmp_path / "log.jsonl").read_bytes() == b"a\nb\n"


def test_what_is_appended_comes_after_what_is_there(tmp_path: Path) -> None:
    for line in (b"a\n", b"b\n"):
        with open_to_append(tmp_path / "log") as file:
            file.write(line)
    assert (tmp_path / "log").read_bytes() == b"a\nb\n"


KILLED = """
import sys
from contextlib import ExitStack
from pathlib import Path
from disk.writing import whole_file, whole_folder
with ExitStack() as stack:
    folder = stack.enter_context(whole_folder(Path("tables")))
    (folder / "people.csv").write_text("p01")
    stack.enter_context(whole_file(Path("a.mp4"))).write_text("p01")
    print("made", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_and_what_a_living_one_makes_stays(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "made\n"
        (tmp_path / ".racer-notes").touch()
        made = sorted(set(tmp_path.iterdir()) - {tmp_path / ".racer-notes"})
        assert len(made) == 2
        sweep(tmp_path)
        assert not any(map(left_over, made))
        assert all(path.exists() for path in made)
        child.send_signal(signal.SIGKILL)
    assert all(map(left_over, made))
    sweep(tmp_path)
    assert names(tmp_path) == [".racer-notes"]


@pytest.mark.skipif(os.name != "posix", reason="needs locks that end with the process")
def test_file_that_is_swept_before_its_writer_holds_it_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_and_sweep(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = os_open(path, flags, mode)
        if flags & os.O_CREAT:
            monkeypatch.setattr(os, "open", os_open)
            sweep(tmp_path)
        return descriptor

    os_open = os.open
    (tmp_path / "before").touch()
    with scratch_folder(tmp_path):  # the first writer's own sweep
        monkeypatch.setattr(os, "open", open_and_sweep)
        write_whole(tmp_path / "a", b"whole")
    assert os.open is os_open
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert names(tmp_path) == ["a", "before"]


@pytest.mark.skipif(os.name != "posix", reason="needs locks that end with the process")
def test_folder_that_is_swept_before_its_writer_holds_it_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_and_sweep(path: Path, mode: int) -> None:
        mkdir(path, mode)
        monkeypatch.setattr(Path, "mkdir", mkdir)
        sweep(tmp_path)

    mkdir = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", make_and_sweep)
    with whole_folder(tmp_path / "out") as fresh:
        (fresh / "a").write_bytes(b"whole")
    assert (tmp_path / "out" / "a").read_bytes() == b"whole"


@pytest.mark.skipif(os.name != "posix", reason="needs locks that end with the process")
def test_what_is_swept_is_held_until_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".racer-0123456789abcdef.unfinished"
    left.touch()
    held = []

    def unlink(path: Path) -> None:
        held.append(not left_over(path))
        os.unlink(path)

    monkeypatch.setattr(Path, "unlink", unlink)
    sweep(tmp_path)
    assert (held, names(tmp_path)) == ([True], [])


@pytest.mark.skipif(os.name != "posix", reason="needs locks that end with the process")
def test_writer_waits_for_whoever_is_removing_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(path: Path, other: int) -> None:
        os.unlink(path)
        os.close(other)

    def open_and_lose(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = os_open(path, flags, mode)
        if flags & os.O_CREAT:
            monkeypatch.setattr(os, "open", os_open)
            other = os_open(path, os.O_RDONLY)
            assert hold(other)
            Thread(target=remove, args=(path, other)).start()
        return descriptor

    os_open = os.open
    monkeypatch.setattr(os, "open", open_and_lose)
    write_whole(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_first_writer_to_a_folder_removes_what_was_left_there(tmp_path: Path) -> None:
    left = tmp_path / ".racer-0123456789abcdef.unfinished"
    left.mkdir()
    with scratch_folder(tmp_path) as scratch:
        assert names(tmp_path) == [scratch.name]
    assert names(tmp_path) == []


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps to the rights of the folder")
@pytest.mark.parametrize(("rights", "file", "folder"), [(0o755, 0o600, 0o700), (0o777, 0o660, 0o770)])
def test_what_is_made_is_its_owners_and_a_groups_in_whose_folder_it_is(
    tmp_path: Path, rights: int, file: int, folder: int
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(rights)
    before = os.umask(0)
    try:
        write_whole(place / "whole", b"")
        with whole_folder(place / "folder") as fresh:
            open_new(fresh / "inside").close()
        open_to_append(place / "appended").close()
        make_folder(place / "made" / "below")
    finally:
        os.umask(before)
    found = {path.relative_to(place).as_posix(): path.stat().st_mode & 0o777 for path in place.rglob("*")}
    files, folders = ("whole", "folder/inside", "appended"), ("folder", "made", "made/below")
    assert found == dict.fromkeys(files, file) | dict.fromkeys(folders, folder)
