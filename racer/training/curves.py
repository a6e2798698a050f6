"""The curves of a training: losses on training and held-out episodes, and how good the networks became."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from compression.fitting.classifiers import LossPoint
from racer.report.drawing import INK, canvas, render
from sessions.export.cells import csv_bytes
from sessions.extras import MissingPackageError

_HEADER = ("stage", "member", "iteration", "loss", "held_out_loss", "held_out_quality")
_TRAINED, _HELD_OUT = "#7F7F7F", "#0072B2"


def curve_files(curve: Sequence[LossPoint], fitted: Path) -> dict[Path, bytes]:
    """Return what stands beside a fitted file: `<its name>_curves.csv`, and what installed packages can make of it.

    That is a drawing, `.png`, by Matplotlib, and a file of events, `.tfevents`, for TensorBoard.

    What the columns mean: `compression.fitting.classifiers.LossPoint`.

    Args:
        curve: Of the training.
        fitted: The file that was trained.
    """
    rows = [(p.stage, p.member, p.iteration, p.loss, p.held_out_loss, p.quality) for p in curve]
    numbers, drawing, events = places_of_curves(fitted)
    files = {numbers: csv_bytes(_HEADER, rows)}
    with suppress(MissingPackageError):  # a machine that only records and trains draws nothing
        files[drawing] = _drawn(curve)
    with suppress(ImportError):
        files[events] = _events(curve, fitted.stem)
    return files


def places_of_curves(fitted: Path) -> tuple[Path, Path, Path]:
    """Return where the curves of a fitted file lie: the numbers, the drawing, and TensorBoard's events."""
    beside = f"{fitted.stem}_curves"
    return (
        fitted.with_name(f"{beside}.csv"),
        fitted.with_name(f"{beside}.png"),
        fitted.with_name(f"{beside}.tfevents"),
    )


def _events(curve: Sequence[LossPoint], run: str) -> bytes:
    """Return the curves as TensorBoard reads them; every time in it is 0, so that equal trainings give equal bytes.

    Files of one folder are one run to TensorBoard, so the names of curves begin with the fitted file's.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    written = BytesIO()
    records = RecordWriter(written)
    records.write(Event(wall_time=0, file_version="brain.Event:2").SerializeToString())
    for point in curve:
        named = {"loss": point.loss, "held_out_loss": point.held_out_loss, "held_out_quality": point.quality}
        values = [
            Summary.Value(tag=f"{run}/{point.stage}/{point.member}/{name}", simple_value=value)
            for name, value in named.items()
        ]
        event = Event(wall_time=0, step=point.iteration, summary=Summary(value=values))
        records.write(event.SerializeToString())
    return written.getvalue()


def _drawn(curve: Sequence[LossPoint]) -> bytes:
    stages = list(dict.fromkeys(point.stage for point in curve))
    count = len(stages)
    with canvas(max(3 * count, 4), 5, 2 * count, across=count) as (figure, panels):
        for place, stage in enumerate(stages):
            losses, qualities = panels[place], panels[count + place]
            for member in sorted({point.member for point in curve if point.stage == stage}):
                points = [point for point in curve if (point.stage, point.member) == (stage, member)]
                at = [point.iteration for point in points]
                named = member == 0
                losses.plot(at, [p.loss for p in points], color=_TRAINED, label="training" if named else None)
                losses.plot(at, [p.held_out_loss for p in points], color=_HELD_OUT, label="held out" if named else None)
                best = min(points, key=lambda point: point.held_out_loss)
                losses.plot(best.iteration, best.held_out_loss, "o", color=INK, label="kept" if named else None)
                qualities.plot(at, [p.quality for p in points], color=_HELD_OUT)
                qualities.plot(best.iteration, best.quality, "o", color=INK)
            losses.set_title(stage)
            qualities.set_xlabel("gradient steps")
            qualities.set_ylim(0, 1)
        panels[0].set_ylabel("loss (nats)")
        panels[count].set_ylabel("quality, held out")
        panels[0].legend()
        return render(figure, "curves", "losses and quality over the gradient steps", (), ()).png
