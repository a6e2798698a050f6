"""Readers of all that is neither a recording nor a mask, for `fuzz_inputs.py`: each is given one spoilt file."""

from __future__ import annotations

import csv
import json
import random
import shutil
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from fuzz_cases import (  # type: ignore[import-not-found]
    spoil_bytes,
    spoil_csv,
    spoil_json,
    spoil_lines,
    spoil_tensors,
    spoil_toml,
)
from PIL import Image

import sessions
from compression.model.latent_model import load_model
from racer.drivers.person import HeldOut, PersonFile, PredictiveCheck, Traits, make_fitted
from racer.rates.results import RESULTS, ResultsFile
from racer.rates.sealed import read_sealed, seal
from racer.recordings.deposit import Deposited, check_ledgers
from racer.recordings.signing import SIGNATURE_NAME, make_key, sign
from racer.recordings.withdrawal import finish_withdrawal
from racer.sitting.leases import Leases
from racer.study.amendments import AMENDMENTS_FILE, amend, read_amendments
from racer.study.crowd import KEY, TRIALS, export_trials, import_answers
from racer.study.file import load_study
from racer.study.preregistration import preregister, read_preregistration
from racer.tasks.image_files import LABELS, read_picture
from racer.tasks.latent_model import load_task_model
from racer.tasks.pictures.folder import read_world
from racer.tasks.registry import make_task
from racer.training.models import CARD, read_card
from racer.window import texts
from sessions.ledger import BEGINNING, LEDGER_NAME, LedgerEntry, note_recorded, read_ledger
from sessions.maintenance.withdraw import INTENT_NAME
from sessions.maintenance.withdrawn import LOG_NAME, NAMES_NAME, LogLine, read_withdrawn

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
STUDY = """
title = "Pictures"
conditions = ["raw", "random"]
participants = 1
pilots = 0
[task]
name = "digits"
[episodes]
practice = 0
evaluation = 1
steps = 2
[channel]
bits = 8
[questionnaires]
after_condition = []
[primary]
metric = "correct"
"""
PERSON = PersonFile(
    tasks=("car-racing",),
    traits=Traits(
        reaction_ms=250.0,
        look_ahead=15.0,
        gain=2.0,
        damping=1.0,
        anticipation=1.0,
        dead_zone=0.1,
        noise=0.1,
        lapses=0.1,
    ),
    reaction_low_ms=200.0,
    reaction_high_ms=300.0,
    pace=10.0,
    episodes=3,
    steps=300,
    of_a_person=False,
    held_out=HeldOut(
        steps=100,
        log_likelihood=-0.5,
        family_log_likelihood=-0.7,
        frequencies_log_likelihood=-0.9,
        families={"two-point": -0.8},
    ),
    checks=(PredictiveCheck(name="reversals", unit="1/s", observed=1.0, low=0.5, high=1.5, passed=True),),
    human_like=False,
)
SETTINGS: dict[str, str | int] = {"seed": 0, "episodes": 1, "model_sha256": "ab" * 32}
EPISODE = {"seed": 1, "steps": 10, "bits_mean": 80.0, "bits_most": 85, "lost": 0.0, "agreement": None}
CELL = {
    "settings": {"speed": 50.0},
    "driver": "simulated",
    "coder": "coarse",
    "brought_sha256": "cd" * 32,
    "bits": 85,
    "noise": "none",
    "noise_rate": 0.0,
    "participant": 0,
}
FOLDER = "more"
"""Beside the sound recordings."""
Outcome = str


def make_more(bases: Path) -> None:
    """Make sound files of all kinds."""
    folder = bases / FOLDER
    (folder / "study").mkdir(parents=True)
    _draw_pictures(folder / "pictures")
    shipped = load_task_model(make_task("digits").spec).folder
    assert shipped is not None
    shutil.copytree(shipped, folder / "model")
    (folder / "study/study.toml").write_text(STUDY, encoding="utf-8")
    study = load_study(folder / "study")
    export_trials(study, folder / "trials", 1, now=NOW)
    with (folder / "trials" / TRIALS).open(newline="", encoding="utf-8") as file:
        rows = [("w1", row["image"], row["answers"].split("|")[0], "0.5") for row in csv.DictReader(file)]
    with (folder / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("worker", "image", "answer", "time"), *rows])
    preregister(study, NOW)
    import_answers(study, folder / "trials", folder / "answers.csv")
    (folder / "study/study.toml").write_text(STUDY.replace("steps = 2", "steps = 3"), encoding="utf-8")
    amend(load_study(folder / "study"), "longer", NOW)
    (folder / "person.json").write_text(PERSON.model_dump_json(), encoding="utf-8")
    seal(folder / "sealed.json", "car-racing", "two-point", 7, NOW)
    data = folder / "data"
    data.mkdir()
    for each in bases.glob("*.h5"):
        shutil.copy(each, data)
    note_recorded(data)
    make_key(folder / "key.pem")
    ledger = read_ledger(data)
    assert ledger is not None
    (folder / "public").write_text(sign(data, ledger, folder / "key.pem"), encoding="ascii")
    line = LogLine.of("p77", ("0a1b2c",), NOW)
    (data / LOG_NAME).write_text(f"{line.dumps()}\n", encoding="ascii")
    intent = {"participant": "p78", "session_ids": ["0a1b2d"], "traces": ["masks/a.safetensors"]}
    (folder / INTENT_NAME).write_text(json.dumps(intent | {"line": json.loads(line.dumps())}), encoding="ascii")
    metrics = {metric.name: 0.0 for metric in make_task().spec.metrics}
    header = {"racer_rates": 2, "settings": SETTINGS, "made_with": {"racer": "1"}}
    cells = [CELL | {"participant": number, "episodes": [EPISODE | {"metrics": metrics}]} for number in range(3)]
    (folder / RESULTS).write_bytes(b"".join(_with_checksum(json.dumps(each).encode()) for each in (header, *cells)))


