"""A study file: everything that an experiment with people needs, written down once and kept with what it records.

A study is a folder: `study.toml`, the recordings in `recordings/`, the masks trained from its pilots in `masks/`. The
file may come from somebody else, so nothing in it is run, and no file that it names lies outside its folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator, model_validator

from compression.errors import CompressionError
from compression.fitting.config import PicoConfig, config_of
from compression.model.header import fitted_path
from disk.reading import open_plain
from racer.drivers.keyboard import check_bindings
from racer.errors import ConfigError, RacerError
from racer.loop.conditions import MASKED_CONDITIONS, ChannelConfig, check_conditions, check_recordable
from racer.sitting.protocol import EVALUATED, ProtocolConfig, ProtocolName
from racer.sitting.questionnaires import Questionnaire
from racer.study.deciding import settings_sha256
from racer.study.outcome import Primary
from racer.study.problems import explain, misfit
from racer.study.sections import (
    MASK_SUFFIX,
    MOST_INTEGER,
    PILOT,
    SHIPPED,
    ChannelSection,
    EpisodesSection,
    ExperimenterSection,
    KeysSection,
    MarkersSection,
    MasksSection,
    Name,
    Names,
    QuestionnairesSection,
    ScreensSection,
    Section,
    TaskSection,
    Title,
    TrainingSection,
    in_the_folder,
)
from racer.tasks.latent_model import model_folder, task_sizes
from racer.tasks.registry import folder_settings, make_task
from racer.tasks.task import Task
from racer.toml_text import MOST_BYTES, parse_toml
from racer.window.texts import Language, load_texts

STUDY_FILE = "study.toml"
RECORDINGS = "recordings"
"""Folder of a study's recordings, beside its file."""
MASKS = "masks"
"""Folder of the masks trained from its pilots."""
_FEWEST_EPISODES = 2
"""Fewest episodes of each kind that a mask can be trained on: one is held out."""
MOST_SETTINGS = 100_000
"""Bytes of a study's settings as JSON, which every recording keeps."""


