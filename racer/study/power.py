"""Power: how many people a study needs to answer its primary question, by studies simulated from people who drove.

What varies is fitted to people who drove (`racer.study.components`). Then whole studies are drawn: people from the
normal distribution, orders in turn as in a sitting, and each is tested as the report tests it. How well the components
are known follows from fiducial draws of the two covariances (S. Weerahandi, Journal of the American Statistical
Association 88, 1993): few people leave wide intervals, and they should.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from racer.sitting.protocol import balanced_rows
from racer.study.components import Array, Components, PowerError, root_of
from racer.study.file import Study
from racer.study.outcome import LEVEL, Outcome

MOST_PEOPLE = 200
"""Studies of up to as many are simulated."""
_DRAWS = 200
"""Draws of the components, for intervals."""
_STUDIES_A_DRAW = 300
"""Most studies simulated for each of them."""


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
    """Power asked for."""
    needed: Needed
    planned: Planned


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
    root = root_of(components.of_means(episodes or components.episodes))
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


def _redrawn(components: Components, rng: np.random.Generator) -> Components:
    """Return components as they might be, given what was measured: fiducial draws of the covariances and the mean."""
    df = components.people - components.studies
    of_means = _inverse_wishart(components.measured, df, rng)
    freedom = round(components.people * (components.episodes - 1))
    within = _inverse_wishart(components.within, freedom, rng) if freedom >= 2 else components.within
    mean = components.mean + root_of(of_means) @ rng.standard_normal(2) / math.sqrt(components.people)
    pilots = components.pilots
    if pilots is not None:
        pilots *= math.sqrt((components.studies - 1) / rng.chisquare(components.studies - 1))
    return replace(components, mean=mean, measured=of_means, within=within, pilots=pilots)


def _inverse_wishart(covariance: Array, df: int, rng: np.random.Generator) -> Array:
    """Return covariance as it might be, measured with so many degrees of freedom, 2 or more."""
    drawn = rng.standard_normal((df, 2))
    root = root_of(covariance)
    found: Array = root @ np.linalg.inv(drawn.T @ drawn / df) @ root.T
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
