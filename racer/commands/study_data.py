"""Which study or which recordings a command means."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from racer.report.study import StudyContext

StudyArgument = Annotated[
    Path | None, typer.Argument(help="The study's folder, or its study.toml. Default: the study in the current folder.")
]
DataArgument = Annotated[
    Path | None, typer.Argument(help="A study's folder, or a folder of recordings. Default: the current folder.")
]


@dataclass(frozen=True)
class StudyData:
    """Recordings, and what the study that they belong to says besides."""

    recordings: Path
    """Their folder."""
    wording: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Wording of questionnaire items, by questionnaire and item id."""
    model: Path | None = None
    """Folder of the latent model, where the study names one."""
    beforehand: StudyContext | None = None
    """What was preregistered."""
    masks: tuple[Path, ...] = ()
    """Fitted files of its conditions, where the study names any."""


def find_data(data: Path | None) -> StudyData:
    """Return what is meant by a study's folder, a folder of recordings, or nothing."""
    from racer.report.study import StudyContext
    from racer.study.file import RECORDINGS, STUDY_FILE, StudyFileError, find_study, load_study
    from racer.study.preregistration import PREREGISTRATION, read_preregistration

    if data is not None and data.name == RECORDINGS and (data.parent / STUDY_FILE).is_file():
        data = data.parent  # whatever else the study says belongs to them
    if data is not None and not (data / STUDY_FILE).is_file() and data.suffix != ".toml":
        return StudyData(data)
    if data is None and not any(Path().glob(f"*/{STUDY_FILE}")) and not Path(STUDY_FILE).is_file():
        return StudyData(Path("recordings"))
    path = find_study(data)
    promised = read_preregistration(path.parent / PREREGISTRATION)
    try:
        study = load_study(path)
    except StudyFileError as error:
        # The recordings say all that is analysed; only the wording of the questions stands in the file.
        print(f"questions are named by their ids: {error}", file=sys.stderr)
        return StudyData(path.parent / RECORDINGS, beforehand=StudyContext(*promised) if promised else None)
    custom = {entry.name: entry.questionnaire() for entry in study.file.questionnaires.custom}
    known = {**study.language.questionnaires, **custom}
    texts = {(name, item.id): item.text for name, each in known.items() for item in each.items}
    beforehand = StudyContext(*promised, settings=study.settings) if promised else None
    masks = (study.mask_path(condition) for condition in study.file.masks_needed)
    there = tuple(mask for mask in masks if mask is not None and mask.is_file())
    return StudyData(study.recordings, texts, study.model, beforehand, there)
