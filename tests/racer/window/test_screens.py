from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pygame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from task_builders import ANSWERS, LANDER, make_spec
from window_builders import SPEC

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Hud, Page
from racer.sitting.questionnaires import MOST_POINTS, Item
from racer.tasks.task import Action, TaskSpec, TaskText
from racer.window import palette
from racer.window.canvas import Canvas, Color, Typed
from racer.window.controls import control_of
from racer.window.fonts import clusters
from racer.window.item_view import Filled
from racer.window.menu_view import Menu
from racer.window.screens import Painter
from racer.window.texts import Texts, load_texts

SIZES = [(320, 240), (640, 480), (1024, 768), (1920, 1080), (500, 1200), (2560, 600)]
HUD = Hud("Run 2 of 10", 0.4, "Road", "20 %", 0.2, "TRIAL RUN")
FRAMES = [(64, 64, 3), (40, 40, 1), (96, 96, 3), (24, 100, 3), (200, 120, 1)]


@pytest.fixture(autouse=True, scope="module")
def fonts() -> Iterator[None]:
    pygame.font.init()
    yield


def painter_on(
    screen: pygame.Surface, language: str = "en", keys: HeldKeys | None = None, text: TaskText | None = None
) -> Painter:
    keys = keys or HeldKeys(SPEC)
    return Painter(screen, load_texts(language, None).texts, keys, text or keys.spec.text(language))


def typed(text: str) -> Typed:
    return Typed(text, len(text), len(text), len(text))


def painter_of(screen: pygame.Surface, frame: tuple[int, int, int]) -> Painter:
    return painter_on(screen, keys=HeldKeys(make_spec(frame=frame)))


def pixels(surface: pygame.Surface) -> NDArray[np.uint8]:
    return pygame.surfarray.array3d(surface).transpose(1, 0, 2)


def noise(seed: int, frame: tuple[int, int, int] = (64, 64, 3)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, frame, dtype=np.uint8)


