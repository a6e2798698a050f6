"""Masks from a study's pilots."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compression.fitting.fitted import trained_on
from racer.study.file import Study, StudyFileError
from racer.study.sections import PILOT, MasksSection
from racer.study.sitting import completed
from sessions.maintenance.withdrawn import read_withdrawn

if TYPE_CHECKING:
    from racer.training.train import Summary


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
) -> dict[Path, Summary]:
    """Train every mask that is missing on all completed pilots; return what each training came to, by mask file.

    Args:
        study: The study.
        progress: Told what is done and the fraction of the whole, 0 to 1.
        iterations: Gradient steps of each network; as many as the study file says if None.

    Raises:
        StudyFileError: If no pilot has completed a sitting.
        TrainingDataError, TrainingError: If the pilots' recordings are of no use.
    """
    from racer.training.train import train  # brings torch

    conditions = masks_to_train(study)
    pilots = completed(study, "pilot")
    if conditions and not pilots:
        raise StudyFileError(
            study.path,
            f"masks.{MasksSection.key(conditions[0])}: no pilot has completed a sitting yet; nothing was changed: "
            f"record one with `racer session start --study {shlex.quote(str(study.folder))}`",
        )
    paths = [path for pilot in pilots for path in pilot.paths]
    trained: dict[Path, Summary] = {}
    for place, condition in enumerate(conditions):
        out = study.mask_path(condition)
        assert out is not None

        def part(stage: str, fraction: float, place: int = place) -> None:
            progress(stage, (place + fraction) / len(conditions))

        config = study.file.training_config(condition, iterations)
        trained[out] = train(condition, paths, out, config, part, study.model)
    return trained
