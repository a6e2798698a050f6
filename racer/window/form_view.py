"""Draws a page of questions: headings, hints, buttons, and as many questions below each other as there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pygame import Rect

from racer.sitting.questionnaires import Item
from racer.window.canvas import LEADING, Canvas
from racer.window.item_view import BODY, MOST_BUTTONS, Filled, ItemAreas, ItemView
from racer.window.palette import BLUE, EDGE, GROUND, INK, PANEL, QUIET, YELLOW
from racer.window.texts import Texts

_MARGIN, _BUTTON, _BUTTON_WIDTH, _HINT_ROOM = 32, 66, 250, 64
"""Like every length below in pixels of a 960 x 720 window."""
_QUESTION, _SMALLER_QUESTION, _HINT = 36, 26, 22
_PAD, _GAP, _BETWEEN, _BAR = 16, 28, 36, 5


@dataclass(frozen=True)
class FormAreas:
    """Where a page of questions can be clicked."""

    items: tuple[ItemAreas, ...]
    room: Rect
    """Where questions are shown; what lies outside is scrolled away."""
    scrolled: int
    """By how much, pixels."""
    onward: Rect
    back: Rect | None


@dataclass(frozen=True)
class _Laid:
    """A question as it is broken up at the window's size."""

    size: int
    lines: list[str]
    answer: int
    """Height of what it is answered on, pixels."""
    gap: int
    """Above that."""

    @property
    def words(self) -> int:
        """Height of the question's words, pixels."""
        return len(self.lines) * round(LEADING * self.size)

    @property
    def height(self) -> int:
        return self.words + self.gap + self.answer