def scales(screen: pygame.Surface, frame: NDArray[np.uint8]) -> list[int]:
    """Return the whole factors by which the frame, exact to the byte, stands magnified on the screen."""
    rows, columns = frame.shape[:2]
    picture, small = numbers(pixels(screen)), numbers(np.broadcast_to(frame, (rows, columns, 3)))
    found = []
    for k in range(1, min(picture.shape[0] // rows, picture.shape[1] // columns) + 1):
        high, wide = rows * k, columns * k
        first, last = picture[: 1 - high or None, : 1 - wide or None], picture[high - 1 :, wide - 1 :]
        for y, x in np.argwhere((first == small[0, 0]) & (last == small[-1, -1])):
            block = np.kron(small, np.ones((k, k), np.uint32))
            found += [k] * np.array_equal(picture[y : y + high, x : x + wide], block)
    return found


def numbers(picture: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return one number for each colour, which is faster to compare."""
    return picture @ np.array([1, 256, 65536], np.uint32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", FRAMES, ids=str)
def test_a_frame_is_shown_as_large_as_fits_with_every_pixel_a_square_of_the_same_size(
    size: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    screen, frame = pygame.Surface(size), noise(1, shape)
    unit = min(size[0] / 960, size[1] / 720)
    room = size[0] - 48 * unit, size[1] - 134 * unit
    fits = min(room[0] / shape[1], room[1] / shape[0])
    painter_of(screen, shape).drive(frame, HUD)
    if fits < 0.99:
        assert not scales(screen, frame), "there is no room for it"
        return
    (scale,) = scales(screen, frame)
    assert fits - 1.1 < scale <= fits + 0.1


@pytest.mark.parametrize("shape", [(200, 200, 3), (256, 256, 1), (256, 16, 3)], ids=str)
def test_a_frame_that_is_too_large_for_the_window_is_made_smaller_whole(shape: tuple[int, int, int]) -> None:
    screen, frame = pygame.Surface((320, 240)), np.full(shape, 77, np.uint8)
    painter_of(screen, shape).drive(frame, HUD)
    found = np.argwhere((pixels(screen) == 77).all(axis=2))
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0)
    high, wide = bottom - top + 1, right - left + 1
    assert len(found) == high * wide and top > 0 and bottom < 239 and left > 0 and right < 319
    assert abs(high / wide - shape[0] / shape[1]) < 0.1 * shape[0] / shape[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", FRAMES[:4], ids=str)
def test_the_original_stands_beside_the_shown_frame_in_the_same_size(
    size: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    screen, frame, original = pygame.Surface(size), noise(1, shape), noise(2, shape)
    painter_of(screen, shape).drive(frame, HUD, original)
    assert len(scales(screen, original)) == 1
    assert scales(screen, original) == scales(screen, frame)


def test_a_drive_drawn_step_by_step_looks_like_one_drawn_from_scratch() -> None:
    screen, fresh = pygame.Surface((640, 480)), pygame.Surface((640, 480))
    painter = painter_on(screen)
    painter.drive(noise(1), Hud("Run 1 of 10", 0.9, "Road", "99 %", 0.99, "TRIAL RUN"), noise(2))
    for step in range(5):
        painter.drive(noise(step), Hud("Run 2 of 10", step / 5, "Road", f"{step} %", step / 9))
        painter.menu(Menu("Paused", "", ("Resume", "End")), 0)
        painter.drive(noise(step), Hud("Run 2 of 10", step / 5, "Road", f"{step} %", step / 9))
    painter_on(fresh).drive(noise(4), Hud("Run 2 of 10", 4 / 5, "Road", "4 %", 4 / 9))
    np.testing.assert_array_equal(pixels(screen), pixels(fresh))


def test_bars_grow_with_their_fractions_and_stop_at_their_ends() -> None:
    def coloured(color: Color, steps_done: float, score: float) -> int:
        screen = pygame.Surface((640, 480))
        painter_on(screen).drive(np.zeros((64, 64, 3), np.uint8), Hud("", steps_done, "Road", "20 %", score))
        return int((pixels(screen) == color).all(axis=2).sum())

    fractions = [0.0, 0.25, 0.5, 1.0]
    for color, at in ((palette.BLUE, lambda f: (f, 0.0)), (palette.ORANGE, lambda f: (0.0, f))):
        grown = [coloured(color, *at(fraction)) for fraction in fractions]
        assert grown[0] == 0 and all(a < b for a, b in pairwise(grown))
        assert coloured(color, *at(7.0)) == grown[-1]


@pytest.mark.parametrize(
    ("hud", "words", "bar"),
    [
        (Hud("", 0.5), False, False),
        (Hud("", 0.5, "Points", "-3.5"), True, False),
        (Hud("", 0.5, "Road", "20 %", 0.5), True, True),
    ],
)
def test_people_see_of_their_score_what_there_is_to_tell(hud: Hud, words: bool, bar: bool) -> None:
    bare, screen = pygame.Surface((640, 480)), pygame.Surface((640, 480))
    for surface, shown in ((bare, Hud("", 0.5)), (screen, hud)):
        painter_on(surface).drive(noise(1), shown)
    assert bool((pixels(screen) == palette.ORANGE).all(axis=2).any()) is bar
    changed = np.argwhere((pixels(screen) != pixels(bare)).any(axis=2))
    assert bool(len(changed)) is (words or bar)
    if len(changed):
        assert changed[:, 0].min() > 430 and changed[:, 1].min() > 320, "the score stands at the lower right"


def test_the_bar_of_a_score_keeps_its_place_while_the_number_grows() -> None:
    lefts = set()
    for score in ("0 %", "7 %", "100 %"):
        screen = pygame.Surface((640, 480))
        painter_on(screen).drive(np.zeros((64, 64, 3), np.uint8), Hud("", 0.5, "Road", score, 0.5))
        lefts.add(np.argwhere((pixels(screen) == palette.ORANGE).all(axis=2))[:, 1].min())
    assert len(lefts) == 1


def test_the_countdown_leaves_the_lower_half_of_the_frame_in_sight() -> None:
    screen, frame = pygame.Surface((640, 480)), noise(1)
    painter = painter_on(screen)
    painter.drive(frame, HUD)
    before = pixels(screen).copy()
    painter.number(3, with_original=False)
    changed = np.argwhere((pixels(screen) != before).any(axis=2))
    assert len(changed) > 0 and changed[:, 0].max() < 480 // 2 + 20


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("words", [0, 3, 60, 500])
def test_a_page_shows_all_its_words_within_the_window(size: tuple[int, int], words: int) -> None:
    text = [f"word{n}" for n in range(words)]
    page = Page("A title of some length", (" ".join(text[: words // 2]), " ".join(text[words // 2 :])), show_keys=True)
    screen = pygame.Surface(size)
    painter = painter_on(screen)
    shown: list[str] = []
    for index in range(painter.page(page).screens):
        painter.page(page, index)
        assert (pixels(screen)[[0, -1]] == palette.GROUND).all(), "text touches the window's edge"
        shown += " ".join(painter._pages.layout(page, 0).screens[index]).split()
    assert shown == text


@pytest.mark.parametrize("size", [(784, 520), (960, 720), (1920, 1080)])
@pytest.mark.parametrize("paragraphs", [6, 12, 24])
def test_a_long_page_leaves_room_for_its_buttons_on_its_last_screen_alone(
    size: tuple[int, int], paragraphs: int
) -> None:
    page = Page("Your consent", ("We ask whether you want to take part. " * 6,) * paragraphs)
    painter = painter_on(pygame.Surface(size))
    plain = painter.page(page).screens
    assert plain <= painter.page(page, choices=("Yes", "No")).screens <= plain + 1


def test_a_page_lights_up_the_key_that_is_pressed() -> None:
    page, screen = Page("Keys", ("Try them.",), show_keys=True), pygame.Surface((640, 480))
    painter = painter_on(screen)
    lit = []
    for action in range(3):
        painter.page(page, action=action)
        blue = np.argwhere((pixels(screen)[:400] == palette.BLUE).all(axis=2))
        lit.append(np.sign(blue[:, 1].mean() - 320) if len(blue) else 0)
    assert lit == [-1, 0, 1]


@pytest.mark.parametrize("size", SIZES)
def test_menu_choices_lie_in_the_window_apart_from_each_other(size: tuple[int, int]) -> None:
    buttons = (
        painter_on(pygame.Surface(size))
        .menu(Menu("Paused", "A reason of several words.", ("Resume", "End")), 1)
        .choices
    )
    assert all(pygame.Rect((0, 0), size).contains(button) for button in buttons)
    assert len(buttons) == 2 and not buttons[0].colliderect(buttons[1])


def inside(size: tuple[int, int], rects: list[pygame.Rect]) -> bool:
    apart = all(one.collidelist(rects[index + 1 :]) == -1 for index, one in enumerate(rects))
    return apart and all(pygame.Rect((0, 0), size).contains(rect) for rect in rects)


def margins_are_empty(screen: pygame.Surface) -> bool:
    picture = pixels(screen)
    return bool((picture[[0, -1]] == palette.GROUND).all() and (picture[:, [0, -1]] == palette.GROUND).all())


def menus(texts: Texts) -> list[Menu]:
    five = (texts.experimenter_back, texts.note, texts.redo, texts.fullscreen_leave, texts.end)
    return [
        Menu(texts.paused, f"{texts.paused_by_focus} {texts.paused_locked}", (texts.resume,)),
        Menu(texts.experimenter, texts.experimenter_text, five),
        Menu(texts.note, texts.note_text, (texts.note_save, texts.cancel), field_lines=4),
    ]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("size", SIZES)
def test_the_experimenters_menus_lie_in_the_window(size: tuple[int, int], language: str) -> None:
    screen = pygame.Surface(size)
    for menu in menus(load_texts(language, None).texts):
        painter = painter_on(screen, language)
        painter.blank()
        assert inside(size, painter.menu(menu, 0, typed("typed " * 100)).choices)
        assert margins_are_empty(screen), f"{menu.title} touches the window's edge"


def test_a_menu_that_says_no_keys_has_as_much_room_below_as_beside() -> None:
    texts, screen = load_texts("en", None).texts, pygame.Surface((960, 720))
    for menu in (menus(texts)[0], menus(texts)[2]):
        painter = painter_on(screen)
        painter.blank()
        last = painter.menu(menu, 0, typed("words")).choices[-1]
        panel = pixels(screen)[:, last.left + 1] == palette.PANEL
        beside = int(np.argmax((pixels(screen)[last.centery] == palette.PANEL).all(axis=1)))
        below = int(np.nonzero(panel.all(axis=1))[0].max()) + 1 - last.bottom
        assert below == last.left - beside, menu.title


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("size", SIZES)
def test_every_built_in_question_fits_into_the_window(size: tuple[int, int], language: str) -> None:
    screen = pygame.Surface(size)
    painter = painter_on(screen, language)
    for questionnaire in load_texts(language, None).questionnaires.values():
        for item in questionnaire.items:
            words = "word " * 200 if item.kind == "text" else str(item.points)
            areas = painter.form([control_of(item, words).filled], "Question 2 of 6", back=True)
            assert areas.back is not None
            assert inside(size, [*areas.items[0].points, areas.onward, areas.back])
            assert margins_are_empty(screen)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SIZES), st.integers(2, MOST_POINTS), st.text("abc \u00e4WM", min_size=1, max_size=600), st.data()
)
def test_a_question_of_any_words_keeps_to_its_place(
    size: tuple[int, int], points: int, words: str, data: st.DataObject
) -> None:
    item = Item("item", "x" + words, words, words[::-1], points, kind=data.draw(st.sampled_from(("scale", "text"))))
    screen = pygame.Surface(size)
    painter = painter_on(screen)
    areas = painter.form([control_of(item, words if item.kind == "text" else "1").filled], "Question 1 of 2", True)
    assert areas.back is not None
    assert inside(size, [*areas.items[0].points, areas.onward, areas.back])
    assert margins_are_empty(screen)
    assert len(areas.items[0].points) == (0 if item.kind == "text" else points)


@pytest.mark.parametrize("points", [2, 7, 9, 10, 21])
def test_only_the_point_chosen_is_lit(points: int) -> None:
    screen, item = pygame.Surface((1024, 768)), Item("item", "A question.", "no", "yes", points)
    painter = painter_on(screen)
    painter.form([Filled(item)], "", back=False)
    assert not (pixels(screen) == palette.BLUE).all(axis=2).any()
    for value in range(1, points + 1):
        areas = painter.form([Filled(item, str(value))], "", back=False)
        screen.fill(palette.GROUND, areas.onward)
        lit = np.argwhere((pixels(screen) == palette.BLUE).all(axis=2))
        assert abs(lit[:, 1].mean() - areas.items[0].points[value - 1].centerx) <= 2


@pytest.mark.parametrize("size", SIZES)
def test_buttons_of_a_page_come_after_all_its_words(size: tuple[int, int]) -> None:
    page, screen = Page("Consent", ("word " * 300,)), pygame.Surface(size)
    painter = painter_on(screen)
    screens = painter.page(page, choices=("I agree", "I decline")).screens
    for index in range(screens):
        areas = painter.page(page, index, choices=("I agree " * 20, "I decline"))
        assert len(areas.buttons) == (2 if index == screens - 1 else 0)
        assert inside(size, areas.buttons)
        assert margins_are_empty(screen)


def test_key_caps_show_the_keys_that_are_bound() -> None:
    page, drawn = Page("Keys", (), show_keys=True), []
    for left in (["left", "a"], ["left", "q"], ["up", "a"], ["down", "a"], ["space"], ["j"], ["k"], ["left shift"]):
        screen = pygame.Surface((640, 480))
        painter_on(screen, keys=HeldKeys(SPEC, {"left": left})).page(page)
        drawn.append(pixels(screen).tobytes())
    assert len(set(drawn)) == len(drawn)


MANY = make_spec((Action("rest"), *(Action(f"act-{key}", (key, f"[{key}]")) for key in "1234567890")))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spec", [make_spec(LANDER), make_spec(ANSWERS), MANY], ids=lambda spec: len(spec.actions))
def test_each_action_has_a_key_cap_of_its_own_that_lights_up(size: tuple[int, int], spec: TaskSpec) -> None:
    page, screen, keys = Page("Keys", ("Try them.",), show_keys=True), pygame.Surface(size), HeldKeys(spec)
    painter, places, unlit = painter_on(screen, keys=keys), list[float](), None
    for action in (None, *keys.bound):
        painter.page(page, action=action, prompt=(page.prompt, palette.INK))
        blue = np.argwhere((pixels(screen) == palette.BLUE).all(axis=2))
        assert margins_are_empty(screen)
        if action is None:
            unlit = blue
        else:
            places.append(blue[:, 1].mean())
    assert unlit is not None and not len(unlit)
    assert places == sorted(places) and all(after - before > 8 for before, after in pairwise(places))
    assert abs(sum(places) / len(places) - size[0] / 2) < 5, "they stand in the middle"


def test_below_a_key_stands_what_the_task_calls_its_action_or_else_its_name() -> None:
    page, spec, drawn = Page("Keys", (), show_keys=True), make_spec(LANDER), []
    for actions in ({}, {"main": "main"}, {"main": "main engine"}):
        screen = pygame.Surface((640, 480))
        painter_on(screen, keys=HeldKeys(spec), text=TaskText("", (), actions)).page(page)
        drawn.append(pixels(screen).tobytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_task_without_keys_has_pages_that_show_none() -> None:
    spec, screen = make_spec((Action("rest"), Action("drift"))), pygame.Surface((640, 480))
    painter_on(screen, keys=HeldKeys(spec)).page(Page("Keys", (), show_keys=True))


@pytest.mark.parametrize("size", SIZES)
def test_text_to_read_is_large_enough_at_arms_length(size: tuple[int, int]) -> None:
    screen = pygame.Surface(size)
    unit = min(size[0] / 960, size[1] / 720)
    layout = painter_on(screen)._pages.layout(Page("Short", ("A few words.",)), 0)
    assert painter_on(screen)._pages._sizes(layout.scale)[1] >= max(int(26 * unit), 11)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.integers(20, 600))
def test_what_was_typed_is_wrapped_without_losing_a_sign(text: str, width: int) -> None:
    canvas = Canvas(pygame.Surface((640, 480)))
    lines = [line for _, line in canvas.wrap_typed(text, 16, width)]
    assert "".join(lines) == text.replace("\n", "")
    assert len(lines) >= text.count("\n") + 1
    assert all(canvas.text_width(line.rstrip(" "), 16) <= width or len(clusters(line.strip())) <= 1 for line in lines)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.integers(11, 40), st.integers(40, 600), st.integers(1, 300))
def test_a_paragraph_fits_its_place_by_getting_smaller_and_is_cut_only_then(
    text: str, size: int, width: int, height: int
) -> None:
    canvas = Canvas(pygame.Surface((640, 480)))
    set_in, lines = canvas.paragraph(text, size, width, height)
    assert set_in <= size
    assert len(lines) == 1 or len(lines) * set_in <= height
    if set_in > 11:
        assert "".join("".join(lines).split()) == "".join(text.split())


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.integers(20, 600))
def test_any_text_is_wrapped_to_the_width_without_losing_a_letter(text: str, width: int) -> None:
    canvas = Canvas(pygame.Surface((640, 480)))
    lines = canvas.wrap(text, 16, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        assert canvas.text_width(line, 16) <= width or len(line) == 1
        canvas.line(line, 16, palette.INK, 0, 0, 1.0)


def luminance(color: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (palette.INK, palette.GROUND),
        (palette.QUIET, palette.GROUND),
        (palette.BLUE, palette.GROUND),
        (palette.YELLOW, palette.GROUND),
        (palette.INK, palette.PANEL),
        (palette.QUIET, palette.PANEL),
        (palette.INK, palette.EDGE),
    ],
)
def test_text_stands_out_from_its_ground(one: Color, other: Color) -> None:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 6


@pytest.mark.parametrize("points", [2, 3, 4])
def test_what_the_ends_of_a_short_scale_mean_stands_below_them(points: int) -> None:
    screens = []
    for low in ("", "low"):
        screen = pygame.Surface((960, 720))
        areas = painter_on(screen).form([Filled(Item("a", "A?", low=low, high="", points=points))], "", False)
        screens.append(pixels(screen))
    words = np.argwhere((screens[0] != screens[1]).any(axis=2))
    middle = (words[:, 1].min() + words[:, 1].max()) / 2
    assert abs(middle - areas.items[0].points[0].centerx) < 6
    assert areas.items[0].points[-1].centerx - areas.items[0].points[0].centerx > 250


def test_the_button_of_an_answer_names_its_keys_unless_it_is_called_as_one() -> None:
    def drawn(spec: TaskSpec, keys: HeldKeys) -> NDArray[np.uint8]:
        screen = pygame.Surface((960, 720))
        painter_on(screen, keys=keys).drive(np.zeros(spec.frame, np.uint8), Hud("?", 0.0, count=(1, 9)))
        return pygame.surfarray.array3d(screen)

    rebound = {"left": ("x",), "right": ("right", "j")}
    spec = make_spec(actions=(Action("left", ("left",)), Action("right", ("right", "j"))), paced=False, neutral=None)
    assert (drawn(spec, HeldKeys(spec)) != drawn(spec, HeldKeys(spec, rebound))).any()
    digits = make_spec(actions=tuple(Action(name, (name, f"[{name}]")) for name in "12"), paced=False, neutral=None)
    others = {"1": ("1",), "2": ("2",)}
    assert (drawn(digits, HeldKeys(digits)) == drawn(digits, HeldKeys(digits, others))).all()
