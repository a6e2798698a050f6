"""The open window: its events, the keys of actions, and the screens that are shown on it one at a time.

What people write must not show in a recording: while a screen takes text, the listener is told of no keys.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Literal

import pygame
from pygame.event import Event

from racer.drivers.keyboard import HeldKeys
from racer.loop.display import EventListener
from racer.tasks.task import TaskText
from racer.window.fonts import Fonts
from racer.window.gamepad import PAGE_KEYS, Gamepads
from racer.window.opening import fill_screen, leave_screen, open_window
from racer.window.screens import Painter
from racer.window.texts import Texts

Interruption = Literal["escape", "close", "focus", "fullscreen", "experimenter", "gamepad"]
"""What interrupts a screen: the Esc key, the close button, the loss of the keyboard, F11, Ctrl+Shift+X."""

SECOND: Final = 1_000_000_000
TIMED_NS: Final = 1_000_000
"""Pause between two looks at the events while time counts: the precision of key times."""
_IDLE_NS: Final = 10_000_000
"""Pause between two looks at the events on pages and menus, where nobody is in a hurry."""
_SETTLED_NS: Final = 300_000_000
"""Before this a key or click was likely meant for the screen before: the second of a double click."""
_PAD_EVENTS: Final = (
    pygame.JOYAXISMOTION,
    pygame.JOYHATMOTION,
    pygame.JOYBUTTONDOWN,
    pygame.JOYBUTTONUP,
    pygame.JOYDEVICEADDED,
    pygame.JOYDEVICEREMOVED,
)
_ACCEPT_KEYS: Final = (pygame.K_SPACE, pygame.K_RETURN, pygame.K_KP_ENTER)


class Screen(ABC):
    """Something to read, choose or answer, shown until it is `done`."""

    typing = False
    """Whether it takes text."""
    over = False
    """Whether it is drawn over what was there before."""
    done = False
    poll_ns = _IDLE_NS
    """Pause between two looks at the events."""

    def __init__(self) -> None:
        self._began: int | None = None
        self._now = 0

    @abstractmethod
    def draw(self, painter: Painter) -> None:
        """Draw the screen as it is now."""

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Take in an event that is not an interruption."""

    def handles_interruption(self, interruption: Interruption) -> bool:
        """Handle an interruption; return False to leave it to whoever runs the screen."""
        return False

    def tick(self, now_ns: int) -> bool:
        """Take note of the time; return whether the screen changes with it."""
        self._now = now_ns
        self._began = now_ns if self._began is None else self._began
        return False

    @property
    def settled(self) -> bool:
        """Whether the screen has been in view for long enough for an answer to be meant for it."""
        return self._shown_ns >= _SETTLED_NS

    @property
    def _shown_ns(self) -> int:
        return 0 if self._began is None else self._now - self._began

    def _begin_anew(self) -> None:
        self._began = None


