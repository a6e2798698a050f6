"""What a folder from somebody else may hold besides files is refused, at once and without a byte of it read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from disk.reading import NotPlainError, open_plain, read_plain


def test_plain_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert read_plain(tmp_path / "a", 7) == b"content"
    with open_plain(tmp_path / "a") as file:
        assert file.read() == b"content"


def test_larger_file_than_is_believed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    with pytest.raises(NotPlainError, match="7 bytes is too large"):
        read_plain(tmp_path / "a", 6)


def test_file_that_grows_while_it_is_read_is_refused() -> None:
    # Its size is told as 0.
    with pytest.raises(NotPlainError, match="more than 10 bytes"):
        read_plain(Path("/proc/self/status"), 10)


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device", "socket"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        import socket

        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's name may have 107 characters
        try:
            socket.socket(socket.AF_UNIX).bind("a")
        finally:
            os.chdir(here)
    with pytest.raises(NotPlainError):
        open_plain(path)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_plain(tmp_path, 10)


def test_link_is_followed_within_its_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "real").write_bytes(b"content")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "inside").symlink_to("below/real")
    (folder / "outside").symlink_to("../secret")
    (folder / "twice").symlink_to("outside")
    (folder / "loop").symlink_to("loop")
    assert read_plain(folder / "inside", 10) == b"content"
    for name in ("outside", "twice"):
        with pytest.raises(NotPlainError, match="link out of its folder"):
            read_plain(folder / name, 10)
    with pytest.raises(OSError, match=r"[Ss]ymbolic"):
        read_plain(folder / "loop", 10)
