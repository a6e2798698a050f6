"""What only the experimenter may do at the participant's window, behind Ctrl+Shift+X and a code."""

from __future__ import annotations

from racer.loop.display import EndSession, RedoEpisode
from racer.sitting.questionnaires import MOST_ANSWER_CHARACTERS
from racer.window.menu_view import Menu
from racer.window.menus import ChoiceMenu, TextEntry
from racer.window.stage import Interruption, Stage
from racer.window.texts import Texts

_LONGEST_CODE = 100


class ExperimenterMenu:
    """Asks for the code and does what the experimenter chooses.

    Args:
        stage: Where to show it.
        texts: The words to use.
        code: To be typed first; nothing is asked if empty.
    """

    def __init__(self, stage: Stage, texts: Texts, code: str) -> None:
        self._stage = stage
        self._texts = texts
        self._code = code

    def admits(self) -> bool:
        """Ask for the code, if there is one, until it is typed, or nothing, or Esc; return whether it was typed."""
        texts = self._texts
        title, text = texts.code_question, texts.code_text
        while self._code:
            asked = Menu(title, text, (texts.confirm, texts.cancel), field_lines=1)
            entry = TextEntry(asked, _LONGEST_CODE, hidden=True)
            self._stage.run(entry, _leave_alone)
            if entry.text in ("", self._code):
                return entry.text == self._code
            title, text = texts.code_wrong, texts.code_wrong_text
        return True

    def open(self) -> None:
        """Show the menu until the experimenter goes back to the session.

        Raises:
            EndSession, RedoEpisode: As the experimenter chose.
        """
        if not self.admits():
            return
        texts, text = self._texts, self._texts.experimenter_text
        while True:
            screen = texts.fullscreen_leave if self._stage.fullscreen else texts.fullscreen_enter
            choices = (texts.experimenter_back, texts.note, texts.redo, screen, texts.end)
            match self._choose(Menu(texts.experimenter, text, choices)):
                case 0:
                    return
                case 1:
                    text = texts.note_saved if self._take_note() else texts.experimenter_text
                case 2:
                    if self._choose(Menu(texts.redo_question, texts.redo_answer, (texts.cancel, texts.redo))) == 1:
                        raise RedoEpisode
                case 3:
                    self._stage.toggle_fullscreen()
                case _:
                    if self._choose(Menu(texts.end_question, texts.end_answer, (texts.keep_going, texts.end))) == 1:
                        self._stage.tell("end", "experimenter")
                        raise EndSession

    def _take_note(self) -> bool:
        """Ask for a note; return whether there is one now."""
        texts = self._texts
        asked = Menu(texts.note, texts.note_text, (texts.note_save, texts.cancel), field_lines=4)
        entry = TextEntry(asked, MOST_ANSWER_CHARACTERS)
        self._stage.run(entry, _leave_alone)
        if note := entry.text.strip():
            self._stage.tell("note", note)
        return bool(note)

    def _choose(self, menu: Menu) -> int:
        choice = ChoiceMenu(menu)
        self._stage.run(choice, self._answer)
        return choice.chosen

    def _answer(self, interruption: Interruption) -> None:
        if interruption == "fullscreen":
            self._stage.toggle_fullscreen()


def _leave_alone(interruption: Interruption) -> None:
    """Let nothing interrupt what somebody shows who may not be the experimenter."""
