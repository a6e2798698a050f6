"""Questionnaires: ratings averaged per item and condition, answers in words as they were given, notes and consent.

An answer is recorded under `<phase>/<block>/<condition>/<questionnaire>/<item>`. A recording does not say whether an
item was a scale, so an item whose answers are all whole numbers from 1 to 21 is one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from racer.loop.conditions import may_be_condition
from racer.report.statistics import mean_se
from racer.sitting.answers import CONSENT, NOTE

if TYPE_CHECKING:
    from racer.report.recordings import Person

NASA_TLX, NASA_TLX_POINTS = "nasa-tlx", 21
NASA_TLX_ITEMS = ("mental", "physical", "temporal", "performance", "effort", "frustration")
NO_CONDITION = "-"
"""Stands for the condition in questionnaires before the first episode and after the last."""
_RATING = re.compile(r"[1-9]|1[0-9]|2[01]", re.ASCII)


@dataclass(frozen=True)
class ItemMean:
    """One item of a questionnaire under one condition, over participants."""

    phase: str
    questionnaire: str
    item: str
    condition: str
    """`-` where it was asked before the first or after the last episode."""
    participants: int
    """Those who answered."""
    mean: float
    """Of the points chosen, counted from 1."""
    se: float | None


@dataclass(frozen=True)
class Total:
    """The unweighted total of NASA-TLX, 0 to 100, under one condition, over the participants who answered all of it.

    The mean of the six scales, each from 0 for its first point to 100 for its last (raw TLX: J. C. Byers, A. C. Bittner
    and S. G. Hill, "Traditional and raw task load index (TLX) correlations", 1989).
    """

    phase: str
    condition: str
    """`-` where it was asked before the first or after the last episode."""
    participants: int
    mean: float
    se: float | None


@dataclass(frozen=True)
class Comment:
    """An answer in words."""

    participant: str
    phase: str
    questionnaire: str
    item: str
    condition: str
    text: str


@dataclass(frozen=True)
class Note:
    """What the experimenter wrote down."""

    participant: str
    text: str


@dataclass(frozen=True)
class Answers:
    """What was answered in all sittings."""

    ratings: list[ItemMean]
    comments: list[Comment]
    notes: list[Note]
    totals: list[Total]
    consents: dict[str, str]
    """Last answer to the consent page, by participant; those who were shown one."""


_Key = tuple[str, str, str, str]
"""Phase, questionnaire, item, condition."""


def read_answers(people: tuple[Person, ...], conditions: tuple[str, ...]) -> Answers:
    """Return the answers of all participants; the last one to an item counts, and every note."""
    given: dict[_Key, dict[str, str]] = defaultdict(dict)
    notes: list[Note] = []
    consents: dict[str, str] = {}
    for person in people:
        for answer in person.answers:
            text = answer.answer.strip()
            if answer.item == NOTE:
                notes.append(Note(person.name, text))
            elif answer.item == CONSENT:
                consents[person.name] = text
            elif (key := _key(answer.item)) is not None:
                given[key][person.name] = text
    rated = _rated(given)
    places = {condition: place for place, condition in enumerate(conditions)}
    keys = sorted(given, key=lambda key: (_PHASES.get(key[0], 3), places.get(key[3], len(places))))
    ratings: list[ItemMean] = []
    comments: list[Comment] = []
    for key in keys:
        phase, questionnaire, item, condition = key
        answered = {name: text for name, text in given[key].items() if text}
        if (phase, questionnaire, item) in rated and answered:
            points = np.array([int(text) for text in answered.values()], np.float64)
            ratings.append(ItemMean(phase, questionnaire, item, condition, len(points), *mean_se(points)))
        else:
            comments += [Comment(name, phase, questionnaire, item, condition, text) for name, text in answered.items()]
    return Answers(ratings, comments, notes, _totals(given, keys), consents)


def when(phase: str) -> str:
    """Return what to add to a questionnaire's name where it was asked at another time than after a condition."""
    return f" ({phase})" if phase in ("start", "end") else ""


def _totals(given: dict[_Key, dict[str, str]], keys: list[_Key]) -> list[Total]:
    found: list[Total] = []
    for phase, condition in dict.fromkeys((key[0], key[3]) for key in keys if key[1] == NASA_TLX):
        scales = [given.get((phase, NASA_TLX, item, condition), {}) for item in NASA_TLX_ITEMS]
        whole = [
            np.mean([100 * (int(scale[name]) - 1) / (NASA_TLX_POINTS - 1) for scale in scales])
            for name in scales[0]
            if all(_RATING.fullmatch(scale.get(name, "")) for scale in scales)
        ]
        if whole:
            found.append(Total(phase, condition, len(whole), *mean_se(np.array(whole, np.float64))))
    return found


_PHASES = {"start": 0, "evaluation": 1, "end": 2}


def _key(name: str) -> _Key | None:
    """Return what a recorded item's name says; None where it is no questionnaire's."""
    parts = name.split("/")
    if len(parts) != 5 or not (parts[2] == NO_CONDITION or may_be_condition(parts[2])):
        return None
    phase, _, condition, questionnaire, item = parts
    return phase, questionnaire, item, condition


def _rated(given: dict[_Key, dict[str, str]]) -> set[tuple[str, str, str]]:
    """Return the items (phase, questionnaire, item) that were answered with points only."""
    texts: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for (phase, questionnaire, item, _), answers in given.items():
        texts[phase, questionnaire, item].update(filter(None, answers.values()))
    return {item for item, found in texts.items() if found and all(map(_RATING.fullmatch, found))}
