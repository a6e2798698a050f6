"""What participants did besides how well they did: actions compared, blocks they were sent, learning."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.analysis import analysis
from racer.report.recordings import EvaluatedEpisode, Person
from racer.report.statistics import mean_se
from racer.sitting.protocol import CATCH, ORIGINAL, REPEATS

REFERENCE = "full"
"""The condition that actions are compared with; where trials stand alone, `raw` if it was shown."""


@dataclass(frozen=True)
class Attention:
    """What single originals among the evaluation say of a participant."""

    participant: str
    catch: int
    """Catch trials."""
    caught: float | None
    """Share of them answered rightly; None where there were none."""
    repeats: int
    """Pictures met under `raw` and once more."""
    alike: float | None
    """Share of them answered as before; None where there were none."""


@dataclass(frozen=True)
class Agreement:
    """How alike a participant acts under a condition and under the reference, at the same step from the same seed."""

    condition: str
    participants: int
    """Those who met a seed under both."""
    steps: int
    """Pairs of steps compared, over all participants."""
    equal: float
    """Share of equal actions: mean over participants, in [0, 1]."""
    equal_se: float | None
    kappa: float | None
    """Cohen's kappa (1960): mean over the participants for whom it is defined; None where there are none."""
    kappa_se: float | None
    kappa_participants: int
    """Those for whom it is defined: it is not for somebody who always did the same."""
    bits: float = 0.0
    """Mean bits sent per step under the condition."""
    uplink_bits: float = 0.0
    """Mean bits sent back per step, for the action."""


@dataclass(frozen=True)
class BlockFrequency:
    """How often a condition's mask sends each block."""

    condition: str
    sent: tuple[float, ...]
    """Fraction of an episode's steps in which each block is sent, in [0, 1]: mean over a person's episodes, then over
    people."""


@dataclass(frozen=True)
class LearningPoint:
    """The primary metric at one place in the sitting, over participants."""

    condition: str
    place: int
    """Number of the episode within its condition, or of the condition within the sitting, from 1."""
    participants: int
    value: float
    se: float | None


def reference_of(paced: bool, conditions: tuple[str, ...]) -> str:
    """Return the condition that actions are compared with: the originals where each is answered by itself."""
    return ORIGINAL if not paced and ORIGINAL in conditions else REFERENCE


def action_agreement(
    people: tuple[Person, ...], conditions: tuple[str, ...], actions: int, reference: str = REFERENCE
) -> list[Agreement]:
    """Return the agreement of every other condition with the reference; nothing where that is missing.

    Args:
        people: Who acted.
        conditions: What all of them met.
        actions: How many there are.
        reference: The condition that the others are compared with.
    """
    if reference not in conditions:
        return []
    found = []
    for condition in conditions:
        if condition == reference:
            continue
        tables = [confusion(person, condition, actions, reference) for person in people]
        tables = [table for table in tables if table.sum()]
        if not tables:
            continue
        equal = np.array([np.trace(table) / table.sum() for table in tables])
        kappas = [kappa for table in tables if (kappa := cohens_kappa(table)) is not None]
        kappa, kappa_se = mean_se(np.array(kappas)) if kappas else (None, None)
        steps = int(sum(table.sum() for table in tables))
        episodes = [episode for person in people for episode in person.under(condition)]
        bits = (float(np.mean([getattr(each, name) for each in episodes])) for name in ("bits", "uplink_bits"))
        found.append(Agreement(condition, len(tables), steps, *mean_se(equal), kappa, kappa_se, len(kappas), *bits))
    return found


def confusion(person: Person, condition: str, actions: int, reference: str = REFERENCE) -> NDArray[np.int64]:
    """Return counts int64[actions, actions] of (action under the reference, under another) at equal seeds and steps.

    A seed met several times under a condition is paired in the order met; of two episodes of different length the steps
    that both have count.
    """
    table = np.zeros((actions, actions), np.int64)
    others = dict(_numbered(person.under(condition)))
    for key, compared in _numbered(person.under(reference)):
        if (other := others.get(key)) is not None:
            steps = min(len(compared.actions), len(other.actions))
            pairs = np.stack([compared.actions[:steps], other.actions[:steps]])
            np.add.at(table, tuple(pairs[:, (pairs < actions).all(axis=0)]), 1)
    return table


def attention(people: tuple[Person, ...], right: str) -> list[Attention]:
    """Return what catch trials and repeats say of each participant; nothing where nobody met any.

    Args:
        people: Who answered.
        right: The metric that says whether an answer is right.
    """
    found = []
    for person in people:
        first: dict[int, int] = {}
        for episode in person.under(ORIGINAL):
            for stimulus, action in zip(episode.stimuli.tolist(), episode.actions.tolist(), strict=True):
                first.setdefault(stimulus, action)
        caught = [each.metrics[right] for each in person.singles if each.phase == CATCH]
        alike = [
            first[each.seed] == int(each.actions[0])
            for each in person.singles
            if each.phase == REPEATS and each.seed in first
        ]
        found.append(Attention(person.name, len(caught), _share(caught), len(alike), _share(alike)))
    return found if any(each.catch or each.repeats for each in found) else []


def _share(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def cohens_kappa(table: NDArray[np.int64]) -> float | None:
    """Return (observed - expected) / (1 - expected) agreement of counts; None where chance alone explains all of it."""
    cohens_kappa = analysis("statsmodels.stats.inter_rater").cohens_kappa

    shares = table / table.sum()
    if float((shares.sum(axis=0) * shares.sum(axis=1)).sum()) == 1:
        return None
    return float(cohens_kappa(table, return_results=False))


def block_frequencies(people: tuple[Person, ...], conditions: tuple[str, ...]) -> list[BlockFrequency]:
    """Return how often each block is sent in the conditions that have a channel."""
    found = []
    for condition in conditions:
        if condition == "raw":
            continue
        means = [np.mean([episode.sent for episode in person.under(condition)], axis=0) for person in people]
        sent = np.mean(means, axis=0)
        found.append(BlockFrequency(condition, tuple(float(value) for value in sent)))
    return found


def learning_by_episode(people: tuple[Person, ...], conditions: tuple[str, ...], metric: str) -> list[LearningPoint]:
    """Return a metric by the number of the episode within its condition."""
    return _learning(people, conditions, metric, lambda episode: episode.number)


def learning_by_block(people: tuple[Person, ...], conditions: tuple[str, ...], metric: str) -> list[LearningPoint]:
    """Return a metric by the place of the condition in the sitting."""
    return _learning(people, conditions, metric, lambda episode: episode.block)


def _learning(
    people: tuple[Person, ...], conditions: tuple[str, ...], metric: str, place_of: Callable[[EvaluatedEpisode], int]
) -> list[LearningPoint]:
    points = []
    for condition in conditions:
        scores: dict[int, list[float]] = defaultdict(list)
        for person in people:
            own: dict[int, list[float]] = defaultdict(list)
            for episode in person.under(condition):
                own[place_of(episode)].append(episode.metrics[metric])
            for place, values in own.items():
                scores[place].append(float(np.mean(values)))
        for place, means in sorted(scores.items()):
            points.append(LearningPoint(condition, place, len(means), *mean_se(np.array(means))))
    return points


def _numbered(episodes: list[EvaluatedEpisode]) -> Iterator[tuple[tuple[int, int], EvaluatedEpisode]]:
    """Yield episodes by seed and by how many came before from the same one."""
    before: Counter[int] = Counter()
    for episode in episodes:
        yield (episode.seed, before[episode.seed]), episode
        before[episode.seed] += 1
