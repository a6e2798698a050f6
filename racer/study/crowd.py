"""Trials for people elsewhere: sittings of a study as pictures and a CSV, and their answers as recordings.

A *set* is one participant's sitting, with pictures and masks of their own, to be answered by one worker. What is shown
follows from the study and the participant's name, so answers are recorded by having the sitting again, with the worker
in the participant's place: the recordings verify, train and report like any other.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sessions
from disk.reading import read_plain
from disk.writing import make_folder, rename_without_overwriting, scratch_folder, sync_folder, write_whole
from racer.csv_text import CsvTable, read_table
from racer.drivers.driver import Driver
from racer.drivers.registry import CROWD
from racer.errors import ConfigError
from racer.loop.simulated_time import SimulatedClock
from racer.sitting.agenda import Screens
from racer.sitting.protocol import CATCH, ProtocolName, balanced_rows
from racer.sitting.start import SimulatedIdentity, StartConfig, start_session
from racer.study.file import Study
from racer.study.sitting import completed, refuse_again, sitting_config
from racer.tasks.task import TaskSpec
from sessions.export.cells import csv_bytes
from sessions.ledger import note_recorded

KEY, TRIALS, PICTURES = "key.json", "trials.csv", "pictures"
COLUMNS = ("worker", "image", "answer", "time")
_MOST_SETS = 1000
_MOST_KEY = 50_000_000
_MOST_SECONDS = 3600.0
_SIDE = 256
"""Pictures are enlarged by whole factors until they have so many pixels along a side."""
_ID_DIGITS = 16
_PROTOCOLS: dict[str, ProtocolName] = {"pilot": "pilot", "evaluation": "evaluation"}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Imported:
    """What a file of answers came to."""

    recordings: dict[str, Path]
    """By worker, in the order of the file."""
    left_out: tuple[str, ...]
    """Answers and workers that were not taken, a line each."""


@dataclass(frozen=True)
class _Set:
    """One sitting to be answered."""

    participant: str
    order: int
    identity: SimulatedIdentity
    images: tuple[str, ...]
    """Their names, in the order in which they are met."""


def export_trials(
    study: Study,
    out: Path,
    sets: int,
    protocol: ProtocolName = "evaluation",
    now: datetime | None = None,
    progress: Progress = lambda what, done, total: None,
) -> int:
    """Write the sittings of so many people as pictures and a CSV; return how many pictures they are.

    Args:
        study: About a task that waits for answers.
        out: A new folder: `pictures`, `trials.csv` for the platform, and `key.json`, which is not for workers.
        sets: How many people, each with pictures of their own.
        protocol: What they do.
        now: When this happens; the time if None.
        progress: Told how far it is.

    Raises:
        ConfigError: If the task moves on by itself, the folder is there already or cannot be written.
        StudyFileError: If a mask is missing, or one of the names was taken.
    """
    spec = study.file.make_task().spec
    if spec.paced:
        raise ConfigError(f"task {spec.name} moves on by itself, and crowds answer pictures; nothing was done")
    if not 1 <= sets <= _MOST_SETS:
        raise ConfigError(f"there must be 1 to {_MOST_SETS} sets; got {sets}")
    if os.path.lexists(out):
        raise ConfigError(f"{out} is there already and was left as it is; give another --out")
    names = [f"crowd{'-pilot' * (protocol == 'pilot')}{number:02d}" for number in range(1, sets + 1)]
    refuse_again(study, protocol, names)
    created = (datetime.now(UTC) if now is None else now).replace(microsecond=0)
    orders = len(balanced_rows(len(study.file.conditions))) if protocol == "evaluation" else 1
    told: list[dict[str, Any]] = []
    rows: list[tuple[str, int, str, str, str]] = []
    text = spec.text(study.file.language)
    words = "|".join(text.actions.get(action.name, action.name) for action in spec.actions)
    try:
        make_folder(out.parent)
        with scratch_folder(out.parent) as scratch:
            folder = scratch / "set"
            make_folder(folder / PICTURES)
            for number, name in enumerate(names):
                progress("sets", number, sets)
                identity = SimulatedIdentity(sessions.new_session_id(), created)
                each = _Set(name, number % orders, identity, ())
                camera = _Camera(f"{study.sha256}/{name}", folder / PICTURES)
                start_session(_config(study, protocol, each, scratch / "none"), who=partial(_always, camera))
                rows += [(name, place, f"{PICTURES}/{image}", text.title, words) for place, image in camera.taken]
                told.append(
                    {
                        "participant": name,
                        "order": each.order,
                        "session_id": identity.session_id,
                        "images": [image for _, image in camera.taken],
                    }
                )
            key = {"study": study.sha256, "protocol": protocol, "created": created.isoformat(), "sets": told}
            write_whole(folder / TRIALS, csv_bytes(("set", "place", "image", "question", "answers"), rows))
            write_whole(folder / KEY, (json.dumps(key, indent=1) + "\n").encode())
            os.rename(folder, out)
            sync_folder(out.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; nothing is left of it: give another --out") from error
    return len(rows)


def import_answers(
    study: Study,
    trials: Path,
    answers: Path,
    columns: Mapping[str, str] | None = None,
    attention: float = 0.8,
    progress: Progress = lambda what, done, total: None,
) -> Imported:
    """Record what workers answered, each as a sitting of the study, and say what was not taken and why.

    A worker is taken who answered every picture of one set, which nobody has before, and enough of its catch trials
    rightly. Of several answers to a picture the first counts. Workers are not named in recordings.

    Args:
        study: As when the trials were exported.
        trials: The folder that `export_trials` made.
        answers: CSV with the worker, the picture (its file's name, whatever folder stands before it), the answer (its
            name, or the word on its button) and the seconds that it took.
        columns: What its columns are called, by `worker`, `image`, `answer` and `time`; as these where left out.
        attention: The least share of catch trials answered rightly, 0 to 1.
        progress: Told how far it is.

    Raises:
        ConfigError: If the folder is of another study, or a file cannot be used; nothing was recorded.
    """
    if not 0 <= attention <= 1:
        raise ConfigError(f"the share of catch trials must lie between 0 and 1; got {attention:g}")
    protocol, sets = _read_key(study, trials / KEY)
    spec = study.file.make_task().spec
    left_out: list[str] = []
    table = read_table(answers)
    if not table.rows:
        raise ConfigError(f"{answers} holds no answers; nothing was changed: name the platform's file of them")
    given = _read_answers(spec, study.file.language, table, columns or {}, sets, left_out)
    taken = {sitting.info.participant for sitting in completed(study, protocol)}
    recordings: dict[str, Path] = {}
    try:
        make_folder(study.recordings)
        with scratch_folder(study.recordings) as scratch:
            for number, (worker, own) in enumerate(given.items()):
                progress("workers", number, len(given))
                mine, reason = _set_of(own, sets, taken)
                if mine is None:
                    left_out.append(f"worker {worker}: {reason}")
                    continue
                in_order = [own[image] for image in mine.images]
                config = _config(study, protocol, mine, scratch)
                path = start_session(config, who=partial(_Worker, spec, in_order)).path
                assert path is not None
                if (share := _share_caught(path)) is not None and share < attention:
                    left_out.append(f"worker {worker}: {100 * share:.0f} % of the catch trials right, too few")
                    continue
                rename_without_overwriting(path, study.recordings / path.name)
                recordings[worker] = study.recordings / path.name
                taken.add(mine.participant)
            sync_folder(study.recordings)
        note_recorded(study.recordings, list(recordings.values()))
    except OSError as error:
        raise ConfigError(
            f"cannot write to {study.recordings}: {error.strerror}; {len(recordings)} workers were recorded: run it "
            "again to record the others"
        ) from error
    return Imported(recordings, tuple(left_out))


def _config(study: Study, protocol: ProtocolName, each: _Set, data: Path) -> StartConfig:
    common = sitting_config(study, protocol, None, driver=CROWD, headless=True)
    return replace(
        common,
        participant=each.participant,
        data=data,
        order=each.order,
        simulated=each.identity,
        screens=Screens(),  # nobody asks there
    )


def _read_key(study: Study, path: Path) -> tuple[ProtocolName, list[_Set]]:
    """Return what a folder of trials holds. Raises ConfigError if it is none, or of another study."""
    try:
        found = json.loads(read_plain(path, _MOST_KEY))
        created = datetime.fromisoformat(found["created"])
        if created.utcoffset() != timedelta(0):
            raise ValueError("created must be a time in UTC")
        protocol: ProtocolName = _PROTOCOLS[found["protocol"]]
        sets = [
            _Set(
                str(each["participant"]),
                int(each["order"]),
                SimulatedIdentity(str(each["session_id"]), created),
                tuple(map(str, each["images"])),
            )
            for each in found["sets"]
        ]
        whose = str(found["study"])
        for each in sets:
            sessions.check_name("participant", each.participant)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; nothing was recorded: name the folder that `racer crowd export` "
            "made"
        ) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        sessions.ParticipantNameError,
    ) as error:
        raise ConfigError(
            f"{path} is not the key of exported trials; nothing was recorded: export them anew"
        ) from error
    if whose != study.sha256:
        raise ConfigError(
            f"{path} is of another study, or {study.path} was changed since; nothing was recorded: restore it"
        )
    for each in sets:
        images = [_id(f"{study.sha256}/{each.participant}", place) for place in range(len(each.images))]
        well_named = len(each.identity.session_id) == 6 and set(each.identity.session_id) <= set("0123456789abcdef")
        if each.images != tuple(images) or not 0 <= each.order < 10_000 or not well_named:
            raise ConfigError(f"{path} was changed; nothing was recorded: put it back as it was exported")
    return protocol, sets


@dataclass(frozen=True)
class _Given:
    action: int
    seconds: float


def _read_answers(
    spec: TaskSpec,
    language: str,
    table: CsvTable,
    columns: Mapping[str, str],
    sets: Sequence[_Set],
    left_out: list[str],
) -> dict[str, dict[str, _Given]]:
    """Return each worker's answers by picture, and note what is none."""
    words = spec.text(language).actions
    actions = {
        said.casefold(): index
        for index, action in enumerate(spec.actions)
        for said in (action.name, words.get(action.name, action.name))
    }
    known = {image for each in sets for image in each.images}
    found: dict[str, dict[str, _Given]] = {}
    cells = [table.column(columns.get(name, name)) for name in COLUMNS]
    for line, worker, image, answer, seconds in zip(table.lines, *cells, strict=True):
        image = image.replace("\\", "/").rsplit("/", 1)[-1]
        action, time = actions.get(answer.casefold()), _seconds(seconds)
        problem = (
            "it names no worker"
            if not worker
            else f"{image or 'nothing'} is not a picture of these trials"
            if image not in known
            else f"{answer or 'nothing'} is not one of the answers {', '.join(action.name for action in spec.actions)}"
            if action is None
            else f"{seconds or 'nothing'} is not a time from 0 to {_MOST_SECONDS:g} seconds"
            if time is None
            else f"{worker} answered {image} before; the first answer counts"
            if image in found.get(worker, {})
            else ""
        )
        if problem:
            left_out.append(f"line {line}: {problem}")
        else:
            assert action is not None and time is not None
            found.setdefault(worker, {})[image] = _Given(action, time)
    return found


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= _MOST_SECONDS else None


