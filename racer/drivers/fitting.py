"""Fitting a person of the family `pursuit` to what somebody did on seeing what they were shown.

A decision is an ordered probit: what the person wants to turn, noise of the eye included, lies below, within or above
the dead zone (R. D. McKelvey and W. Zavoina, Journal of Mathematical Sociology 4, 1975), but for lapses, in which any
key is as likely. Given what was shown and pressed before, all that a step depends on is known, so that the likelihood
of a drive is a product over its steps; that the noise of one look enters two steps is left out. The reaction time and
the row looked at are gone through; the rest is found by L-BFGS-B. Whole episodes are held out.

How far a fitted person may be believed is asked of replicates: traits drawn from the normal approximation to the
posterior, driven again from the same seeds, and four things that nothing was fitted to counted in both (A. Gelman,
X.-L. Meng and H. Stern, Statistica Sinica 6, 1996).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.model.latent_model import LatentModel
from racer.drivers.driver import Driver, DriverError
from racer.drivers.families.pursuit import (
    CAR_COLUMN,
    CAR_ROW,
    PURSUIT,
    UNITS_PER_COLUMN,
    WHEEL_LIMIT,
    WHEEL_SPEED,
    YAW_PER_WHEEL,
    Pursuit,
    PursuitTraits,
    eyes_for,
    runs_of,
)
from racer.drivers.person import Check, HeldOut, PersonFile, Traits
from racer.drivers.registry import family_names, find_family, make_driver
from racer.loop.batched import in_groups
from racer.loop.conditions import UNCODED, ChannelConfig, build_channel
from racer.loop.episode import Act, Acted, Decode, Encode, Episode, Request, Row, episode
from racer.tasks.car_racing.task import STRAIGHT
from racer.tasks.task import Task

DEAD_ZONE = 0.1
"""Of fitted people, by convention: only shares of it can be told."""
_ROWS = range(8, 23)
"""Rows before the nose that may be looked at."""
_LONGEST_MS = 600
_BOUNDS = ((0.05, 10.0), (0.0, 10.0), (0.0, 5.0), (0.002, 1.0), (1e-4, 0.5))
"""Of gain, damping, anticipation, noise and lapses per step."""
_START = (1.0, 0.5, 0.8, 0.05, 0.02)
_LIKELY = 1.92
"""Nats within which two reaction times cannot be told apart (95 %, one degree of freedom)."""
_OTHERS = 40
"""People drawn from the family, whom the fitted one is to beat."""
_FEW_OTHERS = 2
"""Of each family, in what is pressed on the same frames."""
REPLICATES = 40
"""As many that to lie outside all of them has a chance of 2 in 41."""
_MOST_CHECKED = 6
"""Episodes that are driven again."""
_NEAR = 4
"""Rows before the nose at which the middle of the road is looked for."""
_LAG_MS = 300

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drive:
    """One recorded episode."""

    condition: str
    seed: int
    frames: NDArray[np.uint8]
    """uint8[T, 64, 64, 3]: what was shown."""
    actions: NDArray[np.uint8]
    """uint8[T]: what was pressed."""
    off_road: NDArray[np.bool_]
    """bool[T]: after each step."""
    session_id: str = ""
    """Of its recording; empty where it was not recorded."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """One episode as the likelihood wants it."""

    bearings: dict[int, Floats]
    """By row looked at, float64[T]."""
    actions: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Fit:
    delay: int
    row: int
    values: Floats
    """float64[5], as `_BOUNDS`."""
    likelihood: float
    covariance: Floats


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
    if task.spec.name not in PURSUIT.tasks:
        raise DriverError(f"people can be fitted who do {' or '.join(PURSUIT.tasks)}; these did {task.spec.name}")
    longest = math.ceil(_LONGEST_MS * pace / 1000)
    usable = [drive for drive in drives if len(drive.actions) >= max(20, 2 * longest)]
    if len(usable) < 2:
        raise DriverError(
            f"{len(usable)} of {len(drives)} episodes are long enough to fit to (20 steps, and twice the longest "
            "reaction time); record two or more"
        )
    seen = []
    for done, drive in enumerate(usable):
        progress("looking", done, len(usable))
        seen.append(_look(drive, task))
    held = [number % 3 == 1 for number in range(len(usable))]
    fitted_to = [each for each, out in zip(seen, held, strict=True) if not out]
    held_out = [each for each, out in zip(seen, held, strict=True) if out]
    fit, profile = _fit(fitted_to, longest, progress)
    rng = np.random.default_rng(seed)
    traits = _traits(fit, fit.values, pace)
    told = _held_out(fit, usable, held, fitted_to, held_out, task, longest)
    checks = _checks(usable, task, pace, fit, model, replicates, rng, progress)
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


def likely_traits(drives: Sequence[Drive], task: Task, pace: float) -> Traits:
    """Return the traits that drives most likely show, as `fit_person` finds them; nothing is held out or checked."""
    fit, _ = _fit([_look(drive, task) for drive in drives], math.ceil(_LONGEST_MS * pace / 1000))
    return _traits(fit, fit.values, pace)


def _look(drive: Drive, task: Task) -> _Seen:
    """Return the bearing of the road at every row that may be looked at."""
    bearings = {}
    for row in _ROWS:
        eye = Pursuit(replace(PursuitTraits.of(0), look_ahead=float(row)), 0, eyes_for(task))
        bearings[row] = np.array([eye.bearing_of_road(frame) for frame in drive.frames])
    return _Seen(bearings, drive.actions.astype(np.int64))


def _fit(
    seen: Sequence[_Seen],
    longest: int,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[_Fit, dict[int, float]]:
    """Return the most likely person, and the highest log likelihood of every reaction time in steps."""
    best: _Fit | None = None
    profile: dict[int, float] = {}
    for delay in range(longest + 1):
        progress("fitting", delay, longest + 1)
        tried: dict[int, _Fit] = {}
        for row in (*_ROWS[::3], *_ROWS):
            # Every third row first, and then those beside the best of them.
            if row not in tried and (row in _ROWS[::3] or abs(row - max(tried.values(), key=_likely).row) < 3):
                tried[row] = _fitted(seen, delay, row, longest)
        own = max(tried.values(), key=_likely)
        profile[delay] = own.likelihood
        if best is None or own.likelihood > best.likelihood:
            best = own
    assert best is not None
    decide = _decisions(seen, best.delay, best.row, longest)
    return replace(best, covariance=_covariance(lambda values: _log_likelihood(values, *decide), best.values)), profile


def _likely(fit: _Fit) -> float:
    return fit.likelihood


def _fitted(seen: Sequence[_Seen], delay: int, row: int, longest: int) -> _Fit:
    from scipy import optimize

    decide = _decisions(seen, delay, row, longest)
    found = optimize.minimize(
        lambda values: -_log_likelihood(values, *decide), np.array(_START), method="L-BFGS-B", bounds=_BOUNDS
    )
    return _Fit(delay, row, np.asarray(found.x), -float(found.fun), np.zeros((5, 5)))


def _decisions(seen: Sequence[_Seen], delay: int, row: int, longest: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return of every decision, float64[N] each: bearing, its change, turning to come, what was decided (-1, 0, 1).

    Those are left out whose key would be pressed before the longest reaction time is over, so that all reaction times
    are judged by the same keys.
    """
    parts = []
    for each in seen:
        decided = each.actions[delay:] - STRAIGHT
        bearing = each.bearings[row][: len(decided)]
        wheel = np.zeros(len(decided) + 1)
        for step, key in enumerate(decided):
            wheel[step + 1] = wheel[step] + np.clip(WHEEL_LIMIT * key - wheel[step], -WHEEL_SPEED, WHEEL_SPEED)
        sums = np.concatenate([np.zeros(delay + 1), np.cumsum(wheel[1:])])
        pending = sums[delay : delay + len(decided)] - sums[: len(decided)]
        coming = YAW_PER_WHEEL * pending + wheel[:-1]
        change = np.diff(bearing, prepend=bearing[:1])
        parts.append(np.stack([bearing, change, coming, decided])[:, longest - delay :])
    bearing, change, coming, decided = np.concatenate(parts, axis=1)
    return bearing, change, coming, decided


