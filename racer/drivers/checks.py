"""Predictive checks of a fitted person: replicates drive again, and what nothing was fitted to is counted in both.

After A. Gelman, X.-L. Meng and H. Stern, Statistica Sinica 6, 1996.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.model.latent_model import LatentModel
from racer.drivers.driver import Driver
from racer.drivers.families.pursuit import (
    CAR_COLUMN,
    CAR_ROW,
    UNITS_PER_COLUMN,
    eyes_for,
    runs_of,
)
from racer.drivers.likelihood import Drive
from racer.drivers.person import PredictiveCheck
from racer.loop.conditions import UNCODED, ChannelConfig, build_channel
from racer.loop.episode import Act, Acted, Decode, Encode, Episode, Request, Row, episode
from racer.loop.lockstep import in_groups
from racer.tasks.car_racing.task import STRAIGHT
from racer.tasks.task import Task

_MOST_CHECKED = 6
"""Episodes that are driven again."""
_NEAR = 4
"""Rows before the nose at which the middle of the road is looked for."""
_LAG_MS = 300


def predictive_checks(
    drives: Sequence[Drive],
    task: Task,
    pace: float,
    drawn_again: Callable[[np.random.Generator], Callable[[int], Driver]],
    model: LatentModel,
    replicates: int,
    rng: np.random.Generator,
    progress: Callable[[str, int, int], None],
) -> list[PredictiveCheck]:
    """Return the predictive checks, of episodes under `raw` or `full`: what those show needs no fitted file.

    Args:
        drives: The person's drives.
        task: What was done.
        pace: Steps per second.
        drawn_again: Draws a replicate, who is then made for an episode with dice of 0 or more.
        model: The latent model behind what is shown under `full`.
        replicates: How many to draw.
        rng: Source of all that is drawn.
        progress: Told how many have driven.
    """
    checked = [drive for drive in drives if drive.condition in UNCODED][:_MOST_CHECKED]
    names = (
        ("reversals of the wheel", "per second"),
        ("distance from the middle", "track units"),
        (f"autocorrelation over {_LAG_MS} ms", ""),
        ("time to come back onto the road", "seconds"),
    )
    if not checked:
        return [
            PredictiveCheck(name=name, unit=unit, observed=None, low=None, high=None, passed=None)
            for name, unit in names
        ]
    observed = statistics_of(checked, task, pace)
    drawn = []
    for replicate in range(replicates):
        progress("driving again", replicate, replicates)
        person = drawn_again(rng)
        dice = int(rng.integers(2**63))
        drawn.append(statistics_of(_driven(checked, task, person, dice, model), task, pace))
    progress("driving again", replicates, replicates)
    table = np.array(drawn)
    checks = []
    for place, (name, unit) in enumerate(names):
        own, others = observed[place], table[:, place]
        others = others[np.isfinite(others)]
        told = math.isfinite(own) and len(others) >= replicates / 2
        checks.append(
            PredictiveCheck(
                name=name,
                unit=unit,
                observed=own if math.isfinite(own) else None,
                low=float(others.min()) if len(others) else None,
                high=float(others.max()) if len(others) else None,
                passed=bool(others.min() <= own <= others.max()) if told else None,
            )
        )
    return checks


def _driven(
    drives: Sequence[Drive], task: Task, person: Callable[[int], Driver], dice: int, model: LatentModel
) -> list[Drive]:
    """Return a person's drives from the same seeds, under the same conditions."""
    lanes = []
    for number, drive in enumerate(drives):
        channel = build_channel(drive.condition, ChannelConfig(), model, np.random.default_rng(0), clock=lambda: 0)
        lanes.append(
            _Lane(
                episode(task, drive.seed, len(drive.actions), channel, lambda: 0, latents=False),
                person(dice + number),
                drive,
                task.spec.failure,
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

    def __init__(self, running: Episode, driver: Driver, drive: Drive, failure: str) -> None:
        self._running, self._driver, self._drive, self._failure = running, driver, drive, failure
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
                self._off.append(bool(request.step.metrics[self._failure]))
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


def statistics_of(drives: Sequence[Drive], task: Task, pace: float) -> tuple[float, float, float, float]:
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
        edges = np.flatnonzero(np.diff(np.concatenate([[0], drive.failed.astype(np.int8), [0]])))
        lengths += [(last - first) / pace for first, last in zip(edges[::2], edges[1::2], strict=True)]
    return (
        reversals / seconds,
        float(np.mean(beside)) if beside else math.nan,
        float(np.mean(correlations)) if correlations else math.nan,
        float(np.mean(lengths)) if lengths else math.nan,
    )
