"""A whole study with simulated participants: pilots, training, evaluation, in parallel, the same bytes every time.

Time is simulated too: sittings begin half an hour apart from 2000-01-01 on, and a step lasts exactly its period.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import connection
from pathlib import Path

from filelock import FileLock, Timeout

from compression.pico_config import PicoConfig
from racer.drivers import KEYBOARD, SIMULATED, make_driver
from racer.errors import ConfigError, RacerError
from racer.protocol import ProtocolName, balanced_rows
from racer.start import SimulatedIdentity, StartConfig, start_session
from racer.study.file import Study, StudyFileError
from racer.study.sitting import completed, sitting_config
from racer.study.train import masks_to_train, train_study
from sessions.staging import rename_without_overwriting, sync_folder

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""When simulated studies take place."""
BETWEEN_SITTINGS = timedelta(minutes=30)
UNFINISHED = ".simulating"
"""Folder of sittings under way, among the recordings. What a killed run leaves in it is made again."""

Progress = Callable[[str, int, int], None]
"""Told what is under way, how many parts are done and of how many."""


@dataclass(frozen=True)
class StudyRun:
    """What a simulated study came to."""

    recordings: tuple[Path, ...]
    """Of all its sittings, pilots first."""
    recorded: int
    """Sittings recorded by this run; the others were there already."""
    masks: tuple[Path, ...]
    """Trained by this run."""


def run_study(
    study: Study,
    participants: int | None = None,
    *,
    driver: str = SIMULATED,
    jobs: int | None = None,
    progress: Progress = lambda what, done, total: None,
    iterations: int = PicoConfig.iterations,
) -> StudyRun:
    """Simulate a study; sittings and masks that are there already are kept, so that it can be interrupted.

    Args:
        study: The study.
        participants: How many to evaluate; as many as the study plans if None.
        driver: Who drives: `simulated`, or `package.module:factory`.
        jobs: Sittings at a time; one for each processor if None.
        progress: Told how far it is.
        iterations: Gradient steps of each network in training.

    Raises:
        ConfigError: If a number is out of range or the driver is a person.
        StudyFileError: If another run is simulating this study.
        RacerError, CompressionError, RecordingError: If a sitting cannot be run.
    """
    participants = study.file.participants if participants is None else participants
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    if not 1 <= participants <= 1000:
        raise ConfigError(f"participants must lie between 1 and 1000; got {participants}")
    if not 1 <= jobs <= 256:
        raise ConfigError(f"jobs must lie between 1 and 256; got {jobs}")
    if driver == KEYBOARD:
        raise ConfigError("a whole study is run by simulated participants; people drive by `racer session start`")
    make_driver(driver, 0)  # says now what is wrong with it, and not in every process
    trains = masks_to_train(study)
    pilots = study.file.pilots if trains or completed(study, "pilot") else 0
    total = pilots + len(trains) + participants

    def of(what: str, before: int) -> Callable[[int], None]:
        return lambda done: progress(what, before + done, total)

    with _alone(study) as unfinished:
        recorded = _simulate(study, "pilot", pilots, 0, driver, unfinished, jobs, of("pilots", 0))
        progress("training", pilots, total)
        masks = train_study(study, iterations=iterations)
        people = of("participants", pilots + len(trains))
        recorded += _simulate(study, "evaluation", participants, pilots, driver, unfinished, jobs, people)
    sittings = [*completed(study, "pilot"), *completed(study, "evaluation")]
    paths = [path for sitting in sittings for path in sitting.paths]
    return StudyRun(tuple(paths), recorded, tuple(masks))


def _simulate(
    study: Study,
    protocol: ProtocolName,
    count: int,
    before: int,
    driver: str,
    unfinished: Path,
    jobs: int,
    progress: Callable[[int], None],
) -> int:
    """Record the sittings of one protocol that are not there yet and return how many they were."""
    there = {sitting.info.participant for sitting in completed(study, protocol)}
    prefix = "pilot" if protocol == "pilot" else "p"
    orders = len(balanced_rows(len(study.file.conditions))) if protocol == "evaluation" else 1
    configs = []
    for place in range(count):
        name = f"{prefix}{place + 1:02d}"
        if name not in there:
            config = sitting_config(study, protocol, name, driver=driver, headless=True)
            configs.append(
                replace(
                    config,
                    data=unfinished,
                    order=place % orders,
                    simulated=_identity(study, protocol, name, before + place),
                )
            )
    done = count - len(configs)
    progress(done)
    for path in _in_parallel(configs, jobs):
        rename_without_overwriting(path, study.recordings / path.name)
        sync_folder(study.recordings)
        done += 1
        progress(done)
    return len(configs)


def _identity(study: Study, protocol: str, participant: str, place: int) -> SimulatedIdentity:
    digest = hashlib.sha256(f"{study.sha256}/{protocol}/{participant}".encode()).hexdigest()
    return SimulatedIdentity(digest[:6], BEGINNING + place * BETWEEN_SITTINGS)


def _in_parallel(configs: Sequence[StartConfig], jobs: int) -> Iterator[Path]:
    """Run sittings in processes of their own and yield each recording when it is finished."""
    if not configs:
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(jobs, len(configs)), context, initializer=_depend_on_the_parent)
    try:
        futures: list[Future[Path]] = [executor.submit(_record, config) for config in configs]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise RacerError(
            "a process that simulated a sitting was killed, perhaps for want of memory; what was finished is kept: "
            "run it again with fewer --jobs"
        ) from error
    finally:
        # Whatever ended this, nobody waits for sittings that nobody will collect.
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _depend_on_the_parent() -> None:
    """Leave interrupts to the parent, and do not outlive it: whoever runs the study again wants the folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _record(config: StartConfig) -> Path:
    result = start_session(config)
    assert result.path is not None
    return result.path


@contextmanager
def _alone(study: Study) -> Iterator[Path]:
    """Give an empty folder for sittings under way, while no other run simulates this study."""
    folder = study.recordings / UNFINISHED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(study.recordings / f"{UNFINISHED}.lock")
        with lock.acquire(blocking=False):
            for left in folder.iterdir():
                left.unlink()
            yield folder
            shutil.rmtree(folder)
    except Timeout as error:
        raise StudyFileError(
            study.path, "another `racer study run` is simulating this study; nothing was changed: wait for its end"
        ) from error
    except OSError as error:
        raise StudyFileError(
            study.path, f"cannot write to {study.recordings}: {error.strerror}; what was finished is kept"
        ) from error
