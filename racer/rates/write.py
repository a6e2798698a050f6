"""The files of a finished sweep: every episode, the statistics, the figures. The same sweep gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from disk.writing import write_whole
from racer.loop.behaviour import BEHAVIOURS
from racer.rates.curves import Curve, fit_curves
from racer.rates.driving import CellScore
from racer.rates.families import WorstFamily, worst_families
from racer.rates.grid import COMPARED_NULLS, TaskSettings
from racer.rates.judged_plot import JUDGED
from racer.rates.page import render_page
from racer.rates.plot import NORMALISED, draw_figures, figure_name
from racer.rates.resampling import Estimate
from racer.rates.results import RESULTS, ResultsError
from racer.rates.sealed import Opened
from racer.rates.sweep import Sweep, SweepResult
from racer.report.drawing import Illustration
from racer.report.equivalence import MARGIN, EquivalenceTest
from racer.report.statistics import Interval
from racer.tasks.task import TaskSpec
from sessions.export.cells import Cell, csv_bytes

EPISODES, POINTS, CODERS, NUMBERS = "rates.csv", "rates_summary.csv", "rates_coders.csv", "rates.json"
PAGE = "rates.html"
FAMILIES = "rates_families.csv"
"""File written where several families drove."""
_PLACE_HEADER = ("driver", "noise", "noise_rate", "coder")
_EPISODES_HEADER = ("bits", "participant", "episode", "seed", "steps")
_BITS_HEADER = ("bits_mean", "bits_most", "uplink_bits", "lost")
_POINTS_HEADER = ("bits", "exceeds_slot", "held_out", "participants", "episodes")
_CODERS_HEADER = (
    "fitted_on",
    *(
        f"bits_for_{share}{of}{end}"
        for of in ("", "_normalised")
        for share in ("95", "99")
        for end in ("", "_low", "_high")
    ),
    "bd_rate_percent",
    "bd_rate_low",
    "bd_rate_high",
    "overlap",
    "reason",
)


_KEPT = ("within_margin_p", "within_margin_p_flip")
"""Columns for the two one-sided tests that the normalised score is within the margin of 1; see
`racer.report.equivalence`."""
_OVER = tuple(f"over_{name}" for name in COMPARED_NULLS)
"""Normalised score less that of a null row in the same slot."""
_FAMILIES_HEADER = (
    *("noise", "noise_rate", "coder", "bits", "families", "held_out", "worst_driver"),
    *("normalised", "normalised_low", "normalised_high"),
    *_KEPT,
)


@dataclass(frozen=True)
class Written:
    """A finished sweep on disk."""

    files: tuple[Path, ...]
    curves: tuple[Curve, ...]
    worst: tuple[WorstFamily, ...]
    """Worst families; empty where one family drove."""


def write_rates(
    sweep: Sweep, driven: SweepResult, out: Path, margin: float = MARGIN, opened: Opened | None = None
) -> Written:
    """Write the files of a finished sweep, in place of those of an earlier one.

    Args:
        sweep: What was driven.
        driven: What came of it.
        out: Folder to write to.
        margin: See `fit_curves`.
        opened: The sealed set that was used.

    Raises:
        ResultsError: If the disk refuses; each file is then the old or the new one.
    """
    spec = sweep.spec
    curves = fit_curves(driven.scores, sweep.grid, spec, dict(sweep.fitted_on), margin)
    worst = worst_families(curves)
    settings = tuple(f"set_{name}" for name in curves[0].settings.values)
    place = (*settings, *_PLACE_HEADER)
    estimates = (
        *(metric.name for metric in spec.compared),
        "of_raw",
        "normalised",
        *_OVER,
        "over_families",
        "of_clean",
        "agreement",
        "finished",
        *BEHAVIOURS,
    )
    ends = tuple(f"{name}{end}" for name in estimates for end in ("", "_low", "_high"))
    values = tuple(metric.name for metric in spec.metrics)
    contents = {
        EPISODES: csv_bytes((*place, *_EPISODES_HEADER, *values, *_BITS_HEADER), _episodes(driven.scores, sweep)),
        POINTS: csv_bytes((*place, *_POINTS_HEADER, *_BITS_HEADER, *ends, *_KEPT), _points(curves, sweep)),
        CODERS: csv_bytes((*place, *_CODERS_HEADER), _coders(curves)),
        NUMBERS: _numbers(sweep, curves, worst, margin, opened),
        PAGE: render_page(curves, spec),
    }
    if worst:
        contents[FAMILIES] = csv_bytes((*settings, *_FAMILIES_HEADER), _families(worst))
    for figure in draw_figures(curves, spec):
        contents[f"{figure.name}.svg"] = figure.svg
        contents[f"{figure.name}.png"] = figure.png
    for name, data in contents.items():
        _put(out / name, data)
    for name in {FAMILIES, f"{NORMALISED}.png", f"{NORMALISED}.svg"} - contents.keys():
        with suppress(OSError):
            (out / name).unlink()  # of an earlier state of this sweep
    return Written(tuple(out / name for name in contents), curves, worst)


def write_judged(drawn: Iterable[Illustration], out: Path) -> tuple[Path, ...]:
    """Write figures of what was judged, with their numbers; raises as `write_rates`."""
    contents: dict[str, bytes] = {}
    for each in drawn:
        contents[f"{each.name}.csv"] = csv_bytes(each.header, each.rows)
        contents |= {f"{each.name}.svg": each.svg, f"{each.name}.png": each.png}
    for name, data in contents.items():
        _put(out / name, data)
    return tuple(out / name for name in contents)


def refuse_foreign(out: Path, spec: TaskSpec) -> None:
    """Raise ResultsError if a sweep begun in this folder would write over what no sweep wrote."""
    if (out / RESULTS).exists():
        return
    names = [*map(figure_name, spec.compared), NORMALISED]
    pictures = [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    if not spec.paced:
        pictures += [f"{name}.{kind}" for name in JUDGED for kind in ("csv", "png", "svg")]
    for name in (EPISODES, POINTS, CODERS, FAMILIES, NUMBERS, PAGE, *pictures):
        if (out / name).exists():
            raise ResultsError(f"{out / name} exists, and no sweep wrote it: it was left as it is; give another --out")


def _put(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror}; all cells are kept: fix that and run it again"
        ) from error


def _episodes(scores: Iterable[CellScore], sweep: Sweep) -> Iterator[tuple[Cell, ...]]:
    for score in scores:
        point = score.cell.point
        for number, (seed, episode) in enumerate(zip(score.seeds, score.episodes, strict=True)):
            yield (
                *_settings(point.settings),
                point.driver,
                point.noise.kind,
                point.noise.rate,
                point.coder,
                point.bits,
                score.cell.participant,
                number,
                seed,
                episode.steps,
                *(episode.metrics[metric.name] for metric in sweep.spec.metrics),
                episode.bits_mean,
                episode.bits_most,
                sweep.uplink_bits,
                episode.lost,
            )


def _points(curves: Iterable[Curve], sweep: Sweep) -> Iterator[tuple[Cell, ...]]:
    for curve in curves:
        for point in curve.points:
            over = [point.over.get(name) for name in COMPARED_NULLS]
            shares = point.of_raw, point.normalised, *over, point.over_families
            behaviour = [point.behaviour.get(name) for name in BEHAVIOURS]
            further = point.of_clean, point.agreement, point.finished, *behaviour
            estimates = (*point.metrics.values(), *shares, *further)
            yield (
                *_place(curve),
                point.bits,
                int(point.soft),
                _known(curve.held_out),
                point.participants,
                point.episodes,
                point.bits_mean,
                point.bits_most,
                sweep.uplink_bits,
                point.lost,
                *(number for estimate in estimates for number in _estimate(estimate)),
                *_kept(point.kept),
            )


def _coders(curves: Iterable[Curve]) -> Iterator[tuple[Cell, ...]]:
    for curve in curves:
        if curve.flat:
            continue
        every = (*curve.least_bits, *curve.least_bits_normalised)
        least = [number for each in every for number in (each.bits, each.low, each.high)]
        difference = curve.difference
        compared: tuple[Cell, ...] = (None, None, None, None, "")
        if difference is not None:
            compared = difference.percent, *_ends(difference.interval), difference.overlap, difference.reason
        yield *_place(curve), " ".join(curve.fitted_on or ()), *least, *compared


def _families(worst: Iterable[WorstFamily]) -> Iterator[tuple[Cell, ...]]:
    for each in worst:
        yield (
            *_settings(each.settings),
            each.noise.kind,
            each.noise.rate,
            each.coder,
            each.bits,
            each.families,
            _known(each.held_out),
            each.driver,
            *_estimate(each.normalised),
            *_kept(each.kept),
        )


def _place(curve: Curve) -> tuple[Cell, ...]:
    return *_settings(curve.settings), curve.driver, curve.noise.kind, curve.noise.rate, curve.coder


def _settings(settings: TaskSettings) -> tuple[Cell, ...]:
    values = settings.values.values()
    return tuple(value if isinstance(value, str | int | float) else json.dumps(value) for value in values)


def _estimate(estimate: Estimate | None) -> tuple[Cell, Cell, Cell]:
    return (None, None, None) if estimate is None else (estimate.value, *_ends(estimate.interval))


def _known(value: bool | None) -> Cell:
    return None if value is None else int(value)


def _kept(kept: EquivalenceTest | None) -> tuple[Cell, Cell]:
    return (None, None) if kept is None else (kept.p, kept.p_flip)


def _ends(interval: Interval | None) -> tuple[Cell, Cell]:
    return (None, None) if interval is None else (interval.low, interval.high)


def curve_numbers(curve: Curve) -> dict[str, Any]:
    """Return a curve as plain numbers and texts."""
    return asdict(curve) | {"settings": curve.settings.values, "held_out": curve.held_out}


def family_numbers(worst: WorstFamily) -> dict[str, Any]:
    """Return a coder's worst family as plain numbers and texts."""
    return asdict(worst) | {"settings": worst.settings.values}


def _numbers(
    sweep: Sweep, curves: tuple[Curve, ...], worst: tuple[WorstFamily, ...], margin: float, opened: Opened | None
) -> bytes:
    """Return all statistics as JSON, with the settings that they follow from."""
    config = sweep.plan.config
    content = {
        "settings": dict(sweep.plan.settings),
        "config": asdict(config) | {"settings": [settings.values for settings in config.settings]},
        "metrics": [
            {"name": metric.name, "title": metric.title, "unit": metric.unit, "better": metric.better}
            for metric in sweep.spec.compared
        ],
        "uplink_bits": sweep.uplink_bits,
        "brought": sweep.hashes,
        "fitted_on": dict(sweep.fitted_on),
        "margin": margin,
        "sealed": asdict(opened) if opened else None,
        "skipped": [asdict(skipped) for skipped in sweep.grid.skipped],
        "curves": [curve_numbers(curve) for curve in curves],
        "worst_families": [family_numbers(each) for each in worst],
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
