"""Figures of a sweep: every metric that is compared against bits per step, and the primary one against noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from racer.rates.curves import Curve, Point
from racer.rates.grid import BLIND, FULL, NO_NOISE, NULLS, RAW
from racer.rates.resampling import Estimate
from racer.report.drawing import FAINT, INK, Illustration, canvas, colour_of, label, marker_of, render
from racer.report.wording import capitalised, direction, heading, measure, percent, scale
from racer.tasks.task import Metric, TaskSpec
from sessions.export.cells import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOISE_BITS = 12
"""Slot at which coders are compared under noise; the largest one below it where it was not driven."""
_HEADER = ("place", "coder", "bits_mean", "exceeds_slot", "value", "low", "high")
_STYLES = {RAW: (0, (5, 2)), FULL: (0, (1, 1)), BLIND: (0, (3, 1, 1, 1))}
"""Dashes of the lines that the coders are compared with."""
_OTHER_LINE = (0, (1, 3))
NORMALISED = "rates_normalised"
"""Name of the figure of the normalised score."""
_ACROSS = 3
"""Panels side by side."""


@dataclass(frozen=True)
class Measure:
    """What a figure shows of every point."""

    name: str
    """Name of the figure."""
    title: str
    heading: str
    scale: float
    lowest: float
    of: Callable[[Point], Estimate | None]
    told: Callable[[float], str]
    """Writes a value, for those who cannot see the figure."""

    @classmethod
    def metric(cls, metric: Metric) -> Measure:
        return cls(
            figure_name(metric),
            metric.title,
            f"{heading(metric)}, {direction(metric)}",
            scale(metric),
            metric.bounds[0],
            lambda point: point.metrics[metric.name],
            lambda value: measure(metric, value),
        )

    @classmethod
    def normalised(cls, metric: Metric) -> Measure:
        return cls(
            NORMALISED,
            f"{metric.title}, from blind to raw",
            f"{metric.title} (% of the way from blind to raw)",
            100.0,
            -math.inf,
            lambda point: point.normalised,
            percent,
        )


def figure_name(metric: Metric) -> str:
    """Return the name of the figure of a metric against bits."""
    return f"rates_{metric.name}"


def measures(curves: Sequence[Curve], spec: TaskSpec) -> list[Measure]:
    """Return what a sweep shows of its points: every metric that is compared, and the normalised score if it has it."""
    shown = [Measure.metric(metric) for metric in spec.compared]
    if any(point.normalised for curve in curves for point in curve.points):
        shown.insert(1, Measure.normalised(spec.primary))
    return shown


def draw_figures(curves: Sequence[Curve], spec: TaskSpec) -> list[Illustration]:
    """Return the figures of a sweep, the primary metric's first; that of a kind of noise only where it was driven."""
    kinds = dict.fromkeys(curve.noise.kind for curve in curves if curve.noise != NO_NOISE)
    return [
        *(_against_bits(curves, what) for what in measures(curves, spec)),
        *(_against_noise(curves, spec.primary, kind) for kind in kinds),
    ]


def _against_bits(curves: Sequence[Curve], what: Measure) -> Illustration:
    """Draw one panel per place: a curve for each coder, a line for each of those that no slot changes."""
    clean = [curve for curve in curves if curve.noise == NO_NOISE and all(what.of(point) for point in curve.points)]
    places = list(dict.fromkeys(curve.place for curve in clean))
    rows: list[tuple[Cell, ...]] = []
    with canvas(*_size(places), len(places), min(len(places), _ACROSS)) as (figure, panels):
        for axes, place in zip(panels, places, strict=True):
            shown = [curve for curve in clean if curve.place == place]
            coders = [curve for curve in shown if not curve.flat]
            axes.set_xscale("log", base=2)
            for number, curve in enumerate(coders):
                # Moved apart by a hair, or intervals at the same slot would hide each other.
                shift = 2 ** (0.03 * (number - (len(coders) - 1) / 2))
                _errorbar(axes, curve, [shift * point.bits_mean for point in curve.points], curve.points, what)
            for curve in shown:
                if curve.flat:
                    _line(axes, curve, what)
            _ticks(axes, [point for curve in coders for point in curve.points])
            axes.set_title(place)
            axes.set_ylabel(what.heading)
            rows += [
                (place, curve.coder, point.bits_mean, int(point.soft), *ends_of(what.of(point)))
                for curve in shown
                for point in curve.points
            ]
        _share_scale(panels, what)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=_legend_columns(places), fontsize=8.5)
        figure.supxlabel("Bars and bands are 95 % intervals over simulated people.", fontsize=8)
        alt = f"{capitalised(what.title)} against bits per step, {' and '.join(places)}: " + "; ".join(
            f"{label(curve.coder)} {what.told(ends_of(what.of(last))[0])} at {last.bits_mean:g} bits"
            for curve in clean
            if curve.place == places[0] and (last := curve.points[-1])
        )
        return render(figure, what.name, alt, _HEADER, rows)