def _log_likelihood(values: Floats, bearing: Floats, change: Floats, coming: Floats, decided: Floats) -> float:
    return float(np.log(_chances(values, bearing, change, coming, decided)).sum())


def _chances(values: Floats, bearing: Floats, change: Floats, coming: Floats, decided: Floats) -> Floats:
    """Return the probability of each decision, float64[N]."""
    from scipy.special import ndtr

    gain, damping, anticipation, noise, lapses = values
    wanted = gain * bearing + damping * change - anticipation * coming
    spread = max(noise * math.hypot(gain + damping, damping), 1e-6)
    right, left = ndtr((wanted - DEAD_ZONE) / spread), ndtr((-wanted - DEAD_ZONE) / spread)
    chance = np.where(decided > 0, right, np.where(decided < 0, left, np.maximum(1 - right - left, 0)))
    found: Floats = np.maximum((1 - lapses) * chance + lapses / 3, 1e-12)
    return found


def _covariance(log_likelihood: Callable[[Floats], float], values: Floats) -> Floats:
    """Return the covariance of the normal approximation to the posterior, float64[5, 5], by second differences."""
    size = len(values)
    steps = 1e-3 * np.maximum(np.abs(values), 0.05)
    lows, highs = np.array(_BOUNDS).T
    centre = np.clip(values, lows + 2 * steps, highs - 2 * steps)
    hessian = np.zeros((size, size))
    for i in range(size):
        for j in range(i, size):
            total = 0.0
            for one, other in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                moved = centre.copy()
                moved[i] += one * steps[i]
                moved[j] += other * steps[j]
                total += one * other * log_likelihood(moved)
            hessian[i, j] = hessian[j, i] = total / (4 * steps[i] * steps[j])
    # A prior as wide as the bounds holds what the drives say nothing of.
    precision = -hessian + np.diag(12 / np.square(highs - lows))
    eigenvalues, vectors = np.linalg.eigh(precision)
    least = (12 / np.square(highs - lows)).min()
    found: Floats = (vectors / np.maximum(eigenvalues, least)) @ vectors.T
    return found


