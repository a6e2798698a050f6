"""What a session runs on: versions, commit, platform."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from racer import __version__
from racer.errors import RacerError
from racer.tasks.registry import make_task, task_names, task_package
from racer.tasks.task import TaskSpec

TASK_PACKAGE = "task_package"
"""Says which package, and which version of it, has the task."""
_PACKAGES = ("torch", "numpy", "gymnasium", "box2d", "pygame-ce", "pillow", "h5py", "safetensors")


def software(task: TaskSpec | None = None) -> dict[str, str]:
    """Return the versions of Racer, Python and the packages that decide what is seen, the platform and the commit.

    Args:
        task: Names the packages that decide what it comes to, and says how it is drawn.
    """
    found = {"racer": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in dict.fromkeys((*_PACKAGES, *(task.software if task else ()))):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    if task and (package := task_package(task.name)):
        found[TASK_PACKAGE] = package
    if task and task.drawing:
        found["drawing"] = task.drawing()
    found["git_commit"] = _git_commit()
    return found


def everything() -> dict[str, Any]:
    """Return `software()`, and how tasks are drawn that can be drawn in several ways, by their names."""
    drawing = {}
    for name in task_names():
        try:
            spec = make_task(name).spec
        except RacerError:
            continue  # of a package that cannot be used here
        if spec.drawing:
            drawing[name] = spec.drawing()
    return {**software(), "drawing": drawing}


@cache
def _git_commit() -> str:
    folder = Path(__file__).parent
    if not (folder.parent / ".git").exists():
        return ""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()
