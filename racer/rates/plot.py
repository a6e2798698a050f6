"""Figures of a sweep: progress and off-road time against bits per step, and progress against noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from racer.rates.curves import Curve, Estimate, Point
from racer.rates.grid import FULL, NO_NOISE, RAW
from racer.report.drawing import FAINT, INK, Cell, Illustration, canvas, colour_of, label, marker_of, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOISE_BITS = 12
"""Slot at which coders are compared under noise; the largest one below it where it was not driven."""
_HEADER = ("speed", "coder", "bits_mean", "exceeds_slot", "value", "low", "high")
_STYLES = {RAW: (0, (5, 2)), FULL: (0, (1, 1))}
"""Dashes of the lines that the coders are compared with."""


def draw_figures(curves: Sequence[Curve]) -> list[Illustration]:
    """Return the figures of a sweep; that of a kind of noise only where it was driven."""
    kinds = dict.fromkeys(curve.noise.kind for curve in curves if curve.noise != NO_NOISE)
    return [
        _against_bits(curves, "rates_progress", "road progress (fraction of the track)", lambda point: point.progress),
        _against_bits(curves, "rates_off_road", "time off the road (fraction)", lambda point: point.off_road),
        *(_against_noise(curves, kind) for kind in kinds),
    ]


def _against_bits(curves: Sequence[Curve], name: str, scale: str, of: Callable[[Point], Estimate]) -> Illustration:
    """Draw one panel per speed: a curve for each coder, a line each for `raw` and `full`."""
    clean = [curve for curve in curves if curve.noise == NO_NOISE]
    speeds = list(dict.fromkeys(curve.speed for curve in clean))
    rows: list[tuple[Cell, ...]] = []
    with canvas(2.6 + 4.2 * len(speeds), 4.6, len(speeds)) as (figure, panels):
        for axes, speed in zip(panels, speeds, strict=True):
            shown = [curve for curve in clean if curve.speed == speed]
            coders = [curve for curve in shown if curve.coder not in (RAW, FULL)]
            axes.set_xscale("log", base=2)
            for place, curve in enumerate(coders):
                # Moved apart by a hair, or intervals at the same slot would hide each other.
                shift = 2 ** (0.03 * (place - (len(coders) - 1) / 2))
                _draw(axes, curve, [shift * point.bits_mean for point in curve.points], of)
            for curve in shown:
                if curve.coder in (RAW, FULL):
                    _line(axes, curve, of(curve.points[0]))
            _ticks(axes, [point for curve in coders for point in curve.points])
            axes.set_title(f"speed {speed:g}")
            axes.set_ylabel(scale)
            rows += [_row(curve, point, of(point)) for curve in shown for point in curve.points]
        _share_scale(panels)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2 * len(speeds) + 1, fontsize=8.5)
        alt = f"{scale[0].upper()}{scale[1:]} against bits per step at speeds {_listed(speeds)}: " + "; ".join(
            f"{label(curve.coder)} {of(curve.points[-1]).value:.3f} at {curve.points[-1].bits_mean:g} bits"
            for curve in clean
            if curve.speed == speeds[0]
        )
        return render(figure, name, alt, _HEADER, rows)


def _against_noise(curves: Sequence[Curve], kind: str) -> Illustration:
    """Draw one panel per speed: progress of each coder at one slot against the rate of the noise."""
    speeds = list(dict.fromkeys(curve.speed for curve in curves))
    rows: list[tuple[Cell, ...]] = []
    with canvas(2.6 + 4.2 * len(speeds), 4.6, len(speeds)) as (figure, panels):
        for axes, speed in zip(panels, speeds, strict=True):
            shown = [curve for curve in curves if curve.speed == speed and curve.noise.kind in (kind, NO_NOISE.kind)]
            for coder in dict.fromkeys(curve.coder for curve in shown if curve.coder != RAW):
                own = [curve for curve in shown if curve.coder == coder]
                points = [_at_slot(curve) for curve in own]
                rates = [curve.noise.rate for curve in own]
                _errorbar(
                    axes, own[0], rates, [point.progress for point in points], points[0].soft, points[0].bits_mean
                )
                rows += [
                    (speed, coder, point.bits_mean, rate, *_numbers(point.progress))
                    for point, rate in zip(points, rates, strict=True)
                ]
            axes.set_title(f"speed {speed:g}")
            axes.set(xlabel=_RATES[kind], ylabel="road progress (fraction of the track)")
        _share_scale(panels)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2 * len(speeds), fontsize=8.5)
        alt = f"Road progress against {_RATES[kind]} at speeds {_listed(speeds)}, at about {NOISE_BITS} bits per step."
        header = ("speed", "coder", "bits_mean", "noise_rate", "progress", "low", "high")
        return render(figure, f"rates_{kind}", alt, header, rows)


_RATES = {
    "flips": "probability of a bit to be flipped",
    "erasures": "probability of a packet to be lost",
    "gaussian": "standard deviation of the noise on bits of -1 and 1",
}


def _draw(axes: Axes, curve: Curve, places: list[float], of: Callable[[Point], Estimate]) -> None:
    _errorbar(axes, curve, places, [of(point) for point in curve.points], curve.points[0].soft)


def _errorbar(
    axes: Axes, curve: Curve, places: list[float], estimates: list[Estimate], soft: bool, bits: float | None = None
) -> None:
    below = [estimate.value - _numbers(estimate)[1] for estimate in estimates]
    above = [_numbers(estimate)[2] - estimate.value for estimate in estimates]
    colour = colour_of(curve.coder)
    axes.errorbar(
        places,
        [estimate.value for estimate in estimates],
        # Rounding may put the mean of equal values outside of their interval.
        yerr=[[max(value, 0.0) for value in below], [max(value, 0.0) for value in above]],
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


def _line(axes: Axes, curve: Curve, estimate: Estimate) -> None:
    bits = curve.points[0].bits_mean
    name = curve.coder if not bits else f"{curve.coder} ({bits:g} bits)"
    colour = colour_of(curve.coder)
    axes.axhline(estimate.value, color=colour, linestyle=_STYLES[curve.coder], linewidth=1.4, label=name, zorder=1)
    if estimate.interval is not None:
        axes.axhspan(estimate.interval.low, estimate.interval.high, color=colour, alpha=0.08, linewidth=0, zorder=0)


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


def _share_scale(panels: Sequence[Axes]) -> None:
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(max(low, 0.0), high)
        axes.tick_params(colors=INK)


def _at_slot(curve: Curve) -> Point:
    within = [point for point in curve.points if point.bits_mean <= NOISE_BITS]
    return within[-1] if within else curve.points[0]


def _row(curve: Curve, point: Point, estimate: Estimate) -> tuple[Cell, ...]:
    return curve.speed, curve.coder, point.bits_mean, int(point.soft), *_numbers(estimate)


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    """Return (value, low, high); a single person's value is its own interval."""
    if estimate.interval is None:
        return estimate.value, estimate.value, estimate.value
    return estimate.value, estimate.interval.low, estimate.interval.high


def _listed(speeds: Sequence[float]) -> str:
    return " and ".join(f"{speed:g}" for speed in speeds)