def _set_of(own: Mapping[str, _Given], sets: Sequence[_Set], taken: set[str]) -> tuple[_Set | None, str]:
    """Return the set that a worker answered, or why they are not taken."""
    mine = [each for each in sets if not own.keys().isdisjoint(each.images)]
    if len(mine) != 1:
        return (
            None,
            f"answered pictures of {len(mine)} sets ({', '.join(each.participant for each in mine)}), not of one",
        )
    (each,) = mine
    if lacking := len(each.images) - len(own):
        return None, f"{lacking} of the {len(each.images)} pictures of {each.participant} are not answered"
    if each.participant in taken:
        return None, f"somebody else answered {each.participant} before"
    return each, ""


def _share_caught(path: Path) -> float | None:
    """Return the share of catch trials that were answered rightly; None where there were none."""
    with sessions.open(path) as session:
        primary = session.info.task.primary.name
        right = [episode.trial_value(primary) for episode in session.episodes if episode.info.phase == CATCH]
    return float(np.mean(right)) if right else None


def _id(whose: str, place: int) -> str:
    """Return the name of a picture, by which nobody can tell what it shows or how."""
    return f"{hashlib.sha256(f'{whose}/{place}'.encode()).hexdigest()[:_ID_DIGITS]}.png"


def _always(driver: Driver, clock: SimulatedClock) -> Driver:
    return driver