def _traits(fit: _Fit, values: Floats, pace: float) -> Traits:
    gain, damping, anticipation, noise, lapses = (float(value) for value in values)
    return Traits(
        reaction_ms=1000 * fit.delay / pace,
        look_ahead=float(fit.row),
        gain=gain,
        damping=damping,
        anticipation=anticipation,
        dead_zone=DEAD_ZONE,
        noise=noise,
        lapses=lapses * pace,
    )


def _held_out(
    fit: _Fit,
    drives: Sequence[Drive],
    held: Sequence[bool],
    fitted_to: Sequence[_Seen],
    held_out: Sequence[_Seen],
    task: Task,
    longest: int,
) -> HeldOut:
    """Return how well the steps of episodes are foretold that nothing was fitted to."""
    decide = _decisions(held_out, fit.delay, fit.row, longest)
    steps = len(decide[0])
    others = []
    for person in range(_OTHERS):
        drawn = PursuitTraits.of(person)
        share = DEAD_ZONE / drawn.dead_zone
        values = [drawn.gain * share, drawn.damping * share, drawn.anticipation * share, drawn.noise, drawn.lapses]
        row = min(max(CAR_ROW - round(CAR_ROW - drawn.look_ahead), _ROWS[0]), _ROWS[-1])
        delay = min(drawn.delay, longest)
        lows, highs = np.array(_BOUNDS).T
        others.append(
            _log_likelihood(np.clip(np.array(values), lows, highs), *_decisions(held_out, delay, row, longest))
        )
    counts = np.bincount(np.concatenate([each.actions for each in fitted_to]), minlength=3) + 1
    shares = np.log(counts / counts.sum())
    names = [name for name in family_names() if task.spec.name in find_family(name).tasks]
    top = max(others)
    return HeldOut(
        steps=steps,
        log_likelihood=_log_likelihood(fit.values, *decide) / steps,
        family_log_likelihood=(top + math.log(float(np.mean(np.exp(np.array(others) - top))))) / steps,
        frequencies_log_likelihood=float(shares[decide[3].astype(int) + STRAIGHT].mean()),
        families={name: _foretold(name, drives, held, task) for name in names},
    )


def _foretold(family: str, drives: Sequence[Drive], held: Sequence[bool], task: Task) -> float:
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


def _checks(
    drives: Sequence[Drive],
    task: Task,
    pace: float,
    fit: _Fit,
    model: LatentModel,
    replicates: int,
    rng: np.random.Generator,
    progress: Callable[[str, int, int], None],
) -> list[Check]:
    """Return the predictive checks, of episodes under `raw` or `full`: what those show needs no fitted file."""
    checked = [drive for drive in drives if drive.condition in UNCODED][:_MOST_CHECKED]
    names = (
        ("reversals of the wheel", "per second"),
        ("distance from the middle", "track units"),
        (f"autocorrelation over {_LAG_MS} ms", ""),
        ("time to come back onto the road", "seconds"),
    )
    if not checked:
        return [Check(name=name, unit=unit, observed=None, low=None, high=None, passed=None) for name, unit in names]
    observed = _statistics(checked, task, pace)
    lows, highs = np.array(_BOUNDS).T
    drawn = []
    for replicate in range(replicates):
        progress("driving again", replicate, replicates)
        values = np.clip(rng.multivariate_normal(fit.values, fit.covariance, method="eigh"), lows, highs)
        person = _traits(fit, values, pace).at(pace)
        dice = int(rng.integers(2**63))
        drawn.append(_statistics(_driven(checked, task, person, dice, model), task, pace))
    progress("driving again", replicates, replicates)
    table = np.array(drawn)
    checks = []
    for place, (name, unit) in enumerate(names):
        own, others = observed[place], table[:, place]
        others = others[np.isfinite(others)]
        told = math.isfinite(own) and len(others) >= replicates / 2
        checks.append(
            Check(
                name=name,
                unit=unit,
                observed=own if math.isfinite(own) else None,
                low=float(others.min()) if len(others) else None,
                high=float(others.max()) if len(others) else None,
                passed=bool(others.min() <= own <= others.max()) if told else None,
            )
        )
    return checks


