"""Pictures as tasks: a trial is one picture, one question and one answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from racer.errors import ConfigError
from racer.tasks.pictures.worlds import Picture, Question, World
from racer.tasks.shipped_model import shipped_model
from racer.tasks.task import LATER, Action, Metric, Outcome, TaskSpec, TaskText

FIXATION_SECONDS, ANSWER_SECONDS = 0.3, 0.8
"""How long a cross is shown before a picture, and how long simulated people take to answer."""
_TRIALS = 20
"""Pictures of a block where nobody says otherwise."""
_LINES = {
    "en": (
        "You will see many pictures. Answer by what you see, without hurry and without delay; nobody tells you whether "
        "you are right.",
        "Some pictures are blurred, or wrong in parts: answer all the same. Blocks of pictures: {trials}.",
    ),
    "de": (
        "Sie sehen viele Bilder. Antworten Sie nach dem, was Sie sehen, ohne Eile und ohne Zögern; ob es stimmt, "
        "erfahren Sie nicht.",
        "Manche Bilder sind unscharf oder teils falsch: Antworten Sie trotzdem. Blöcke von Bildern: {trials}.",
    ),
}
_ANSWERS, _FOR = {"en": "Answers", "de": "Antworten"}, {"en": "for", "de": "für"}
_QUOTED = {"en": "“{}”", "de": "„{}“"}
_MARKS = {
    "en": "Mark all pictures to which your answer is {}: click them, press their numbers, or use the arrow keys and "
    "SPACE. Enter goes on.",
    "de": "Markieren Sie alle Bilder, zu denen Ihre Antwort {} ist: durch Klick, Nummer oder Pfeiltasten und "
    "Leertaste. Weiter mit der Eingabetaste.",
}
_KEYS_THEMSELVES = {
    "en": "Answer with the digit's key, in the row of digits or on the number pad.",
    "de": "Antworten Sie mit der Taste der Ziffer, in der Ziffernreihe oder auf dem Ziffernblock.",
}


class Pictures:
    """What all tasks of pictures have in common."""

    world_name: ClassVar[str]
    summary: ClassVar[str]
    software: ClassVar[tuple[str, ...]] = ("numpy",)
    question: str
    seconds: float
    page: int

    def __post_init__(self) -> None:
        names = [question.name for question in self.world.questions]
        if self.question not in names:
            raise ConfigError(f"question must be one of {', '.join(names)}; got {self.question!r}")

    @property
    def world(self) -> World:
        """Where the pictures come from."""
        module = import_module(f"racer.tasks.pictures.{self.world_name}")
        world: World = getattr(module, self.world_name.upper())
        return world

    @property
    def asked(self) -> Question:
        """The question."""
        return next(question for question in self.world.questions if question.name == self.question)

    @property
    def spec(self) -> TaskSpec:
        """Everything that Racer needs to know of it."""
        question, world = self.asked, self.world
        alone = self.page == 1
        answers = question.answers if alone else tuple(Action(answer.name) for answer in question.answers)
        return TaskSpec(
            name=self.world_name,
            summary=self.summary,
            frame=world.frame,
            actions=answers,
            metrics=_metrics(question.answers),
            texts={language: _text(question, language, alone) for language in _LINES},
            paced=False,
            driver="viewer-trees",
            pilot_driver="viewer-network",
            model=shipped_model(self.world_name),
            steps=_TRIALS,
            step_seconds=ANSWER_SECONDS,
            fixation_seconds=FIXATION_SECONDS if alone else 0.0,
            shown_seconds=self.seconds,
            page=self.page,
            questionnaires=(),
            operating_points=tuple({"question": each.name} for each in world.questions),
            training_points=({"question": self.question},),
            truth="the traits of the pictures",
            traits=world.traits,
            labels=world.parts,
            software=self.software,
        )

    def start(self, seed: int) -> PictureTrial:
        """Show the picture of a seed."""
        return PictureTrial(self.asked, self.world.picture(seed), self.world.traits)


class PictureTrial:
    """One trial.

    Args:
        question: What is asked.
        picture: Of what.
        names: The traits that are told, in order.
    """

    def __init__(self, question: Question, picture: Picture, names: tuple[str, ...]) -> None:
        self._picture, self._names = picture, names
        self.right = question.answer(picture.traits)
        """Index of the right answer."""

    def frame(self) -> NDArray[np.uint8]:
        """Return the picture, uint8[H, W, C]."""
        return self._picture.frame.copy()

    def step(self, action: int) -> Outcome:
        """Take the answer."""
        return Outcome({"correct": float(action == self.right), "right": float(self.right)}, over=True)

    def truth(self) -> NDArray[np.float64]:
        """Return the traits of the picture, float64[K]."""
        return np.array([self._picture.traits[name] for name in self._names], np.float64)

    def labels(self) -> NDArray[np.uint8]:
        """Return which part of its world each pixel shows most of, uint8[H, W]; see `World.parts`."""
        if self._picture.labels is None:
            raise ConfigError("pictures of this world have no parts")
        return self._picture.labels()

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Digits(Pictures):
    """Read handwritten digits: scikit-learn's 1,797, of which whoever is evaluated meets those that nothing learnt."""

    question: Literal["digit", "thickness"] = "digit"
    """`digit`: which one it is. `thickness`: thick or thin."""
    seconds: float = 0.0
    """For how long people see a picture, 0 to 60; 0: until they answer."""
    page: int = field(default=1, metadata=LATER)
    """Pictures that people see together, 1 to 9: they mark those to which the first of two answers is theirs."""
    world_name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "read handwritten digits"
    software: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn")


