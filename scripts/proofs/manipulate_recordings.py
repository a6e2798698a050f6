"""Manipulate the recordings of a small study in 43 ways, and count what `racer session verify` finds.

python scripts/proofs/manipulate_recordings.py

Each manipulation is made three times. By somebody *careless*, who edits the files and no more. By an *expert*, who
also seals the recordings again, gives files the names that their contents call for, and makes the ledger anew: nothing
is left that needs no key. And by the same expert where the ledger was signed before, and the public key lies elsewhere.
A manipulation counts as found if the verdict is *failed*.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import sessions
from compression.model.latent_model import use_one_thread
from racer.engines import LocalEngine
from racer.recordings.deposit import Deposited
from racer.recordings.places import find_files
from racer.recordings.signing import make_key, sign
from racer.recordings.verification import Verification, verify_recordings
from racer.sitting.start import start_session
from racer.study.file import load_study
from racer.study.run import run_study
from racer.study.sitting import sitting_config
from sessions.ledger import LEDGER_NAME, note_recorded, read_ledger
from sessions.schema import ANSWER_DTYPE, EVENT_DTYPE
from sessions.seal import ATTRIBUTE, Chain

STUDY = """
title = "study"
conditions = ["random", "pico", "full"]
participants = 2
pilots = 0
[episodes]
practice = 1
evaluation = 1
steps = 12
[masks]
pico = "shipped"
[screens]
consent = "I agree."
[questionnaires]
after_condition = ["driving"]
"""
EVENTS = [("press", "left"), ("release", "left"), ("pause", "")]

Change = Callable[[Path], None]
CHANGES: dict[str, Change] = {}


def change(name: str) -> Callable[[Change], Change]:
    """Register a manipulation of a folder of recordings."""

    def register(function: Change) -> Change:
        CHANGES[name] = function
        return function

    return register


def first(folder: Path) -> Path:
    """Return the recording that is manipulated: that of p01."""
    return next(path for path in sessions.find_recordings(folder) if path.name.startswith("p01"))


def edit(path: Path, what: Callable[[h5py.File], object]) -> None:
    """Edit a recording in place."""
    with h5py.File(path, "r+") as file:
        what(file)


def on_file(name: str, what: Callable[[h5py.File], object]) -> None:
    """Register an edit of the one recording."""
    CHANGES[name] = lambda folder: edit(first(folder), what)


def configure(file: h5py.File, what: Callable[[dict[str, Any]], object]) -> None:
    """Edit the configuration stored in a recording."""
    config = json.loads(file.attrs["config"])
    what(config)
    file.attrs["config"] = json.dumps(config)


def attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    """Return an edit that gives an attribute, and the configuration's entry of that name, another value."""

    def set_it(file: h5py.File) -> None:
        file.attrs[name] = value
        configure(file, lambda config: config.update({name: value} if name in config else {}))

    return set_it


def rows(file: h5py.File, table: str, dtype: np.dtype[Any], what: Callable[[list[Any]], list[Any]]) -> None:
    """Rewrite the rows of a table."""
    found = what([list(row) for row in file[table][:].tolist()])
    file[table].resize((len(found),))
    file[table][:] = np.array([tuple(row) for row in found], dtype)


def answers(what: Callable[[list[Any]], list[Any]]) -> Callable[[h5py.File], None]:
    """Return an edit of the answers."""
    return lambda file: rows(file, "answers", ANSWER_DTYPE, what)


def events(what: Callable[[list[Any]], list[Any]]) -> Callable[[h5py.File], None]:
    """Return an edit of the events."""
    return lambda file: rows(file, "events", EVENT_DTYPE, what)


def with_row(index: int, column: int, value: object) -> Callable[[list[Any]], list[Any]]:
    """Return an edit of one value of one row."""

    def set_it(found: list[Any]) -> list[Any]:
        found[index][column] = value
        return found

    return set_it


