"""Questionnaires: ratings averaged per item and condition, answers in words as they were given, notes and consent.

An answer is recorded under `<phase>/<block>/<condition>/<questionnaire>/<item>`. The study's settings in a recording
say which items were chosen or counted; of others, an item whose answers are all whole numbers from 1 to 21 is a scale.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from racer.loop.conditions import may_be_condition
from racer.report.statistics import friedman, holm, mean_se, paired
from racer.sitting.answers import CONSENT, NOTE
from racer.sitting.questionnaires import CHOSEN, Item

if TYPE_CHECKING:
    from racer.report.recordings import Person

NASA_TLX, NASA_TLX_POINTS = "nasa-tlx", 21
NASA_TLX_ITEMS = ("mental", "physical", "temporal", "performance", "effort", "frustration")
TOTAL = "total"
"""Stands for the item where the whole of NASA-TLX is meant."""
NO_CONDITION = "-"
"""Stands for the condition in questionnaires before the first episode and after the last."""
_RATING = re.compile(r"[1-9]|1[0-9]|2[01]", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)


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
    """Mean of the points chosen, counted from 1."""
    se: float | None
    points: int = 0
    """Points of the scale; 0 for a number that is not a point of a scale."""


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
class ItemTest:
    """Whether an item is answered otherwise under some condition, over those who answered it under all of them.

    Friedman's rank test; of two conditions Wilcoxon's of signed ranks.
    """

    phase: str
    questionnaire: str
    item: str
    """`total` of the unweighted total of NASA-TLX."""
    participants: int
    statistic: float
    """chi2 of Friedman's test, W of Wilcoxon's."""
    df: int | None
    """Degrees of freedom of chi2; None with two conditions."""
    p: float
    p_holm: float
    """Corrected by Holm's method for all items that are tested."""


@dataclass(frozen=True)
class OptionCount:
    """How many chose an option of an item under one condition."""

    phase: str
    questionnaire: str
    item: str
    condition: str
    """`-` where it was asked before the first or after the last episode."""
    option: str
    """As it is recorded."""
    words: str
    """As it was shown."""
    chosen: int
    participants: int
    """Those who answered the item."""


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
    numbers: list[ItemMean] = field(default_factory=list)
    """Items that are answered with a number: means of the numbers themselves."""
    choices: list[OptionCount] = field(default_factory=list)
    """In the order in which the options were shown."""
    tests: list[ItemTest] = field(default_factory=list)
    """Tests of ratings, numbers and the total of NASA-TLX that were asked for under every condition."""


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
    items = _own_items(people)
    rated = _rated(given)
    places = {condition: place for place, condition in enumerate(conditions)}
    keys = sorted(given, key=lambda key: (_PHASES.get(key[0], 3), places.get(key[3], len(places))))
    found = Answers([], [], notes, _totals(given, keys), consents)
    for key in keys:
        phase, questionnaire, item, _ = key
        answered = {name: text for name, text in given[key].items() if text}
        own = items.get((questionnaire, item), {})
        options = own.get("options")
        if own.get("kind") in CHOSEN and isinstance(options, dict):
            taken = [text.split() for text in answered.values()]
            found.choices.extend(
                OptionCount(*key, name, str(words), sum(name in each for each in taken), len(taken))
                for name, words in options.items()
            )
        elif own.get("kind") == "number" and all(map(_NUMBER.fullmatch, answered.values())):
            found.numbers.extend(_mean(key, answered))
        elif (phase, questionnaire, item) in rated and own.get("kind", "scale") == "scale":
            found.ratings.extend(_mean(key, answered, _points(own, questionnaire, answered)))
        else:
            found.comments.extend(Comment(name, *key, text) for name, text in answered.items())
    counted = dict.fromkeys((each.phase, each.questionnaire, each.item) for each in found.ratings + found.numbers)
    scores = {
        of: [{name: float(text) for name, text in given.get((*of, each), {}).items() if text} for each in conditions]
        for of in counted
    }
    for phase in dict.fromkeys(total.phase for total in found.totals):
        scores[phase, NASA_TLX, TOTAL] = [_whole(given, phase, each) for each in conditions]
    found.tests.extend(_tests(scores, conditions))
    return found