class _Camera:
    """Answers anything, and keeps what is shown."""

    def __init__(self, whose: str, folder: Path) -> None:
        self._whose, self._folder = whose, folder
        self.taken: list[tuple[int, str]] = []
        """Place and name of every picture."""

    def reset(self) -> None:
        """Do nothing."""

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Keep a frame, uint8[H, W, C]."""
        from PIL import Image

        factor = max(_SIDE // max(frame.shape[:2]), 1)
        large = frame.repeat(factor, axis=0).repeat(factor, axis=1)
        data = io.BytesIO()
        Image.fromarray(large[:, :, 0] if large.shape[2] == 1 else large).save(data, "PNG")
        place = len(self.taken)
        self.taken.append((place, _id(self._whose, place)))
        write_whole(self._folder / self.taken[-1][1], data.getvalue())
        return 0


class _Worker:
    """Answers as somebody did."""

    def __init__(self, spec: TaskSpec, answers: Sequence[_Given], clock: SimulatedClock) -> None:
        self._step_ns = round(spec.step_seconds * 1e9)
        self._answers = iter(answers)
        self._clock = clock
        self.pressed_ns: int | None = None

    def reset(self) -> None:
        """Do nothing."""

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Give the next answer, at its time."""
        given = next(self._answers)
        shown_ns = self._clock() - self._step_ns
        self.pressed_ns = shown_ns + round(given.seconds * 1e9)
        self._clock.advance_to(self.pressed_ns)
        return given.action
