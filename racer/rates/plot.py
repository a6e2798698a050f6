"""Figures of a sweep: every metric that is compared against bits per step, and the primary one against noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from racer.rates.curves import Curve, Estimate, Point
from racer.rates.grid import FULL, NO_NOISE, RAW
from racer.report.drawing import FAINT, INK, Cell, Illustration, canvas, colour_of, label, marker_of, render
from racer.report.wording import capitalised, direction, heading, measure, scale
from racer.tasks.task import Metric, TaskSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOISE_BITS = 12
"""Slot at which coders are compared under noise; the largest one below it where it was not driven."""
_HEADER = ("place", "coder", "bits_mean", "exceeds_slot", "value", "low", "high")
_STYLES = {RAW: (0, (5, 2)), FULL: (0, (1, 1))}
"""Dashes of the lines that the coders are compared with."""
_ACROSS = 3
"""Panels side by side."""


def figure_name(metric: Metric) -> str:
    """Return the name of the figure of a metric against bits."""
    return f"rates_{metric.name}"


def draw_figures(curves: Sequence[Curve], spec: TaskSpec) -> list[Illustration]:
    """Return the figures of a sweep, the primary metric's first; that of a kind of noise only where it was driven."""
    kinds = dict.fromkeys(curve.noise.kind for curve in curves if curve.noise != NO_NOISE)
    return [
        *(_against_bits(curves, metric) for metric in spec.compared),
        *(_against_noise(curves, spec.primary, kind) for kind in kinds),
    ]


def _against_bits(curves: Sequence[Curve], metric: Metric) -> Illustration:
    """Draw one panel per place: a curve for each coder, a line each for `raw` and `full`."""
    clean = [curve for curve in curves if curve.noise == NO_NOISE]
    places = list(dict.fromkeys(curve.place for curve in clean))
    rows: list[tuple[Cell, ...]] = []
    with canvas(*_size(places), len(places), min(len(places), _ACROSS)) as (figure, panels):
        for axes, place in zip(panels, places, strict=True):
            shown = [curve for curve in clean if curve.place == place]
            coders = [curve for curve in shown if curve.coder not in (RAW, FULL)]
            axes.set_xscale("log", base=2)
            for number, curve in enumerate(coders):
                # Moved apart by a hair, or intervals at the same slot would hide each other.
                shift = 2 ** (0.03 * (number - (len(coders) - 1) / 2))
                _errorbar(axes, curve, [shift * point.bits_mean for point in curve.points], curve.points, metric)
            for curve in shown:
                if curve.coder in (RAW, FULL):
                    _line(axes, curve, metric)
            _ticks(axes, [point for curve in coders for point in curve.points])
            axes.set_title(place)
            axes.set_ylabel(f"{heading(metric)}, {direction(metric)}")
            rows += [
                (place, curve.coder, point.bits_mean, int(point.soft), *_ends(point.metrics[metric.name]))
                for curve in shown
                for point in curve.points
            ]
        _share_scale(panels, metric)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=_legend_columns(places), fontsize=8.5)
        alt = f"{capitalised(metric.title)} against bits per step, {' and '.join(places)}: " + "; ".join(
            f"{label(curve.coder)} {measure(metric, last.metrics[metric.name].value)} at {last.bits_mean:g} bits"
            for curve in clean
            if curve.place == places[0] and (last := curve.points[-1])
        )
        return render(figure, figure_name(metric), alt, _HEADER, rows)


def _against_noise(curves: Sequence[Curve], metric: Metric, kind: str) -> Illustration:
    """Draw one panel per place: a metric of each coder at one slot against the rate of the noise."""
    places = list(dict.fromkeys(curve.place for curve in curves))
    rows: list[tuple[Cell, ...]] = []
    with canvas(*_size(places), len(places), min(len(places), _ACROSS)) as (figure, panels):
        for axes, place in zip(panels, places, strict=True):
            shown = [curve for curve in curves if curve.place == place and curve.noise.kind in (kind, NO_NOISE.kind)]
            for coder in dict.fromkeys(curve.coder for curve in shown if curve.coder != RAW):
                own = [curve for curve in shown if curve.coder == coder]
                points = [_at_slot(curve) for curve in own]
                rates = [curve.noise.rate for curve in own]
                _errorbar(axes, own[0], rates, points, metric, points[0].bits_mean)
                rows += [
                    (place, coder, point.bits_mean, rate, *_ends(point.metrics[metric.name]))
                    for point, rate in zip(points, rates, strict=True)
                ]
            axes.set_title(place)
            axes.set(xlabel=_RATES[kind], ylabel=heading(metric))
        _share_scale(panels, metric)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=_legend_columns(places), fontsize=8.5)
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
    axes: Axes, curve: Curve, xs: list[float], points: Sequence[Point], metric: Metric, bits: float | None = None
) -> None:
    ends = [[scale(metric) * end for end in _ends(point.metrics[metric.name])] for point in points]
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
        elinewidth=0.8,
        capsize=2,
        label=label(curve.coder)
        + (f", {bits:.0f} bits" if bits is not None else "")
        + (" (exceeds the slot)" if soft else ""),
    )


def _line(axes: Axes, curve: Curve, metric: Metric) -> None:
    point = curve.points[0]
    name = curve.coder if not point.bits_mean else f"{curve.coder} ({point.bits_mean:g} bits)"
    colour, estimate = colour_of(curve.coder), point.metrics[metric.name]
    value, low, high = (scale(metric) * end for end in _ends(estimate))
    axes.axhline(value, color=colour, linestyle=_STYLES[curve.coder], linewidth=1.4, label=name, zorder=1)
    if estimate.interval is not None:
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


def _share_scale(panels: Sequence[Axes], metric: Metric) -> None:
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(max(low, scale(metric) * metric.bounds[0]), high)
        axes.tick_params(colors=INK)


def _at_slot(curve: Curve) -> Point:
    within = [point for point in curve.points if point.bits_mean <= NOISE_BITS]
    return within[-1] if within else curve.points[0]


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    """Return (value, low, high); a single person's value is its own interval."""
    if estimate.interval is None:
        return estimate.value, estimate.value, estimate.value
    return estimate.value, estimate.interval.low, estimate.interval.high
