"""A session that loses its display or its terminal ends in order: its recording is closed and noted."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from desk import open_screen, run_racer

import sessions
from sessions.ledger import read_ledger


def steps(folder: Path) -> int:
    """Return the steps on disk of the session that runs."""
    with suppress(sessions.RecordingError):
        for path in sessions.find_recordings(folder):
            with sessions.open(path) as session:
                return session.count_steps()
    return 0


@contextmanager
def driving(folder: Path) -> Iterator[tuple[ExitStack, subprocess.Popen[str]]]:
    """Run a session in a window until it has recorded a step; give its X server, which lives until closed, and it."""
    words = ("session", "start", "p01", "--driver", "simulated", "--practice", "0", "--exploration", "0")
    with ExitStack() as living:
        screen = living.enter_context(open_screen())
        with run_racer(screen, folder, *words) as process:
            deadline = time.monotonic() + 60
            while not steps(folder / "recordings"):
                assert process.poll() is None and time.monotonic() < deadline, "it never drove"
            yield living, process


def assert_closed(folder: Path) -> Path:
    """Fail unless there is one recording, aborted, sealed, readable and noted; return it."""
    (path,) = sessions.find_recordings(folder)
    assert path.suffix == ".h5"
    with sessions.open(path) as session:
        assert (session.status, session.seal != "") == ("aborted", True)
        assert session.count_steps() > 0
    ledger = read_ledger(path.parent)
    assert ledger is not None
    assert len(ledger.held) == 1
    return path


@pytest.mark.xvfb
def test_recording_is_closed_when_the_display_server_dies(tmp_path: Path) -> None:
    with driving(tmp_path) as (screen, process):
        screen.close()
        _, errors = process.communicate(timeout=60)
    path = assert_closed(tmp_path / "recordings")
    assert process.returncode == 2
    told = f"racer: the display is gone; what was recorded is saved in recordings/{path.name}: go on with --resume\n"
    assert errors == told


@pytest.mark.xvfb
def test_recording_is_closed_when_the_terminal_behind_a_window_is_closed(tmp_path: Path) -> None:
    with driving(tmp_path) as (_, process):
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    assert_closed(tmp_path / "recordings")
    assert (process.returncode, errors) == (130, "racer: interrupted; nothing that was recorded is lost\n")
