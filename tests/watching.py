"""Who opens, makes and renames what in a folder while a command of Racer runs there, noted as it happens.

A command begins with `watching.begin(folder, notes)`; `watching.others(notes)` returns who went past the doors.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[1]
PACKAGES = tuple(f"{ROOT / name}{os.sep}" for name in ("compression", "disk", "racer", "sessions"))
PATHS = {"open": 1, "os.mkdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.truncate": 1}
"""How many paths come with each event of Python's that is looked at. What C libraries open by themselves has none."""
MAKING = re.compile(r"\.racer-[0-9a-f]{16}\.unfinished(\.\w+)?(/|$)", re.ASCII)
"""In what a door has made, and gives its name when it is whole."""
ALLOWED = {
    "open sessions/recorder.py _create": "a recording, new (O_EXCL)",
    "os.rename racer/report/write.py _replace": "what was made in a scratch_folder, and what it replaces",
}
"""Who may go past the doors, and to what."""


def begin(folder: Path, notes: Path) -> None:
    """Note from now on who touches a folder, each once, in this process."""
    place, seen = f"{folder.resolve()}{os.sep}", set[str]()
    out = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        for path in arguments[: PATHS.get(event, 0)]:
            if not isinstance(path, str | bytes | os.PathLike):
                continue
            path = os.path.abspath(os.fsdecode(path))
            if path.startswith(place) and not MAKING.search(path):
                line = f"{event} {_who(sys._getframe(1), place)}"
                if line not in seen:
                    seen.add(line)
                    os.write(out, f"{line}\n".encode())

    sys.addaudithook(watch)


def others(notes: Path) -> set[str]:
    """Return who went past the doors and may not.

    Raises:
        AssertionError: If nobody went through them: then nothing was watched.
    """
    lines = set(notes.read_text(encoding="utf-8").splitlines())
    theirs = {line for line in lines if line.split()[1].startswith("disk/")}
    assert theirs, "nothing was watched"
    return {line for line in lines - theirs - ALLOWED.keys() if not line.endswith((" the user", " an import"))}


def _who(frame: FrameType | None, place: str) -> str:
    """Return the nearest function that is Racer's; or the user's, whose code may open what it likes."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGES):
            return f"{Path(name).relative_to(ROOT).as_posix()} {frame.f_code.co_name}"
        if name.startswith(place):
            return "the user"
        if "importlib" in name:
            return "an import"
        frame = frame.f_back
    return "nobody"
