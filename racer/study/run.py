"""A whole study with simulated participants: pilots, training, evaluation, in parallel, the same bytes every time.

Time is simulated too: sittings begin half an hour apart from 2000-01-01 on, and a step lasts exactly its period.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from disk.locking import FileLock, HeldError
from disk.writing import make_folder, write_whole
from racer.drivers.registry import KEYBOARD, SIMULATED, make_driver
from racer.engines import Engine
from racer.errors import ConfigError
from racer.file_bundle import FileBundle
from racer.sitting.fitted import load_fitted
from racer.sitting.protocol import ProtocolName, balanced_rows
from racer.sitting.simulated import TOGETHER, deciding_software, record_sittings
from racer.sitting.start import SimulatedIdentity
from racer.study.file import Study, StudyFileError
from racer.study.sitting import completed, refuse_a_mixture, refuse_again, sitting_config
from racer.study.train import masks_to_train, train_study
from racer.tasks.latent_model import load_task_model
from sessions.ledger import note_recorded
from sessions.maintenance.withdrawn import read_withdrawn
from sessions.names import PREFIXES

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""When simulated studies take place."""
BETWEEN_SITTINGS = timedelta(minutes=30)
MOST_PILOTS = 100
"""Most pilots in a study, as its file allows."""
LOCK = ".simulating.lock"
_FORMER = ".simulating"
"""Folder of sittings that were under way when a run of version 0.1.0 was killed: they are simulated again."""
"""Among the recordings."""

Progress = Callable[[str, int, int], None]
"""Callback (what is under way, parts done, parts in all)."""


@dataclass(frozen=True)
class StudyRun:
    """Result of a simulated study."""

    recordings: tuple[Path, ...]
    """Recordings of all its sittings, pilots first."""
    recorded: int
    """Sittings recorded by this run; the others were there already."""
    masks: tuple[Path, ...]
    """Masks trained by this run."""


def run_study(
    study: Study,
    participants: int | None = None,
    *,
    engine: Engine,
    driver: str = SIMULATED,
    progress: Progress = lambda what, done, total: None,
    iterations: int | None = None,
) -> StudyRun:
    """Simulate a study; sittings and masks that are there already are kept, so that it can be interrupted.

    Whoever has withdrawn is replaced by somebody new, who meets the conditions in the same order.

    Args:
        study: The study.
        participants: How many to evaluate; as many as the study plans if None.
        engine: Does the sittings; which one does makes no difference to the recordings.
        driver: Who drives: `simulated`, a family, or `package.module:factory`. Where the task names a family of pilots,
            `simulated` ones are of that, so that none that trained a mask says how good it is.
        progress: Told how far it is.
        iterations: Gradient steps of each network in training; as many as the study file says if None.

    Raises:
        ConfigError: If a number is out of range or the driver is a person.
        StudyFileError: If another run is simulating this study, or what it recorded could not be compared with what is
            there.
        RacerError, CompressionError, RecordingError: If a sitting cannot be run.
    """
    participants = study.file.participants if participants is None else participants
    if not 1 <= participants <= 1000:
        raise ConfigError(f"participants must lie between 1 and 1000; got {participants}")
    if driver == KEYBOARD:
        raise ConfigError("a whole study is run by simulated participants; people drive with `racer session start`")
    make_driver(driver, study.file.make_task(), 0)  # says now what is wrong with it, and not in every process
    refuse_a_mixture(study, driver)  # also where nobody is missing: what is there must be what the file says
    trains = masks_to_train(study)
    pilots = study.file.pilots if trains or completed(study, "pilot") else 0
    total = pilots + len(trains) + participants

    def of(what: str, before: int) -> Callable[[int], None]:
        return lambda done: progress(what, before + done, total)

    with _alone(study):
        piloting = study.file.make_task().spec.pilot_driver if driver == SIMULATED else ""
        recorded = _simulate(study, "pilot", pilots, piloting or driver, engine, of("pilots", 0))
        progress("training", pilots, total)
        masks = train_study(study, iterations=iterations, engine=engine)
        people = of("participants", pilots + len(trains))
        recorded += _simulate(study, "evaluation", participants, driver, engine, people)
    sittings = [*completed(study, "pilot"), *completed(study, "evaluation")]
    paths = [path for sitting in sittings for path in sitting.paths]
    note_recorded(study.recordings, paths)  # when all are there: in one order, whichever came first
    return StudyRun(tuple(paths), recorded, tuple(masks))