class Stage:
    """Opens a window and runs screens on it.

    Args:
        title: Caption of the window.
        size: Width and height in pixels.
        fullscreen: Begin in full screen.
        keys: Where the keys of actions go.
        clock: Monotonic nanoseconds.
        texts: The words that the window says.
        text: What people are told of the task.
        font: Name of an installed font to write with first; empty for none.

    Raises:
        ConfigError: If no such font is installed.
        NoDisplayError: If no window can be opened.
        RacerError: If pygame stands where pygame-ce should.
    """

    def __init__(
        self,
        title: str,
        size: tuple[int, int],
        fullscreen: bool,
        keys: HeldKeys,
        clock: Callable[[], int],
        texts: Texts,
        text: TaskText,
        font: str = "",
    ) -> None:
        fonts = Fonts(font)
        self.listener: EventListener | None = None
        self.clock = clock
        self.fullscreen = fullscreen
        self.background: Callable[[], object] = lambda: self.painter.blank()
        """Draws what screens that are drawn over something lie on."""
        self.stale = False
        """Whether the background must be drawn again."""
        self.lost_focus = False
        # A window that never had the keyboard, as without a window manager, must not pause for the lack of it.
        self._had_focus = False
        self._keys = keys
        self._events: deque[Event] = deque()
        self._typing = False
        self._untold: set[int] = set()
        self._window, self._size = open_window(title, size, fullscreen), size
        self._pads = Gamepads()
        self._take_text(False)
        self.painter = Painter(self._window.get_surface(), texts, keys, text, fonts)

    def run(self, screen: Screen, answer: Callable[[Interruption], object]) -> None:
        """Show a screen until it is done.

        Args:
            screen: What to show. Unless it lies over another, what was pressed before it appeared does not count.
            answer: Called with the interruptions that the screen does not handle itself.
        """
        pygame.mouse.set_visible(True)
        typing_before, fresh = self._typing, not screen.over
        self._take_text(screen.typing)
        if not screen.over:
            self.background = lambda: screen.draw(self.painter)
        self.stale = True
        try:
            while not screen.done:
                self.stale |= screen.tick(self.clock())
                if self.stale:
                    self.background()
                    if screen.over:
                        screen.draw(self.painter)
                    self.flip()
                self._run_events(screen, answer, fresh)
                fresh = False
                self.sleep(screen.poll_ns)
        finally:
            self._take_text(typing_before)
            self.stale = True

    def _run_events(self, screen: Screen, answer: Callable[[Interruption], object], fresh: bool) -> None:
        for event, interruption in self.events():
            if interruption is not None:
                if not screen.handles_interruption(interruption):
                    # Whatever is asked meanwhile is asked with keys.
                    self._take_text(False)
                    answer(interruption)
                    self._take_text(screen.typing)
                pygame.mouse.set_visible(True)
                self.stale = True
            elif not fresh:
                screen.handle(event)
                self.stale = True
            if screen.done:
                return

    def events(self) -> Iterator[tuple[Event, Interruption | None]]:
        """Yield the waiting events, each noted and with the interruption that it is."""
        self._events.extend(pygame.event.get())
        while self._events:
            event = self._events.popleft()
            if event.type in _PAD_EVENTS:
                for name, down in self._pads.take(event):
                    self._note_pad(name, down)
                if event.type == pygame.JOYDEVICEREMOVED:
                    yield event, "gamepad"  # whoever held it does nothing any more
            elif "pad" in event.dict:
                yield event, None
            else:
                yield event, self._note(event)

    def tell(self, kind: str, detail: str) -> None:
        """Tell the listener what happens now."""
        if self.listener is not None:
            self.listener(kind, detail, self.clock())

    def sleep(self, nanoseconds: int) -> None:
        """Let a little time pass."""
        time.sleep(nanoseconds / SECOND)

    def refresh(self) -> None:
        """Draw the background again if it was covered, resized or changed."""
        if self.stale:
            self.background()
            self.flip()

    def flip(self) -> None:
        """Bring to the screen what was drawn."""
        self.stale = False
        self._window.flip()

    def toggle_fullscreen(self) -> None:
        """Fill the screen, or leave it."""
        self.fullscreen = not self.fullscreen
        if self.fullscreen:
            self._size = fill_screen(self._window)
        else:
            leave_screen(self._window, self._size)
        self._take_size()

    def close(self) -> None:
        """Close the window. Fonts and surfaces keep working: the game draws off screen in the same process."""
        self._pads.close()
        self._window.destroy()
        pygame.display.quit()

    def _note(self, event: Event) -> Interruption | None:
        """Take in what an event changes, tell the listener, and return the interruption that it is."""
        if event.type == pygame.KEYDOWN:
            self._had_focus, self.lost_focus = True, False
            if self._typing:
                self._untold.add(event.key)
            else:
                name = pygame.key.name(event.key)
                self.tell("key_down", name)
                self._keys.press(name, self.clock())
            return _key_interruption(event)
        if event.type == pygame.KEYUP:
            name = pygame.key.name(event.key)
            self._keys.release(name)
            if event.key in self._untold:
                self._untold.discard(event.key)
            else:
                self.tell("key_up", name)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.tell("focus_lost", "")
            self._keys.clear()
            self._untold.clear()
            self.lost_focus = self._had_focus
            return "focus" if self.lost_focus else None
        elif event.type == pygame.WINDOWFOCUSGAINED:
            self.tell("focus_gained", "")
            self._had_focus, self.lost_focus = True, False
        elif event.type in (pygame.VIDEORESIZE, pygame.WINDOWSIZECHANGED):
            self._take_size()
        elif event.type in (pygame.VIDEOEXPOSE, pygame.WINDOWEXPOSED):
            self.stale = True
        elif event.type == pygame.QUIT:
            return "close"
        return None

    def _note_pad(self, name: str, down: bool) -> None:
        """Take in what was pressed on a gamepad: a key of actions, and on pages the key that it is taken for."""
        if not self._typing:
            self.tell("key_down" if down else "key_up", name)
        if not down:
            self._keys.release(name)
            return
        if not self._typing:
            self._keys.press(name, self.clock())
        if name in PAGE_KEYS:
            self._events.appendleft(Event(pygame.KEYDOWN, key=PAGE_KEYS[name], mod=0, pad=name))

    def _take_text(self, typing: bool) -> None:
        """Let keys be letters or not: where no text is wanted, an input method must not swallow the letter keys."""
        self._typing = typing
        if typing:
            pygame.key.start_text_input()
        else:
            pygame.key.stop_text_input()

    def _take_size(self) -> None:
        before, screen = self.painter.size, self._window.get_surface()
        self.painter.resized(screen)
        self.stale = True
        if screen.get_size() != before:
            self.tell("resize", f"{screen.get_width()}x{screen.get_height()}")


def accepts(event: Event) -> bool:
    """Return whether SPACE or an Enter key was pressed."""
    return event.type == pygame.KEYDOWN and event.key in _ACCEPT_KEYS


def clicks(event: Event) -> bool:
    """Return whether the left mouse button was pressed."""
    return event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT


def _key_interruption(event: Event) -> Interruption | None:
    if event.key == pygame.K_ESCAPE:
        return "escape"
    if event.key == pygame.K_F11:
        return "fullscreen"
    modifiers = event.dict.get("mod", 0)
    # By its place where the layout, such as a Cyrillic one, has no such letter.
    is_x = event.key == pygame.K_x or (event.key > 127 and event.dict.get("scancode") == pygame.KSCAN_X)
    return "experimenter" if is_x and modifiers & pygame.KMOD_CTRL and modifiers & pygame.KMOD_SHIFT else None
