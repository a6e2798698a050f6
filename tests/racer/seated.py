"""Who sits at a desk: a participant who reads, answers and steers, and an experimenter who comes over."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from desk import Reader, Screen

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import Page
from racer.sitting.agenda import Asking, Consent
from racer.sitting.questionnaires import Item
from racer.study.file import Study
from racer.window.canvas import Color, Typed
from racer.window.controls import control_of
from racer.window.form_view import FormAreas
from racer.window.item_view import Filled
from racer.window.menu_view import Menu, MenuAreas
from racer.window.palette import BLUE, QUIET, YELLOW
from racer.window.screens import Painter
from racer.window.texts import Texts

Draw = Callable[[Painter], object]
Prompt = tuple[str, Color]
SYMBOLS = {"left": "Left", "right": "Right", "up": "Up", "down": "Down"}
"""X's names of keys that pygame calls otherwise."""


class Participant(Reader):
    """Does what the screens ask for, and does not go on before they show what they should."""

    def __init__(self, screen: Screen, process: subprocess.Popen[str], study: Study) -> None:
        self.texts: Texts = study.language.texts
        self.keys = HeldKeys(study.file.make_task().spec, study.file.keys.given)
        super().__init__(screen, process, study.recordings, self.texts, self.keys)
        self.given: dict[str, str] = {}
        """What was answered last, by item."""

    def consents(self, consent: Consent, choice: int) -> None:
        """Choose an answer to the consent page; SPACE and Enter alone must choose none."""
        self.waits_for(chosen_from(consent, self.texts, None))
        self.press("space", "Return", "x")
        chosen = chosen_from(consent, self.texts, choice)
        self.until(lambda: self.sees(chosen) is not None, lambda: self.press(str(choice + 1)), settled=False)
        self.press("Return")

    def tries_the_keys(self, page: Page) -> None:
        """Press a key of each action, then go on; SPACE before that leads nowhere."""
        *most, last = self.keys.bindings.values()
        asked = [self._asked_for(keys) for keys in (*most, last)]
        self.waits_for(shown(page, asked[0]))
        bound = self.keys.bound
        for count, (keys, following) in enumerate(zip(most, asked[1:], strict=True), 1):
            ticked = shown(page, following, bound[:count])
            self.waits_for(ticked, lambda key=keys[-1]: self.press("space", SYMBOLS.get(key, key)))
        self.reads(page, lambda: self.press(SYMBOLS.get(last[0], last[0])), bound)

    def _asked_for(self, keys: Sequence[str]) -> Prompt:
        return self.texts.press_keys.format(keys=self.texts.key_names(keys)), YELLOW

    def reads(self, page: Page, meanwhile: Callable[[], None] | None = None, ticked: Collection[int] = ()) -> None:
        """Read a page and leave it."""
        drawn = shown(page, None, ticked)
        self.waits_for(drawn, meanwhile)
        self.until(lambda: self.sees(drawn) is None, lambda: self.press("space"))

    def answers(
        self,
        asking: Asking,
        numbers: list[int],
        comment: str,
        mouse: bool = False,
        look: Callable[[str], None] = lambda kind: None,
    ) -> None:
        """Answer every item; `look` is told of each, `rating` or `writing`, while its answer is on the screen."""
        for (item,), heading in asking.pages(self.texts):
            index = asking.questionnaire.items.index(item)
            if item.kind == "text":
                self._writes(item, heading, index > 0, comment, mouse, look)
            else:
                self._rates(item, heading, index > 0, numbers[index], mouse, look)
            self.given[asking.name(item)] = comment if item.kind == "text" else str(numbers[index])

    def _rates(
        self, item: Item, heading: str, back: bool, number: int, mouse: bool, look: Callable[[str], None]
    ) -> None:
        def question(answer: int | None) -> Callable[[Painter], FormAreas]:
            return lambda painter: painter.form([Filled(item, str(answer or ""))], heading, back)

        areas = self.waits_for(question(None))
        if mouse:
            self.waits_for(question(number), lambda: self.click(areas.items[0].points[number - 1].center))
        elif item.points <= 9:
            self.waits_for(question(number), lambda: self.press(str(number)))
        else:  # a ruler has no numbers: the first arrow picks the point beside the middle
            first = item.points - item.points // 2 + 1
            self.waits_for(question(first), lambda: self.press("Right"))
            steps = ["Right" if number > first else "Left"] * abs(number - first)
            self.waits_for(question(number), lambda: self.press(*steps) if steps else None)

        look("rating")

        def go_on() -> None:
            self.click(areas.onward.center) if mouse else self.press("Return")

        self.until(lambda: self.sees(question(number)) is None, go_on, settled=False)

    def _writes(
        self, item: Item, heading: str, back: bool, text: str, mouse: bool, look: Callable[[str], None]
    ) -> None:
        def question(answer: str) -> Callable[[Painter], FormAreas]:
            return lambda painter: painter.form([control_of(item, answer).filled], heading, back)

        areas = self.waits_for(question(""))
        self.write(text)
        self.waits_for(question(text))

        look("writing")

        def go_on() -> None:
            self.click(areas.onward.center) if mouse else self.press("ctrl+Return")

        self.until(lambda: self.sees(question(text)) is None, go_on, settled=False)


