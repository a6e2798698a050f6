"""The curves of a training: losses on training and held-out episodes, and how good the networks became."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from compression.fitting.classifiers import LossPoint
from racer.report.drawing import INK, canvas, csv_bytes, render
from sessions.extras import MissingPackageError

_HEADER = ("stage", "member", "iteration", "loss", "held_out_loss", "held_out_likelihood")
_TRAINED, _HELD_OUT = "#7F7F7F", "#0072B2"


def curve_files(curve: Sequence[LossPoint], fitted: Path) -> dict[Path, bytes]:
    """Return what stands beside a fitted file: `<its name>_curves.csv`, and `.png` where Matplotlib is installed.

    `held_out_likelihood` is exp(-held_out_loss), in [0, 1]: the geometric mean of the probability that the network
    gives to what happened on the held-out episodes; of the mask policy, of D(p, x) under its masks.

    Args:
        curve: Of the training.
        fitted: The file that was trained.
    """
    rows = [(p.stage, p.member, p.iteration, p.loss, p.held_out_loss, _likelihood(p)) for p in curve]
    files = {fitted.with_name(f"{fitted.stem}_curves.csv"): csv_bytes(_HEADER, rows)}
    with suppress(MissingPackageError):  # a machine that only records and trains draws nothing
        files[fitted.with_name(f"{fitted.stem}_curves.png")] = _drawn(curve)
    return files


def _likelihood(point: LossPoint) -> float:
    return math.exp(-point.held_out_loss)


def _drawn(curve: Sequence[LossPoint]) -> bytes:
    stages = list(dict.fromkeys(point.stage for point in curve))
    count = len(stages)
    with canvas(max(3 * count, 4), 5, 2 * count, across=count) as (figure, panels):
        for place, stage in enumerate(stages):
            losses, likelihoods = panels[place], panels[count + place]
            for member in sorted({point.member for point in curve if point.stage == stage}):
                points = [point for point in curve if (point.stage, point.member) == (stage, member)]
                at = [point.iteration for point in points]
                named = member == 0
                losses.plot(at, [p.loss for p in points], color=_TRAINED, label="training" if named else None)
                losses.plot(at, [p.held_out_loss for p in points], color=_HELD_OUT, label="held out" if named else None)
                best = min(points, key=lambda point: point.held_out_loss)
                losses.plot(best.iteration, best.held_out_loss, "o", color=INK, label="kept" if named else None)
                likelihoods.plot(at, [_likelihood(p) for p in points], color=_HELD_OUT)
                likelihoods.plot(best.iteration, _likelihood(best), "o", color=INK)
            losses.set_title(stage)
            likelihoods.set_xlabel("gradient steps")
            likelihoods.set_ylim(0, 1)
        panels[0].set_ylabel("loss (nats)")
        panels[count].set_ylabel("likelihood, held out")
        panels[0].legend()
        return render(figure, "curves", "losses and likelihoods over the gradient steps", (), ()).png