def moved(by: int) -> Callable[[list[Any]], list[Any]]:
    """Return an edit that moves the time of the last row."""
    return lambda found: [*found[:-1], [found[-1][0] + by, *found[-1][1:]]]


def episode(index: int, column: str, what: Callable[[Any], Any]) -> Callable[[h5py.File], None]:
    """Return an edit of a column of an episode."""

    def set_it(file: h5py.File) -> None:
        dataset = file[f"episodes/{index:03d}/{column}"]
        dataset[...] = what(dataset[:])

    return set_it


def relabel(labels: dict[str, str], also_planned: bool = False) -> Callable[[h5py.File], None]:
    """Return an edit that exchanges the labels of conditions, in the plan as well if that is wanted."""

    def exchange(file: h5py.File) -> None:
        for group in file["episodes"].values():
            if group.attrs["phase"] == "evaluation":
                group.attrs["condition"] = labels.get(group.attrs["condition"], group.attrs["condition"])
        if also_planned:

            def planned(config: dict[str, Any]) -> None:
                names = config["protocol"]["conditions"]
                config["protocol"]["conditions"] = [labels.get(name, name) for name in names]

            configure(file, planned)

    return exchange


def without(index: int, status: str | None = None, planned: bool = False) -> Callable[[h5py.File], None]:
    """Return an edit that takes an episode out, and changes the status or the plan so that it is not missed."""

    def take_out(file: h5py.File) -> None:
        episodes = file["episodes"]
        names = sorted(episodes)
        taken = names[index]
        del episodes[taken]
        for number, name in enumerate(name for name in names if name != taken):
            if name != f"{number:03d}":
                episodes.move(name, f"{number:03d}")
        if status:
            file.attrs["status"] = status
        if planned:
            configure(file, lambda config: config["protocol"].update(conditions=config["protocol"]["conditions"][:2]))

    return take_out


def exchange_episodes(one: str, other: str) -> Callable[[h5py.File], None]:
    """Return an edit that exchanges two episodes."""

    def exchange(file: h5py.File) -> None:
        for source, target in ((one, "aside"), (other, one), ("aside", other)):
            file["episodes"].move(source, target)

    return exchange


def cut(file: h5py.File) -> None:
    """Take the last steps of the last episode away."""
    group = file["episodes"][max(file["episodes"])]
    count = int(group.attrs["n_steps"]) - 3
    for dataset in group.values():
        dataset.resize((count, *dataset.shape[1:]))
    group.attrs.modify("n_steps", np.int64(count))


def next_up(values: Any) -> Any:
    """Change the last value by one unit in the last place."""
    flat = values.reshape(-1)
    flat[-1] = np.nextafter(flat[-1], np.float32(2) if flat[-1] < 1 else np.float32(0))
    return values


def flipped(values: Any) -> Any:
    """Flip one bit of the first value."""
    values.reshape(-1)[0] ^= 1
    return values


def another(values: Any) -> Any:
    """Exchange one action for another."""
    values[5] = (values[5] + 1) % 3
    return values


def software(file: h5py.File) -> None:
    """Make the versions those of other packages, so that nothing can be driven again."""
    versions = json.loads(file.attrs["software"])
    file.attrs["software"] = json.dumps(dict.fromkeys(versions, "0.0.1"))


# What people said -----------------------------------------------------------------------------------------------------

on_file("consent: an answer given", answers(lambda found: [[found[0][0], b"consent", b"declined"], *found[1:]]))
on_file("answer edited", answers(with_row(-1, 2, b"1")))
on_file("item of an answer edited", answers(with_row(-1, 1, b"other")))
on_file("answer removed", answers(lambda found: found[:-1]))
on_file("all answers removed", answers(lambda found: []))
on_file("answer added", answers(lambda found: [*found, [found[-1][0] + 1, b"note", b"fine"]]))
on_file("time of an answer moved", answers(moved(10**9)))
on_file("event edited", events(with_row(0, 3, b"release")))
on_file("detail of an event edited", events(with_row(0, 4, b"right")))
on_file("event removed", events(lambda found: found[:-1]))
on_file("event added", events(lambda found: [*found, [found[-1][0] + 1, 0, 0, b"press", b"left"]]))
on_file("time of an event moved", events(moved(10**6)))

