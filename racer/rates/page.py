"""The page of a sweep: interactive curves, coders on and off; one self-contained file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from racer.rates.curves import Curve
from racer.rates.grid import NO_NOISE
from racer.rates.plot import Measure, ends_of, measures
from racer.report.drawing import colour_of
from racer.report.scripting import script_data, source
from racer.tasks.task import TaskSpec


def render_page(curves: Sequence[Curve], spec: TaskSpec) -> bytes:
    """Return the HTML: of every place and noise a panel, of every metric that is compared a measure to choose."""
    shown = measures(curves, spec)
    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        noise = "" if curve.noise == NO_NOISE else f", {curve.noise.kind} {curve.noise.rate:g}"
        panels.setdefault(f"{curve.place}{noise}", []).append(curve)
    data = {
        "title": f"{spec.name}: rates",
        "measures": [what.heading for what in shown],
        "coders": [(coder, colour_of(coder)) for coder in dict.fromkeys(curve.coder for curve in curves)],
        "places": [
            {"title": title, "curves": [_curve(curve, shown) for curve in found]} for title, found in panels.items()
        ],
    }
    template = (files("racer.rates") / "page.html").read_text(encoding="utf-8")
    return template.replace("__SHARED__", source("pointing.js")).replace("__DATA__", script_data(data)).encode()


def _curve(curve: Curve, shown: Sequence[Measure]) -> dict[str, Any]:
    return {
        "coder": curve.coder,
        "colour": colour_of(curve.coder),
        "flat": curve.flat,
        "fitted": curve.held_out is False,
        "points": [
            {
                "bits": point.bits_mean,
                "soft": point.soft,
                "people": point.participants,
                "lost": point.lost,
                "values": [
                    None if (found := what.of(point)) is None else [what.scale * end for end in ends_of(found)]
                    for what in shown
                ],
            }
            for point in curve.points
        ],
    }