def _against_noise(curves: Sequence[Curve], metric: Metric, kind: str) -> Illustration:
    """Draw one panel per place: a metric of each coder at one slot against the rate of the noise."""
    places = list(dict.fromkeys(curve.place for curve in curves))
    what = Measure.metric(metric)
    rows: list[tuple[Cell, ...]] = []
    with canvas(*_size(places), len(places), min(len(places), _ACROSS)) as (figure, panels):
        for axes, place in zip(panels, places, strict=True):
            shown = [curve for curve in curves if curve.place == place and curve.noise.kind in (kind, NO_NOISE.kind)]
            # Where nothing crosses noise changes nothing.
            touched = [curve.coder for curve in shown if curve.noise != NO_NOISE]
            for coder in dict.fromkeys(touched):
                own = [curve for curve in shown if curve.coder == coder]
                points = [_at_slot(curve) for curve in own]
                rates = [curve.noise.rate for curve in own]
                _errorbar(axes, own[0], rates, points, what, points[0].bits_mean)
                rows += [
                    (place, coder, point.bits_mean, rate, *ends_of(what.of(point)))
                    for point, rate in zip(points, rates, strict=True)
                ]
            axes.set_title(place)
            axes.set(xlabel=_RATES[kind], ylabel=heading(metric))
        _share_scale(panels, what)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=_legend_columns(places), fontsize=8.5)
        figure.supxlabel("Bars are 95 % intervals over simulated people.", fontsize=8)
        alt = (
            f"{capitalised(metric.title)} against {_RATES[kind]}, {' and '.join(places)}, at about {NOISE_BITS} bits "
            "per step."
        )
        header = ("place", "coder", "bits_mean", "noise_rate", "value", "low", "high")
        return render(figure, f"rates_noise_{kind}", alt, header, rows)


_RATES = {
    "flips": "probability of a bit to be flipped",
    "erasures": "probability of a packet to be lost",
    "gaussian": "standard deviation of the noise on bits of -1 and 1",
}


def _size(places: Sequence[str]) -> tuple[float, float]:
    """Return the inches of a figure with a panel for each place."""
    across = min(len(places), _ACROSS)
    return 2.6 + 4.2 * across, 0.8 + 3.8 * -(-len(places) // across)


def _legend_columns(places: Sequence[str]) -> int:
    return 2 * min(len(places), _ACROSS) + 1


def _errorbar(
    axes: Axes, curve: Curve, xs: list[float], points: Sequence[Point], what: Measure, bits: float | None = None
) -> None:
    ends = [[what.scale * end for end in ends_of(what.of(point))] for point in points]
    colour, soft = colour_of(curve.coder), points[0].soft
    axes.errorbar(
        xs,
        [value for value, _, _ in ends],
        # Rounding may put the mean of equal values outside of their interval.
        yerr=[[max(value - low, 0.0) for value, low, _ in ends], [max(high - value, 0.0) for value, _, high in ends]],
        marker=marker_of(curve.coder),
        color=colour,
        markerfacecolor="#FFFFFF" if soft else colour,
        markersize=5,
        linewidth=1.3,
        # Null rows stand back: they are what the others are measured by.
        linestyle=":" if curve.coder in NULLS else "-",
        elinewidth=0.8,
        capsize=2,
        label=label(curve.coder)
        + (f", {bits:.0f} bits" if bits is not None else "")
        + (" (exceeds the slot)" if soft else ""),
    )


def _line(axes: Axes, curve: Curve, what: Measure) -> None:
    point = curve.points[0]
    name = curve.coder if not point.bits_mean else f"{curve.coder} ({point.bits_mean:g} bits)"
    colour, estimate = colour_of(curve.coder), what.of(point)
    value, low, high = (what.scale * end for end in ends_of(estimate))
    style = _STYLES.get(curve.coder, _OTHER_LINE)
    axes.axhline(value, color=colour, linestyle=style, linewidth=1.4, label=name, zorder=1)
    if estimate is not None and estimate.interval is not None:
        axes.axhspan(low, high, color=colour, alpha=0.08, linewidth=0, zorder=0)


def _ticks(axes: Axes, points: Sequence[Point]) -> None:
    """Name the slots that were driven, as far as there is room."""
    slots = sorted({round(point.bits_mean) for point in points if point.bits_mean >= 1})
    named: list[int] = []
    for slot in slots:
        if not named or slot >= 1.3 * named[-1]:
            named.append(slot)
    axes.set_xticks(named, [str(slot) for slot in named])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("bits per step")
    axes.grid(axis="y", color=FAINT, linewidth=0.4)


def _share_scale(panels: Sequence[Axes], what: Measure) -> None:
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(max(low, what.scale * what.lowest), high)
        axes.tick_params(colors=INK)


def _at_slot(curve: Curve) -> Point:
    within = [point for point in curve.points if point.bits_mean <= NOISE_BITS]
    return within[-1] if within else curve.points[0]


def ends_of(estimate: Estimate | None) -> tuple[float, float, float]:
    """Return (value, low, high); a single person's value is its own interval."""
    assert estimate is not None
    if estimate.interval is None:
        return estimate.value, estimate.value, estimate.value
    return estimate.value, estimate.interval.low, estimate.interval.high