def _driven(drives: Sequence[Drive], task: Task, traits: PursuitTraits, dice: int, model: LatentModel) -> list[Drive]:
    """Return a person's drives from the same seeds, under the same conditions."""
    lanes = []
    for number, drive in enumerate(drives):
        channel = build_channel(drive.condition, ChannelConfig(), model, np.random.default_rng(0), clock=lambda: 0)
        lanes.append(
            _Lane(
                episode(task, drive.seed, len(drive.actions), channel, lambda: 0, latents=False),
                Pursuit(traits, dice + number, eyes_for(task)),
                drive,
            )
        )
    while True:
        encoding = [lane for lane in lanes if isinstance(lane.request, Encode)]
        decoding = [lane for lane in lanes if isinstance(lane.request, Decode)]
        if not encoding and not decoding:
            return [lane.result() for lane in lanes]
        for asking, work, kind in (
            (encoding, model.encode_frames, "frame"),
            (decoding, model.decode_latents, "latent"),
        ):
            answers = in_groups(work, [getattr(lane.request, kind) for lane in asking])
            for lane, answer in zip(asking, answers, strict=True):
                lane.go_on(answer)


class _Lane:
    """One episode under way, seen as it goes."""

    def __init__(self, running: Episode, driver: Driver, drive: Drive) -> None:
        self._running, self._driver, self._drive = running, driver, drive
        self._frames: list[NDArray[np.uint8]] = []
        self._actions: list[int] = []
        self._off: list[bool] = []
        self.request: Request | None = None
        driver.reset()
        self.go_on(None)

    def go_on(self, answer: Any) -> None:
        while True:
            try:
                self.request = request = self._running.send(answer)
            except StopIteration:
                self.request = None
                return
            if isinstance(request, Act):
                action = self._driver.act(request.shown)
                self._frames.append(request.shown)
                self._actions.append(action)
                answer = Acted(action, 0, 0)
            elif isinstance(request, Row):
                self._off.append(bool(request.step.metrics["off_road"]))
                answer = None
            else:
                return

    def result(self) -> Drive:
        return Drive(
            self._drive.condition,
            self._drive.seed,
            np.array(self._frames),
            np.array(self._actions, np.uint8),
            np.array(self._off),
        )


def _statistics(drives: Sequence[Drive], task: Task, pace: float) -> tuple[float, float, float, float]:
    """Return reversals per second, mean distance from the middle, autocorrelation, seconds to come back."""
    reversals = seconds = 0.0
    beside: list[float] = []
    correlations, lengths = [], []
    lag = max(round(_LAG_MS * pace / 1000), 1)
    for drive in drives:
        keys = drive.actions.astype(np.float64) - STRAIGHT
        turned = keys[keys != 0]
        reversals += int((turned[1:] != turned[:-1]).sum())
        seconds += len(keys) / pace
        one, other = keys[:-lag], keys[lag:]
        if len(one) and one.std() > 0 and other.std() > 0:
            correlations.append(float(np.corrcoef(one, other)[0, 1]))
        eyes = eyes_for(task)
        for frame in drive.frames:
            runs = runs_of(eyes.road(frame)[CAR_ROW - _NEAR])
            if runs:
                middle = min(((first + last) / 2 for first, last in runs), key=lambda each: abs(each - CAR_COLUMN))
                beside.append(abs(middle - CAR_COLUMN) * UNITS_PER_COLUMN)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], drive.off_road.astype(np.int8), [0]])))
        lengths += [(last - first) / pace for first, last in zip(edges[::2], edges[1::2], strict=True)]
    return (
        reversals / seconds,
        float(np.mean(beside)) if beside else math.nan,
        float(np.mean(correlations)) if correlations else math.nan,
        float(np.mean(lengths)) if lengths else math.nan,
    )
