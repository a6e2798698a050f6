"""Put links, pipes, devices and the like in the place of files, and see what commands do to what lies outside. Linux.

python scripts/proofs/place_traps.py --traps 500

Each command runs once, and all paths that it opens, lists, makes or renames in its folder are noted. Then, in fresh
copies of that folder, a trap lies in one of these places: a link to a file, folder, pipe or device outside, to nothing,
to itself or to a folder above; a pipe, a device, a socket; another name (hard link) of a file outside, of anything or
of what belongs there; a folder for a file and a file for a folder. Whatever comes of the command, nothing outside may
be read through a link, or changed; nothing may wait for ten seconds more than three times what the command takes, nor
take 1 GB above what is loaded; and there is no traceback. Where a place cannot take a trap another is drawn, until as
many as were asked for are laid.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from forked_commands import load_everything, make_study, run  # type: ignore[import-not-found]
from kill_commands import MODEL, RATES, unfinish  # type: ignore[import-not-found]

import sessions
from racer.rates.results import RESULTS

HANG_S = 10.0
MEMORY_BYTES = 2**30
CODES = (0, 1, 2, 3)
MOST_TRIES = 3
"""For each trap that is asked for: some places cannot take some."""
PRECIOUS = b"precious"
NAMED, SHARED = "named", "shared"
"""What lies outside and has another name inside, which may be read: anything, and what was there."""
SITTING = ("--headless", "--driver", "simulated", "--practice", "0", "--calibration", "1", "--exploration", "1")
COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "list": (2, ("session", "list", "study/recordings")),
    "show": (2, ("session", "show", "{pilot}")),
    "verify": (2, ("session", "verify", "study", "--jobs", "1")),
    "start": (4, ("session", "start", "p09", "--data", "study/recordings", *SITTING, "--steps", "8")),
    "repair": (4, ("session", "repair", "study/recordings/killed.h5.partial")),
    "merge": (4, ("session", "merge", "desk", "--into", "all")),
    "withdraw": (5, ("session", "withdraw", "p02", "--data", "study/recordings", "--yes", "--traces")),
    "export": (3, ("session", "export", "study/recordings", "--to", "csv", "--out", "out")),
    "status": (2, ("study", "status", "study")),
    "init": (2, ("study", "init", "other")),
    "run": (1, ("study", "run", "study", "--jobs", "1", "--participants", "3")),
    "preregister": (3, ("study", "preregister", "study", "--late")),
    "seal": (3, ("study", "seal", "study", "--key", "key.pem")),
    "key": (1, ("study", "key", "another.pem")),
    "report": (1, ("study", "report", "study", "--out", "report.html")),
    "train": (1, ("train", "{pilot}", "--iterations", "25", "--out", "masks/new.safetensors")),
    "model train": (1, ("model", "train", *MODEL, "--batch", "16", "--jobs", "1", "--out", "model")),
    "rates": (1, ("rates", *RATES, "--out", "rates")),
}
"""How often each is drawn, and its words."""
_TOUCHING = {"open": (0,), "os.listdir": (0,), "os.scandir": (0,), "os.mkdir": (0,), "os.rename": (0, 1)}
_TOUCHING |= {"os.link": (0, 1), "os.remove": (0,), "os.rmdir": (0,)}


def places_of(folder: Path, words: tuple[str, ...]) -> tuple[list[str], float]:
    """Run a command to its end; return what it touches in its folder, and how long it takes."""
    notes = folder.parent / "notes"
    notes.write_bytes(b"")
    with notes.open("ab", buffering=0) as out:
        watching = [True]

        def note(event: str, arguments: tuple[Any, ...]) -> None:
            for place in _TOUCHING.get(event, ()) if watching else ():
                path = arguments[place]
                if isinstance(path, str | os.PathLike):
                    path = Path(os.path.abspath(path))
                    if path != folder and path.is_relative_to(folder) and not path.name.startswith(".racer-"):
                        out.write(f"{path.relative_to(folder)}\n".encode())

        sys.addaudithook(note)  # stays for good, in forks as well
        ended = run(folder, words)
        watching.clear()
    touched = sorted(set(notes.read_text(encoding="utf-8").splitlines()))
    places = [each for each in touched if not any(part.startswith(".racer-") for part in Path(each).parts)]
    if ended.code not in CODES or not places:
        raise SystemExit(f"{words} ends with {ended.code}: {ended.output}")
    return places, ended.seconds


def make_outside(folder: Path) -> None:
    """Make what is not to be touched."""
    (folder / "folder").mkdir(parents=True)
    for name in ("file", "folder/inner", NAMED):
        (folder / name).write_bytes(PRECIOUS)
    os.mkfifo(folder / "pipe")
    for path in (folder / "file", folder / "folder/inner"):
        os.utime(path, ns=(0, 1))  # whoever reads it leaves a trace


def look_at(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return what lies outside, and when it was read and changed; asking changes nothing."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        told = path.lstat()
        read = 0 if stat.S_ISDIR(told.st_mode) or path.name in (NAMED, SHARED) else told.st_atime_ns
        changed = told.st_mtime_ns, told.st_mode, told.st_size
        found[str(path.relative_to(folder))] = (read, *changed)
    return found


def _device(path: Path, outside: Path) -> None:
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero


def _socket(path: Path, outside: Path) -> None:
    there = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as own:
            own.bind("s")
        os.rename("s", path.name)
    finally:
        os.chdir(there)


def _share(path: Path, outside: Path) -> None:
    os.link(outside / SHARED, path)  # FileNotFoundError where there was no file


def _full(path: Path, outside: Path) -> None:
    (path / "in").mkdir(parents=True)
    (path / "in" / "it").write_bytes(PRECIOUS)


TRAPS: dict[str, Callable[[Path, Path], object]] = {
    "link to a file": lambda path, outside: path.symlink_to(outside / "file"),
    "link to a folder": lambda path, outside: path.symlink_to(outside / "folder"),
    "link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "link to a pipe": lambda path, outside: path.symlink_to(outside / "pipe"),
    "link to /dev/zero": lambda path, outside: path.symlink_to("/dev/zero"),
    "link to /dev/full": lambda path, outside: path.symlink_to("/dev/full"),
    "link to itself": lambda path, outside: path.symlink_to(path.name),
    "link to the folder above": lambda path, outside: path.symlink_to(".."),
    "relative link": lambda path, outside: path.symlink_to(os.path.relpath(outside / "file", path.parent)),
    "hard link": lambda path, outside: os.link(outside / NAMED, path),
    "hard link of what was there": _share,
    "pipe": lambda path, outside: os.mkfifo(path),
    "device": _device,
    "socket": _socket,
    "empty file": lambda path, outside: path.touch(),
    "folder": _full,
}


def lay(path: Path, kind: str, outside: Path) -> bool:
    """Put a trap in the place of a file or folder; return whether that is possible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "hard link of what was there" and path.is_file():
        shutil.copy(path, outside / SHARED)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    try:
        TRAPS[kind](path, outside)
    except (PermissionError, FileNotFoundError):
        return False
    return True


