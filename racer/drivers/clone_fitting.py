"""Fitting a recurrent clone to what one person was shown and pressed; see `racer.drivers.clone`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from compression.model.latent_model import LatentModel
from racer.drivers.checks import predictive_checks
from racer.drivers.clone import KEYS, Clone, Floats, Reservoir, chances, features_of
from racer.drivers.families.pixel_policy import WEIGHTS_SHA256
from racer.drivers.fitting import REPLICATES, best_families, held_out_of, log_frequencies, usable_drives
from racer.drivers.likelihood import Drive
from racer.drivers.person import CloneFile, HeldOut
from racer.tasks.task import Task

Keys = NDArray[np.int64]

_PENALTIES = (3.0, 10.0, 30.0, 100.0)
"""Weights of half the squared weights of the readout, against nats of all steps."""
_LEAST_SPREAD = 0.05
_LEAST_CHANCE = 1e-12


def fit_clone(
    drives: Sequence[Drive],
    task: Task,
    pace: float,
    of_a_person: bool,
    model: LatentModel,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> CloneFile:
    """Return the clone of who drove, and how far to believe it; arguments and errors are those of `fit_person`.

    How strongly the readout is held back is chosen on the last third of the episodes that it may learn from, and the
    readout then fitted to all of these. Its replicates differ in their chances alone.
    """
    usable = usable_drives(drives, task, pace)
    held = held_out_of(usable)
    features = []
    for done, drive in enumerate(usable):
        progress("looking", done, len(usable))
        features.append(features_of(drive.frames))
    learnt = np.concatenate([each for each, out in zip(features, held, strict=True) if not out])
    middle, spread = learnt.mean(axis=0), np.maximum(learnt.std(axis=0), _LEAST_SPREAD)
    read = [_read(drive, (own - middle) / spread, seed % 2**32) for drive, own in zip(usable, features, strict=True)]
    keys = [drive.actions.astype(np.int64) for drive in usable]
    own = [number for number, out in enumerate(held) if not out]
    kept = len(own) - max(len(own) // 3, 1) if len(own) > 1 else 1

    def gathered(numbers: Sequence[int]) -> tuple[Floats, Keys]:
        return np.concatenate([read[each] for each in numbers]), np.concatenate([keys[each] for each in numbers])

    def log_likelihood(readout: Floats, numbers: Sequence[int]) -> float:
        what, pressed = gathered(numbers)
        likely = chances(readout, what)[np.arange(len(pressed)), pressed]
        return float(np.log(np.maximum(likely, _LEAST_CHANCE)).mean())

    judged = own[kept:] or own
    penalty = max(_PENALTIES, key=lambda each: log_likelihood(_readout(*gathered(own[:kept]), each), judged))
    readout = _readout(*gathered(own), penalty)
    out = [number for number, left in enumerate(held) if left]
    shares = log_frequencies(gathered(own)[1])
    clone = CloneFile(
        tasks=(task.spec.name,),
        pace=pace,
        eyes_sha256=WEIGHTS_SHA256,
        reservoir=seed % 2**32,
        middle=tuple(middle.tolist()),
        spread=tuple(spread.tolist()),
        readout=tuple(tuple(row) for row in readout.tolist()),
        episodes=len(own),
        steps=sum(len(keys[number]) for number in own),
        sessions=tuple(sorted({drive.session_id for drive in drives} - {""})),
        of_a_person=of_a_person,
        held_out=HeldOut(
            steps=sum(len(keys[number]) for number in out),
            log_likelihood=log_likelihood(readout, out),
            family_log_likelihood=None,
            frequencies_log_likelihood=float(shares[gathered(out)[1]].mean()),
            families=best_families(usable, held, task),
        ),
        checks=(),
        human_like=False,
    )
    rng = np.random.default_rng(seed)
    checks = predictive_checks(
        usable, task, pace, lambda rng: lambda dice: Clone(clone, pace, dice, "clone"), model, replicates, rng, progress
    )
    passed = of_a_person and all(check.passed for check in checks)
    return clone.model_copy(update={"checks": tuple(checks), "human_like": passed})


def _read(drive: Drive, features: Floats, reservoir: int) -> Floats:
    """Return what the readout reads in each step of a drive, float64[T, R], the person's keys being pressed."""
    states = Reservoir(reservoir, features.shape[1])
    rows = []
    for own, key in zip(features, drive.actions.tolist(), strict=True):
        rows.append(states.see(own))
        states.press(key)
    return np.array(rows)


def _readout(read: Floats, pressed: Keys, penalty: float) -> Floats:
    """Return the weights of a multinomial logistic regression, float64[KEYS, R]; that of 1 is as good as free."""
    from scipy import optimize

    one = np.eye(KEYS)[pressed]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(KEYS, -1)
        likely = chances(weights, read)
        held = np.where(np.arange(weights.shape[1]) < weights.shape[1] - 1, penalty, 1e-3) * weights
        nats = -np.log(np.maximum((likely * one).sum(axis=1), 1e-300)).sum()
        return float(nats + 0.5 * (held * weights).sum()), ((likely - one).T @ read + held).ravel()

    start = np.zeros(KEYS * read.shape[1])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    weights: Floats = np.asarray(found.x).reshape(KEYS, -1)
    return weights
