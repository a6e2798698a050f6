"""README is executed: every block it shows must work as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import watching

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHORT = {
    "racer doctor": "--headless",
    "racer session start": "--driver simulated --headless",
    "racer session replay": "--help",
}
"""What makes the experimenter's commands do without a person."""
FEW = {"practice": 1, "calibration": 2, "exploration": 2, "evaluation": 1, "steps": 20}
"""Numbers for the study file that make its day short."""
WATCHED = """
from pathlib import Path

import watching

watching.begin(Path(__file__).parents[1], Path(__file__).parent / "notes")
if __name__ == "__main__":
    from racer.cli import main

    main()
"""
"""What `racer` is here: Racer, and notes of who touches which file."""
SESSION = "--driver simulated --headless --steps 20 --practice 1 --calibration 2 --exploration 2 --evaluation 1"


def blocks(marker: str) -> list[str]:
    """Return the code of the fenced blocks that follow a marker comment."""
    return re.findall(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, re.DOTALL)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command with `racer` and `python` being this installation's."""
    tools = folder / "bin"
    if not tools.exists():
        tools.mkdir()
        script = tools / "racer"
        (tools / "watched.py").write_text(WATCHED)
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tools}/watched.py" "$@"\n')
        script.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.long
def test_the_experimenters_day_and_the_care_of_recordings_run_line_by_line(tmp_path: Path) -> None:
    lines = [
        line.partition("#")[0].strip()
        for section in ("## The experimenter's day", "## Recordings")
        for line in re.findall(r"```sh\n(.*?)```", README.split(section)[1], re.DOTALL)[0].strip().splitlines()
    ]
    output = {}
    for line in lines:
        words = " ".join(line.split()[:3]) if line.split()[1] in ("session", "study") else " ".join(line.split()[:2])
        result = run(f"{line} {SHORT.get(words, '')}", tmp_path)
        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        output[words] = result.stdout
        if words == "racer study init":
            study = tmp_path / "demo" / "study.toml"
            text = study.read_text()
            for key, value in FEW.items():
                text = re.sub(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.MULTILINE)
            study.write_text(text)
    assert "participants  1 of 12: p01" in output["racer study status"]
    assert "demo/report.html" in output["racer study report"]
    assert (tmp_path / "demo" / "report.html").read_text().lower().startswith("<!doctype html>")
    assert ": verified" in output["racer session verify"]
    assert watching.others(tmp_path / "bin" / "notes") == set(), "files are opened and made through `disk` alone"


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
    start = "racer session start p01 --protocol pilot " + SESSION
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


@pytest.mark.long
def test_the_demo_runs_from_start_to_report_without_a_display(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [sys.executable, "-m", "racer", "demo"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "pico closes" in result.stdout
