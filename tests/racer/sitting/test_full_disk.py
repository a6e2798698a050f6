"""A disk that fills up, refuses a name or loses the file while somebody drives: told, waited for, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import full_disk_child
import pytest
from full_disk_child import EPISODES, STEPS, TROUBLE_AT

import racer
import sessions
from racer.window.texts import english
from sessions.recorder import FLUSH_NS

CHILD = Path(full_disk_child.__file__)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, (Path(racer.__file__).parents[1], CHILD.parent))),
    "OMP_NUM_THREADS": "1",
}


def on_a_small_disk(
    tmp_path: Path, patience: str, driver: str = "person"
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Mount 1 MB of memory where only the child sees it, run it there, and copy out what it left."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare (util-linux)")
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    copy.mkdir()
    script = (
        'mount -t tmpfs -o size=1m tmpfs "$1" || exit 99; "$2" "$3" "$1" full "$5" "$6"; code=$?; '
        'rm -f "$1/ballast"; cp "$1"/* "$4"; exit $code'
    )
    arguments = ["sh", disk, sys.executable, CHILD, copy, patience, driver]
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    if result.returncode == 99 or result.stderr.startswith("unshare:"):
        pytest.skip(f"no private mounts here: {result.stderr.strip()[-200:]}")
    return result, copy


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder in which somebody else may make one, too."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o777)
        yield Path(name)


def assert_nothing_is_missing(folder: Path) -> list[tuple[str, str]]:
    """Fail unless the folder holds one whole recording; return its pauses."""
    (path,) = sessions.find_recordings(folder)
    assert path.suffix == ".h5"
    with sessions.open(path) as session:
        assert session.status == "complete"
        assert [(episode.status, episode.n_steps) for episode in session.episodes] == [("complete", STEPS)] * EPISODES
        events = session.events()
        keys = [event.detail for event in events if event.kind == "key_down"]
        assert keys == [f"f{number + 1}" for number in range(EPISODES * STEPS)]
        return [(event.kind, event.detail) for event in events if event.kind != "key_down"]


def test_session_waits_for_a_full_disk_and_goes_on_without_a_step_missing(tmp_path: Path) -> None:
    result, folder = on_a_small_disk(tmp_path, "mend")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"complete": True, "pages": [english().texts.disk_full_title]}
    assert assert_nothing_is_missing(folder) == [("pause", "storage"), ("resume", "storage")]


def test_session_given_up_on_a_full_disk_keeps_what_was_flushed_and_says_so_in_one_line(tmp_path: Path) -> None:
    result, folder = on_a_small_disk(tmp_path, "leave")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "No space left on device" in line
    (path,) = sessions.find_recordings(folder)
    with sessions.open(path) as session:
        assert session.status == "running"
        steps = sum(episode.n_steps for episode in session.episodes)
    assert f"the {steps} steps flushed before stay readable" in line
    assert TROUBLE_AT - FLUSH_NS // full_disk_child.STEP_NS <= steps <= TROUBLE_AT


def test_driver_of_ones_own_in_a_window_waits_and_one_without_ends_with_a_line(tmp_path: Path) -> None:
    for driver in ("windowed", "program"):
        (tmp_path / driver).mkdir()
    result, folder = on_a_small_disk(tmp_path / "windowed", "mend", "windowed")
    assert (result.returncode, result.stderr) == (0, "")
    assert assert_nothing_is_missing(folder) == [("pause", "storage"), ("resume", "storage")]
    result, _ = on_a_small_disk(tmp_path / "program", "mend", "program")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "stay readable" in line


@pytest.mark.skipif(os.name != "posix", reason="needs the rights of POSIX")
def test_recording_that_cannot_get_its_name_gets_it_once_it_can(shared_folder: Path) -> None:
    folder = shared_folder / "recordings"
    result = subprocess.run(
        [sys.executable, CHILD, folder, "read-only", "mend"], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"complete": True, "pages": [english().texts.disk_full_title]}
    assert assert_nothing_is_missing(folder) == []


def test_recording_that_is_deleted_while_somebody_drives_is_written_anew(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, CHILD, tmp_path / "recordings", "deleted", "mend"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"complete": True, "pages": []}
    told = ("mended", "the file was gone from its place, and was written there anew")
    assert assert_nothing_is_missing(tmp_path / "recordings") == [told]
