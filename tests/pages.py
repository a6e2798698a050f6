"""Pages of the documentation, and what it takes to run what they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SHORT = """
from compression.fitting.config import PicoConfig

PicoConfig.iterations = 25
if __name__ == "__main__":
    from racer.cli import main

    main()
"""
FENCE = re.compile(r"(?:<!-- ([^\n]+?) -->\n)?```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    marker: str
    """What the comment before it says; empty where there is none."""
    language: str
    code: str

    @property
    def for_people(self) -> bool:
        """Whether it takes more than this machine to run it."""
        return self.marker.startswith("needs ")


def blocks(page: Path) -> list[Block]:
    return [Block(page, marker, language, code) for marker, language, code in FENCE.findall(page.read_text())]


def make_commands(folder: Path) -> None:
    """Make `racer` and `python` for a folder: this installation's; only that training is short."""
    (folder / "bin").mkdir()
    (folder / "bin" / "short.py").write_text(SHORT)
    for name, arguments in (("racer", f'"{folder}/bin/short.py"'), ("python", "")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)


def run(code: str, folder: Path) -> str:
    """Run shell code and return what it printed."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "OMP_NUM_THREADS": "1"}
    shell = ["bash", "-euo", "pipefail", "-c", code]
    result = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, f"{code}\n{result.stdout}{result.stderr}"
    return result.stdout


def install(project: dict[str, Any], folder: Path) -> None:
    """Say in a folder what an installer would of a project whose modules lie there."""
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in project["entry-points"].items()
    )
    (metadata / "entry_points.txt").write_text("\n".join(groups))
