"""Which characters of a study the window of this machine cannot show, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from racer.study.file import Study

_SURE = 0x0250
"""Below this, and in general punctuation up to the ellipsis, DejaVu Sans has every character that can be written."""


@dataclass(frozen=True)
class Unshown:
    """Characters of one text that cannot be shown."""

    key: str
    """Key in the study file, such as `screens.consent`; or the name of the language file."""
    letters: tuple[str, ...]

    @property
    def right_to_left(self) -> bool:
        """Whether the text runs from right to left."""
        from racer.window.fonts import runs_left  # brings pygame

        return any(map(runs_left, self.letters))

    def __str__(self) -> str:
        from racer.window.fonts import named

        if self.right_to_left:
            return f"{self.key} is written from right to left, which Racer cannot show"
        return f"{self.key} has characters that no font here can show: {named(list(self.letters))}"


ADVICE = 'install a font that has them, or name one in the study file, as in font = "Noto Sans"'


def find_unshown(study: Study) -> list[Unshown]:
    """Return the texts of a study that cannot be shown as they are, with the characters that are to blame.

    Raises:
        ConfigError: If the font that the study names is not installed here.
    """
    texts = list(texts_shown(study))
    doubtful = any(ord(letter) >= _SURE and not "\u2010" <= letter <= "\u2026" for _, text in texts for letter in text)
    if not (doubtful or study.file.font):
        return []  # without pygame, whose start takes longer than all else that status does
    from racer.window.fonts import Fonts

    fonts = Fonts(study.file.font)
    found: dict[str, dict[str, None]] = {}
    for key, text in texts:
        for letter in fonts.unshown([text]):
            found.setdefault(key, {})[letter] = None
    return [Unshown(key, tuple(letters)) for key, letters in found.items()]


def texts_shown(study: Study) -> Iterator[tuple[str, str]]:
    """Yield every text of a study that a participant may read, and the key that it stands under."""
    screens, asked = study.file.screens, study.file.questionnaires
    yield "screens.consent", screens.consent
    yield "screens.instructions", screens.instructions
    for name in dict.fromkeys((*asked.start, *asked.after_condition, *asked.end)):
        own = any(entry.name == name for entry in asked.custom)
        key = f"questionnaires.custom, {name}" if own else f"language, {name}"
        for item in study.questionnaire(name).items:
            words = () if item.kind == "picture" else item.options.values()
            yield from ((key, text) for text in (item.text, item.low, item.high, *words))
    for field in fields(study.language.texts):
        words = getattr(study.language.texts, field.name)
        yield from (("language", text) for text in ((words,) if isinstance(words, str) else words))
    told = study.file.make_task().spec.text(study.language.code)
    yield from (("task", text) for text in (told.title, *told.lines, *told.actions.values()))
