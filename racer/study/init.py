"""A new study: a folder with a study file in which every key is explained."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any, Literal, get_args

import sessions
from disk.writing import make_folder, write_whole
from racer.errors import ConfigError
from racer.study.file import STUDY_FILE, StudyFileError, refuse_outside
from racer.tasks.registry import DEFAULT_TASK, describe_settings, make_task
from racer.tasks.task import TaskSpec
from racer.window.texts import load_texts

PresetName = Literal["default", "paper", "digits", "vehicles", "faces"]
PRESETS: tuple[str, ...] = get_args(PresetName)
"""`default`: this package's experiment. `paper`: the released one, to the letter. The others: single pictures, as in
the paper's section 5."""
_PICTURES = {"digits": 16, "vehicles": 30, "faces": 30}
"""Presets of single pictures, each named as its task, and the bits of a picture: half of the blocks, at two levels a
feature or a little more."""

_BITS_OF_FOLDERS = 30
_QUESTIONS = """
# Questions in your own words. Take the # away; the keys of answers that you rename stand below [keys].
#   [[task.questions]]
#   column = "glasses"
#   text = "Does this person wear glasses?"
#   answers = [
#     { value = "yes", keys = ["left", "f"], button = "Yes" },
#     { value = "no", keys = ["right", "j"], button = "No" },
#   ]"""
_FOLDER = Path(__file__).parent / "presets"


def init_study(
    name: str, preset: str, parent: Path, language: str, task: str | None = None, images: str | None = None
) -> Path:
    """Make a study and return its file. Nothing that exists is overwritten.

    Args:
        name: Of its folder, and until it is changed its title: see `sessions.check_name`.
        preset: Which experiment to begin from, of `PRESETS`.
        parent: Where the folder goes; it may exist, without a study file.
        language: Of the screens, a built-in one: `en` or `de`.
        task: What people do; that of the preset, or else car-racing, if None.
        images: Name of a folder in the study's, which is there already: of pictures and a labels.csv to ask about.

    Raises:
        ParticipantNameError: If the name cannot be a folder's.
        ConfigError: If there is no such preset or language.
        TaskError: If there is no such task.
        StudyFileError: If there is a study file already, or the disk refuses.
    """
    sessions.check_name("study", name)
    template = preset_text(preset, task) if images is None else folder_text(parent / name, images)
    load_texts(language, None)
    # Neither a name nor a built-in language holds anything that TOML would read as more than text.
    text = template.replace('"TITLE"', f'"{name}"', 1).replace('"LANGUAGE"', f'"{language}"', 1)
    path = parent / name / STUDY_FILE
    try:
        make_folder(path.parent)
        write_whole(path, text.encode(), overwrite=False)
    except FileExistsError as error:
        raise StudyFileError(
            path if path.exists() else path.parent, "exists already and was left as it is; choose another name"
        ) from error
    except OSError as error:
        raise StudyFileError(path, f"cannot be written: {error.strerror}") from error
    return path


def task_of(preset: str, task: str | None) -> str:
    """Return the task of a preset; for `default` any, which may be left out. Raises ConfigError as `preset_text`."""
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset {preset[:80]!r}; choose from {', '.join(PRESETS)}")
    own = preset if preset in _PICTURES else DEFAULT_TASK
    if task not in (None, own) and preset != "default":
        raise ConfigError(f"preset {preset} is an experiment with {own}; use --preset default with task {task}")
    return own if task is None else task


def preset_text(preset: str, task: str | None = None) -> str:
    """Return a preset's study file; its title is `TITLE` and its language `LANGUAGE`, to be replaced.

    Raises:
        ConfigError: If there is no such preset, or it is that of another task.
        TaskError: If there is no such task.
    """
    task = task_of(preset, task)
    own = {"handling": "forgiving"} if preset == "paper" else {}
    bits = _PICTURES.get(preset)
    return _filled(make_task(task).spec, _task_section(task, own), preset if bits is None else "pictures", bits)


def folder_text(study: Path, images: str) -> str:
    """Return the study file for a folder of pictures in a study's, with TITLE and LANGUAGE as in `preset_text`.

    Raises:
        ConfigError: If the folder is not in the study's, or it, its labels or its pictures cannot be used.
    """
    refuse_outside(study, "images", images)
    if Path(images).is_dir() and not (study / images).exists():
        raise ConfigError(
            f"{images} is here, but a study's pictures lie in its own folder; nothing was done: move it to "
            f"{study / images}"
        )
    spec = make_task("folder", {"images": images}, (study,)).spec
    section = f"{_task_section('folder', {'images': images, 'model': 'model'})}\n{_QUESTIONS}"
    return _filled(spec, section, "pictures", _BITS_OF_FOLDERS)


def _filled(spec: TaskSpec, task: str, template: str, bits: int | None) -> str:
    parts = {
        "TASK": task,
        "KEYS": "\n".join(f"{action.name} = {_toml(list(action.keys))}" for action in spec.actions if action.keys),
        "STEPS": str(spec.steps),
        "PACE": _toml(spec.pace),
        "AFTER": _toml(list(spec.questionnaires)),
        "BITS": str(bits),
    }
    text = (_FOLDER / f"{template}.toml").read_text(encoding="utf-8")
    return re.sub(rf"(?<![A-Z])({'|'.join(parts)})(?![A-Z])", lambda found: parts[found[1]], text)


def _task_section(task: str, own: dict[str, Any]) -> str:
    lines = [
        "# What people do, as `racer task list` names it, and its settings.",
        f"name = {_toml(task)}",
        "",
        '# Folder in this one with a latent model from `racer model train`; "" for the one that comes with the task.',
        f"model = {_toml(own.get('model', ''))}",
    ]
    for setting in describe_settings(task):
        note = " ".join(part for part in (setting.meaning, f"({setting.kind})") if part)
        lines += ["", *textwrap.wrap(note, 118, initial_indent="# ", subsequent_indent="# ")]
        value = own.get(setting.name, setting.default)
        lines.append(f"# {setting.name} =" if value is None else f"{setting.name} = {_toml(value)}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    # What a setting can be is written in JSON as in TOML.
    return json.dumps(value, ensure_ascii=False)
