"""A new study: a folder with a study file in which every key is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import sessions
from racer.errors import ConfigError
from racer.study.file import STUDY_FILE, StudyFileError
from racer.window.texts import load_texts

PresetName = Literal["default", "paper"]
PRESETS: tuple[str, ...] = get_args(PresetName)
"""`default`: this package's experiment. `paper`: the released one, to the letter."""

_FOLDER = Path(__file__).parent / "presets"


def init_study(name: str, preset: str, parent: Path, language: str) -> Path:
    """Make a study and return its file. Nothing that exists is overwritten.

    Args:
        name: Of its folder, and until it is changed its title: see `sessions.check_name`.
        preset: Which experiment to begin from, of `PRESETS`.
        parent: Where the folder goes; it may exist, without a study file.
        language: Of the screens, a built-in one: `en` or `de`.

    Raises:
        ParticipantNameError: If the name cannot be a folder's.
        ConfigError: If there is no such preset or language.
        StudyFileError: If there is a study file already, or the disk refuses.
    """
    sessions.check_name("study", name)
    template = preset_text(preset)
    load_texts(language, None)
    # Neither a name nor a built-in language holds anything that TOML would read as more than text.
    text = template.replace('"TITLE"', f'"{name}"', 1).replace('"LANGUAGE"', f'"{language}"', 1)
    path = parent / name / STUDY_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise StudyFileError(
            path if path.exists() else path.parent, "exists already and was left as it is; choose another name"
        ) from error
    except OSError as error:
        raise StudyFileError(path, f"cannot be written: {error.strerror}") from error
    return path


def preset_text(preset: str) -> str:
    """Return a preset's study file; its title is `TITLE` and its language `LANGUAGE`, to be replaced.

    Raises:
        ConfigError: If there is no such preset.
    """
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset {preset[:80]!r}; choose from {', '.join(PRESETS)}")
    return (_FOLDER / f"{preset}.toml").read_text(encoding="utf-8")
