"""Fitting a person of the family `pursuit` to what somebody did on seeing what they were shown.

The most likely person (`racer.drivers.likelihood`) is told together with how well episodes are predicted that nothing
was fitted to, and with what replicates make of the same drives (`racer.drivers.checks`). Whole episodes are held out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.model.latent_model import LatentModel
from racer.drivers.checks import predictive_checks
from racer.drivers.driver import DriverError
from racer.drivers.families.pursuit import CAR_ROW, PURSUIT, Pursuit, PursuitTraits, eyes_for
from racer.drivers.likelihood import (
    BOUNDS,
    DEAD_ZONE,
    ROWS,
    Drive,
    Fit,
    Seen,
    decisions,
    log_likelihood,
    look,
    most_likely,
    traits_of,
)
from racer.drivers.person import HeldOut, PersonFile, Traits
from racer.drivers.registry import family_names, find_family, make_driver
from racer.tasks.car_racing.task import STRAIGHT
from racer.tasks.task import Task

_LONGEST_MS = 600
_LIKELY = 1.92
"""Nats within which two reaction times cannot be told apart (95 %, one degree of freedom)."""
_OTHERS = 40
"""People drawn from the family, whom the fitted one should beat."""
_FEW_OTHERS = 2
"""People drawn from each family, for what is pressed on the same frames."""
REPLICATES = 40
"""Replicates: a value lies outside all of them with a chance of 2 in 41."""


def fit_person(
    drives: Sequence[Drive],
    task: Task,
    pace: float,
    of_a_person: bool,
    model: LatentModel,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> PersonFile:
    """Return the person that drives most likely show, and how far to believe it.

    Args:
        drives: Two or more, each of 20 steps or more; every third is held out.
        task: What was done.
        pace: Steps per second.
        of_a_person: Whether somebody drove by keyboard.
        model: Decodes what is shown under `full` when episodes are driven again.
        replicates: Of every checked episode, 10 or more.
        seed: Of all that is drawn.
        progress: Told what is done, how much of it and of how much.

    Raises:
        DriverError: If the drives are too few or too short, or nobody of the family can do the task.
    """
    usable, longest = usable_drives(drives, task, pace), math.ceil(_LONGEST_MS * pace / 1000)
    seen = []
    for done, drive in enumerate(usable):
        progress("looking", done, len(usable))
        seen.append(look(drive, task))
    held = held_out_of(usable)
    fitted_to = [each for each, out in zip(seen, held, strict=True) if not out]
    held_out = [each for each, out in zip(seen, held, strict=True) if out]
    fit, profile = most_likely(fitted_to, longest, progress)
    rng = np.random.default_rng(seed)
    traits = traits_of(fit, fit.values, pace)
    told = _held_out(fit, usable, held, fitted_to, held_out, task, longest)
    checks = predictive_checks(
        usable, task, pace, lambda rng: _replicate(fit, task, pace, rng), model, replicates, rng, progress
    )
    likely = [delay for delay, likelihood in profile.items() if likelihood >= fit.likelihood - _LIKELY]
    passed = all(check.passed for check in checks)
    return PersonFile(
        tasks=(task.spec.name,),
        traits=traits,
        reaction_low_ms=(min(likely) - 0.5) * 1000 / pace if min(likely) else 0.0,
        reaction_high_ms=(max(likely) + 0.5) * 1000 / pace,
        pace=pace,
        episodes=len(fitted_to),
        steps=sum(len(each.actions) for each in fitted_to),
        sessions=tuple(sorted({drive.session_id for drive in drives} - {""})),
        of_a_person=of_a_person,
        held_out=told,
        checks=tuple(checks),
        human_like=of_a_person and passed,
    )


def usable_drives(drives: Sequence[Drive], task: Task, pace: float) -> list[Drive]:
    """Return the drives that are long enough to fit to; raises as `fit_person`."""
    if task.spec.name not in PURSUIT.tasks:
        raise DriverError(f"only people who do {' or '.join(PURSUIT.tasks)} can be fitted; these did {task.spec.name}")
    longest = math.ceil(_LONGEST_MS * pace / 1000)
    usable = [drive for drive in drives if len(drive.actions) >= max(20, 2 * longest)]
    if len(usable) < 2:
        raise DriverError(
            f"{len(usable)} of {len(drives)} episodes are long enough to fit to (20 steps, and twice the longest "
            "reaction time); record two or more"
        )
    return usable


def held_out_of(drives: Sequence[Drive]) -> list[bool]:
    """Return which drives nothing is fitted to: every third, from the second on."""
    return [number % 3 == 1 for number in range(len(drives))]


def log_frequencies(keys: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the log of how often each key was pressed, float64[3], one added to each count."""
    counts = np.bincount(keys, minlength=3) + 1
    found: NDArray[np.float64] = np.log(counts / counts.sum())
    return found


