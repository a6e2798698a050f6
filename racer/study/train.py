"""Masks from a study's pilots."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from compression.fitting.fitted import trained_on
from racer.study.file import Study, StudyFileError
from racer.study.sections import PILOT, MasksSection
from racer.study.sitting import completed
from sessions.maintenance.withdrawn import read_withdrawn

if TYPE_CHECKING:
    from compression.fitting.config import PicoConfig
    from racer.engines import Engine
    from racer.training.train import Summary, TrainingSet


def masks_to_train(study: Study) -> list[str]:
    """Return the conditions whose masks come from this study's pilots and are not there yet."""
    conditions = []
    for condition in study.file.masks_needed:
        path = study.mask_path(condition)
        if study.file.masks.source(condition) == PILOT and path is not None and not path.is_file():
            conditions.append(condition)
    return conditions


def masks_of_withdrawn(study: Study) -> dict[str, tuple[str, ...]]:
    """Return the conditions whose masks were trained on people who have withdrawn since, and their names.

    Raises:
        RecordingError: If it cannot be read who has.
    """
    withdrawn = read_withdrawn(study.recordings)
    found: dict[str, tuple[str, ...]] = {}
    for condition in study.file.masks_needed if withdrawn.lines else ():
        path = study.mask_path(condition)
        people = trained_on(path) if path is not None else ()
        if gone := tuple(name for name in people if withdrawn.has_name(name)):
            found[condition] = gone
    return found


def train_study(
    study: Study,
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
    iterations: int | None = None,
    engine: Engine | None = None,
) -> dict[Path, Summary]:
    """Train every mask that is missing on all completed pilots; return what each training came to, by mask file.

    Args:
        study: The study.
        progress: Told what is done and the fraction of the whole, 0 to 1.
        iterations: Gradient steps of each network; as many as the study file says if None.
        engine: Trains, a mask in each process; which one does makes no difference to the files. This process if None.

    Raises:
        StudyFileError: If no pilot has completed a sitting.
        TrainingDataError, TrainingError: If the pilots' recordings are of no use.
    """
    from racer.engines import LocalEngine
    from racer.sitting.simulated import deciding_software
    from racer.training.train import is_masked, read_training_set, refuse_existing, write_fitted  # brings torch

    conditions = masks_to_train(study)
    pilots = completed(study, "pilot")
    if conditions and not pilots:
        raise StudyFileError(
            study.path,
            f"masks.{MasksSection.key(conditions[0])}: no pilot has completed a sitting yet; nothing was changed: "
            f"record one with `racer session start --study {shlex.quote(str(study.folder))}`",
        )
    places = {condition: path for condition in conditions if (path := study.mask_path(condition)) is not None}
    for path in places.values():
        refuse_existing(path)
    paths = [path for pilot in pilots for path in pilot.paths]
    loaded = {masked: read_training_set(paths, masked, study.model) for masked in {*map(is_masked, conditions)}}
    fits = [
        (place, condition, loaded[is_masked(condition)], study.file.training_config(condition, iterations))
        for place, condition in enumerate(conditions)
    ]
    engine = engine or LocalEngine(1)
    done: dict[str, Summary] = {}
    if isinstance(engine, LocalEngine) and min(engine.workers, len(fits)) < 2:
        results = _fit_each((), fits, lambda stage, fraction: progress(stage, fraction / len(fits)))
    else:
        decided = tuple(deciding_software(study.file.make_task()).items())
        results = engine.spread(partial(_fit_each, decided), fits, 1, "a mask", did="trained")
    for condition, data, summary in results:
        write_fitted(places[condition], data, summary)
        done[condition] = summary
        progress("masks", len(done) / len(fits))
    return {places[condition]: done[condition] for condition in conditions}


_Fit = tuple[int, str, "TrainingSet", "PicoConfig"]
"""Which it is, for what, by what and how."""


def _fit_each(
    decided: Collection[tuple[str, str]],
    fits: Iterable[_Fit],
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
) -> Iterator[tuple[str, bytes, Summary]]:
    """Yield condition, file and summary of each fit.

    Raises:
        MixedVersionsError: If this process would give other bytes than the one that has this software.
    """
    from racer.file_bundle import mixed_versions
    from racer.sitting.simulated import deciding_software
    from racer.tasks.registry import make_task
    from racer.training.train import fit

    for place, condition, loaded, config in fits:
        mine = deciding_software(make_task(loaded.task, loaded.settings))
        if differing := [name for name, version in decided if mine.get(name) != version]:
            raise mixed_versions(", ".join(differing))

        def told(stage: str, done: float, at: int = place) -> None:
            progress(stage, at + done)

        yield condition, *fit(condition, loaded, config, told)
