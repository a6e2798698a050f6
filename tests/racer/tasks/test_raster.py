"""The compiled drawing gives pygame's bytes, whatever the shapes, and pygame draws where it does not."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pygame
import pytest
from gymnasium.envs.box2d import car_racing as stock
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from racer.tasks.car_racing import raster
from racer.tasks.car_racing.rendering import FastCarRacing
from racer.tasks.car_racing.task import CarRacing

needs_compiled = pytest.mark.skipif(raster._compiled is None, reason="there was no compiler at the installation")

PLACES = st.one_of(
    st.integers(-50, 1050),
    st.floats(-3000, 3000, width=32),
    st.sampled_from([-1.0, 0.0, 1.0, 99.0, 100.0, 799.0, 800.0, 999.0, 999.5, 1000.0]),
)
SHAPES = st.lists(st.tuples(*[st.tuples(PLACES, PLACES)] * 4), max_size=6)
COLORS = st.tuples(*[st.integers(0, 255)] * 3)
NOWHERE = (0, 0, 0, 0)


def by_pygame(background: tuple[int, ...], shapes: NDArray[np.float64], colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    canvas = pygame.Surface((stock.WINDOW_W, stock.WINDOW_H), 0, 32)
    canvas.fill(background)
    for outline, color in zip(shapes.tolist(), colors.tolist(), strict=True):
        raster.draw_polygon(canvas, outline, color)
    return raster.pixels(raster.reduced(canvas))


@needs_compiled
def test_the_compiled_drawing_is_used_where_it_is_there() -> None:
    assert raster.drawn_by() == "compiled"
    assert CarRacing().spec.drawing is not None and CarRacing().spec.drawing() == "compiled"


@needs_compiled
@settings(max_examples=150)
@given(SHAPES, COLORS, st.integers(0, 2**32 - 1))
def test_shapes_of_any_form_and_place_are_pygames(
    shapes: list[tuple[tuple[float, float], ...]], background: tuple[int, int, int], seed: int
) -> None:
    corners = np.array(shapes, np.float64).reshape(-1, 4, 2)
    colors = np.random.default_rng(seed).integers(0, 256, (len(shapes), 3)).astype(np.uint8)
    view = (1.0, 0.0, 1.0, 0.0, 0.0)
    ours = raster.draw_scene(list(background), corners, colors, view, raster.new_sheet(), NOWHERE)
    assert np.array_equal(ours, by_pygame(background, corners, colors))


@needs_compiled
def test_a_turned_and_shifted_world_is_seen_as_pygame_draws_it() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        world, colors = rng.uniform(-40, 40, (30, 4, 2)), rng.integers(0, 256, (30, 3)).astype(np.uint8)
        turn, zoom, shift = rng.uniform(-4, 4), rng.uniform(1, 17), rng.uniform(0, 900, 2)
        cosine, sine = math.cos(turn), math.sin(turn)
        x, y = world[..., 0], world[..., 1]
        outlines = np.stack(
            [(cosine * x - sine * y) * zoom + shift[0], (sine * x + cosine * y) * zoom + shift[1]], axis=2
        )
        view = (cosine, sine, zoom, float(shift[0]), float(shift[1]))
        ours = raster.draw_scene([9, 8, 7], world, colors, view, raster.new_sheet(), NOWHERE)
        assert np.array_equal(ours, by_pygame((9, 8, 7), outlines, colors))


@needs_compiled
@pytest.mark.parametrize("corner", [math.nan, math.inf, -math.inf, 1e300, -40_000.0])
def test_a_corner_that_cannot_be_leaves_its_shape_out(corner: float) -> None:
    shapes = np.array([[[10, 200], [900, 200], [900, 700], [10, 700]]] * 2, np.float64)
    shapes[1, 2, 0] = corner
    colors, view = np.array([[9, 99, 199], [255, 0, 0]], np.uint8), (1.0, 0.0, 1.0, 0.0, 0.0)
    ours = raster.draw_scene([0, 0, 0], shapes, colors, view, raster.new_sheet(), NOWHERE)
    assert np.array_equal(ours, by_pygame((0, 0, 0), shapes[:1], colors[:1]))


@needs_compiled
def test_what_lies_on_top_is_drawn_last_and_taken_away() -> None:
    sheet = raster.new_sheet()
    sheet.fill((100, 120, 140, 255), (300, 500, 200, 100))
    everywhere = np.array([[[-5, -5], [1005, -5], [1005, 805], [-5, 805]]], np.float64)
    green, view = np.array([[0, 200, 0]], np.uint8), (1.0, 0.0, 1.0, 0.0, 0.0)
    shown = raster.draw_scene([0, 0, 0], everywhere, green, view, sheet, (300, 500, 500, 600))
    # The canvas is upside down: its row 550 is 250 rows below the top one, in a picture of 84 rows for 700.
    assert np.abs(shown[30, 38].astype(int) - [100, 120, 140]).max() <= 2
    again = raster.draw_scene([0, 0, 0], everywhere, green, view, sheet, (300, 500, 500, 600))
    assert np.abs(again.astype(int) - [0, 200, 0]).max() <= 2


@needs_compiled
@pytest.mark.parametrize(
    "wrong",
    [
        {"corners": np.zeros((2, 4, 2))},
        {"background": b"12"},
        {"out": np.zeros((84, 96), np.uint8)},
        {"above": np.zeros(5, np.uint32)},
        {"box": (0, 0, 1001, 10)},
        {"box": (-1, 0, 10, 10)},
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(wrong: dict[str, object]) -> None:
    given_: dict[str, object] = {
        "out": np.zeros((84, 96, 3), np.uint8),
        "background": b"123",
        "corners": np.zeros((1, 4, 2)),
        "colors": np.zeros((1, 3), np.uint8),
        "camera": (1.0, 0.0, 1.0, 0.0, 0.0),
        "above": np.zeros((800, 1000), np.uint32),
        "box": NOWHERE,
    }
    assert raster._compiled is not None
    raster._compiled.scene(*given_.values())
    with pytest.raises(ValueError):
        raster._compiled.scene(*(given_ | wrong).values())


@pytest.mark.parametrize("there", [False, True])
def test_pygame_draws_where_the_compiled_code_is_missing_or_gives_other_bytes(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(out: NDArray[np.uint8], *rest: object) -> None:
        out[:] = 7

    monkeypatch.setattr(raster, "_compiled", SimpleNamespace(scene=other) if there else None)
    raster.drawn_by.cache_clear()
    try:
        game = FastCarRacing(draw_each_step=False)
        game.reset(seed=3)
        assert raster.drawn_by() == "pygame"
        assert np.array_equal(game.scene(), game.observation()[:84])
        game.close()
    finally:
        raster.drawn_by.cache_clear()


@needs_compiled
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_drive_is_drawn_alike_by_both(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    game, rng = FastCarRacing(draw_each_step=False), np.random.default_rng(seed)
    game.reset(seed=seed)
    for step in range(150):
        steer = float(rng.uniform(-1, 1)) if step % 9 == 0 else 0.0
        game.step(np.array([steer, 0.5, 0.0], np.float32))
        if step % 3 == 0:
            ours = game.scene()
            with monkeypatch.context() as patched:
                patched.setattr(raster, "drawn_by", lambda: "pygame")
                assert np.array_equal(ours, game.scene()), step
    game.close()
