"""Kill commands (SIGKILL) at random moments, give them again, and compare what comes of it. Linux and macOS.

python scripts/proofs/kill_commands.py --kills 40

Each command runs once to its end, and then in fresh copies of the same folder, where it is killed at a moment drawn
from that time. Sources must be as they were. The same command, given again, must come to its end and leave the same
files as the one that nobody killed, and nothing beside them: byte for byte, or, where a file says when it was made, by
name.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sessions
from compression.model.latent_model import use_one_thread
from racer import cli
from racer.study.file import load_study
from racer.study.run import run_study
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from sessions.ledger import LEDGER_NAME

STUDY = """
title = "study"
conditions = ["random", "pico"]
participants = 2
pilots = 1
[episodes]
practice = 1
calibration = 2
exploration = 3
evaluation = 1
steps = 12
[masks]
pico = "{mask}"
"""
CHANGING = (".html", ".svg", ".png", "_report.json", "report.json", "dataset_description.json", "README.md")
"""Endings of files that say when, or with how much chance, they were made: compared by name."""


@dataclass(frozen=True)
class Command:
    """A command that is killed."""

    words: tuple[str, ...]
    source: str = ""
    """Folder that must stay as it is."""
    by_name: bool = False
    """Whether files are compared by name alone: those of a withdrawal hold a salt."""
    prepare: Callable[[Path], None] = lambda folder: None


def unfinish(folder: Path) -> None:
    """Make the first recording what a killed session leaves."""
    import h5py

    path = sessions.find_recordings(folder / "study/recordings")[0]
    with h5py.File(path, "r+") as file:
        file.attrs["status"] = "running"
        del file.attrs["seal"]
    path.rename(folder / "study/recordings" / "killed.h5.partial")
    (folder / "study/recordings" / LEDGER_NAME).unlink()


def no_sittings(folder: Path) -> None:
    """Take everybody's recordings away, so that they are simulated again."""
    shutil.rmtree(folder / "study/recordings")


RATES = ("--coders", "coarse", "--bits", "85", "--participants", "1", "--tracks", "1", "--steps", "10", "--jobs", "1")
COMMANDS = {
    "repair": Command(("session", "repair", "study/recordings/killed.h5.partial"), prepare=unfinish),
    "merge": Command(("session", "merge", "desk", "--into", "all"), "desk"),
    "withdraw": Command(
        ("session", "withdraw", "p02", "--data", "study/recordings", "--yes", "--traces"), by_name=True
    ),
    "export": Command(("session", "export", "study/recordings", "--to", "csv", "--out", "out"), "study/recordings"),
    "report": Command(("study", "report", "study", "--out", "report.html"), "study/recordings"),
    "train": Command(("train", "study/recordings/{pilot}", "--out", "masks/new.safetensors"), "study/recordings"),
    "study run": Command(("study", "run", "study", "--jobs", "1"), prepare=no_sittings),
    "rates": Command(("rates", *RATES, "--out", "rates"), by_name=True),
}


def run(folder: Path, words: tuple[str, ...], kill_after: float | None = None) -> tuple[int, float]:
    """Run a command in a fork of this process; return its exit code, or -9 where it was killed, and its seconds."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            os.chdir(folder)
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            sys.argv = ["racer", *words]
            cli.main()
        except SystemExit as exit_:
            os._exit(exit_.code if isinstance(exit_.code, int) else 1)
        finally:
            os._exit(99)
    code = None
    while code is None:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
        elif kill_after is not None and time.monotonic() - began >= kill_after:
            with suppress(ProcessLookupError):  # before it leads a group of its own
                os.killpg(child, signal.SIGKILL)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = -9
        else:
            time.sleep(0.001)
    return code, time.monotonic() - began


def contents(folder: Path, by_name: bool = False) -> dict[str, bytes]:
    """Return the files below a folder, but for locks and what was remembered of recordings."""
    return {
        name: b"" if by_name or name.endswith(CHANGING) else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".leases" not in (name := path.relative_to(folder).as_posix()) and ".lock" not in name
    }


def prove(name: str, command: Command, base: Path, root: Path, kills: int, rng: random.Random) -> dict[str, object]:
    """Kill one command so often; return what was found."""
    (pilot,) = [path.name for path in (base / "study/recordings").glob("pilot*.h5")]
    words = tuple(word.format(pilot=pilot) for word in command.words)

    def fresh(where: str) -> Path:
        folder = root / where
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        command.prepare(folder)
        return folder

    whole = fresh("whole")
    code, seconds = run(whole, words)
    if code:
        raise SystemExit(f"{name} that nobody kills ends with {code}")
    wanted = contents(whole, command.by_name)
    killed, problems = 0, []
    for number in range(kills):
        folder = fresh("killed")
        before = contents(folder / command.source) if command.source else {}
        code, _ = run(folder, words, rng.uniform(0, seconds))
        killed += code == -9
        if command.source and contents(folder / command.source) != before:
            problems.append(f"kill {number}: the source was changed")
        again, _ = run(folder, words)
        # What had come to its end is refused, and in order.
        if again and not (again == 2 and contents(folder, command.by_name) == wanted):
            problems.append(f"kill {number}: given again, it ends with {again}")
        found = contents(folder, command.by_name)
        if found != wanted:
            differing = sorted(each for each in {*found, *wanted} if found.get(each) != wanted.get(each))
            problems.append(f"kill {number}: {', '.join(differing[:4])}")
    return {"runs": kills, "killed": killed, "seconds": round(seconds, 2), "problems": problems}


def main() -> None:
    """Kill all commands and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS, action="append", help="Kill this one.")
    arguments = parser.parse_args()
    use_one_thread()
    task = make_task()
    load_task_model(task.spec)
    failed = False
    with tempfile.TemporaryDirectory() as place:
        base = Path(place) / "base"
        (base / "study").mkdir(parents=True)
        (base / "masks").mkdir()
        (base / "study/study.toml").write_text(STUDY.format(mask="pilot"))
        run_study(load_study(base / "study"), jobs=1, iterations=5)
        shutil.copytree(base / "study/recordings", base / "desk")
        for name, command in COMMANDS.items():
            if arguments.only and name not in arguments.only:
                continue
            found = prove(name, command, base, Path(place), arguments.kills, random.Random(arguments.seed))
            failed |= bool(found["problems"])
            print(f"{name:12}{json.dumps(found)}", flush=True)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
