"""What a session runs on: versions, commit, platform."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from racer import __version__
from racer.tasks.task import TaskSpec

_PACKAGES = ("torch", "numpy", "gymnasium", "box2d", "pygame-ce", "pillow", "h5py", "safetensors")


def software(task: TaskSpec | None = None) -> dict[str, str]:
    """Return the versions of Racer, Python and the packages that decide what is seen, the platform and the commit.

    Args:
        task: Names the packages that decide what it comes to.
    """
    found = {"racer": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in dict.fromkeys((*_PACKAGES, *(task.software if task else ()))):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    found["git_commit"] = _git_commit()
    return found


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
