"""Recordings of one person's drives, as `racer.drivers.fitting` wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import sessions
from compression.model.latent_model import LatentModel
from racer.drivers.driver import DriverError
from racer.drivers.likelihood import Drive
from racer.drivers.person import FITTED_FAMILY
from racer.drivers.registry import KEYBOARD, families_for
from racer.rates.people import FIRST_SEALED
from racer.recordings.footage import Footage
from racer.recordings.models import find_model, find_task, refuse_other_model
from racer.tasks.task import Task

_MOST_STEPS = 30_000
"""Most steps whose frames are held at once: 370 MB."""


def read_drives(
    paths: Sequence[Path],
    folder: Path | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[list[Drive], Task, float, bool, LatentModel]:
    """Return what one person was shown and did: the drives, the task, its pace, whether by keyboard, the latent model.

    Practice and episodes that were cut short or rejected are left out.

    Args:
        paths: Recordings of one person.
        folder: Of the latent model; None for the one that comes with the task.
        progress: Told how many recordings are read.

    Raises:
        DriverError: If they are of several people, tasks or paces.
        ConfigError: If the folder holds another latent model than a recording's.
        FootageError, NotHereError: If what was shown cannot be had.
        RecordingError: If a recording cannot be read.
    """
    refuse_other_model(folder, paths)
    drives: list[Drive] = []
    first: sessions.SessionInfo | None = None
    task: Task | None = None
    steps = 0
    for done, path in enumerate(paths):
        progress("reading", done, len(paths))
        with sessions.open(path) as session:
            info = session.info
            first = first or info
            for name, own, other in (
                ("participant", info.participant, first.participant),
                ("task", (info.task.name, info.task.settings), (first.task.name, first.task.settings)),
                ("pace", info.config.get("pace"), first.config.get("pace")),
                ("driver", info.driver, first.driver),
            ):
                if own != other:
                    raise DriverError(f"{path} has another {name} than {paths[0]}; a driver is fitted to one person")
            task = task or find_task(info, path)
            if FITTED_FAMILY not in families_for(task.spec):
                raise DriverError(f"{path} is of {info.task.name}: only people who drive a car can be fitted")
            for episode in session.episodes:
                if not (episode.accepted and episode.n_steps) or episode.info.phase == "practice":
                    continue
                if episode.info.seed >= FIRST_SEALED:
                    raise DriverError(
                        f"{path} has trials from seeds of {FIRST_SEALED} or more, which are kept for sealed sets: "
                        "nothing is fitted to them; leave it out"
                    )
                if (steps := steps + episode.n_steps) > _MOST_STEPS:
                    raise DriverError(
                        f"these are more than {_MOST_STEPS} steps, and fewer will do; name fewer recordings"
                    )
                with Footage(session, episode, folder, beside=False) as footage:
                    frames = np.stack([footage.shown(step) for step in range(episode.n_steps)])
                drives.append(
                    Drive(
                        episode.info.condition,
                        episode.info.seed,
                        frames,
                        episode.action,
                        episode[task.spec.failure].astype(bool),
                        info.session_id,
                    )
                )
    if first is None or task is None or not drives:
        raise DriverError("there is no recorded episode to fit a driver to; name recordings with drives in them")
    pace = first.config.get("pace")
    if not isinstance(pace, int | float) or isinstance(pace, bool) or not 1 <= pace <= 50:
        pace = task.spec.pace
    return drives, task, float(pace), first.driver == KEYBOARD, find_model(first, folder)