@dataclass(frozen=True)
class Vehicles(Pictures):
    """Judge vehicles in drawn scenes."""

    question: Literal["worth", "paint"] = "worth"
    """`worth`: less than 20,000? `paint`: dark or light?"""
    seconds: float = 0.0
    """For how long people see a picture, 0 to 60; 0: until they answer."""
    page: int = field(default=1, metadata=LATER)
    """Pictures that people see together, 1 to 9: they mark those to which the first of two answers is theirs."""
    world_name: ClassVar[str] = "vehicles"
    summary: ClassVar[str] = "judge what vehicles are worth, or their paint"


@dataclass(frozen=True)
class Faces(Pictures):
    """Check drawn faces."""

    question: Literal["eyes", "head"] = "eyes"
    """`eyes`: covered? `head`: covered?"""
    seconds: float = 0.0
    """For how long people see a picture, 0 to 60; 0: until they answer."""
    page: int = field(default=1, metadata=LATER)
    """Pictures that people see together, 1 to 9: they mark those to which the first of two answers is theirs."""
    world_name: ClassVar[str] = "faces"
    summary: ClassVar[str] = "check whether faces are covered"


def _metrics(answers: tuple[Action, ...]) -> tuple[Metric, ...]:
    return (
        Metric(
            "correct",
            "whether the answer is the right one",
            "fraction",
            better="higher",
            low=0.0,
            high=1.0,
            boolean=True,
            label="right answers",
        ),
        Metric("right", "index of the right answer", "answer", low=0.0, high=float(len(answers) - 1)),
    )


def _text(question: Question, language: str, alone: bool) -> TaskText:
    given = question.words.get(language, {})
    words = {answer.name: given.get(answer.name, answer.name) for answer in question.answers}
    hint = ""
    if not alone:
        hint = _MARKS[language].format(_QUOTED[language].format(words[question.answers[0].name]))
        keys = _plain(hint)
    elif all(words[answer.name] in answer.keys for answer in question.answers):
        keys = _KEYS_THEMSELVES[language]
    else:
        pairs = [
            f"{{{name.replace('-', '_')}}} {_FOR[language]} {_QUOTED[language].format(_plain(word))}"
            for name, word in words.items()
        ]
        keys = f"{_ANSWERS[language]}: {', '.join(pairs)}."
    before, *after = _LINES[language]
    return TaskText(question.asked[language], (before, keys, *after), words, hint=hint)


def _plain(word: str) -> str:
    """Return a word as a template says it, in which braces stand for something else."""
    return word.replace("{", "{{").replace("}", "}}")
