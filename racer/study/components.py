"""What varies in a study: between people, within them, between pilots and from place to place in a sitting.

Fitted by the method of moments, for the two conditions compared at once (the one-way random model with two responses;
Searle, Casella and McCulloch, Variance Components, 1992, chapters 3 and 11):

- between people: some drive better (shared by both conditions), and some lose more under one of them;
- within people: some tracks are easier (shared, where both conditions were met on the same ones), and the rest;
- between studies with other pilots, where there are several: another mask is better or worse for everybody;
- the place of a condition in the sitting, by least squares, where conditions were met in changing places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from racer.errors import RacerError
from racer.report.recordings import Evaluations, read_evaluations
from racer.study.outcome import Outcome

_FEWEST = 3
"""People from whom components can be told."""

Array = NDArray[np.float64]


class PowerError(RacerError):
    """The power of a study cannot be told. The message is one line."""


@dataclass(frozen=True, eq=False)
class MeasuredPerson:
    """One person who drove: what the components are fitted to."""

    values: tuple[Array, Array]
    """The outcome in each accepted episode: under the minuend, under the subtrahend."""
    paired: bool
    """Whether both were met from the same seeds, in the same order."""
    means: Array
    """float64[conditions]: under every condition of the study."""
    places: tuple[int, ...]
    """Place of each condition in the sitting, from 1."""
    study: int
    """Which of the folders it is from."""


@dataclass(frozen=True, eq=False)
class Components:
    """What varies, in the unit of the metric; of the minuend and the subtrahend, in this order."""

    people: int
    episodes: float
    """Episodes per person and condition; the harmonic mean."""
    mean: Array
    """float64[2], without the effects of places."""
    measured: Array
    """float64[2, 2]: covariance between people of their means over so many episodes."""
    within: Array
    """float64[2, 2]: covariance between episodes of one person; zero where there is one episode each."""
    places: Array
    """float64[places]: what a place in the sitting adds, summing to zero."""
    places_told: bool
    """Whether the people met conditions in places that changed enough to tell."""
    pilots: float | None
    """Standard deviation of the contrast between studies with other pilots; None where one study cannot tell."""
    studies: int

    @property
    def between(self) -> Array:
        """float64[2, 2]: covariance between people of what they would come to over endless episodes."""
        return _at_least_nothing(self.measured - self.within / self.episodes)

    def of_means(self, episodes: float) -> Array:
        """Return the covariance of people's means over so many episodes, float64[2, 2]: over as many as were measured,
        the measured one; more take out what varies within people, and never more of it than that."""
        share = self.episodes / episodes
        if share >= 1:
            return self.measured + self.within * (share - 1) / self.episodes
        return share * self.measured + (1 - share) * self.between

    def told(self) -> dict[str, Any]:
        """Return them as standard deviations, by name."""

        def contrast(covariance: Array) -> float:
            return math.sqrt(max(float(covariance @ [1, -1] @ [1, -1]), 0.0))

        def shared(covariance: Array) -> float:
            return math.sqrt(max(float(covariance[0, 1]), 0.0))

        return {
            "people": self.people,
            "studies": self.studies,
            "episodes": self.episodes,
            "mean": self.mean.tolist(),
            "people_sd": shared(self.between),
            "people_by_condition_sd": contrast(self.between),
            "tracks_sd": shared(self.within),
            "tracks_by_condition_sd": contrast(self.within),
            "places": self.places.tolist(),
            "places_told": self.places_told,
            "pilots_sd": self.pilots,
        }


def components_of(folders: Sequence[Path], outcome: Outcome) -> Components:
    """Return what varies among the people in folders of recordings, each folder a study with pilots of its own.

    Raises:
        PowerError: If a folder has nobody, or the wrong conditions or metrics, or there are too few people.
        RecordingError: If a folder cannot be listed.
    """
    people: list[MeasuredPerson] = []
    conditions: tuple[str, ...] = ()
    for number, folder in enumerate(folders):
        evaluations = read_evaluations(folder)
        if not evaluations.people:
            raise PowerError(
                f"{folder} holds nobody who completed an evaluation; name a folder of such recordings with --from, as "
                "`racer study run` makes of a copy of the study"
            )
        if conditions and evaluations.conditions != conditions:
            raise PowerError(f"{folder} has other conditions than {folders[0]}; give --from studies of the same ones")
        conditions = evaluations.conditions
        people += _driven(evaluations, outcome, number, folder)
    return fit_components(people, (conditions.index(outcome.minuend), conditions.index(outcome.subtrahend)))


def _driven(evaluations: Evaluations, outcome: Outcome, number: int, folder: Path) -> list[MeasuredPerson]:
    metrics = [metric.name for metric in evaluations.task.metrics if metric.better]
    pair = outcome.minuend, outcome.subtrahend
    if outcome.metric not in metrics or not set(pair) <= set(evaluations.conditions):
        raise PowerError(
            f"{folder} was recorded under {', '.join(evaluations.conditions)} with {', '.join(metrics)}, and the "
            f"primary outcome is {outcome.metric} under {pair[0]} and {pair[1]}: give such recordings to --from"
        )
    found = []
    for person in evaluations.people:
        values, seeds = [], []
        for condition in pair:
            episodes = person.under(condition)
            values.append(np.array([episode.metrics[outcome.metric] for episode in episodes], np.float64))
            seeds.append([episode.seed for episode in episodes])
        means = [
            np.mean([episode.metrics[outcome.metric] for episode in person.under(condition)])
            for condition in evaluations.conditions
        ]
        places = tuple(person.under(condition)[0].block for condition in evaluations.conditions)
        found.append(MeasuredPerson((values[0], values[1]), seeds[0] == seeds[1], np.array(means), places, number))
    return found


def fit_components(people: Sequence[MeasuredPerson], pair: tuple[int, int]) -> Components:
    """Return what varies between and within people.

    Args:
        people: Who drove.
        pair: Which of the conditions are the minuend and the subtrahend, of `MeasuredPerson.means`.

    Raises:
        PowerError: If there are too few people.
    """
    studies = sorted({person.study for person in people})
    df = len(people) - len(studies)
    if df < _FEWEST - 1:
        raise PowerError(f"{len(people)} people are too few to tell what varies; give recordings of {_FEWEST} or more")
    places, told = _places(people)
    own = np.array([[places[person.places[i] - 1] for i in pair] for person in people])
    means = np.array([[values.mean() for values in person.values] for person in people]) - own
    within, episodes = _within(people)
    by_study = [means[[person.study == study for person in people]] for study in studies]
    of_means = sum((_scatter(group) for group in by_study), np.zeros((2, 2))) / df
    pilots = None
    if len(studies) > 1:
        contrasts = [group[:, 0] - group[:, 1] for group in by_study]
        noise = np.mean([of_means @ [1, -1] @ [1, -1] / len(contrast) for contrast in contrasts])
        pilots = math.sqrt(max(float(np.var([contrast.mean() for contrast in contrasts], ddof=1) - noise), 0.0))
    return Components(
        len(people),
        episodes,
        means.mean(axis=0),
        of_means,
        within,
        places,
        told,
        pilots,
        len(studies),
    )


def _places(people: Sequence[MeasuredPerson]) -> tuple[Array, bool]:
    """Return what each place adds, by least squares on people, conditions and places, and whether that can be told."""
    k = len(people[0].means)
    if any(place > k for person in people for place in person.places):  # they met more than is compared
        return np.zeros(max(place for person in people for place in person.places)), False
    values = np.array([person.means - person.means.mean() for person in people]).ravel()
    # One condition and one place are what the others are compared with; people are taken out by their own means.
    design = np.zeros((len(people), k, 2 * (k - 1)))
    for row, person in zip(design, people, strict=True):
        for condition, place in enumerate(person.places):
            if condition:
                row[condition, condition - 1] = 1
            if place > 1:
                row[condition, k + place - 3] = 1
    within = (design - design.mean(axis=1, keepdims=True)).reshape(len(people) * k, -1)
    unknown = 2 * (k - 1)
    if np.linalg.matrix_rank(within) < unknown or len(people) * (k - 1) - unknown < k:
        return np.zeros(k), False
    found = np.linalg.lstsq(within, values, rcond=None)[0]
    places = np.concatenate([[0.0], found[k - 1 :]])
    return places - places.mean(), True


def _within(people: Sequence[MeasuredPerson]) -> tuple[Array, float]:
    """Return the pooled covariance of episodes within people, float64[2, 2], and how many episodes they have."""
    episodes = len(people) * 2 / sum(1 / len(values) for person in people for values in person.values)
    scatter, df = np.zeros((2, 2)), np.zeros((2, 2))
    for person in people:
        for i, values in enumerate(person.values):
            scatter[i, i] += np.square(values - values.mean()).sum()
            df[i, i] += len(values) - 1
        if person.paired:
            first, second = person.values
            scatter[[0, 1], [1, 0]] += (first - first.mean()) @ (second - second.mean())
        df[[0, 1], [1, 0]] += len(person.values[0]) - 1
    return _at_least_nothing(scatter / np.maximum(df, 1)), episodes


def _scatter(values: Array) -> Array:
    centred = values - values.mean(axis=0)
    found: Array = centred.T @ centred
    return found


def _at_least_nothing(covariance: Array) -> Array:
    """Return the nearest covariance without negative variances."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    found: Array = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


def root_of(covariance: Array) -> Array:
    """Return a matrix whose product with its transpose is a covariance, float64[2, 2]."""
    values, vectors = np.linalg.eigh(covariance)
    found: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return found
