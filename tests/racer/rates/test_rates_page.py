from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import chromium
from rates_builders import CONFIG, SIZES, SPEC, coder, score

from racer.rates.curves import Curve, fit_curves
from racer.rates.grid import Noise, make_grid, sweep_settings
from racer.rates.page import render_page

HOSTILE = "</script><script>document.title='owned'</script>"


def curves() -> tuple[Curve, ...]:
    config = replace(
        CONFIG,
        settings=sweep_settings("car-racing", ["speed=50"]),
        bits=(1, 12, 85),
        participants=3,
        noise=(Noise("erasures", 0.3),),
    )
    grid = make_grid(config, [coder("coarse"), coder("theirs")], SIZES)
    scores = [
        score(cell, 0.1 + 0.001 * cell.point.bits + 0.01 * cell.participant, off_road=0.1, bits=float(cell.point.bits))
        for cell in grid.cells
    ]
    fitted = fit_curves(scores, grid, SPEC)
    return tuple(replace(curve, place=HOSTILE) if curve.noise.rate else curve for curve in fitted)


@pytest.mark.chromium
def test_points_are_pointed_at_coders_go_and_come_and_nothing_is_requested(tmp_path: Path) -> None:
    path, found = tmp_path / "rates.html", curves()
    path.write_bytes(render_page(found, SPEC))
    with chromium(tmp_path / "profile") as page:
        page.open(path, 1024)
        assert page.requests() == [path.as_uri()] and page.complaints() == []
        assert page.evaluate("document.title") == "car-racing: rates"
        assert page.evaluate("document.querySelectorAll('#panels svg').length") == 2
        marks = "document.querySelectorAll('circle[data-coder=theirs]')"
        assert page.evaluate(f"{marks}.length") == sum(len(each.points) for each in found if each.coder == "theirs")
        page.move_to(f"{marks}[2]")
        assert page.evaluate("document.querySelector('#told').textContent").startswith("theirs, 85 bits: 19.5 [")
        label = "[...document.querySelectorAll('#coders label')].find(each => each.textContent === 'theirs')"
        box = f"{label}.querySelector('input')"
        page.evaluate(f"{box}.click()")
        assert page.evaluate(f"{marks}.length") == 0
        page.evaluate(f"{box}.click()")
        page.evaluate("document.querySelectorAll('#measures input')[1].click()")
        page.evaluate("document.querySelector('#panels svg').focus()")
        page.press("ArrowRight")
        told = page.evaluate("document.querySelector('#told').textContent")
        assert ": 10 [10, 10], 3 people" in told
        page.press("ArrowRight")
        assert page.evaluate("document.querySelector('#told').textContent") != told
        page.open(path, 360)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.complaints() == []


def test_no_name_can_end_the_data() -> None:
    page = render_page(curves(), SPEC).decode()
    assert HOSTILE not in page
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert any(HOSTILE in place["title"] for place in data["places"])