def _tests(scores: dict[tuple[str, str, str], list[dict[str, float]]], conditions: tuple[str, ...]) -> list[ItemTest]:
    """Return the tests of items (phase, questionnaire, item), given what each person said under each condition."""
    found: list[ItemTest] = []
    for of, answers in scores.items():
        people = sorted(set.intersection(*map(set, answers)))
        if len(people) < 2 or len(conditions) < 2:
            continue
        table = np.array([[answered[name] for answered in answers] for name in people])
        if len(conditions) > 2:
            ranks = friedman(conditions, table)
            if ranks is not None:
                found.append(ItemTest(*of, len(people), ranks.chi2, ranks.df, ranks.p, p_holm=1.0))
        else:
            pair = paired(conditions[1], conditions[0], table[:, 1] - table[:, 0])
            if pair.wilcoxon is not None and pair.wilcoxon_p is not None:
                found.append(ItemTest(*of, len(people), pair.wilcoxon, None, pair.wilcoxon_p, p_holm=1.0))
    corrected = holm([each.p for each in found])
    return [replace(each, p_holm=p) for each, p in zip(found, corrected, strict=True)]


def _points(own: dict[str, Any], questionnaire: str, answered: dict[str, str]) -> int:
    """Return how many points an item's scale has; as many as were chosen where a damaged recording says fewer."""
    said = own.get("points")
    points = said if type(said) is int else NASA_TLX_POINTS if questionnaire == NASA_TLX else Item.points
    return max([points, *map(int, answered.values())])


def _mean(key: _Key, answered: dict[str, str], points: int = 0) -> list[ItemMean]:
    """Return the mean of the numbers that people answered; nothing where nobody did."""
    numbers = np.array([float(text) for text in answered.values()], np.float64)
    return [ItemMean(*key, len(numbers), *mean_se(numbers), points)] if len(numbers) else []


def _own_items(people: tuple[Person, ...]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the items that studies asked of their own, by questionnaire and id, as the last recording names them."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for person in people:
        value: Any = person.sitting.info.config
        for name in ("study", "questionnaires", "custom"):
            value = value.get(name) if isinstance(value, dict) else None
        for entry in value if isinstance(value, list) else ():
            items = entry.get("items") if isinstance(entry, dict) else None
            for item in items if isinstance(items, list) else ():
                if isinstance(item, dict):
                    found[str(entry.get("name")), str(item.get("id"))] = item
    return found


def when(phase: str) -> str:
    """Return what to add to a questionnaire's name where it was asked at another time than after a condition."""
    return f" ({phase})" if phase in ("start", "end") else ""


def _totals(given: dict[_Key, dict[str, str]], keys: list[_Key]) -> list[Total]:
    found: list[Total] = []
    for phase, condition in dict.fromkeys((key[0], key[3]) for key in keys if key[1] == NASA_TLX):
        whole = [*_whole(given, phase, condition).values()]
        if whole:
            found.append(Total(phase, condition, len(whole), *mean_se(np.array(whole, np.float64))))
    return found


def _whole(given: dict[_Key, dict[str, str]], phase: str, condition: str) -> dict[str, float]:
    """Return the total of NASA-TLX of those who answered all of it, by name."""
    scales = [given.get((phase, NASA_TLX, item, condition), {}) for item in NASA_TLX_ITEMS]
    return {
        name: float(np.mean([100 * (int(scale[name]) - 1) / (NASA_TLX_POINTS - 1) for scale in scales]))
        for name in scales[0]
        if all(_RATING.fullmatch(scale.get(name, "")) for scale in scales)
    }


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