def _simulate(
    study: Study,
    protocol: ProtocolName,
    count: int,
    driver: str,
    engine: Engine,
    progress: Callable[[int], None],
) -> int:
    """Record the sittings of one protocol that are not there yet and return how many they were."""
    there = {sitting.info.participant for sitting in completed(study, protocol)}
    orders = len(balanced_rows(len(study.file.conditions))) if protocol == "evaluation" else 1
    missing = [each for each in _people(study, protocol, count, there) if each.name not in there]
    done = count - len(missing)
    progress(done)
    if not missing:
        return 0
    refuse_again(study, protocol, [each.name for each in missing])
    common = sitting_config(study, protocol, None, driver=driver, headless=True)
    # Says now, and by its own name, which file is of no use.
    load_fitted(common.protocol, common.channel, common.masks, load_task_model(common.task.spec, common.model))
    configs = [
        replace(
            common,
            participant=each.name,
            data=study.recordings,
            order=each.stands_for % orders,
            simulated=_identity(study, protocol, each.place),
        )
        for each in missing
    ]
    work = partial(record_sittings, deciding_software(common.task), FileBundle.read(common.masks, common.model))
    for name, data in engine.spread(work, configs, TOGETHER, "a sitting"):
        write_whole(study.recordings / name, data, overwrite=False)
        done += 1
        progress(done)
    return len(configs)


@dataclass(frozen=True)
class _Person:
    """Somebody who takes part."""

    name: str
    place: int
    """Among all who ever took part, from 0."""
    stands_for: int
    """The place whose order of conditions they meet: their own, or that of whom they replace."""


def _people(study: Study, protocol: ProtocolName, count: int, there: Collection[str]) -> list[_Person]:
    """Return as many people as are wanted: those whose names come first, and others for those who have withdrawn."""
    withdrawn = read_withdrawn(study.recordings)
    prefix = PREFIXES[protocol]
    people: list[_Person] = []
    vacant: list[int] = []
    place = 0
    while len(people) < count:
        name, stands_for = f"{prefix}{place + 1:02d}", place if place < count else vacant.pop(0)
        if name not in there and withdrawn.has_name(name):
            vacant.append(stands_for)
        else:
            people.append(_Person(name, place, stands_for))
        place += 1
    return people


def _identity(study: Study, protocol: ProtocolName, place: int) -> SimulatedIdentity:
    """Return what names the sitting of the `place`-th pilot or participant, from 0; each study's ids differ."""
    pilot = protocol == "pilot"
    # Counted on from a number of the study's own: were they drawn, two of a thousand might be the same.
    # Pilots beyond the most that there are stand in for others, and are counted down from it.
    counted = place + MOST_PILOTS if not pilot else place if place < MOST_PILOTS else -place
    number = int(study.sha256[:6], 16) + counted
    before = 0 if pilot else study.file.pilots
    return SimulatedIdentity(f"{number % 16**6:06x}", BEGINNING + (before + place) * BETWEEN_SITTINGS)


@contextmanager
def _alone(study: Study) -> Iterator[None]:
    """Let no other run simulate this study meanwhile."""
    locked = study.recordings / LOCK
    try:
        make_folder(study.recordings)
        lock = FileLock(locked).acquire()
    except HeldError as error:
        raise StudyFileError(
            study.path, "another `racer study run` is simulating this study; nothing was changed: wait for its end"
        ) from error
    except OSError as error:
        reason = f"cannot lock {locked}: {error.strerror or error}; nothing was simulated: fix that and run it again"
        raise StudyFileError(study.path, reason) from error
    try:
        with lock:
            former = study.recordings / _FORMER
            if former.is_dir() and not former.is_symlink():
                shutil.rmtree(former)
            yield
    except OSError as error:
        raise StudyFileError(
            study.path, f"cannot write to {study.recordings}: {error.strerror or error}; what was finished is kept"
        ) from error
