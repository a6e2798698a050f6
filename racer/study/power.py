"""Power: how many people a study needs to answer its primary question, by studies simulated from people who drove.

What varies is fitted by the method of moments, for the two conditions compared at once (the one-way random model with
two responses; Searle, Casella and McCulloch, Variance Components, 1992, chapters 3 and 11):

- between people: some drive better (shared by both conditions), and some lose more under one of them;
- within people: some tracks are easier (shared, where both conditions were met on the same ones), and the rest;
- between studies with other pilots, where there are several: another mask is better or worse for everybody;
- the place of a condition in the sitting, by least squares, where conditions were met in changing places.

Then whole studies are drawn: people from the normal distribution, orders in turn as in a sitting, and each is tested
as the report tests it. How well the components are known follows from fiducial draws of the two covariances
(S. Weerahandi, Journal of the American Statistical Association 88, 1993): few people leave wide intervals, and they
should.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from racer.errors import RacerError
from racer.report.recordings import Evaluations, read_evaluations
from racer.sitting.protocol import balanced_rows
from racer.study.file import Study
from racer.study.outcome import LEVEL, Outcome

MOST_PEOPLE = 200
"""Studies of up to as many are simulated."""
_DRAWS = 200
"""Of the components, for intervals."""
_STUDIES_A_DRAW = 300
"""Simulated for each of them, at most."""
_FEWEST = 3
"""People from whom components can be told."""

Array = NDArray[np.float64]


class PowerError(RacerError):
    """The power of a study cannot be told. The message is one line."""


@dataclass(frozen=True, eq=False)
class Driven:
    """One person who drove: what the components are fitted to."""

    values: tuple[Array, Array]
    """Of each accepted episode in the outcome's metric: under the minuend, under the subtrahend."""
    paired: bool
    """Whether both were met from the same seeds, in the same order."""
    means: Array
    """float64[conditions]: under every condition of the study."""
    places: tuple[int, ...]
    """Of each condition, from 1."""
    study: int
    """Which of the folders it is from."""


@dataclass(frozen=True, eq=False)
class Components:
    """What varies, in the unit of the metric; of the minuend and the subtrahend, in this order."""

    people: int
    episodes: float
    """Of each person under each condition; the harmonic mean."""
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


@dataclass(frozen=True)
class Needed:
    """How many people it takes."""

    people: int | None
    """The fewest with the power asked for; None where `MOST_PEOPLE` do not suffice."""
    low: int | None
    """Ends of the 95 % interval, None likewise."""
    high: int | None
    balanced: int | None
    """The next number of people who hold every order of conditions equally often."""


@dataclass(frozen=True)
class Planned:
    """The power of as many people as the study plans."""

    people: int
    power: float
    low: float
    """Ends of the 95 % interval over what is not known of the components."""
    high: float


@dataclass(frozen=True)
class Power:
    """What `plan_power` found."""

    outcome: Outcome
    effect: float
    """Supposed true difference, as a share of the subtrahend's mean."""
    power: float
    """Asked for."""
    needed: Needed
    planned: Planned


def components_of(folders: Sequence[Path], outcome: Outcome) -> Components:
    """Return what varies among the people in folders of recordings, each folder a study with pilots of its own.

    Raises:
        PowerError: If a folder has nobody, or the wrong conditions or metrics, or there are too few people.
        RecordingError: If a folder cannot be listed.
    """
    people: list[Driven] = []
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


def _driven(evaluations: Evaluations, outcome: Outcome, number: int, folder: Path) -> list[Driven]:
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
        found.append(Driven((values[0], values[1]), seeds[0] == seeds[1], np.array(means), places, number))
    return found


def fit_components(people: Sequence[Driven], pair: tuple[int, int]) -> Components:
    """Return what varies between and within people.

    Args:
        people: Who drove.
        pair: Which of the conditions are the minuend and the subtrahend, of `Driven.means`.

    Raises:
        PowerError: If there are too few people.
    """
    studies = sorted({person.study for person in people})
    df = len(people) - len(studies)
    if df < _FEWEST - 1:
        raise PowerError(f"{len(people)} people are too few to tell what varies; drive {_FEWEST} or more")
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


