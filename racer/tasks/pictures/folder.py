"""The world `folder`: pictures of the user's own, and what `labels.csv` beside them says of each.

The first column of `labels.csv`, `image`, names a file of the folder; every other column is something that can be
asked. Which part a picture belongs to (`racer.tasks.pictures.parts`) follows from its bytes: it stays where it is when
others are added, and copies of a picture are in one part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from disk.reading import read_plain
from racer.csv_text import CsvTable, read_table
from racer.errors import ConfigError
from racer.tasks.image_files import FEWEST_PICTURES, LABELS, MOST_BYTES, SUFFIXES, read_picture
from racer.tasks.pictures.parts import Part, part_of, part_of_share
from racer.tasks.pictures.task import Pictures
from racer.tasks.pictures.worlds import Picture, Question, Traits
from racer.tasks.task import LATER, Action

NAME_COLUMN = "image"
_MOST_PICTURES, _MOST_PIXEL_BYTES = 20_000, 2**30
_MOST_ANSWERS = 10
_SIDES = range(16, 257, 8)
_NOTHING_DONE = "nothing was done"
_QUESTION_KEYS = {"column", "name", "text", "answers"}
_ANSWER_KEYS = {"value", "keys", "button"}


@dataclass(eq=False)
class FolderWorld:
    """As many pictures as a folder holds, in parts."""

    frame: tuple[int, int, int]
    traits: tuple[str, ...]
    questions: tuple[Question, ...]
    sha256: str
    """SHA-256 of the labels and every picture, 64 hexadecimal digits."""
    names: tuple[str, ...]
    """File names of the pictures, in order."""
    frames: NDArray[np.uint8]
    """uint8[N, H, W, C]"""
    told: tuple[Traits, ...]
    """What is known of each picture."""
    members: Mapping[Part, NDArray[np.intp]]
    """Which pictures belong to each part of them; none is empty."""
    parts: tuple[str, ...] = ()
    """Names of what a picture's pixels show: none, since nobody knows."""

    def picture(self, seed: int) -> Picture:
        """Return the picture of a seed."""
        index = self.index(seed)
        return Picture(self.frames[index], self.told[index])

    def index(self, seed: int) -> int:
        """Return which picture a seed leads to."""
        part = self.members[part_of(seed)]
        return int(part[np.random.default_rng(seed).integers(len(part))])


@dataclass(frozen=True)
class Folder(Pictures):
    """Ask about pictures of your own: a folder of them with a `labels.csv`, whose first column is `image`."""

    images: str = field(metadata={"folder": True})
    """Folder with the pictures and labels.csv."""
    question: str = ""
    """Name of a question, or of a column of labels.csv; the first question if empty."""
    size: int = 64
    """Side of the frames that pictures are reduced to, pixels: 16 to 256, a multiple of 8."""
    grey: bool = False
    """Whether pictures lose their colours."""
    seconds: float = 0.0
    """For how long people see a picture, 0 to 60; 0: until they answer."""
    page: int = field(default=1, metadata=LATER)
    """Pictures that people see together, 1 to 9: they mark those to which the first of two answers is theirs."""
    questions: list[dict[str, Any]] = field(default_factory=list, hash=False)
    """Each with `column`, `text` and `answers`, which have `value`, `keys` and `button`; if left out, every column of
    2 to 10 values is one."""
    sha256: str = ""
    """SHA-256 that labels and pictures must have, 64 hexadecimal digits; any if empty."""
    place: str = field(default="", init=False, repr=False, compare=False)
    """Where the folder was found; no setting."""
    world_name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "answer questions about pictures of your own"
    software: ClassVar[tuple[str, ...]] = ("numpy", "pillow")

    def __post_init__(self) -> None:
        if not self.images:
            raise ConfigError("images must name a folder with pictures and a labels.csv; add --set images=FOLDER")
        if self.size not in _SIDES:
            raise ConfigError(f"size must be a multiple of 8 from 16 to 256 pixels; got {self.size}")

    def located(self, folders: Sequence[Path]) -> Folder:
        """Return the task with its pictures found and read: below the first of some folders that has them.

        Raises:
            ConfigError: If there is none, or what it holds cannot be used.
        """
        found = next((each for each in folders if (each / self.images).is_dir()), folders[0])
        place = str((found / self.images).absolute())
        world = read_world(place, self.size, self.grey, self.questions)
        if self.sha256 not in ("", world.sha256):
            raise ConfigError(
                f"{found / self.images} holds other pictures or labels than those that were shown (hash "
                f"{world.sha256[:12]}, not {self.sha256[:12]}); {_NOTHING_DONE}: put those back"
            )
        names = [question.name for question in world.questions]
        if (question := self.question or names[0]) not in names:
            raise ConfigError(f"question must be one of {', '.join(names)}; got {self.question[:60]!r}")
        made = replace(self, question=question, sha256=world.sha256)
        object.__setattr__(made, "place", place)
        return made

    @property
    def world(self) -> FolderWorld:
        """Where the pictures come from."""
        return read_world(self.place, self.size, self.grey, self.questions)


