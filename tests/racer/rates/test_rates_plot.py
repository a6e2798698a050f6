from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image
from rates_builders import CONFIG, SIZES, SPEC, coder, score

from racer.rates.curves import Curve, fit_curves
from racer.rates.grid import Noise, make_grid, sweep_settings
from racer.rates.plot import draw_figures
from racer.report.drawing import Illustration


def curves(participants: int = 4, speed: str = "50,60", noise: tuple[Noise, ...] = ()) -> tuple[Curve, ...]:
    settings = sweep_settings("car-racing", [f"speed={speed}"])
    config = replace(CONFIG, settings=settings, bits=(1, 12, 85), participants=participants, noise=noise)
    grid = make_grid(
        config, [coder("random", least_bits=4), coder("coarse"), coder("jpeg", padded=900), coder("theirs")], SIZES
    )
    scores = []
    for cell in grid.cells:
        bits = {"raw": 0.0, "full": 170.0, "jpeg": 5400.25}.get(cell.point.coder, float(cell.point.bits))
        progress = 0.2 * (1 - cell.point.noise.rate) * (bits or 200) / (10 + (bits or 200)) + 0.01 * cell.participant
        scores.append(score(cell, progress, off_road=0.3 / (bits or 1000), bits=bits))
    return fit_curves(scores, grid, SPEC)


@pytest.fixture(scope="module")
def figures() -> dict[str, Illustration]:
    noise = (Noise("erasures", 0.1), Noise("erasures", 0.3), Noise("gaussian", 1.0))
    return {figure.name: figure for figure in draw_figures(curves(noise=noise), SPEC)}


def test_there_is_a_figure_of_every_metric_and_of_each_kind_of_noise(
    figures: dict[str, Illustration],
) -> None:
    assert list(figures) == ["rates_progress", "rates_off_road", "rates_noise_erasures", "rates_noise_gaussian"]


def test_fractions_are_drawn_in_percent_and_directions_are_said(figures: dict[str, Illustration]) -> None:
    for name, scale in (
        ("rates_progress", "road progress (%), higher is better"),
        ("rates_off_road", "time off the road (%), lower is better"),
    ):
        assert f"<!-- {scale} -->" in figures[name].svg.decode()
    assert "theirs 19.39 % at 85 bits" in figures["rates_progress"].alt


def test_every_coder_is_named_and_those_over_the_slot_are_marked(figures: dict[str, Illustration]) -> None:
    for name in ("rates_progress", "rates_off_road"):
        svg = figures[name].svg.decode()
        for text in (
            "raw",
            "full (170 bits)",
            "random",
            "coarse",
            "theirs",
            "jpeg (exceeds the slot)",
            "speed 60, pursuit",
        ):
            assert f">{text}<" in svg or f"<!-- {text} -->" in svg, f"{text} in {name}"
    svg = figures["rates_noise_erasures"].svg.decode()
    assert "<!-- coarse, 12 bits -->" in svg and "<!-- jpeg, 5400 bits (exceeds the slot) -->" in svg
    assert "<!-- raw" not in svg, "noise cannot touch it"


def test_the_table_of_a_figure_has_every_point_at_its_real_bits(figures: dict[str, Illustration]) -> None:
    rows = [dict(zip(figures["rates_progress"].header, row, strict=True)) for row in figures["rates_progress"].rows]
    assert len(rows) == 2 * (1 + 1 + 2 + 3 + 1 + 3)
    (jpeg,) = [row for row in rows if row["coder"] == "jpeg" and row["place"] == "speed 50, pursuit"]
    assert (jpeg["bits_mean"], jpeg["exceeds_slot"]) == (5400.25, 1)
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)  # type: ignore[operator]
    noisy = [
        dict(zip(figures["rates_noise_erasures"].header, row, strict=True))
        for row in figures["rates_noise_erasures"].rows
    ]
    assert {row["noise_rate"] for row in noisy if row["coder"] == "coarse"} == {0.0, 0.1, 0.3}
    assert {row["bits_mean"] for row in noisy if row["coder"] == "coarse"} == {12.0}


def test_pictures_are_the_same_every_time_and_have_something_on_them(figures: dict[str, Illustration]) -> None:
    of_one_speed = curves(participants=1, speed="50")
    once, twice = (draw_figures(of_one_speed, SPEC)[0] for _ in range(2))
    assert (once.svg, once.png) == (twice.svg, twice.png)
    for figure in figures.values():
        pixels = image.imread(io.BytesIO(figure.png))
        assert pixels.shape[1] > pixels.shape[0] > 300
        assert len(np.unique((pixels[..., :3] * 255).astype(np.uint8).reshape(-1, 3), axis=0)) > 20
        assert figure.alt


def test_a_single_person_is_drawn_without_intervals() -> None:
    figure, *others = draw_figures(curves(participants=1, speed="50"), SPEC)
    assert [other.name for other in others] == ["rates_off_road"], "there is no noise to draw"
    assert all(row[4] == row[5] == row[6] for row in figure.rows)