def best_families(drives: Sequence[Drive], held: Sequence[bool], task: Task) -> dict[str, float]:
    """Return how well the steps held out are predicted by what people of each family press on the same frames: log
    likelihood per step, nats."""
    names = [name for name in family_names() if task.spec.name in find_family(name).tasks]
    return {name: _family_log_likelihood(name, drives, held, task) for name in names}


def _replicate(fit: Fit, task: Task, pace: float, rng: np.random.Generator) -> Callable[[int], Pursuit]:
    """Return a person drawn from the normal approximation to the posterior, to be given dice."""
    lows, highs = np.array(BOUNDS).T
    values = np.clip(rng.multivariate_normal(fit.values, fit.covariance, method="eigh"), lows, highs)
    traits = traits_of(fit, values, pace).at(pace)
    return lambda dice: Pursuit(traits, dice, eyes_for(task))


def likely_traits(drives: Sequence[Drive], task: Task, pace: float) -> Traits:
    """Return the traits that drives most likely show, as `fit_person` finds them; nothing is held out or checked."""
    fit, _ = most_likely([look(drive, task) for drive in drives], math.ceil(_LONGEST_MS * pace / 1000))
    return traits_of(fit, fit.values, pace)


def _held_out(
    fit: Fit,
    drives: Sequence[Drive],
    held: Sequence[bool],
    fitted_to: Sequence[Seen],
    held_out: Sequence[Seen],
    task: Task,
    longest: int,
) -> HeldOut:
    """Return how well the steps of episodes are predicted that nothing was fitted to."""
    decide = decisions(held_out, fit.delay, fit.row, longest)
    steps = len(decide[0])
    others = []
    for person in range(_OTHERS):
        drawn = PursuitTraits.of(person)
        share = DEAD_ZONE / drawn.dead_zone
        values = [drawn.gain * share, drawn.damping * share, drawn.anticipation * share, drawn.noise, drawn.lapses]
        row = min(max(CAR_ROW - round(CAR_ROW - drawn.look_ahead), ROWS[0]), ROWS[-1])
        delay = min(drawn.delay, longest)
        lows, highs = np.array(BOUNDS).T
        others.append(log_likelihood(np.clip(np.array(values), lows, highs), *decisions(held_out, delay, row, longest)))
    shares = log_frequencies(np.concatenate([each.actions for each in fitted_to]))
    top = max(others)
    return HeldOut(
        steps=steps,
        log_likelihood=log_likelihood(fit.values, *decide) / steps,
        family_log_likelihood=(top + math.log(float(np.mean(np.exp(np.array(others) - top))))) / steps,
        frequencies_log_likelihood=float(shares[decide[3].astype(int) + STRAIGHT].mean()),
        families=best_families(drives, held, task),
    )


def _family_log_likelihood(family: str, drives: Sequence[Drive], held: Sequence[bool], task: Task) -> float:
    """Return the log likelihood per held-out step of guessing by what a family's people press on the same frames.

    How often the person pressed what when those did what is counted in the other episodes, one added to each count.
    """
    counts = np.ones((2 * _FEW_OTHERS + 1, 3))
    keys: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for drive, out in zip(drives, held, strict=True):
        votes = np.zeros(len(drive.actions), np.int64)
        for person in range(_FEW_OTHERS):
            driver = make_driver(f"{family}:{person}", task, 0)
            driver.reset()
            votes += np.array([driver.act(frame) for frame in drive.frames])
        if out:
            keys.append((votes, drive.actions.astype(np.int64)))
        else:
            np.add.at(counts, (votes, drive.actions), 1)
    chances = np.log(counts / counts.sum(axis=1, keepdims=True))
    return float(np.concatenate([chances[votes, actions] for votes, actions in keys]).mean())