def read_world(place: str, size: int, grey: bool, questions: Sequence[Mapping[str, Any]]) -> FolderWorld:
    """Return what a folder holds; read once per process while nothing in it is added, taken out or labelled anew.

    Raises:
        ConfigError: If the folder, its labels, a picture or a question cannot be used.
    """
    folder = Path(place)
    try:
        stamps = [(found.st_mtime_ns, found.st_size) for found in (folder.stat(), (folder / LABELS).lstat())]
    except OSError as error:
        what = f"{folder} holds no {LABELS}" if folder.is_dir() else f"there is no folder {folder}"
        raise ConfigError(
            f"{what}; {_NOTHING_DONE}: put pictures there, and a {LABELS} with a column {NAME_COLUMN} and one for each "
            "question"
        ) from error
    pictures = _read(place, size, grey, str(stamps))
    asked = [_Asked.of(each, pictures.labels) for each in questions] or _from_columns(pictures.labels)
    if len({each.question.name for each in asked}) < len(asked):
        raise ConfigError(f"two questions about {folder} have the same name; {_NOTHING_DONE}: give each its own `name`")
    told: list[dict[str, float]] = [{} for _ in pictures.names]
    for each in asked:
        for known, value in zip(told, pictures.labels.column(each.column), strict=True):
            known |= {
                trait: float(value == other) for trait, other in zip(each.question.about, each.values, strict=True)
            }
    traits = tuple(told[0])
    made = tuple(each.question for each in asked)
    return FolderWorld(
        pictures.frames.shape[1:],
        traits,
        made,
        pictures.sha256,
        pictures.names,
        pictures.frames,
        tuple(told),
        pictures.parts,
    )


@dataclass(frozen=True, eq=False)
class _Pictures:
    names: tuple[str, ...]
    frames: NDArray[np.uint8]
    labels: CsvTable
    """Its rows in the order of the names."""
    parts: Mapping[Part, NDArray[np.intp]]
    sha256: str


@lru_cache(maxsize=4)
def _read(place: str, size: int, grey: bool, stamps: str) -> _Pictures:
    folder = Path(place)
    labels = _sorted(read_table(folder / LABELS), folder)
    names = labels.column(NAME_COLUMN)
    channels = 1 if grey else 3
    if len(names) > _MOST_PICTURES or len(names) * size * size * channels > _MOST_PIXEL_BYTES:
        raise ConfigError(f"{folder} holds {len(names)} pictures, which are too many; {_NOTHING_DONE}: take some out")
    frames = np.empty((len(names), size, size, channels), np.uint8)
    parts: dict[Part, list[int]] = {"learnt": [], "piloted": [], "held-out": []}
    whole = hashlib.sha256(repr((labels.columns, labels.rows)).encode())
    for index, name in enumerate(names):
        frames[index] = read_picture(folder / name, size, grey)
        own = hashlib.sha256(read_plain(folder / name, MOST_BYTES)).digest()
        whole.update(own)
        parts[part_of_share(int.from_bytes(own[:8], "big") / 2**64)].append(index)
    if empty := [part for part, members in parts.items() if not members]:
        raise ConfigError(f"{folder}: no picture is in the part {empty[0]}; {_NOTHING_DONE}: add pictures")
    frames.setflags(write=False)
    found = {part: np.array(members, np.intp) for part, members in parts.items()}
    return _Pictures(names, frames, labels, found, whole.hexdigest())


def _sorted(table: CsvTable, folder: Path) -> CsvTable:
    """Return the labels in the order of the pictures' names, one for each picture of the folder."""
    names = table.column(NAME_COLUMN)
    try:
        there = {path.name for path in folder.iterdir() if path.suffix.lower() in {*SUFFIXES, ".gif"}}
    except OSError as error:
        raise ConfigError(f"cannot list {folder}: {error.strerror}; {_NOTHING_DONE}") from error
    if not there:
        raise ConfigError(f"{folder} holds no pictures; {_NOTHING_DONE}: put PNG, JPEG, BMP, WebP or TIFF files there")
    seen: set[str] = set()
    for name, line in zip(names, table.lines, strict=True):
        where = f"{table.path}, line {line}"
        if name in seen:
            raise ConfigError(f"{where}: {name} is labelled a second time; {_NOTHING_DONE}: take one line out")
        if Path(name).name != name or "\\" in name:
            raise ConfigError(
                f"{where}: {name} is not the name of a file in the folder; {_NOTHING_DONE}: name the file alone"
            )
        if Path(name).suffix.lower() not in SUFFIXES:
            raise ConfigError(
                f"{where}: {name} is not a PNG, JPEG, BMP, WebP or TIFF file; {_NOTHING_DONE}: save it as one"
            )
        if name not in there:
            raise ConfigError(
                f"{where}: there is no picture {name}; {_NOTHING_DONE}: put it there, or take the line out"
            )
        seen.add(name)
    if more := sorted(there - seen):
        also = f" and {len(more) - 1} more" * (len(more) > 1)
        raise ConfigError(
            f"{folder / more[0]}{also} {'have' if also else 'has'} no line in {LABELS}; {_NOTHING_DONE}: label "
            f"{'them, or move them' if also else 'it, or move it'} elsewhere"
        )
    if len(names) < FEWEST_PICTURES:
        raise ConfigError(
            f"{folder} holds {len(names)} picture{'s' * (len(names) != 1)}, and a task takes {FEWEST_PICTURES} or "
            f"more; {_NOTHING_DONE}: add pictures"
        )
    order = sorted(range(len(names)), key=lambda index: names[index])
    return CsvTable(
        table.path,
        table.columns,
        tuple(table.rows[index] for index in order),
        tuple(table.lines[index] for index in order),
    )


@dataclass(frozen=True)
class _Asked:
    """A question and the column that answers it."""

    question: Question
    column: str
    values: tuple[str, ...]
    """Values of the column, one for each answer."""

    @classmethod
    def of(cls, given: Mapping[str, Any], labels: CsvTable) -> _Asked:
        """Return a question that a study file or a command line asks."""
        column = _text(given, "column", _QUESTION_KEYS)
        cells = labels.column(column)
        where = f"question about {column}"
        answers = given.get("answers", [{"value": value} for value in sorted(set(cells))])
        if not isinstance(answers, list) or not all(isinstance(answer, Mapping) for answer in answers):
            raise ConfigError(f"{where}: answers must be a list of tables with `value`, `keys` and `button`")
        values = tuple(_text(answer, "value", _ANSWER_KEYS) for answer in answers)
        if not 2 <= len(set(values)) == len(values) <= _MOST_ANSWERS:
            raise ConfigError(f"{where}: there must be 2 to {_MOST_ANSWERS} answers, each with its own value")
        for cell, line in zip(cells, labels.lines, strict=True):
            if cell not in values:
                raise ConfigError(
                    f"{labels.path}, line {line}: {column} is {cell[:40]!r}, which is not one of the answers "
                    f"{', '.join(values)}; {_NOTHING_DONE}: fix the line, or add the answer"
                )
        actions: list[Action] = []
        words: dict[str, str] = {}
        for number, (value, answer) in enumerate(zip(values, answers, strict=True)):
            keys = answer.get("keys", [*_default_keys(number, len(values))])
            if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
                raise ConfigError(f"{where}: the keys of {value!r} must be a list of their names, one or more")
            actions.append(Action(_slug(value, f"answer-{number + 1}", {each.name for each in actions}), tuple(keys)))
            words[actions[-1].name] = _text(answer, "button", _ANSWER_KEYS, value)
        name = _slug(_text(given, "name", _QUESTION_KEYS, column), "question", set())
        text = _text(given, "text", _QUESTION_KEYS, f"{column}?")
        traits = tuple(f"{name}-{action.name}" for action in actions)
        return cls(
            Question(
                name=name,
                asked={"en": text, "de": text},
                answers=tuple(actions),
                words={"en": words, "de": words},
                answer=lambda told: next(number for number, trait in enumerate(traits) if told[trait]),
                about=traits,
            ),
            column,
            values,
        )


def _from_columns(labels: CsvTable) -> list[_Asked]:
    """Return a question for each column with few enough values."""
    columns = [each for each in labels.columns if each != NAME_COLUMN]
    asked = [
        _Asked.of({"column": column}, labels)
        for column in columns
        if 2 <= len(set(labels.column(column))) <= _MOST_ANSWERS and "" not in labels.column(column)
    ]
    if not asked:
        for column in columns:
            for cell, line in zip(labels.column(column), labels.lines, strict=True):
                if not cell and len(set(labels.column(column))) <= _MOST_ANSWERS + 1:
                    raise ConfigError(
                        f"{labels.path}, line {line}: {column} is empty, so that its picture has no answer; "
                        f"{_NOTHING_DONE}: fill it in, or take the picture and its line out"
                    )
        raise ConfigError(
            f"{labels.path}: no column has 2 to {_MOST_ANSWERS} values and none missing, so there is nothing to ask; "
            f"{_NOTHING_DONE}: add a column of 2 answers or more"
        )
    return asked


def _text(given: Mapping[str, Any], key: str, known: set[str], default: str | None = None) -> str:
    if odd := sorted(set(given) - known):
        raise ConfigError(f"a question has no {odd[0][:40]!r}; there are {', '.join(sorted(known))}")
    value = given.get(key, default)
    if not isinstance(value, str) or not value.strip() or len(value) > 200 or not value.isprintable():
        raise ConfigError(f"a question needs `{key}`: one line of text, 1 to 200 letters")
    return value.strip()


def _default_keys(number: int, count: int) -> tuple[str, ...]:
    if count == 2:
        return ("left", "f") if number == 0 else ("right", "j")
    digit = (number + 1) % 10
    return str(digit), f"[{digit}]"


def _slug(text: str, otherwise: str, taken: set[str]) -> str:
    """Return a name of a-z, 0-9 and hyphens that stands for a text."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    free = (f"{otherwise}{'-' * bool(count)}{count or ''}" for count in range(len(taken) + 1))
    return name if name and name not in taken else next(each for each in free if each not in taken)