def spring(base: Path, root: Path, name: str, place: str, kind: str, usual_s: float) -> tuple[str, float] | None:
    """Lay one trap and run a command; return what is wrong, and how long it took; None where it cannot be laid."""
    outside, folder = root / "outside", root / "folder"
    for each in (outside, folder):
        shutil.rmtree(each, ignore_errors=True)
    shutil.copytree(base, folder, symlinks=True)
    make_outside(outside)
    if not lay(folder / place, kind, outside):
        return None
    before = look_at(outside)
    limit = usual_s * 3 + HANG_S
    ended = run(folder, _words(name, base), limit=limit, memory=MEMORY_BYTES)
    wrong = []
    if ended.code not in CODES:
        hung = ended.code < 0 and ended.seconds >= limit
        wrong.append("hangs" if hung else f"ends with {ended.code}: {ended.output[-1500:]}")
    elif "Traceback" in ended.output:
        wrong.append(ended.output[-1500:])
    if (after := look_at(outside)) != before:
        differing = sorted(each for each in {*before, *after} if before.get(each) != after.get(each))
        wrong.append(f"touches {', '.join(differing)} outside")
    return "; ".join(wrong), ended.seconds


def _words(name: str, base: Path) -> tuple[str, ...]:
    (pilot,) = [path for path in (base / "study/recordings").glob("pilot*.h5")]
    return tuple(word.format(pilot=pilot.relative_to(base)) for word in COMMANDS[name][1])


def main() -> None:
    """Lay traps, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the try of this number")
    arguments = parser.parse_args()
    load_everything()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        base = root / "base"
        make_study(base)
        shutil.copy(sessions.find_recordings(base / "desk")[0], base / "spare.h5")
        unfinish(base, "desk")
        partial = base / "desk/killed.h5.partial"
        partial.rename(base / "study/recordings" / partial.name)
        (base / "masks").mkdir()
        run(base, ("study", "key", "key.pem"))
        run(base, ("rates", *RATES, "--out", "rates"))
        *lines, last = (base / "rates" / RESULTS).read_bytes().splitlines(keepends=True)
        (base / "rates" / RESULTS).write_bytes(b"".join(lines) + last[:40])  # which the next sweep cuts off
        places, usual = {}, {}
        for name in COMMANDS:
            folder = root / "folder"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(base, folder)
            places[name], usual[name] = places_of(folder, _words(name, base))
            print(f"{name:12}{len(places[name])} places, {usual[name]:.1f} s", flush=True)
        make_outside(root / "outside")
        before = look_at(root / "outside")
        (root / "outside/file").read_bytes()
        if look_at(root / "outside") == before:
            raise SystemExit("the file system does not note who reads: set TMPDIR to one that does (relatime)")
        shutil.rmtree(root / "outside")
        rng = random.Random(arguments.seed)
        laid: Counter[str] = Counter()
        longest, findings, tries = 0.0, [], 0
        while laid.total() < (arguments.traps if arguments.only is None else 1):
            if tries == arguments.traps * MOST_TRIES:
                raise SystemExit(f"only {laid.total()} traps could be laid in {tries} tries")
            number, tries = tries, tries + 1
            (name,) = rng.choices(list(COMMANDS), [often for often, _ in COMMANDS.values()])
            where, kind = rng.choice(places[name]), rng.choice(list(TRAPS))
            if arguments.only not in (None, number):
                continue
            if kind == "link to a folder" and where in COMMANDS[name][1]:
                continue  # whoever names a link to a folder means what it leads to
            if (sprung := spring(base, root, name, where, kind, usual[name])) is None:
                continue
            wrong, seconds = sprung
            laid[kind] += 1
            longest = max(longest, seconds - usual[name])
            print(f"{laid.total()} of {arguments.traps}", end="\r", file=sys.stderr, flush=True)
            if wrong:
                findings.append(f"{number}: {name}, {kind} at {where}: {wrong}")
                print(findings[-1], flush=True)
    told = {"traps": laid.total(), "tries": tries, "kinds": laid, "longest_above_usual_s": round(longest, 1)}
    print(json.dumps(told, indent=2))
    print(f"{len(findings)} findings")
    if findings:
        raise SystemExit(1)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
