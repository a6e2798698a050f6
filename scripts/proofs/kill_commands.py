"""Kill commands (SIGKILL) at random moments, give them again, and compare what comes of it. Linux and macOS.

python scripts/proofs/kill_commands.py --kills 40

Each command runs twice to its end, and then in fresh copies of the same folder, where it is killed at a moment drawn
from that time, with all processes that it started; what comes to its end before that does not count as a kill, and is
run again until as many as were asked for were killed. Sources must be as they were. The same command, given again, must
come to its end and leave the same files as those that nobody killed, and nothing beside them: byte for byte, but for
files that differ between the two that nobody killed (what says when it was made), which are compared by name.

Commands run in forks of one process that has imported everything: so the moments meet their work, and not their start.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
from forked_commands import load_everything, make_study, run  # type: ignore[import-not-found]

import sessions
from sessions.ledger import LEDGER_NAME

MOST_RUNS = 5
"""For each kill: some runs are over before their moment has come."""


@dataclass(frozen=True)
class Command:
    """A command that is killed."""

    words: tuple[str, ...]
    source: str = ""
    """Folder that must stay as it is."""
    prepare: Callable[[Path], None] = lambda folder: None


def unfinish(folder: Path, recordings: str = "study/recordings") -> None:
    """Make the first recording what a killed session leaves."""
    path = sessions.find_recordings(folder / recordings)[0]
    with h5py.File(path, "r+") as file:
        file.attrs["status"] = "running"
        del file.attrs["seal"]
    path.rename(path.with_name("killed.h5.partial"))
    (path.parent / LEDGER_NAME).unlink()


def no_sittings(folder: Path) -> None:
    """Take everybody's recordings away, so that they are simulated again."""
    shutil.rmtree(folder / "study/recordings")


RATES = ("--coders", "coarse", "--bits", "85", "--participants", "1", "--tracks", "1", "--steps", "10", "--jobs", "1")
MODEL = ("--task", "digits", "--runs", "2", "--held-out-runs", "2", "--vae-steps", "12", "--world-model-steps", "12")
TRAINED = ("train", "study/recordings/{pilot}", "--iterations", "25")
COMMANDS = {
    "repair": Command(("session", "repair", "study/recordings/killed.h5.partial"), prepare=unfinish),
    "merge": Command(("session", "merge", "desk", "--into", "all"), "desk"),
    "withdraw": Command(("session", "withdraw", "p02", "--data", "study/recordings", "--yes", "--traces")),
    "export": Command(("session", "export", "study/recordings", "--to", "csv", "--out", "out"), "study/recordings"),
    "report": Command(("study", "report", "study", "--out", "report.html"), "study/recordings"),
    "train": Command((*TRAINED, "--out", "masks/new.safetensors"), "study/recordings"),
    "model train": Command(("model", "train", *MODEL, "--batch", "16", "--jobs", "1", "--out", "model")),
    "study run": Command(("study", "run", "study", "--jobs", "1"), prepare=no_sittings),
    "rates": Command(("rates", *RATES, "--out", "rates")),
}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, but for locks and what was remembered of recordings."""
    return {
        name: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".leases" not in (name := path.relative_to(folder).as_posix()) and ".lock" not in name
    }


def prove(name: str, command: Command, base: Path, root: Path, kills: int, rng: random.Random) -> dict[str, object]:
    """Kill one command so often before its end; return what was found."""
    (pilot,) = [path.name for path in (base / "study/recordings").glob("pilot*.h5")]
    words = tuple(word.format(pilot=pilot) for word in command.words)

    def fresh() -> Path:
        folder = root / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        command.prepare(folder)
        return folder

    def whole() -> tuple[dict[str, bytes], float]:
        folder = fresh()
        ended = run(folder, words)
        if ended.code:
            raise SystemExit(f"{name} that nobody kills ends with {ended.code}: {ended.output}")
        return contents(folder), ended.seconds

    (wanted, _), (other, seconds) = whole(), whole()
    if wanted.keys() != other.keys():
        raise SystemExit(f"{name} makes other files each time: {sorted(wanted.keys() ^ other.keys())}")
    changing = [each for each in wanted if wanted[each] != other[each]]
    wanted |= dict.fromkeys(changing, b"")
    killed = runs = 0
    problems: list[str] = []
    while killed < kills and runs < kills * MOST_RUNS:
        runs += 1
        folder = fresh()
        before = contents(folder / command.source) if command.source else {}
        print(f"{name}: {killed} of {kills}, {len(problems)} problems", end="\r", file=sys.stderr, flush=True)
        killed += run(folder, words, rng.uniform(0, seconds)).code < 0
        if command.source and contents(folder / command.source) != before:
            problems.append(f"run {runs}: the source was changed")
        again = run(folder, words)
        found = contents(folder)
        found |= dict.fromkeys(found.keys() & set(changing), b"")
        # What had come to its end is refused, and in order.
        if again.code and not (again.code == 2 and found == wanted):
            problems.append(f"run {runs}: given again, it ends with {again.code}: {again.output[-300:]}")
        if found != wanted:
            differing = sorted(each for each in {*found, *wanted} if found.get(each) != wanted.get(each))
            problems.append(f"run {runs}: {', '.join(differing[:4])}")
    if killed < kills:
        problems.append(f"only {killed} of {kills} were killed before their end")
    return {
        "runs": runs,
        "killed": killed,
        "seconds": round(seconds, 2),
        "files": len(wanted),
        "by_name": changing,
        "problems": problems,
    }


def main() -> None:
    """Kill all commands and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="of each command, before its end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS, action="append", help="Kill this one.")
    arguments = parser.parse_args()
    load_everything()
    failed = False
    with tempfile.TemporaryDirectory() as place:
        base = Path(place) / "base"
        make_study(base)
        (base / "masks").mkdir()
        for name in arguments.only or COMMANDS:
            found = prove(name, COMMANDS[name], base, Path(place), arguments.kills, random.Random(arguments.seed))
            failed |= bool(found["problems"])
            print(f"{name:12}{json.dumps(found)}", flush=True)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
