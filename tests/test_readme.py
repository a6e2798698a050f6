"""README is executed: every block it shows must work as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHORT = {
    "play": "--driver simulated --headless --episodes 1 --steps 10",
    "session": "--driver simulated --headless --steps 20 --practice 1 --calibration 2 --exploration 2 --evaluation 1",
    "train": "--iterations 25",
}
"""What makes the experimenter's day short and does without a person."""


def blocks(marker: str) -> list[str]:
    """Return the code of the fenced blocks that follow a marker comment."""
    return re.findall(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, re.DOTALL)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command with `racer` and `python` being this installation's."""
    tools = folder / "bin"
    if not tools.exists():
        tools.mkdir()
        script = tools / "racer"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m racer.cli "$@"\n')
        script.chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_experimenters_day_runs_line_by_line_and_ends_in_a_report(tmp_path: Path) -> None:
    day = README.split("## The experimenter's day")[1]
    lines = re.search(r"```sh\n(.*?)```", day, re.DOTALL)
    assert lines is not None
    output = ""
    for line in lines[1].strip().splitlines():
        command = line.partition("#")[0].strip()
        result = run(f"{command} {SHORT.get(command.split()[1], '')}", tmp_path)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        output = result.stdout
    assert "RM-ANOVA" in output
    assert "p01, p02" in output


def test_the_example_driver_drives(tmp_path: Path) -> None:
    code = re.findall(r"<!-- file: (\w+\.py) -->\n```python\n(.*?)```", README, re.DOTALL)
    assert [name for name, _ in code] == ["mydrivers.py"]
    for name, text in code:
        (tmp_path / name).write_text(text)
    commands = blocks("run")
    assert len(commands) == 1
    result = run(commands[0], tmp_path)
    assert result.returncode == 0, result.stderr
    assert "20 steps" in result.stdout


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(code: str, tmp_path: Path) -> None:
    start = "racer session start p01 --protocol pilot " + SHORT["session"]
    assert run(start, tmp_path).returncode == 0
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip(), "an example that prints nothing shows nothing"


def test_the_demo_runs_from_start_to_report_without_a_display(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [sys.executable, "-m", "racer.cli", "demo"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "pico closes" in result.stdout
