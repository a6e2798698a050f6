"""The files of a finished sweep: every episode, the statistics, the figures. The same sweep gives the same bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from racer.rates.curves import Curve, Estimate, fit_curves
from racer.rates.plot import draw_figures
from racer.rates.results import RESULTS, ResultsError
from racer.rates.scores import CellScore
from racer.rates.sweep import Driven, Sweep
from racer.report.drawing import Cell
from racer.report.statistics import Interval
from racer.report.write import csv_bytes

EPISODES, POINTS, CODERS, NUMBERS = "rates.csv", "rates_summary.csv", "rates_coders.csv", "rates.json"
PROGRESS_PICTURE = "rates_progress.png"
PICTURES = (PROGRESS_PICTURE, "rates_progress.svg", "rates_off_road.png", "rates_off_road.svg")
"""Those of every sweep."""
_EPISODES_HEADER = (
    "speed",
    "noise",
    "noise_rate",
    "coder",
    "bits",
    "participant",
    "track",
    "track_seed",
    "steps",
    "progress",
    "off_road",
    "bits_mean",
    "bits_most",
)
_POINTS_HEADER = (
    "speed",
    "noise",
    "noise_rate",
    "coder",
    "bits",
    "bits_mean",
    "bits_most",
    "exceeds_slot",
    "participants",
    "episodes",
    *(f"{name}{end}" for name in ("progress", "off_road", "of_raw", "of_clean") for end in ("", "_low", "_high")),
)
_CODERS_HEADER = (
    "speed",
    "noise",
    "noise_rate",
    "coder",
    *(f"bits_for_{share}{end}" for share in ("95", "99") for end in ("", "_low", "_high")),
    "bd_rate_percent",
    "bd_rate_low",
    "bd_rate_high",
    "overlap",
    "reason",
)


@dataclass(frozen=True)
class Written:
    """A finished sweep on disk."""

    files: tuple[Path, ...]
    curves: tuple[Curve, ...]


def write_rates(sweep: Sweep, driven: Driven, out: Path) -> Written:
    """Write the files of a finished sweep, in place of those of an earlier one.

    Raises:
        ResultsError: If the disk refuses; each file is then the old or the new one.
    """
    curves = fit_curves(driven.scores, sweep.grid)
    contents = {
        EPISODES: csv_bytes(_EPISODES_HEADER, _episodes(driven.scores)),
        POINTS: csv_bytes(_POINTS_HEADER, _points(curves)),
        CODERS: csv_bytes(_CODERS_HEADER, _coders(curves)),
        NUMBERS: _numbers(sweep, curves),
    }
    for figure in draw_figures(curves):
        contents[f"{figure.name}.svg"] = figure.svg
        contents[f"{figure.name}.png"] = figure.png
    for name, data in contents.items():
        _put(out / name, data)
    return Written(tuple(out / name for name in contents), curves)


def refuse_foreign(out: Path) -> None:
    """Raise ResultsError if a sweep begun in this folder would write over what no sweep wrote."""
    if (out / RESULTS).exists():
        return
    for name in (EPISODES, POINTS, CODERS, NUMBERS, *PICTURES):
        if (out / name).exists():
            raise ResultsError(
                f"{out / name} is there, and no sweep that wrote it: it was left as it is; give another --out"
            )


def _put(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror}; all cells are kept: mend that and run it again"
        ) from error


def _episodes(scores: Iterable[CellScore]) -> Iterator[tuple[Cell, ...]]:
    for score in scores:
        way, noise = score.cell.way, score.cell.way.noise
        for track, episode in enumerate(score.episodes):
            yield (
                way.speed,
                noise.kind,
                noise.rate,
                way.coder,
                way.bits,
                score.cell.participant,
                track,
                episode.track_seed,
                episode.steps,
                episode.progress,
                episode.off_road,
                episode.bits_mean,
                episode.bits_most,
            )


def _points(curves: Iterable[Curve]) -> Iterator[tuple[Cell, ...]]:
    for curve in curves:
        for point in curve.points:
            yield (
                curve.speed,
                curve.noise.kind,
                curve.noise.rate,
                curve.coder,
                point.way.bits,
                point.bits_mean,
                point.bits_most,
                int(point.soft),
                point.participants,
                point.episodes,
                *_estimate(point.progress),
                *_estimate(point.off_road),
                *_estimate(point.of_raw),
                *_estimate(point.of_clean),
            )


def _coders(curves: Iterable[Curve]) -> Iterator[tuple[Cell, ...]]:
    for curve in curves:
        if not curve.least_bits:
            continue
        least = [number for each in curve.least_bits for number in (each.bits, each.low, each.high)]
        difference = curve.difference
        compared: tuple[Cell, ...] = (None, None, None, None, "")
        if difference is not None:
            compared = difference.percent, *_ends(difference.interval), difference.overlap, difference.reason
        yield curve.speed, curve.noise.kind, curve.noise.rate, curve.coder, *least, *compared


def _estimate(estimate: Estimate | None) -> tuple[Cell, Cell, Cell]:
    return (None, None, None) if estimate is None else (estimate.value, *_ends(estimate.interval))


def _ends(interval: Interval | None) -> tuple[Cell, Cell]:
    return (None, None) if interval is None else (interval.low, interval.high)


def _numbers(sweep: Sweep, curves: tuple[Curve, ...]) -> bytes:
    """Return all statistics as JSON, with the settings that they follow from."""
    content = {
        "settings": dict(sweep.plan.settings),
        "config": asdict(sweep.plan.config),
        "coders": sweep.hashes,
        "skipped": [asdict(skipped) for skipped in sweep.grid.skipped],
        "curves": [asdict(curve) for curve in curves],
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