def plan_power(
    components: Components,
    outcome: Outcome,
    conditions: Sequence[str],
    planned: int,
    *,
    episodes: float | None = None,
    effect: float | None = None,
    power: float = 0.8,
    studies: int = 2000,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Power:
    """Return how many people the primary outcome needs, and what as many as are planned come to.

    Args:
        components: What varies.
        outcome: What is asked.
        conditions: Of the study, in the order of its file.
        planned: How many people the study plans, 1 or more.
        episodes: That each of them meets under each condition, 1 or more; as many as were measured if None.
        effect: Supposed true difference as a share of the subtrahend's mean; if None the smallest that matters, or
            none where something is to be kept.
        power: Asked for, above 0 and below 1.
        studies: Simulated for each set of components.
        seed: Of all that is drawn.
        progress: Told how many sets of components of how many are done.
    """
    if effect is None:
        effect = 0.0 if outcome.claim == "keeps" else outcome.margin
    rows = balanced_rows(len(conditions))
    pair = conditions.index(outcome.minuend), conditions.index(outcome.subtrahend)
    of, drawn = np.random.SeedSequence(seed).spawn(2)
    if len(components.places) != len(conditions):  # of sittings of another length, they say nothing about these
        components = replace(components, places=np.zeros(len(conditions)), places_told=False)
    most = max(MOST_PEOPLE, planned)
    episodes = episodes or components.episodes
    curve = power_curve(components, outcome, rows, pair, effect, studies, most, np.random.default_rng(of), episodes)
    rng = np.random.default_rng(drawn)
    needs: list[float] = []
    powers: list[float] = []
    for done in range(_DRAWS):
        progress(done, _DRAWS)
        # The same chances every time: what differs are the components.
        chances, drawn_components = np.random.default_rng(of), _redrawn(components, rng)
        few = min(studies, _STUDIES_A_DRAW)
        other = power_curve(drawn_components, outcome, rows, pair, effect, few, most, chances, episodes)
        needs.append(_fewest(other, power))
        powers.append(float(other[planned - 1]))
    progress(_DRAWS, _DRAWS)
    low, high = np.quantile(needs, [0.025, 0.975], method="inverted_cdf")
    people = _fewest(curve, power)
    balanced = None if math.isinf(people) else math.ceil(people / len(rows)) * len(rows)
    ends = np.quantile(powers, [0.025, 0.975])
    return Power(
        outcome,
        effect,
        power,
        Needed(_whole(people), _whole(float(low)), _whole(float(high)), balanced),
        Planned(planned, float(curve[planned - 1]), float(ends[0]), float(ends[1])),
    )


def power_curve(
    components: Components,
    outcome: Outcome,
    rows: Sequence[Sequence[int]],
    pair: tuple[int, int],
    effect: float,
    studies: int,
    most: int,
    rng: np.random.Generator,
    episodes: float | None = None,
) -> Array:
    """Return the share of simulated studies that show the outcome, float64[most]: of 1, 2, ... people; 0 of one.

    Args:
        components: What varies.
        outcome: What is asked.
        rows: Orders of conditions, held in turn.
        pair: Which conditions are the minuend and the subtrahend.
        effect: True difference, as a share of the subtrahend's mean.
        studies: How many.
        most: People.
        rng: Draws everything.
        episodes: Of each person under each condition; as many as were measured if None.
    """
    from scipy import stats

    reference = float(components.mean[1])
    # Where the mean is negative, lying within a margin of it is lying within that of what it is mirrored.
    sign = -1.0 if reference < 0 else 1.0
    root = _root(components.of_means(episodes or components.episodes))
    # Larger studies are smaller ones with more people, so that the curve is smooth.
    people = rng.standard_normal((studies, most, 2)) @ root.T
    order = [rows[i % len(rows)] for i in range(most)]
    own = np.array([[components.places[list(row).index(condition)] for condition in pair] for row in order])
    people += own + np.array([reference + effect * abs(reference), reference])
    people[:, :, 0] += (components.pilots or 0.0) * rng.standard_normal((studies, 1))
    values, against = sign * people[:, :, 0], sign * people[:, :, 1]
    counts = np.arange(1, most + 1)
    freedom = np.maximum(counts - 1, 1)
    if outcome.claim == "keeps":
        short = _t(values - (1 - outcome.margin) * against, counts)
        beyond = _t((1 + outcome.margin) * against - values, counts)
        shown = np.minimum(short, beyond) > stats.t.isf(LEVEL, freedom)
    else:
        shown = np.abs(_t(values - against, counts)) > stats.t.isf(LEVEL / 2, freedom)
    found: Array = shown.mean(axis=0)
    found[0] = 0.0
    return found


def _t(values: Array, counts: NDArray[np.int64]) -> Array:
    """Return t of the first 1, 2, ... of values, float64[studies, people]."""
    sums, squares = np.cumsum(values, axis=1), np.cumsum(np.square(values), axis=1)
    spread = np.maximum(squares - np.square(sums) / counts, 0.0) / np.maximum(counts - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(sums / np.sqrt(counts * spread), nan=0.0)


def _places(people: Sequence[Driven]) -> tuple[Array, bool]:
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


def _within(people: Sequence[Driven]) -> tuple[Array, float]:
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


def _redrawn(components: Components, rng: np.random.Generator) -> Components:
    """Return components as they might be, given what was measured: fiducial draws of the covariances and the mean."""
    df = components.people - components.studies
    of_means = _inverse_wishart(components.measured, df, rng)
    freedom = round(components.people * (components.episodes - 1))
    within = _inverse_wishart(components.within, freedom, rng) if freedom >= 2 else components.within
    mean = components.mean + _root(of_means) @ rng.standard_normal(2) / math.sqrt(components.people)
    pilots = components.pilots
    if pilots is not None:
        pilots *= math.sqrt((components.studies - 1) / rng.chisquare(components.studies - 1))
    return replace(components, mean=mean, measured=of_means, within=within, pilots=pilots)


def _inverse_wishart(covariance: Array, df: int, rng: np.random.Generator) -> Array:
    """Return covariance as it might be, measured with so many degrees of freedom, 2 or more."""
    drawn = rng.standard_normal((df, 2))
    root = _root(covariance)
    found: Array = root @ np.linalg.inv(drawn.T @ drawn / df) @ root.T
    return found


def _scatter(values: Array) -> Array:
    centred = values - values.mean(axis=0)
    found: Array = centred.T @ centred
    return found


def _at_least_nothing(covariance: Array) -> Array:
    """Return the nearest covariance without negative variances."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    found: Array = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


def _root(covariance: Array) -> Array:
    """Return a matrix whose product with its transpose is a covariance, float64[2, 2]."""
    values, vectors = np.linalg.eigh(covariance)
    found: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return found


def _fewest(curve: Array, power: float) -> float:
    """Return the fewest people from whom on the power suffices; infinity where none do."""
    suffices = np.minimum.accumulate(curve[::-1])[::-1] >= power
    return float(suffices.argmax() + 1) if suffices.any() else math.inf


def _whole(people: float) -> int | None:
    return None if math.isinf(people) else int(people)


def refuse_own_data(study: Study, folders: Sequence[Path]) -> None:
    """Refuse to plan a study by its own results.

    Raises:
        PowerError: If a folder is that of the study's own recordings.
    """
    for folder in folders:
        if folder.resolve() == study.recordings.resolve():
            raise PowerError(
                f"{folder} holds the study's own results, which are not there to plan it by: name those of an earlier "
                "study, or of a simulated copy, with --from"
            )