class FormView:
    """Draws questions on a canvas.

    Args:
        canvas: To draw on.
        texts: The words to use.
    """

    def __init__(self, canvas: Canvas, texts: Texts) -> None:
        self._canvas = canvas
        self._texts = texts
        self._answers = ItemView(canvas, texts)

    def form(
        self, questions: Sequence[Filled], heading: str, back: bool, focus: int = 0, scrolled: int | None = None
    ) -> FormAreas:
        """Draw questions below each other, and the buttons that lead on and back.

        Args:
            questions: At least one, with their answers so far.
            heading: Above them.
            back: Whether there is a way back.
            focus: The question that keys go to.
            scrolled: By how much, pixels; None: so that the focus is in view.
        """
        canvas, px = self._canvas, self._canvas.px
        alone = len(questions) == 1
        room = self._surround(heading, self._hint(questions[focus].item, alone))
        laid = [self._lay_out(question.item, room, alone) for question in questions]
        total = sum(each.height for each in laid) + (len(laid) - 1) * px(_BETWEEN)
        spare = max(room.height - total, 0)
        if alone and questions[0].item.kind == "text":
            laid, spare = [_Laid(laid[0].size, laid[0].lines, laid[0].answer + spare, laid[0].gap)], 0
        top = room.top + spare // 2
        most = max(total - room.height, 0)
        if scrolled is None:
            before = sum(each.height + px(_BETWEEN) for each in laid[:focus])
            scrolled = before + self._focused(questions[focus], laid[focus], room) - room.height // 2
        scrolled = min(max(scrolled, 0), most)
        canvas.screen.set_clip(room if most else None)
        items: list[ItemAreas] = []
        top -= scrolled
        for index, (question, each) in enumerate(zip(questions, laid, strict=True)):
            place = Rect(room.left, top, room.width, each.height)
            items.append(self._draw(question, each, place, alone, index == focus))
            top += each.height + px(_BETWEEN)
        canvas.screen.set_clip(None)
        if not alone:
            at = items[focus].rect.clip(room)
            canvas.screen.fill(BLUE, Rect(room.left - px(_PAD), at.top, px(_BAR), at.height))
        if most:
            self._draw_scroll_bar(room, scrolled, total)
        onward, way_back = self._draw_buttons(room, all(question.accepted for question in questions), back)
        self._draw_count(questions[focus], room, onward)
        return FormAreas(tuple(items), room, scrolled, onward, way_back)

    def _hint(self, item: Item, alone: bool) -> str:
        texts = self._texts
        if item.kind == "scale":
            hint = texts.rating_hint if item.points <= MOST_BUTTONS else texts.ruler_hint
        elif item.kind == "text":
            hint = texts.required_writing_hint if item.needed else texts.writing_hint
        else:
            chosen = {"choice": texts.one_hint, "picture": texts.one_hint, "choices": texts.several_hint}
            hint = chosen.get(item.kind, texts.line_hint)
        return hint if alone else f"{hint} {texts.form_hint}"

    def _lay_out(self, item: Item, room: Rect, alone: bool) -> _Laid:
        px = self._canvas.px
        answer, gap = self._answers.height(item, room.width, alone), px(_GAP if alone else _PAD)
        # A text's field takes what is left, close below its question.
        gap = px(_PAD) if item.kind == "text" else gap
        allowed = max(room.height - answer - px(_GAP) if alone else 0, room.height // 3)
        text = item.text if item.needed or item.kind == "text" else f"{item.text} {self._texts.optional}"
        size, lines = self._answers.paragraph(text, _QUESTION if alone else _SMALLER_QUESTION, room.width, allowed)
        return _Laid(size, lines, answer, gap)

    def _focused(self, question: Filled, laid: _Laid, room: Rect) -> int:
        """Return how far below a question's top that lies which should be in view, pixels."""
        if laid.height <= room.height or question.cursor is None:
            return laid.height // 2
        return laid.height - laid.answer + laid.answer * (2 * question.cursor + 1) // (2 * len(question.item.options))

    def _draw(self, question: Filled, laid: _Laid, place: Rect, alone: bool, focused: bool) -> ItemAreas:
        y = place.top
        for line in laid.lines:
            y = self._canvas.line(line, laid.size, INK, place.left, y, LEADING)
        answer = Rect(place.left, y + laid.gap, place.width, laid.answer)
        return self._answers.draw(question, answer, alone, focused).around(place)

    def _surround(self, heading: str, hint: str) -> Rect:
        """Draw what every page of questions has; return the room between."""
        canvas, px = self._canvas, self._canvas.px
        width = min(px(860), canvas.width - 2 * px(_MARGIN))
        left, top = (canvas.width - width) // 2, px(_MARGIN)
        canvas.screen.fill(GROUND)
        size = canvas.text_px(BODY)
        canvas.place(canvas.fitted(heading, size, QUIET, width), topleft=(left, top))
        words = canvas.fitted(hint, canvas.text_px(_HINT), QUIET, width)
        canvas.place(words, center=(canvas.width // 2, canvas.height - px(_HINT_ROOM) // 2))
        top += round(LEADING * size) + px(_PAD)
        bottom = canvas.height - px(_HINT_ROOM) - px(_BUTTON) - px(_PAD)
        return Rect(left, top, width, max(bottom - top, 1))

    def _draw_buttons(self, room: Rect, ready: bool, back: bool) -> tuple[Rect, Rect | None]:
        canvas, px, texts = self._canvas, self._canvas.px, self._texts
        size, width = canvas.text_px(BODY), min(px(_BUTTON_WIDTH), (room.width - px(_PAD)) // 2)
        onward = Rect(room.right - width, room.bottom + px(_PAD), width, px(_BUTTON))
        canvas.button(onward, texts.onward, size, *((BLUE, GROUND) if ready else (PANEL, QUIET)))
        if not back:
            return onward, None
        place = Rect(room.left, onward.top, width, onward.height)
        canvas.button(place, texts.back, size, EDGE, INK)
        return onward, place

    def _draw_count(self, question: Filled, room: Rect, onward: Rect) -> None:
        """Say how long a text is that gets near its end."""
        canvas, most = self._canvas, question.item.most_characters
        if question.typed is not None and len(question.typed.text) > 0.8 * most:
            count = canvas.text(f"{len(question.typed.text)} / {most}", canvas.text_px(_HINT), YELLOW)
            canvas.place(count, center=(room.centerx, onward.centery))

    def _draw_scroll_bar(self, room: Rect, scrolled: int, total: int) -> None:
        canvas, px = self._canvas, self._canvas.px
        track = Rect(room.right + px(_PAD) - px(_BAR), room.top, px(_BAR), room.height)
        canvas.screen.fill(PANEL, track)
        thumb = Rect(track.left, room.top + room.height * scrolled // total, track.width, 0)
        thumb.height = max(room.height * room.height // total, 1)
        canvas.screen.fill(QUIET, thumb.clip(track))