def _draw_pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    lines = ["image,side,number"]
    for index in range(40):
        left = index % 2
        pixels = rng.integers(0, 60, (24, 24, 3)).astype(np.uint8)
        pixels[6:18, slice(2, 10) if left else slice(14, 22)] = 200
        Image.fromarray(pixels).save(folder / f"{index:03}.{('png', 'jpg', 'bmp', 'webp', 'tiff')[index % 5]}")
        lines.append(f"{index:03}.{('png', 'jpg', 'bmp', 'webp', 'tiff')[index % 5]},{['right', 'left'][left]},{index}")
    (folder / LABELS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def model(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Load a latent model and its card, and decode with it."""
    sound = bases / FOLDER / "model"
    for name in (CARD, "model.safetensors"):
        shutil.copy(sound / name, work)
    if rng.random() < 0.3:
        (work / CARD).write_bytes(spoil_json((sound / CARD).read_bytes(), rng))
    else:
        (work / "model.safetensors").write_bytes(spoil_tensors((sound / "model.safetensors").read_bytes(), rng))
    read_card(work)
    loaded = load_model(work)
    frame = np.zeros((1, *loaded.sizes.frame), np.uint8)
    if loaded.decode_latents(loaded.encode_frames(frame)).shape != frame.shape:
        raise AssertionError("frames of another shape")
    return "read"


def language(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Load a language file."""
    sound = Path(texts.__file__).parent / "languages" / rng.choice(("en.toml", "de.toml"))
    (work / "own.toml").write_bytes(spoil_toml(sound.read_text(encoding="utf-8"), rng))
    texts.load_texts("own.toml", work)
    return "read"


def cells(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Open the results of a sweep, some with checksums that are right."""
    data = spoil_lines((bases / FOLDER / RESULTS).read_bytes(), rng)
    if rng.random() < 0.7:
        data = b"".join(_with_checksum(line.rpartition(b',"crc32"')[0] + b"}") for line in data.splitlines())
    (work / RESULTS).write_bytes(data)
    with ResultsFile(work, SETTINGS, make_task().spec.metrics):
        return "read"


def _with_checksum(line: bytes) -> bytes:
    body = line.rstrip()[:-1]
    return body + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def labels(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Read a folder of pictures whose labels are spoilt."""
    folder = work / "pictures"
    shutil.copytree(bases / FOLDER / "pictures", folder)
    (folder / LABELS).write_bytes(spoil_csv((folder / LABELS).read_bytes(), rng))
    read_world(str(folder), 24, False, ())
    return "read"


def picture(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Read a picture."""
    sound = rng.choice([path for path in sorted((bases / FOLDER / "pictures").iterdir()) if path.name != LABELS])
    path = work / f"spoilt{rng.choice((sound.suffix, '.png', '.jpg'))}"
    path.write_bytes(spoil_bytes(sound.read_bytes(), sound.read_bytes(), rng))
    read_picture(path, 24, False)
    return "read"


def crowd(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Record answers from a file that is spoilt, or to trials whose key is."""
    for name in ("study", "trials"):
        shutil.copytree(bases / FOLDER / name, work / name, ignore=shutil.ignore_patterns("recordings", "*.jsonl"))
    (work / "study/study.toml").write_text(STUDY, encoding="utf-8")
    answers, key = (bases / FOLDER / "answers.csv").read_bytes(), work / "trials" / KEY
    if rng.random() < 0.3:
        key.write_bytes(spoil_json(key.read_bytes(), rng))
    else:
        answers = spoil_csv(answers, rng)
    (work / "answers.csv").write_bytes(answers)
    import_answers(load_study(work / "study"), work / "trials", work / "answers.csv")
    return "read"


def person(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Make a driver of a fitted person, and let it drive."""
    (work / "person.json").write_bytes(spoil_json((bases / FOLDER / "person.json").read_bytes(), rng))
    task = make_task()
    driver = make_fitted(work / "person.json", task, 0)
    driver.reset()
    if driver.act(np.zeros(task.spec.frame, np.uint8)) not in range(len(task.spec.actions)):
        raise AssertionError("no action")
    return "read"


def ledger(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Compare recordings with a ledger, some whose heads follow from each other, and with a signature."""
    sound = bases / FOLDER / "data"
    for path in (LEDGER_NAME, SIGNATURE_NAME):
        shutil.copy(sound / path, work)
    if rng.random() < 0.3:
        (work / SIGNATURE_NAME).write_bytes(spoil_json((sound / SIGNATURE_NAME).read_bytes(), rng))
    else:
        data = spoil_lines((sound / LEDGER_NAME).read_bytes(), rng)
        (work / LEDGER_NAME).write_bytes(_chained(data) if rng.random() < 0.5 else data)
    public = (bases / FOLDER / "public").read_text(encoding="ascii")
    check_ledgers({work / "p01.h5": "0" * 64}, Deposited((), public))
    note_recorded(work, [])
    return "read"


def _chained(data: bytes) -> bytes:
    """Return lines with the heads that they should have, where they have any."""
    head, lines = BEGINNING, []
    for line in data.splitlines():
        try:
            told = json.loads(line)
            told["head"] = head = LedgerEntry(told["kind"], told["sha256"]).after(head)
            line = json.dumps(told).encode()
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        lines.append(line)
    return b"\n".join(lines) + b"\n"


def sealed(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Read a sealed set."""
    (work / "sealed.json").write_bytes(spoil_json((bases / FOLDER / "sealed.json").read_bytes(), rng))
    read_sealed(work / "sealed.json")
    return "read"


def withdrawn(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Ask who has withdrawn, finish a withdrawal that was begun, and take a lease in such a folder."""
    sound = bases / FOLDER
    (work / ".leases").mkdir()
    kind = rng.randrange(5)
    if kind == 4:
        line = json.loads((sound / "data" / LOG_NAME).read_bytes().splitlines()[0])
        memory = json.dumps({"highest": {"p": 7}, "withdrawn": [line]}).encode()
        (work / NAMES_NAME).write_bytes(spoil_json(memory, rng))
    elif kind == 0:
        (work / LOG_NAME).write_bytes(spoil_lines((sound / "data" / LOG_NAME).read_bytes(), rng))
    elif kind == 1:
        (work / INTENT_NAME).write_bytes(spoil_json((sound / INTENT_NAME).read_bytes(), rng))
    elif kind == 2:
        note = {"session_id": "0a1b2c", "participant": "p01", "protocol": "pilot", "order": 0, "trial_run": False}
        note |= {"started_utc": "2026-01-01T00:00:00Z", "host": "desk", "pid": 1}
        (work / ".leases/0a1b2c.json").write_bytes(spoil_json(json.dumps(note).encode(), rng))
        (work / ".leases/0a1b2c.lock").touch()
    else:
        recording = sessions.find_recordings(sound / "data")[0]
        shutil.copy(recording, work)
        told = (work / recording.name).stat()
        kept: dict[str, object] = {
            "stamp": [told.st_mtime_ns, told.st_size],
            "session_id": "0a1b2c",
            "participant": "p01",
        }
        kept |= {"protocol": "pilot", "order": 0, "trial_run": False, "complete": True}
        memory = json.dumps({recording.name: kept}).encode()
        (work / ".leases/recordings.json").write_bytes(spoil_json(memory, rng))
    read_withdrawn(work).has_name("p77")
    finish_withdrawal(work, NOW)
    with Leases(work).lease("ffffff", None, "pilot", 1):
        pass
    return "read"


def promise(bases: Path, work: Path, rng: random.Random) -> Outcome:
    """Read a preregistration, or amendments."""
    sound = bases / FOLDER / "study"
    if rng.random() < 0.5:
        path = work / "preregistration.json"
        path.write_bytes(spoil_json((sound / path.name).read_bytes(), rng))
        read_preregistration(path)
    else:
        (work / AMENDMENTS_FILE).write_bytes(spoil_lines((sound / AMENDMENTS_FILE).read_bytes(), rng))
        read_amendments(work)
    return "read"


READERS: dict[str, tuple[Callable[[Path, Path, random.Random], Outcome], int]] = {
    "model": (model, 1000),
    "language": (language, 2000),
    "cells": (cells, 2000),
    "labels": (labels, 1200),
    "picture": (picture, 1000),
    "crowd": (crowd, 1000),
    "person": (person, 1500),
    "ledger": (ledger, 2000),
    "sealed": (sealed, 1000),
    "withdrawn": (withdrawn, 1500),
    "promise": (promise, 1000),
}
"""What each is given, and how many in a whole run."""