class StudyFileError(RacerError):
    """A study file cannot be used. The message is one line: the file, the key, what is wrong with it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(path, problem)

    def __str__(self) -> str:
        # One line, whatever the file put into it, and nothing that steers a terminal.
        path, problem = self.args
        return "".join(letter if letter.isprintable() else " " for letter in f"{path}: {problem}")


class StudyFile(Section):
    """Everything that a study file says."""

    title: Title
    """One line, 1 to 200 characters; stands in every recording and over the report."""
    conditions: Names = EVALUATED
    """What evaluated participants are shown, each once: `raw`, `full`, or the name of a coder."""
    participants: Annotated[int, Field(ge=1, le=1000)] = 12
    """Evaluated people planned, 1 to 1000."""
    pilots: Annotated[int, Field(ge=0, le=100)] = 1
    """Pilot users, whose recordings train the masks, 0 to 100."""
    language: Name = "en"
    """Language of the screens: a built-in one, `en` or `de`, or the name of a `.toml` file in the study's folder."""
    font: Name = ""
    """An installed font to write the screens with, such as `Noto Sans`; empty: DejaVu Sans. What it lacks is taken from
    the machine's other fonts."""
    seed: Annotated[int, Field(ge=0, le=MOST_INTEGER)] = 0
    """Seeds of trials, random masks and training follow from it, 0 or more."""
    task: TaskSection = TaskSection.model_validate({})
    episodes: EpisodesSection = EpisodesSection()
    channel: ChannelSection = ChannelSection()
    masks: MasksSection = MasksSection()
    training: TrainingSection = TrainingSection()
    keys: KeysSection = KeysSection.model_validate({})
    screens: ScreensSection = ScreensSection()
    questionnaires: QuestionnairesSection = QuestionnairesSection()
    primary: Primary = Primary()
    markers: MarkersSection = MarkersSection()
    experimenter: ExperimenterSection = ExperimenterSection()
    _folder: Path = PrivateAttr(default=Path())
    """Folder of the study."""

    @field_validator("conditions")
    @classmethod
    def _can_be_shown(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_conditions(value)
        ProtocolConfig(conditions=value)
        return value

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        try:
            if isinstance(info.context, Path) and folder_settings(self.task.name):
                self._folder = info.context
            task = self.make_task()
        except RacerError as error:
            raise misfit("task", str(error)) from error
        try:
            check_bindings(task.spec, self.keys.given)
        except ConfigError as error:
            raise misfit("keys", str(error)) from error
        if "after_condition" not in self.questionnaires.model_fields_set:
            asked = {"after_condition": task.spec.questionnaires}
            object.__setattr__(self, "questionnaires", self.questionnaires.model_copy(update=asked))
        for condition in self.masks_needed:
            if self.masks.source(condition) != PILOT:
                continue
            key = f"masks.{MasksSection.key(condition)}"
            if not self.pilots:
                others = "a file" if condition == "perceptual" else '"shipped" or a file'
                raise misfit(key, f'"pilot" needs a pilot user, and pilots is 0; use {others}, or raise pilots')
            if condition in ("pico-rate", "pico-transform"):  # these learn from whatever was seen
                if self.pilots * (self.episodes.calibration + self.episodes.exploration) < _FEWEST_EPISODES:
                    reason = f"needs {_FEWEST_EPISODES} episodes of the pilots' calibration and exploration, or more"
                    raise misfit(key, reason)
                continue
            for phase in ("calibration", "exploration"):
                recorded = getattr(self.episodes, phase)
                if self.pilots * recorded < _FEWEST_EPISODES:
                    least = -(-_FEWEST_EPISODES // self.pilots)
                    reason = (
                        f'must be {least} or more, for {key} = "pilot" is trained on these episodes, and '
                        f"one is held out; got {recorded}"
                    )
                    raise misfit(f"episodes.{phase}", reason)
        singles = {name: getattr(self.episodes, name) for name in ("catch", "repeats")}
        if task.spec.paced and any(singles.values()):
            raise misfit("episodes", "catch and repeats are for tasks that wait for answers; leave them out")
        if not task.spec.paced and self.episodes.probes:
            raise misfit("episodes.probes", "is for tasks that move on by themselves; leave it out")
        try:
            self.protocol_config("evaluation")
        except ConfigError as error:
            raise misfit("episodes", str(error)) from error
        if not self.episodes.evaluation:
            raise misfit("episodes.evaluation", "must be 1 or more, since these rounds are what is compared; got 0")
        metrics = [metric.name for metric in task.spec.compared]
        if self.primary.metric and self.primary.metric not in metrics:
            reason = f"must be a metric of {task.spec.name} with a direction, {' or '.join(metrics)}"
            raise misfit("primary.metric", f"{reason}; got {self.primary.metric[:80]!r}")
        for condition in self.primary.contrast:
            if condition not in self.conditions:
                reason = f"must name two of the conditions, {', '.join(self.conditions)}; got {condition[:80]!r}"
                raise misfit("primary.contrast", reason)
        return self

    @property
    def masks_needed(self) -> tuple[str, ...]:
        """The conditions that are shown to somebody and need a fitted mask, in the order of MASKED_CONDITIONS."""
        return tuple(condition for condition in MASKED_CONDITIONS if condition in self.shown)

    @property
    def shown(self) -> tuple[str, ...]:
        """What anybody is shown."""
        return (*self.conditions, *([self.episodes.explore] if self.pilots else []))

    def make_task(self) -> Task:
        """Return the task with its settings.

        Raises:
            RacerError: If there is none, or a setting cannot work.
        """
        settings = self.task.settings
        for name in folder_settings(self.task.name):
            refuse_outside(self._folder, name, settings.get(name))
        return make_task(self.task.name, settings, (self._folder,))

    def protocol_config(self, protocol: ProtocolName) -> ProtocolConfig:
        """Return the episodes of one sitting."""
        episodes = self.episodes.model_dump(exclude={"pace", "seeds", "steps"})
        seeds = () if isinstance(self.episodes.seeds, str) else self.episodes.seeds
        steps = self.make_task().spec.steps if self.episodes.steps is None else self.episodes.steps
        return ProtocolConfig(protocol, conditions=self.conditions, seeds=seeds, steps=steps, **episodes)

    def training_config(self, condition: str, iterations: int | None = None) -> PicoConfig:
        """Return how the mask of a condition is trained from pilots; constants and labels are for `pico` alone.

        Args:
            condition: One of MASKED_CONDITIONS.
            iterations: Gradient steps of each network; as many as the file says if None.
        """
        chosen = self.training.model_dump() if condition == "pico" else {}
        return config_of(**chosen, iterations=iterations, seed=self.seed)

    def channel_config(self) -> ChannelConfig:
        """Return how the latent channel is used."""
        return ChannelConfig(**self.channel.model_dump())


@dataclass(frozen=True)
class Study:
    """A study file that was read and found sound, and where it lies."""

    path: Path
    folder: Path
    file: StudyFile
    sha256: str
    """SHA-256 of the file, 64 hexadecimal digits."""
    language: Language
    """What the screens say, and the built-in questionnaires."""

    @property
    def recordings(self) -> Path:
        """Folder of the study's recordings; need not exist."""
        return self.folder / RECORDINGS

    @property
    def masks(self) -> Path:
        """Folder of the masks that are trained from its pilots; need not exist."""
        return self.folder / MASKS

    @property
    def model(self) -> Path | None:
        """Folder of the latent model; None for the one that comes with the task."""
        return self.folder / self.file.task.model if self.file.task.model else None

    @property
    def settings(self) -> dict[str, Any]:
        """All that the file says, defaults included, but for the experimenter's code: JSON to keep with a recording."""
        return self.file.model_dump(mode="json", exclude={"experimenter": {"code"}})

    @property
    def settings_sha256(self) -> str:
        """Hash of what decides how people are recorded, 64 hexadecimal digits; see `racer.study.deciding`.

        Sittings are analysed together, and resumed, where it is the same.
        """
        return settings_sha256(self.settings)

    def mask_path(self, condition: str) -> Path | None:
        """Return the mask file of a condition; None where it needs none or takes the shipped one.

        The file of a mask that is trained from pilots exists only once they have driven.
        """
        if condition not in MASKED_CONDITIONS:
            return None
        source = self.file.masks.source(condition)
        if source == SHIPPED:
            return None
        return self.masks / f"{condition}{MASK_SUFFIX}" if source == PILOT else self.folder / source

    def questionnaire(self, name: str) -> Questionnaire:
        """Return a custom or built-in questionnaire.

        Raises:
            KeyError: If there is none of this name; every name in the file has one.
        """
        custom = {entry.name: entry.questionnaire() for entry in self.file.questionnaires.custom}
        return custom[name] if name in custom else self.language.questionnaires[name]


def find_study(argument: Path | None, here: Path = Path()) -> Path:
    """Return the study file that is meant.

    Args:
        argument: The file or its folder; None for `study.toml` in `here`, or else the only `*/study.toml`.
        here: Where to look.

    Raises:
        StudyFileError: If there is none, or there are several.
    """
    try:
        if argument is None:
            found = [path] if (path := here / STUDY_FILE).is_file() else sorted(here.glob(f"*/{STUDY_FILE}"))
            if not found:
                raise StudyFileError(path, "there is no study here; make one with `racer study init NAME`")
            if len(found) > 1:
                folders = ", ".join(file.parent.name for file in found[:5]) + (", ..." if len(found) > 5 else "")
                raise StudyFileError(path, f"there are {len(found)} studies here; name the one you mean: {folders}")
            return found[0]
        path = argument / STUDY_FILE if argument.is_dir() else argument
        if not path.is_file():
            raise StudyFileError(path, "there is no such file; make a study with `racer study init NAME`")
    except (OSError, ValueError) as error:
        raise StudyFileError(argument or here, f"cannot be looked at: {error}") from error
    return path


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Args:
        path: The file or its folder.

    Raises:
        StudyFileError: If anything is wrong with it, or a file that it names is missing; nothing was changed.
    """
    path = find_study(path)
    data = _read(path)
    try:
        file = StudyFile.model_validate(parse_toml(data), context=path.parent)
    except ConfigError as error:
        raise StudyFileError(path, str(error)) from None
    except ValidationError as error:
        raise StudyFileError(path, explain(error, StudyFile)) from None
    folder = path.parent
    for name in (RECORDINGS, MASKS):
        if (folder / name).is_symlink():
            reason = f"{name} is a link, which Racer does not follow; nothing was changed: put a folder there"
            raise StudyFileError(path, reason)
    for condition in MASKED_CONDITIONS:
        source = file.masks.source(condition)
        if source not in (PILOT, SHIPPED):
            _check_file(path, f"masks.{MasksSection.key(condition)}", source)
    if file.task.model:
        _check_file(path, "task.model", file.task.model, folder=True)
    try:
        language = load_texts(file.language, folder)
    except ValueError as error:
        raise StudyFileError(path, f"language: {error}") from error
    study = Study(path, folder, file, hashlib.sha256(data).hexdigest(), language)
    _check_model(study)
    _check_questionnaires(study)
    _check_exploration(study)
    if len(json.dumps(study.settings, ensure_ascii=False).encode()) > MOST_SETTINGS:
        reason = f"says more than the {MOST_SETTINGS // 1000} kB that every recording can keep"
        raise StudyFileError(path, f"{reason}; shorten the consent, the instructions or the questionnaires")
    return study


def refuse_outside(folder: Path, key: str, name: Any) -> None:
    """Refuse a name of a folder that leads out of the study's. Raises ConfigError."""
    if not isinstance(name, str) or not name:
        return  # the task says what is wrong with it
    try:
        in_the_folder(name)
        leads_out = not (folder / name).resolve().is_relative_to(folder.resolve())
    except ValueError as error:
        raise ConfigError(f"{key} {error}") from error
    except (OSError, RuntimeError):
        leads_out = True
    if leads_out:
        raise ConfigError(f"{key}: {name} is a link out of the study's folder; put the folder itself there")


def _read(path: Path) -> bytes:
    try:
        with open_plain(path) as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise StudyFileError(path, f"cannot be read: {error.strerror}") from error


def _check_file(path: Path, key: str, name: str, folder: bool = False) -> None:
    """Refuse a name unless there is such a file or folder and it lies, all links followed, in the study's folder."""
    try:
        target = (path.parent / name).resolve()
        inside, there = target.is_relative_to(path.parent.resolve()), target.is_dir() if folder else target.is_file()
    except (OSError, RuntimeError):
        inside, there = True, False
    if not inside:
        raise StudyFileError(path, f"{key}: {name} is a link out of the study's folder; put the file itself there")
    if not there:
        what, advice = ("folder", ", or train one with `racer model train`") if folder else ("file", "")
        raise StudyFileError(path, f"{key}: there is no {what} {name} in the study's folder; put it there{advice}")


def _check_model(study: Study) -> None:
    """Refuse a latent model that is not the task's, slots too small for it, and masks that do not come with it."""
    try:
        spec = study.file.make_task().spec
        sizes, folder = task_sizes(spec, study.model), model_folder(spec, study.model)
    except (RacerError, CompressionError) as error:
        raise StudyFileError(study.path, f"task.model: {error}") from error
    try:
        check_conditions(study.file.shown, study.file.channel_config(), sizes)
    except ConfigError as error:
        raise StudyFileError(study.path, f"channel.bits: {error}") from error
    try:
        check_recordable(study.file.shown, sizes)
    except ConfigError as error:
        raise StudyFileError(study.path, f"conditions: {error}") from error
    for condition in study.file.masks_needed:
        if study.file.masks.source(condition) == SHIPPED and fitted_path(folder, condition) is None:
            reason = 'none comes with the latent model; use "pilot", or a file in the study\'s folder'
            raise StudyFileError(study.path, f"masks.{MasksSection.key(condition)}: {reason}")


def _check_questionnaires(study: Study) -> None:
    section, built_in = study.file.questionnaires, study.language.questionnaires
    for place, entry in enumerate(section.custom, start=1):
        if entry.name in built_in:
            reason = f"{entry.name} is a built-in questionnaire; give yours another name"
            raise StudyFileError(study.path, f"questionnaires.custom[{place}].name: {reason}")
        for item in entry.items:
            for name, file in item.options.items() if item.kind == "picture" else ():
                where = f"questionnaires.custom[{place}], item {item.id}, options.{name}"
                _check_file(study.path, where, file)
    known = [*built_in, *(entry.name for entry in section.custom)]
    for key in ("start", "after_condition", "end"):
        for name in getattr(section, key):
            if name not in known:
                reason = f"there is no questionnaire {name[:80]!r}; there are {', '.join(known)}"
                raise StudyFileError(study.path, f"questionnaires.{key}: {reason}")


def _check_exploration(study: Study) -> None:
    """Refuse a second round of exploration before the first has made its mask."""
    explore = study.file.episodes.explore
    mask = study.mask_path(explore) if study.file.pilots else None
    if mask is not None and not mask.is_file():
        reason = f'"{explore}" takes the mask of a first round, and {mask} is not there; begin with "random"'
        raise StudyFileError(study.path, f"episodes.explore: {reason}")
