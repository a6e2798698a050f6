from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sessions.storage.folders import rename_without_overwriting


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