class Experimenter:
    """Comes over while a page is shown."""

    def __init__(self, participant: Participant, page: Page) -> None:
        self._person = participant
        self._texts = participant.texts
        self._page = page

    def opens_the_menu(self, code: str) -> None:
        """Type a wrong code, and then the right one."""
        person, texts = self._person, self._texts
        asked = Menu(texts.code_question, texts.code_text, (texts.confirm, texts.cancel), field_lines=1)
        wrong = replace(asked, title=texts.code_wrong, text=texts.code_wrong_text)
        person.waits_for(self.over(asked), lambda: person.press("ctrl+shift+x"))
        person.write("guess")
        person.waits_for(self.over(asked, typed="•••••"))
        person.waits_for(self.over(wrong), lambda: person.press("Return"))
        person.write(code)
        person.waits_for(self.over(wrong, typed="•" * len(code)))
        person.waits_for(self.over(self.menu), lambda: person.press("Return"))

    def takes_a_note(self, text: str, look: Callable[[], None] = lambda: None) -> None:
        """Write a note; `look` is called while it is on the screen."""
        person, texts = self._person, self._texts
        asked = Menu(texts.note, texts.note_text, (texts.note_save, texts.cancel), field_lines=4)
        person.waits_for(self.over(self.menu, 1), lambda: person.press("Down"))
        person.waits_for(self.over(asked), lambda: person.press("Return"))
        person.write(text)
        person.waits_for(self.over(asked, typed=text))
        look()
        saved = replace(self.menu, text=texts.note_saved)
        person.waits_for(self.over(saved), lambda: person.press("Return"))

    def has_the_last_episode_driven_again(self) -> None:
        """Choose that and confirm it."""
        person, texts = self._person, self._texts
        asked = Menu(texts.redo_question, texts.redo_answer, (texts.cancel, texts.redo))
        saved = replace(self.menu, text=texts.note_saved)
        person.waits_for(self.over(saved, 2), lambda: person.press("Down", "Down"))
        person.waits_for(self.over(asked), lambda: person.press("Return"))
        person.waits_for(self.over(asked, 1), lambda: person.press("Down"))
        person.press("Return")

    @property
    def menu(self) -> Menu:
        """What the experimenter can choose."""
        texts = self._texts
        choices = (texts.experimenter_back, texts.note, texts.redo, texts.fullscreen_leave, texts.end)
        return Menu(texts.experimenter, texts.experimenter_text, choices)

    def over(self, menu: Menu, selected: int = 0, typed: str = "") -> Callable[[Painter], MenuAreas]:
        """Draw a menu over the page."""

        def draw(painter: Painter) -> MenuAreas:
            shown(self._page)(painter)
            return painter.menu(menu, selected, typed_at_end(typed) if menu.field_lines else None)

        return draw


def typed_at_end(text: str) -> Typed:
    """Return a text with the caret behind it."""
    return Typed(text, len(text), len(text), len(text))


def shown(page: Page, prompt: Prompt | None = None, ticked: Collection[int] = ()) -> Draw:
    """Draw a page with no key down."""
    return lambda painter: painter.page(page, prompt=prompt or (page.prompt, BLUE), tried=ticked)


def chosen_from(consent: Consent, texts: Texts, selected: int | None) -> Draw:
    """Draw the consent page with a button lit."""
    hint = texts.choice_hint, QUIET
    return lambda painter: painter.page(consent.page, 0, 0, hint, consent.choices, selected)