# Labels ---------------------------------------------------------------------------------------------------------------

on_file("labels of random and pico exchanged", relabel({"random": "pico", "pico": "random"}))
on_file("the same, and the order", relabel({"random": "pico", "pico": "random"}, True))
on_file("labels of pico and full exchanged", relabel({"full": "pico", "pico": "full"}))
on_file("pico called perceptual, and the plan", relabel({"pico": "perceptual"}, True))
on_file("practice called evaluation", lambda file: file["episodes/000"].attrs.modify("phase", "evaluation"))

# People ---------------------------------------------------------------------------------------------------------------

on_file("participant renamed", lambda file: file.attrs.modify("participant", "p09"))
on_file("participant renamed, and the configuration", attribute("participant", "p09"))


@change("two people exchanged")
def _(folder: Path) -> None:
    one, other = sessions.find_recordings(folder)[:2]
    for path, name in ((one, "p02"), (other, "p01")):
        edit(path, attribute("participant", name))


@change("a recording repeated as another person's")
def _(folder: Path) -> None:
    copy = Path(shutil.copy(first(folder), folder / "copy.h5"))
    edit(copy, attribute("participant", "p03"))
    edit(copy, lambda file: file.attrs.modify("session_id", "abcdef"))


@change("a recording repeated as another session")
def _(folder: Path) -> None:
    edit(Path(shutil.copy(first(folder), folder / "copy.h5")), lambda file: file.attrs.modify("session_id", "abcdef"))


@change("a recording removed")
def _(folder: Path) -> None:
    first(folder).unlink()


@change("a sitting recorded again, and the first removed")
def _(folder: Path) -> None:
    study, old = load_study(folder.parent), first(folder)
    with sessions.open(old) as session:
        order = session.info.config["order"]
    old.unlink()
    ledger = (folder / LEDGER_NAME).read_bytes()
    config = sitting_config(study, "evaluation", "p01", driver="two-point", headless=True)
    start_session(config.__class__(**{**config.__dict__, "order": order}))
    (folder / LEDGER_NAME).write_bytes(ledger)


on_file("simulated called keyboard", lambda file: file.attrs.modify("driver", "keyboard"))
on_file("simulated called keyboard, and the configuration", attribute("driver", "keyboard"))
on_file("marked as a trial run", attribute("trial_run", True))

# Episodes -------------------------------------------------------------------------------------------------------------

on_file("last episode removed, called aborted", without(-1, status="aborted"))
on_file("last episode removed, and the plan", without(-1, planned=True))
on_file("first episode removed", without(0))
on_file("episode in the middle removed", without(2, status="aborted"))
on_file("two episodes exchanged", exchange_episodes("001", "002"))
on_file("episode marked as rejected", lambda file: file["episodes/002"].attrs.create("rejected", True))
on_file("episode called aborted", lambda file: file["episodes/003"].attrs.modify("status", "aborted"))
on_file("last steps cut off", cut)

# Columns --------------------------------------------------------------------------------------------------------------

on_file("one action", episode(1, "action", another))
on_file("progress by one unit in the last place", episode(1, "progress", next_up))
on_file("one bit of a packet", episode(1, "packet", flipped))
on_file("times of steps moved", episode(1, "time_ns", lambda values: values + np.arange(len(values)) * 1000))
on_file("time of a response moved", episode(1, "response_ns", lambda values: values + 1000))
on_file("durations of stages", episode(1, "stage_us", lambda values: values + 1))

# What it says of itself -----------------------------------------------------------------------------------------------

on_file("date moved by a day", lambda file: file.attrs.modify("created_utc", "2000-01-02T00:00:00Z"))
on_file("versions of the software edited", software)


