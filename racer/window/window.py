"""The participant's window: shows frames, pages and questions, tracks the steering keys, pauses, and keeps time.

Nobody at the keyboard can end a session by accident: Esc and the close button ask first, and a window that loses
the keyboard while time runs stops the time. In a locked window they only pause; ending is the experimenter's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pygame
from numpy.typing import NDArray

from racer.drivers.keyboard import HeldKeys
from racer.errors import ConfigError
from racer.loop.display import EndSession, EventListener, Hud, Page, PictureMark, Reply
from racer.sitting.questionnaires import Item
from racer.tasks.task import TaskText
from racer.window.experimenter_menu import ExperimenterMenu
from racer.window.forms import Form
from racer.window.marking import Marking
from racer.window.menu_view import Menu
from racer.window.menus import ChoiceMenu
from racer.window.opening import SMALLEST_WINDOW
from racer.window.pages import Choosing, Loading, Reading
from racer.window.stage import SECOND, TIMED_NS, Interruption, Stage, clicks
from racer.window.texts import Texts, english

Result = TypeVar("Result")


class Window:
    """A `Display` for a person; also tracks the keys of actions for `KeyboardDriver`.

    Args:
        keys: Where the keys of the task's actions go.
        text: What people are told of the task.
        title: Caption of the window.
        size: Width and height in pixels, at least 320 x 240; it can be resized later.
        fullscreen: Begin in full screen; F11 toggles.
        countdown_from: Seconds counted down before time runs, 0 to 10.
        clock: Monotonic nanoseconds.
        texts: The words that the window itself says; English if None.
        locked: Whether only the experimenter, with Ctrl+Shift+X, can end the session.
        code: What the experimenter of a locked window types first, and to leave full screen; empty for none.
        font: Name of an installed font to write with first; empty for none.

    Raises:
        NoDisplayError: If no window can be opened.
        RacerError: If pygame stands where pygame-ce should.
        ConfigError: If a setting cannot work.
    """

    def __init__(
        self,
        keys: HeldKeys,
        text: TaskText,
        *,
        title: str = "Racer",
        size: tuple[int, int] = (960, 720),
        fullscreen: bool = False,
        countdown_from: int = 3,
        clock: Callable[[], int] = time.monotonic_ns,
        texts: Texts | None = None,
        locked: bool = False,
        code: str = "",
        font: str = "",
    ) -> None:
        if not 0 <= countdown_from <= 10:
            raise ConfigError(f"the countdown must start from 0 to 10 seconds; got {countdown_from}")
        if size[0] < SMALLEST_WINDOW[0] or size[1] < SMALLEST_WINDOW[1]:
            raise ConfigError(f"the window must have at least 320 x 240 pixels; got {size[0]} x {size[1]}")
        self.keys = keys
        # A task that waits for answers begins when it is looked at.
        self._countdown_from = countdown_from if keys.spec.paced else 0
        self._clock = clock
        self._texts = texts if texts is not None else english().texts
        self._locked = locked
        self._has_code = locked and bool(code)
        self._drive: tuple[NDArray[np.uint8], Hud, NDArray[np.uint8] | None] | None = None
        self._stage = Stage(title, size, fullscreen, keys, clock, self._texts, text, font)
        self._experimenter = ExperimenterMenu(self._stage, self._texts, code if locked else "")

    @property
    def listener(self) -> EventListener | None:
        """Called with every key and window event."""
        return self._stage.listener

    @listener.setter
    def listener(self, listener: EventListener | None) -> None:
        self._stage.listener = listener

    def load(self, work: Callable[[], Result]) -> Result:
        """Say that it is about to begin while a thread does some work; return its result or raise what it raises."""
        with ThreadPoolExecutor(1) as thread:
            working = thread.submit(work)
            self._stage.run(Loading(working.done, self._texts), lambda interruption: None)
            return working.result()

    def page(self, page: Page) -> None:
        """Show a page until SPACE, Enter or a click; what was pressed before it appeared does not count."""
        self._stage.run(Reading(page, self.keys, self._texts), self._interrupt_reading)

    def choose(self, page: Page, choices: tuple[str, ...]) -> int:
        """Show a page that ends in buttons; return the index of the one chosen; SPACE or Enter alone choose none."""
        screen = Choosing(page, choices, self._texts)
        self._stage.run(screen, self._interrupt_reading)
        assert screen.chosen is not None
        return screen.chosen

    def ask(self, items: Sequence[Item], heading: str, answers: Sequence[str], back: bool) -> Reply:
        """Ask the questions of a page.

        Args:
            items: The questions.
            heading: Above them.
            answers: What was answered before, an answer per item; empty: nothing yet.
            back: Whether the participant may go back to the page before.
        """
        form = Form(items, heading, answers, back)
        self._stage.run(form, self._interrupt_reading)
        return Reply(form.answers, form.went_back)

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Count down over the first frame; keys held when it ends steer from the first step on."""
        self._remember(hud, frame, original)
        while (interruption := self._count_down()) is not None:
            self._interrupt(interruption)
        self.keys.forget_taps()

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Draw a frame, uint8[H, W, C], the original beside it if given; return when, monotonic nanoseconds."""
        self._remember(hud, frame, original)
        self._stage.stale = True
        self._stage.refresh()
        return self._clock()

    def wait(self, until_ns: int) -> int:
        """Handle events until `until_ns`; a pause moves that time by its length. Return the nanoseconds paused."""
        paused = 0
        while True:
            interruption = self._next_interruption()
            if interruption is None and self._stage.lost_focus:
                interruption = "focus"
            if interruption is not None:
                paused += self._pause(interruption)
                continue
            remaining = until_ns + paused - self._clock()
            if remaining <= 0:
                return paused
            self._stage.refresh()
            self._stage.sleep(min(remaining, TIMED_NS))

    def await_answer(self, gone: NDArray[np.uint8] | None = None, gone_ns: int = 0) -> int:
        """Handle events until a key of an action is pressed or its button clicked; return the nanoseconds paused.

        Args:
            gone: Shown in the frame's place from some time on, uint8[H, W, C]; None for the frame until the answer.
            gone_ns: When, monotonic nanoseconds; pauses move it.
        """
        paused = self.wait(self._clock())  # what was pressed before the picture was there answers nothing
        self.keys.forget_taps()
        while not self.keys.answered:
            if gone is not None and self._drive is not None and self._clock() >= gone_ns + paused:
                self.show(gone, self._drive[1], self._drive[2])
                gone = None
            paused += self.wait(self._clock() + TIMED_NS)
        return paused

    def mark(self, frames: Sequence[NDArray[np.uint8]], hud: Hud) -> tuple[PictureMark, ...]:
        """Show pictures together, uint8[H, W, C] each, until the participant, who can mark them, goes on."""
        self.wait(self._clock())  # what was pressed before marks nothing
        stage, page = self._stage, Marking(frames, hud, self._clock, self._stage.tell)
        stage.background, stage.stale = lambda: page.draw(stage.painter), True
        stage.refresh()
        shown_ns = self._clock()

        def interrupt(interruption: Interruption) -> None:
            page.paused_ns += self._pause(interruption)

        stage.run(page, interrupt)
        return page.marks(shown_ns)

    def close(self) -> None:
        """Close the window. Fonts and surfaces keep working: the game draws off screen in the same process."""
        self._stage.close()

    def _next_interruption(self) -> Interruption | None:
        """Take in the waiting events up to the first that is an interruption; clicks on answers are answers."""
        for event, interruption in self._stage.events():
            if interruption is not None:
                return interruption
            if clicks(event) and (action := self._stage.painter.answer_at(event.pos)) is not None:
                self._stage.tell("click", self.keys.spec.actions[action].name)
                self.keys.click(action, self._clock())
        return None

    # Pausing and counting down --------------------------------------------------------------------------------------

    def _pause(self, interruption: Interruption) -> int:
        """Stop the time of an episode until the person is ready again; return for how many nanoseconds."""
        began = self._clock()
        self._stage.tell("pause", interruption)
        self._ask(interruption)
        while (again := self._count_down()) is not None:
            self._ask(again)
        self.keys.forget_taps()
        self._stage.stale = True
        self._stage.refresh()
        self._stage.tell("resume", interruption)
        return self._clock() - began

    def _interrupt(self, interruption: Interruption) -> None:
        """Stop a screen on which no episode's time runs."""
        self._stage.tell("pause", interruption)
        self._ask(interruption)
        self._stage.tell("resume", interruption)

    def _interrupt_reading(self, interruption: Interruption) -> None:
        """Do the same on a page or a form, where the loss of the keyboard and plain F11 are no reason to stop."""
        if interruption == "fullscreen" and not self._asks_to_leave:
            self._stage.toggle_fullscreen()
        elif interruption not in ("focus", "gamepad"):
            self._interrupt(interruption)

    def _count_down(self) -> Interruption | None:
        """Count down over the frame; return what interrupted it, if anything."""
        pygame.mouse.set_visible(not self.keys.spec.paced)  # answers can be clicked
        began, drawn = self._clock(), 0
        while True:
            passed = self._clock() - began
            left = self._countdown_from - passed // SECOND
            if left <= 0:
                # Looking away for a moment is no reason to start over; time must not run without the keyboard.
                return "focus" if self._stage.lost_focus else None
            if left != drawn or self._stage.stale:
                self._draw_drive()
                with_original = self._drive is not None and self._drive[2] is not None
                self._stage.painter.number(left, with_original)
                self._stage.flip()
                drawn = left
            for _, interruption in self._stage.events():
                if interruption == "fullscreen" and not self._asks_to_leave:
                    self._stage.toggle_fullscreen()
                elif interruption is not None and interruption != "focus":
                    return interruption
            self._stage.sleep(TIMED_NS)

    def _ask(self, interruption: Interruption) -> None:
        """Do or ask what an interruption calls for; return to go on. Raises EndSession and RedoEpisode."""
        if interruption == "experimenter":
            self._experimenter.open()
        elif interruption == "fullscreen":
            if not self._asks_to_leave or self._experimenter.admits():
                self._stage.toggle_fullscreen()
        else:
            self._ask_to_go_on(interruption)
        # Somebody at this window chose to go on, whatever the window system says of its focus.
        self._stage.lost_focus = False
        self._stage.stale = True

    def _ask_to_go_on(self, interruption: Interruption) -> None:
        """Show the pause menu, or at once the question whether to end."""
        texts = self._texts
        reason = texts.paused_by_focus if interruption == "focus" else texts.paused_by_key
        if self._locked:
            self._choose(Menu(texts.paused, f"{reason} {texts.paused_locked}", (texts.resume,)), closing=None)
            return
        asked = Menu(texts.end_question, texts.end_answer, (texts.keep_going, texts.end))
        ending = (
            interruption == "close"
            or self._choose(Menu(texts.paused, reason, (texts.resume, texts.end)), closing=1) == 1
        )
        # A double click on the close button must not answer the question that its first click asked.
        if ending and self._choose(asked, closing=None) == 1:
            self._stage.tell("end", interruption)
            raise EndSession

    def _choose(self, menu: Menu, closing: int | None) -> int:
        choice = ChoiceMenu(menu, closing)
        self._stage.run(choice, self._ask)
        return choice.chosen

    @property
    def _asks_to_leave(self) -> bool:
        """Whether leaving full screen takes the experimenter's code."""
        return self._has_code and self._stage.fullscreen

    # Drawing --------------------------------------------------------------------------------------------------------

    def _remember(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None) -> None:
        self._drive = frame.copy(), hud, None if original is None else original.copy()
        self._stage.background = self._draw_drive

    def _draw_drive(self) -> None:
        if self._drive is None:
            self._stage.painter.blank()
        else:
            frame, hud, original = self._drive
            self._stage.painter.drive(frame, hud, original)
