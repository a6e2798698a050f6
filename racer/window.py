"""The participant's window: shows frames and pages, tracks the steering keys, pauses, and keeps time.

Nobody at the keyboard can end a session by accident: Esc and the close button ask first, and a window that loses
the keyboard while time runs stops the time.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Literal

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect
from pygame.event import Event

from racer.display import EndSession, EventListener, Hud, Page
from racer.errors import ConfigError, NoDisplayError, RacerError
from racer.keys import HeldKeys
from racer.screens import Menu, Painter
from racer.texts import ENGLISH, Texts

Wish = Literal["escape", "close", "focus", "fullscreen"]
"""What interrupts a screen: the Esc key, the close button, the loss of the keyboard, F11."""

SECOND: Final = 1_000_000_000
_POLL_NS: Final = 1_000_000
"""Pause between two looks at the events while time runs: the precision of key times."""
_IDLE_NS: Final = 10_000_000
"""The same on pages and menus, where nobody is in a hurry."""
_NOT_A_SCREEN: Final = ("dummy", "offscreen")
_SMALLEST_WINDOW: Final = (320, 240)
_ACCEPT_KEYS: Final = (pygame.K_SPACE, pygame.K_RETURN, pygame.K_KP_ENTER)


class Window:
    """A `Display` for a person; also tracks the steering keys for `KeyboardDriver`.

    Args:
        title: Caption of the window.
        size: Width and height in pixels, at least 320 x 240; it can be resized later.
        fullscreen: Begin in full screen; F11 toggles.
        keys: Where the steering keys go; a new `HeldKeys` if None.
        countdown_from: Seconds counted down before time runs, 0 to 10.
        clock: Monotonic nanoseconds.
        texts: The words that the window itself says.

    Raises:
        NoDisplayError: If no window can be opened.
        RacerError: If pygame stands where pygame-ce should.
        ConfigError: If a setting cannot work.
    """

    def __init__(
        self,
        title: str = "Racer",
        *,
        size: tuple[int, int] = (960, 720),
        fullscreen: bool = False,
        keys: HeldKeys | None = None,
        countdown_from: int = 3,
        clock: Callable[[], int] = time.monotonic_ns,
        texts: Texts = ENGLISH,
    ) -> None:
        if not 0 <= countdown_from <= 10:
            raise ConfigError(f"the countdown must start from 0 to 10 seconds; got {countdown_from}")
        if size[0] < _SMALLEST_WINDOW[0] or size[1] < _SMALLEST_WINDOW[1]:
            raise ConfigError(f"the window must have at least 320 x 240 pixels; got {size[0]} x {size[1]}")
        require_pygame_ce()
        self.listener: EventListener | None = None
        self.keys = keys if keys is not None else HeldKeys()
        self._countdown_from = countdown_from
        self._clock = clock
        self._texts = texts
        self._fullscreen = fullscreen
        self._events: deque[Event] = deque()
        self._drive: tuple[NDArray[np.uint8], Hud, NDArray[np.uint8] | None] | None = None
        self._draw: Callable[[], object] = self._draw_drive
        self._stale = False
        # A window that never had the keyboard, as without a window manager, must not pause for the lack of it.
        self._had_focus = False
        self._lost_focus = False
        self._window = _open_window(title, size, fullscreen)
        pygame.font.init()
        # Otherwise an input method may swallow the letter keys.
        pygame.key.stop_text_input()
        self._painter = Painter(self._window.get_surface(), texts)

    def page(self, page: Page) -> None:
        """Show a page until SPACE, Enter or a click; what was pressed before it appeared does not count."""
        pygame.mouse.set_visible(True)
        index, lit, screens, fresh = 0, 0, 0, True

        def draw() -> None:
            nonlocal screens
            screens = self._painter.page(page, index, lit)

        self._draw, self._stale = draw, True
        while True:
            if page.show_keys and self.keys.action != lit:
                lit, self._stale = self.keys.action, True
            self._refresh()
            for event, wish in self._happenings():
                if wish in ("escape", "close"):
                    self._interrupt(wish)
                elif not fresh and (_accepts(event) or _clicks(event)):
                    index += 1
                    if index >= screens:
                        return
                    self._stale = True
            fresh = False
            self._doze(_IDLE_NS)

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Count down over the first frame; keys held when it ends steer from the first step on."""
        self._remember(hud, frame, original)
        self._draw = self._draw_drive
        while (wish := self._count_down()) is not None:
            self._interrupt(wish)
        self.keys.forget_taps()

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Draw a frame, uint8[64, 64, 3], the original beside it if given; return when, monotonic nanoseconds."""
        self._remember(hud, frame, original)
        self._draw = self._draw_drive
        self._stale = True
        self._refresh()
        return self._clock()

    def wait(self, until_ns: int) -> int:
        """Handle events until `until_ns`; a pause moves that time by its length. Return the nanoseconds paused."""
        paused = 0
        while True:
            wish = self._next_wish(("escape", "close", "focus", "fullscreen"), toggle=False)
            if wish is None and self._lost_focus:
                wish = "focus"
            if wish is not None:
                paused += self._pause(wish)
                continue
            remaining = until_ns + paused - self._clock()
            if remaining <= 0:
                return paused
            self._refresh()
            self._doze(min(remaining, _POLL_NS))

    def close(self) -> None:
        """Close the window. Fonts and surfaces keep working: the game draws off screen in the same process."""
        self._window.destroy()
        pygame.display.quit()

    # Pausing and counting down --------------------------------------------------------------------------------------

    def _pause(self, wish: Wish) -> int:
        """Stop the time of an episode until the person is ready again; return for how many nanoseconds."""
        began = self._clock()
        self._tell("pause", wish)
        if wish == "fullscreen":
            self._toggle_fullscreen()
        else:
            self._ask(wish)
        while (again := self._count_down()) is not None:
            self._ask(again)
        self.keys.forget_taps()
        self._stale = True
        self._refresh()
        self._tell("resume", wish)
        return self._clock() - began

    def _interrupt(self, wish: Wish) -> None:
        """Stop a screen on which no episode's time runs."""
        self._tell("pause", wish)
        self._ask(wish)
        self._tell("resume", wish)

    def _count_down(self) -> Wish | None:
        """Count down over the frame; return what interrupted it, if anything."""
        pygame.mouse.set_visible(False)
        began, drawn = self._clock(), 0
        while True:
            passed = self._clock() - began
            left = self._countdown_from - passed // SECOND
            if left <= 0:
                # Looking away for a moment is no reason to start over; time must not run without the keyboard.
                return "focus" if self._lost_focus else None
            if left != drawn or self._stale:
                self._draw_drive()
                self._painter.number(left, with_original=self._drive is not None and self._drive[2] is not None)
                self._window.flip()
                drawn, self._stale = left, False
            wish = self._next_wish(("escape", "close"))
            if wish is not None:
                return wish
            self._doze(_POLL_NS)

    def _ask(self, wish: Wish) -> None:
        """Show the pause menu, or at once the question whether to end; return to go on. Raises EndSession."""
        pygame.mouse.set_visible(True)
        texts = self._texts
        reason = texts.paused_by_focus if wish == "focus" else texts.paused_by_key
        asked = Menu(texts.end_question, texts.end_answer, (texts.keep_going, texts.end))
        ending = wish == "close" or self._choose(Menu(texts.paused, reason, (texts.resume, texts.end)), closing=1) == 1
        # A double click on the close button must not answer the question that its first click asked.
        if ending and self._choose(asked, closing=None) == 1:
            self._tell("end", wish)
            raise EndSession
        # Somebody at this window chose to go on, whatever the window system says of its focus.
        self._lost_focus = False
        self._stale = True

    def _choose(self, menu: Menu, closing: int | None) -> int:
        """Let the person choose; return the index. Esc chooses the first, the close button `closing` if not None."""
        selected, last = 0, len(menu.choices) - 1
        self._stale = True
        buttons: list[Rect] = []
        while True:
            if self._stale:
                self._draw()
                buttons = self._painter.menu(menu, selected)
                self._window.flip()
                self._stale = False
            before = selected
            for event, wish in self._happenings():
                if wish == "escape":
                    return 0
                if wish == "close" and closing is not None:
                    return closing
                if event.type == pygame.KEYDOWN and event.key in (pygame.K_UP, pygame.K_DOWN):
                    step = 1 if event.key == pygame.K_DOWN else -1
                    selected = min(max(selected + step, 0), last)
                elif _accepts(event):
                    return selected
                elif event.type == pygame.MOUSEMOTION or _clicks(event):
                    under = Rect(event.pos, (1, 1)).collidelist(buttons)
                    if under >= 0 and _clicks(event):
                        return under
                    selected = under if under >= 0 else selected
            self._stale = self._stale or selected != before
            self._doze(_IDLE_NS)

    # Events and time ------------------------------------------------------------------------------------------------

    def _happenings(self, toggle: bool = True) -> Iterator[tuple[Event, Wish | None]]:
        """Yield the waiting events, each noted and with the wish that it expresses; F11 is obeyed if `toggle`."""
        self._events.extend(pygame.event.get())
        while self._events:
            event = self._events.popleft()
            wish = self._note(event)
            if wish == "fullscreen" and toggle:
                self._toggle_fullscreen()
            yield event, wish

    def _next_wish(self, wishes: tuple[Wish, ...], toggle: bool = True) -> Wish | None:
        """Handle events up to the first that expresses one of `wishes`; the rest waits."""
        return next((wish for _, wish in self._happenings(toggle) if wish in wishes), None)

    def _note(self, event: Event) -> Wish | None:
        """Take in what an event changes, tell the listener, and return the wish that it expresses."""
        if event.type == pygame.KEYDOWN:
            name = pygame.key.name(event.key)
            self._tell("key_down", name)
            self.keys.press(name)
            self._had_focus, self._lost_focus = True, False
            if event.key == pygame.K_ESCAPE:
                return "escape"
            return "fullscreen" if event.key == pygame.K_F11 else None
        if event.type == pygame.KEYUP:
            name = pygame.key.name(event.key)
            self._tell("key_up", name)
            self.keys.release(name)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._tell("focus_lost", "")
            self.keys.clear()
            self._lost_focus = self._had_focus
            return "focus" if self._lost_focus else None
        elif event.type == pygame.WINDOWFOCUSGAINED:
            self._tell("focus_gained", "")
            self._had_focus, self._lost_focus = True, False
        elif event.type in (pygame.VIDEORESIZE, pygame.WINDOWSIZECHANGED):
            self._take_size()
        elif event.type in (pygame.VIDEOEXPOSE, pygame.WINDOWEXPOSED):
            self._stale = True
        elif event.type == pygame.QUIT:
            return "close"
        return None

    def _tell(self, kind: str, detail: str) -> None:
        if self.listener is not None:
            self.listener(kind, detail, self._clock())

    def _doze(self, nanoseconds: int) -> None:
        time.sleep(nanoseconds / SECOND)

    # Drawing --------------------------------------------------------------------------------------------------------

    def _remember(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None) -> None:
        self._drive = frame.copy(), hud, None if original is None else original.copy()

    def _draw_drive(self) -> None:
        if self._drive is None:
            self._painter.blank()
        else:
            frame, hud, original = self._drive
            self._painter.drive(frame, hud, original)

    def _refresh(self) -> None:
        """Draw the present screen again if it was covered, resized or changed."""
        if self._stale:
            self._stale = False
            self._draw()
            self._window.flip()

    def _toggle_fullscreen(self) -> None:
        self._fullscreen = not self._fullscreen
        if self._fullscreen:
            self._window.set_fullscreen(desktop=True)
        else:
            self._window.set_windowed()
        self._take_size()

    def _take_size(self) -> None:
        before, screen = self._painter.size, self._window.get_surface()
        self._painter.resized(screen)
        self._stale = True
        if screen.get_size() != before:
            self._tell("resize", f"{screen.get_width()}x{screen.get_height()}")


