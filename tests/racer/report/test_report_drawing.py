from __future__ import annotations

from itertools import pairwise

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from racer.loop.conditions import condition_names
from racer.report.drawing import Illustration, canvas, colour_of, label, marker_of, render, spread


def drawn() -> Illustration:
    """Return a small figure."""
    with canvas(2, 2) as (figure, (axes,)):
        axes.plot([0, 1], [1, 0], label="$\\frac$ <b>")
        axes.legend()
        return render(figure, "line", "a line", ("x",), [(0,)])


def test_the_same_figure_gives_the_same_bytes() -> None:
    first = drawn()
    with matplotlib.rc_context({"lines.linewidth": 9, "text.usetex": True}):
        assert drawn() == first
        assert matplotlib.rcParams["lines.linewidth"] == 9
    assert b"<dc:date>" not in first.svg


def test_every_condition_has_a_colour_of_its_own() -> None:
    looks = [(colour_of(name), marker_of(name)) for name in (*condition_names(), "of-another-machine")]
    assert len(set(looks)) == len(looks)


@given(st.lists(st.floats(0, 1), max_size=12).map(sorted), st.floats(0.001, 0.2))
def test_labels_are_moved_apart_in_order_and_no_further_than_needed(places: list[float], gap: float) -> None:
    moved = spread(places, gap)
    assert all(later - earlier >= gap * (1 - 1e-6) for earlier, later in pairwise(moved))
    assert sum(moved) == pytest.approx(sum(places), abs=1e-9)
    if all(later - earlier >= gap for earlier, later in pairwise(places)):
        assert moved == pytest.approx(places)


@pytest.mark.parametrize(("text", "shown"), [("a\nb\x07", "a b "), ("x" * 30, "x" * 23 + "…"), ("fünf", "fünf")])
def test_a_label_is_one_short_printable_line(text: str, shown: str) -> None:
    assert label(text) == shown
