"""A display server that dies ends a session in order: its recording is closed and noted."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
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


@pytest.mark.xvfb
def test_recording_is_closed_when_the_display_server_dies(tmp_path: Path) -> None:
    words = ("session", "start", "p01", "--driver", "simulated", "--practice", "0", "--exploration", "0")
    with ExitStack() as living:
        screen = living.enter_context(open_screen())
        with run_racer(screen, tmp_path, *words) as process:
            deadline = time.monotonic() + 60
            while not steps(tmp_path / "recordings"):
                assert process.poll() is None and time.monotonic() < deadline, "it never drove"
            living.close()
            _, errors = process.communicate(timeout=60)
    (path,) = sessions.find_recordings(tmp_path / "recordings")
    assert process.returncode == 2
    told = f"racer: the display is gone; what was recorded is saved in recordings/{path.name}: go on with --resume\n"
    assert errors == told
    with sessions.open(path) as session:
        assert (session.status, session.seal != "") == ("aborted", True)
        assert session.count_steps() > 0
    ledger = read_ledger(path.parent)
    assert ledger is not None
    assert len(ledger.held) == 1