def require_pygame_ce() -> None:
    """Check that the module `pygame` is pygame-ce, not plain pygame installed over it.

    Raises:
        RacerError: If it is plain pygame.
    """
    if not getattr(pygame, "IS_CE", False):
        raise RacerError(
            "plain pygame was installed over pygame-ce, which Racer needs; no recording is affected. Mend it with: "
            "pip uninstall -y pygame; pip install --force-reinstall pygame-ce"
        )


def _open_window(title: str, size: tuple[int, int], fullscreen: bool) -> pygame.Window:
    """Connect to the display and open a window. Where SDL would fall back to a driver that shows nothing: raise."""
    wanted = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER") or ""
    if sys.platform == "linux" and not (wanted or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise _no_display("neither DISPLAY nor WAYLAND_DISPLAY is set")
    # SDL would turn SIGTERM into a click on the close button; whoever sends it does not sit at the window.
    os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        if driver in _NOT_A_SCREEN and driver not in wanted.split(","):
            pygame.display.quit()
            raise _no_display(f"no display answers at DISPLAY={os.environ.get('DISPLAY', '')!r}")
        if driver == "x11":
            # By default SDL sends each frame through OpenGL: without a GPU that takes 2 to 9 ms instead of 0.3.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        window = pygame.Window(title, size, resizable=True, fullscreen_desktop=fullscreen)
        window.minimum_size = _SMALLEST_WINDOW
        window.get_surface()
    except pygame.error as error:
        pygame.display.quit()
        raise _no_display(str(error)) from None
    return window


def _no_display(reason: str) -> NoDisplayError:
    return NoDisplayError(
        f"no window can be opened: {reason}. Nothing was recorded and nothing is lost. "
        "Set DISPLAY to a running display, or use --headless with a simulated --driver"
    )


def _accepts(event: Event) -> bool:
    return event.type == pygame.KEYDOWN and event.key in _ACCEPT_KEYS


def _clicks(event: Event) -> bool:
    return event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT
