"""Every word that people at the window read, in one file per language.

`languages/en.toml` says which words there are; a translation has the same keys, the same placeholders and the same
questionnaires. Translations of the user's own are untrusted: they are read as data and must lie in the study's folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from disk.reading import NotPlainError, read_plain
from racer.drivers.keyboard import key_label
from racer.errors import ConfigError
from racer.sitting.questionnaires import Item, Questionnaire
from racer.toml_text import parse_toml

BUILT_IN: Final = ("en", "de")
"""Languages that need no file."""
MOST_FILE_BYTES: Final = 1_000_000
MOST_TEXT_CHARACTERS: Final = 10_000
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}", re.ASCII)


@dataclass(frozen=True)
class Texts:
    """What the window and the pages of a sitting say. `{names}` in a text are placeholders for `str.format`."""

    # Keys.
    left_arrow: str
    right_arrow: str
    up_arrow: str
    down_arrow: str
    space_key: str
    or_key: str
    # Pages.
    press_space: str
    press_space_to_begin: str
    more: str
    page_place: str
    page_back: str
    press_keys: str
    seconds_left: str
    # The picture.
    original: str
    shown: str
    time: str
    pictures: str
    pictures_together: str
    get_ready: str
    # The pause menu.
    paused: str
    paused_by_key: str
    paused_by_focus: str
    paused_locked: str
    resume: str
    end: str
    end_question: str
    end_answer: str
    end_answer_unrecorded: str
    keep_going: str
    menu_hint: str
    # The experimenter's menu.
    experimenter: str
    experimenter_text: str
    experimenter_back: str
    code_question: str
    code_text: str
    code_wrong: str
    code_wrong_text: str
    note: str
    note_text: str
    note_save: str
    note_saved: str
    redo: str
    redo_question: str
    redo_answer: str
    fullscreen_leave: str
    fullscreen_enter: str
    confirm: str
    cancel: str
    # Questions.
    question: str
    questions: str
    onward: str
    back: str
    choice_hint: str
    rating_hint: str
    ruler_hint: str
    writing_hint: str
    required_writing_hint: str
    one_hint: str
    several_hint: str
    line_hint: str
    form_hint: str
    whole_number: str
    decimal_number: str
    optional: str
    # The pages of a sitting.
    consent_title: str
    agree: str
    decline: str
    declined_title: str
    declined_lines: tuple[str, ...]
    pause_hint: str
    probe_hint: str
    switch_hint: str
    switch_number_hint: str
    key_test_title: str
    key_test_lines: tuple[str, ...]
    part_title: str
    part_lines: tuple[str, ...]
    break_title: str
    break_lines: tuple[str, ...]
    resumed_title: str
    resumed_lines: tuple[str, ...]
    thanks_title: str
    thanks_lines: tuple[str, ...]
    thanks_prompt: str
    disk_full_title: str
    disk_full_lines: tuple[str, ...]
    disk_full_retry: str
    # Above the picture.
    practice: str
    practice_pictures: str
    calibration: str
    exploration: str
    evaluation: str
    round: str
    trial_run_mark: str

    def key_names(self, keys: Sequence[str]) -> str:
        """Return, for example, `the left arrow or A` for pygame's names `left` and `a`."""
        named = {
            "left": self.left_arrow,
            "right": self.right_arrow,
            "up": self.up_arrow,
            "down": self.down_arrow,
            "space": self.space_key,
        }
        first, *others = (named.get(key, key_label(key)) for key in keys)
        return " ".join([first, *(self.or_key.format(key=other) for other in others)])


@dataclass(frozen=True)
class Language:
    """Everything that is said in one language."""

    code: str
    """Language code, such as `en`; of a file of the user's own its name without the suffix. Tasks are asked for their
    texts by it."""
    texts: Texts
    questionnaires: dict[str, Questionnaire]
    """By name: `driving` and `nasa-tlx`."""


@cache
def english() -> Language:
    """Return the built-in English."""
    return _read(_built_in("en"), "en.toml", None)


def load_texts(language: str, folder: Path | None) -> Language:
    """Return a built-in language, or one of the user's own.

    Args:
        language: `en`, `de`, or the path of a `.toml` file within the folder, such as `texts/fr.toml`.
        folder: Of the study; None where only built-in languages will do.

    Raises:
        ConfigError: If there is no such language or its file cannot be used; the message names the file and the key.
    """
    if language == "en":
        return english()
    if language in BUILT_IN:
        return _read(_built_in(language), f"{language}.toml", english())
    if not language.endswith(".toml"):
        raise ConfigError(f"there is no language {language[:40]!r}; use en, de, or a .toml file in the study's folder")
    if folder is None:
        raise ConfigError(f"{language}: a language file needs a study's folder to lie in; use en or de")
    return _read(_contents(language, folder), language, english())


def _built_in(language: str) -> bytes:
    return (files("racer.window") / "languages" / f"{language}.toml").read_bytes()


def _contents(language: str, folder: Path) -> bytes:
    """Return the bytes of a file that lies in the folder, links followed."""
    given = Path(language)
    try:
        path = (folder / given).resolve()
        outside = given.is_absolute() or ".." in given.parts or not path.is_relative_to(folder.resolve())
        if outside:
            raise ConfigError(f"{language}: a language file must lie in the study's folder; copy it there")
        if not path.is_file():
            raise ConfigError(f"{language}: there is no such file in the study's folder")
        return read_plain(path, MOST_FILE_BYTES)
    except NotPlainError as error:
        raise ConfigError(f"{language}: {error.strerror}; a language file has at most 1 MB") from None
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{language}: the language file cannot be read: {error}") from None


def _read(contents: bytes, name: str, model: Language | None) -> Language:
    """Return the language in a file; `model` is the English it must match, None for English itself."""
    try:
        raw = parse_toml(contents)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    _check_keys(raw, ("texts", "questionnaires"), name)
    words, questionnaires = raw["texts"], raw["questionnaires"]
    if not isinstance(words, dict):
        raise ConfigError(f"{name}: texts must be a table, [texts]")
    _check_keys(words, [field.name for field in fields(Texts)], name)
    checked: dict[str, Any] = {
        field.name: _words(words[field.name], field.type != "str", f"{name}: {field.name}") for field in fields(Texts)
    }
    texts = Texts(**checked)
    if not isinstance(questionnaires, list):
        raise ConfigError(f"{name}: questionnaires must be tables, [[questionnaires]]")
    found = [_questionnaire(entry, f"{name}: questionnaire {i}") for i, entry in enumerate(questionnaires, 1)]
    language = Language(Path(name).stem, texts, {questionnaire.name: questionnaire for questionnaire in found})
    if model is not None:
        _check_placeholders(texts, model.texts, name)
        _check_questionnaires(found, model, name)
    return language


def _check_keys(table: Mapping[str, Any], expected: Sequence[str], where: str, optional: Sequence[str] = ()) -> None:
    for key in table:
        if key not in (known := [*expected, *optional]):
            near = get_close_matches(key, known, n=1)
            raise ConfigError(f"{where}: unknown key {key[:60]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    if missing := [key for key in expected if key not in table]:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigError(f"{where}: the key {missing[0]!r}{others} is missing; en.toml has them all")


def _words(value: object, paragraphs: bool, where: str) -> str | tuple[str, ...]:
    """Return a text, or the paragraphs of a page, checked."""
    if paragraphs:
        if not isinstance(value, list):
            raise ConfigError(f"{where} must be a list of texts")
        return tuple(_text(each, where) for each in value)
    return _text(value, where)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be a text in quotes")
    if not value.strip() or len(value) > MOST_TEXT_CHARACTERS:
        raise ConfigError(f"{where} must have 1 to {MOST_TEXT_CHARACTERS} characters")
    if set("{}") & set(_PLACEHOLDER.sub("", value)):
        raise ConfigError(f"{where}: braces may only stand around placeholders, such as {{number}}")
    return value


def _check_placeholders(texts: Texts, model: Texts, name: str) -> None:
    for field in fields(Texts):
        used, known = (_placeholders(getattr(each, field.name)) for each in (texts, model))
        if wrong := sorted(used ^ known):
            problem = f"misses {{{wrong[0]}}}" if wrong[0] in known else f"has {{{wrong[0]}}}, which nothing replaces"
            raise ConfigError(f"{name}: {field.name} {problem}")


def _placeholders(value: str | tuple[str, ...]) -> set[str]:
    return set(_PLACEHOLDER.findall(value if isinstance(value, str) else " ".join(value)))


def _questionnaire(raw: object, where: str) -> Questionnaire:
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} must be a table, [[questionnaires]]")
    _check_keys(raw, ("name", "items"), where)
    if not isinstance(raw["name"], str) or not isinstance(raw["items"], list):
        raise ConfigError(f"{where} must have a name and [[questionnaires.items]]")
    items = []
    for number, entry in enumerate(raw["items"], 1):
        place = f"{where}, item {number}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{place} must be a table")
        kinds = {"id": str, "text": str, "low": str, "high": str, "points": int, "kind": str}
        _check_keys(entry, ("id", "text"), place, optional=("low", "high", "points", "kind"))
        for key, value in entry.items():
            if type(value) is not kinds[key] or (isinstance(value, str) and len(value) > MOST_TEXT_CHARACTERS):
                raise ConfigError(f"{place}: {key} must be a {'whole number' if kinds[key] is int else 'text'}")
        try:
            items.append(Item(**entry))
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from None
    try:
        return Questionnaire(raw["name"], tuple(items))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_questionnaires(found: list[Questionnaire], model: Language, name: str) -> None:
    """Answers in two languages are compared: the scales must be the same."""
    expected = model.questionnaires
    if [each.name for each in found] != list(expected):
        raise ConfigError(f"{name}: the questionnaires must be {' and '.join(expected)}, in this order")
    for each in found:
        shape, model_shape = (
            [(item.id, item.points, item.kind) for item in one.items] for one in (each, expected[each.name])
        )
        if shape != model_shape:
            raise ConfigError(
                f"{name}: the items of {each.name!r} must have the ids, kinds, points and order of en.toml"
            )