def seal_again(path: Path) -> None:
    """Give a recording the seal that its contents call for."""
    with sessions.open(path) as session:
        chain, rejected = Chain(session.info), []
        for each in session.episodes:
            digests = {name: hashlib.sha256(each[name].tobytes()).hexdigest() for name in each.columns}
            chain.add_episode(each.info, each.status, each.n_steps, digests)
            rejected += [each.index] * each.rejected
        tables = [hashlib.sha256(session.table_bytes(name)).hexdigest() for name in ("events", "answers")]
        seal = chain.close(session.status, tables[0], tables[1], rejected)
    edit(path, lambda file: file.attrs.modify(ATTRIBUTE, seal))


def cover_up(folder: Path) -> None:
    """Seal all recordings again, give them the right names, and make the ledger anew."""
    for path in sessions.find_recordings(folder):
        with suppress(sessions.RecordingError):
            seal_again(path)
            with sessions.open(path) as session:
                info = session.info
            path.rename(
                folder / sessions.recording_name(info.participant, info.protocol, info.created, info.session_id)
            )
    (folder / LEDGER_NAME).unlink()
    note_recorded(folder)


def verified(folder: Path, public_key: str = "") -> Verification:
    """Verify a folder in this process."""
    return verify_recordings(find_files([folder]), jobs=1, deposited=Deposited(public_key=public_key))


def make_study(folder: Path) -> str:
    """Record the study, with some events, note and sign it; return the public key."""
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    study = load_study(folder)
    run_study(study, engine=LocalEngine(1))
    for path in sessions.find_recordings(study.recordings):
        with h5py.File(path, "r+") as file:
            start = int(file["episodes/000/time_ns"][0])
            held = [
                (start + number, 0, 0, kind.encode(), detail.encode()) for number, (kind, detail) in enumerate(EVENTS)
            ]
            file["events"].resize((len(held),))
            file["events"][:] = np.array(held, EVENT_DTYPE)
        seal_again(path)
    (study.recordings / LEDGER_NAME).unlink()
    note_recorded(study.recordings)
    ledger = read_ledger(study.recordings)
    assert ledger is not None
    public_key = make_key(folder.parent / "key.pem")
    sign(study.recordings, ledger, folder.parent / "key.pem")
    return public_key


def told(result: Verification) -> str:
    """Return the checks that fail."""
    checks = {finding.check for each in result.recordings for finding in each.findings if finding.outcome == "fail"}
    return " ".join(sorted(checks | {"ledger" for ledger in result.ledgers if ledger.outcome == "fail"}))


def main() -> int:
    """Make all manipulations and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Make those whose name contains this.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    use_one_thread()
    began = time.monotonic()
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as place:
        original = Path(place) / "original"
        public_key = make_study(original)
        untouched = verified(original / "recordings", public_key)
        if untouched.verdict != "verified":
            print(f"the untouched study is not verified: {told(untouched) or untouched.verdict}", file=sys.stderr)
            return 1
        for name, manipulate in CHANGES.items():
            if arguments.only not in name:
                continue
            copy = Path(place) / "copy" / "recordings"
            shutil.copytree(original, copy.parent)
            manipulate(copy)
            careless = told(verified(copy))
            cover_up(copy)
            found[name] = {
                "careless": careless,
                "expert": told(verified(copy)),
                "signed": told(verified(copy, public_key)),
            }
            shutil.rmtree(copy.parent)
            if not arguments.json:
                print(f"{name}: " + "; ".join(f"{who}: {by or '-'}" for who, by in found[name].items()), flush=True)
    counts = {who: sum(bool(each[who]) for each in found.values()) for who in ("careless", "expert", "signed")}
    summary = {"date": datetime.now(UTC).date().isoformat(), "manipulations": len(found), "found": counts}
    print(json.dumps(summary | ({"by": found} if arguments.json else {})))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0 if counts["signed"] == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
