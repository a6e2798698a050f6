"""Real sessions, killed or interrupted in their own processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import racer
import sessions

ROOT = Path(racer.__file__).parents[1]
KILLS = 10
DRIVER = """
import os, sys

class Reporting:
    def __init__(self, seed):
        self._pipe = int(os.environ["REPORTS"])

    def reset(self):
        pass

    def act(self, frame):
        os.write(self._pipe, b".")
        return 0
"""


def environment(*folders: Path, **others: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *folders))), **others}


def test_killed_sessions_open_verify_repair_and_lack_less_than_a_second() -> None:
    script = ROOT / "scripts" / "proofs" / "prove_reliability.py"
    result = subprocess.run(
        [sys.executable, script, "--kills", str(KILLS), "--steps", "40", "--seed", "1", "--json"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert (result.returncode, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    assert summary["kills"] == KILLS
    assert summary["in_order"] == summary["sessions"]
    assert summary["ms_lost"]["max"] < 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_session_closes_its_recording_and_says_so_in_one_line(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "reporting.py").write_text(DRIVER)
    reading, writing = os.pipe()
    arguments = ["session", "start", "p01", "--headless", "--driver", "reporting:Reporting", "--data", "recordings"]
    with subprocess.Popen(
        [sys.executable, "-m", "racer", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[writing],
        env=environment(tmp_path, REPORTS=str(writing)),
        # Whoever runs the tests in the background has some of them ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as session:
        os.close(writing)
        driven = 0
        while driven < 130:
            driven += len(os.read(reading, 1))
        session.send_signal(number)
        while data := os.read(reading, 4096):
            driven += len(data)
        _, errors = session.communicate()
    os.close(reading)
    assert session.returncode == 130
    assert errors == "racer: interrupted; nothing that was recorded is lost\n"
    (path,) = sessions.find_recordings(tmp_path / "recordings")
    assert path.suffix == ".h5"
    with sessions.open(path) as recording:
        assert recording.status == "aborted"
        assert sum(episode.n_steps for episode in recording.episodes) in (driven - 1, driven)
        assert {episode.status for episode in recording.episodes[:-1]} == {"complete"}
