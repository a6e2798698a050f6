"""What a sitting needs of a display, whether a window (`racer.window`) or nothing at all (`NoDisplay`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from racer.sitting.questionnaires import Item

Result = TypeVar("Result")
EventListener = Callable[[str, str, int], None]
"""Called with (kind, detail, monotonic nanoseconds). Kinds: `key_down`, `key_up`, `click`, `focus_lost`,
`focus_gained`, `pause`, `resume`, `end`, `resize`, `note`. The detail of a key event is pygame's name of the key, or
what was pressed on a gamepad (`pad left`, `pad 1`); of a click the name of the answer whose button it was, or where
several pictures are shown `picture 3` or `continue`; of a pause, a resume and an end what began it (`escape`, `close`,
`focus`, `fullscreen`, `experimenter`, `storage`); of a resize the new size, as `960x720`; of a `note` the
experimenter's words, at most `questionnaires.MOST_ANSWER_CHARACTERS` letters. A resume after a pause of an episode
comes when its time runs on, after the countdown. Losing the focus releases all keys."""


class EndSession(Exception):
    """The person at the window chose to end the session, or closed the window."""


class RedoEpisode(Exception):
    """The experimenter wants the episode that runs, or else the last one, driven again."""


@dataclass(frozen=True)
class Page:
    """A page of text shown until the participant goes on."""

    title: str
    lines: tuple[str, ...]
    """Paragraphs; wrapped to the window."""
    prompt: str = "Press SPACE to continue"
    show_keys: bool = False
    """Whether to draw the keys of the actions, which light up while they are pressed."""
    test_keys: bool = False
    """Whether the participant goes on only after having pressed a key of every action; needs `show_keys`."""
    least_seconds: int = 0
    """Before the participant can go on: a break that is long enough."""
    share_done: float | None = None
    """Share of the sitting that is done, in [0, 1], drawn as a bar; None for no bar."""


@dataclass(frozen=True)
class Hud:
    """What is drawn around the frame."""

    heading: str
    """For example `Round 7 of 50`. Never names the condition."""
    steps_done: float
    """Fraction of the episode's steps done, in [0, 1]: the progress bar."""
    score_label: str = ""
    """What the task is about, such as `Road`; empty where people are told nothing of how they do."""
    score: str = ""
    """How they do so far, such as `12 %`."""
    score_share: float | None = None
    """The same as a fraction of what can be reached, in [0, 1]; None where that is unknown."""
    mark: str = ""
    """A visible mark such as `TRIAL RUN`; empty for none."""
    count: tuple[int, int] | None = None
    """Which picture it is, from 1, and of how many, in a task that waits for answers; None for none."""
    photodiode: tuple[int, bool] | None = None
    """Side, pixels, of the square that a photodiode looks at, and whether it is white; None for none."""


@dataclass(frozen=True)
class Reply:
    """What was answered to the questions of a page."""

    answers: tuple[str, ...]
    """As they are recorded, an answer per item; as they stood where the participant went back."""
    back: bool = False
    """Whether the participant went back to the page before."""


@dataclass(frozen=True)
class PictureMark:
    """What somebody made of one of several pictures that were shown together."""

    marked: bool
    shown_ns: int
    """When they were shown, monotonic nanoseconds; pauses move it."""
    response_ns: int
    """When it was marked, or the mark taken away, for the last time; when the page was left if it never was."""


class Display(Protocol):
    """Shows frames and pages, and passes time."""

    listener: EventListener | None
    """Called with every key and window event; set by the session."""

    def page(self, page: Page) -> None:
        """Show a page until the participant goes on. Raises EndSession and RedoEpisode, as do all that wait."""

    def choose(self, page: Page, choices: tuple[str, ...]) -> int:
        """Show a page that ends in buttons below each other; return the index of the one chosen."""

    def ask(self, items: Sequence[Item], heading: str, answers: Sequence[str], back: bool) -> Reply:
        """Ask the questions of a page.

        Args:
            items: The questions.
            heading: Above them, for example `Question 2 of 6`.
            answers: What was answered before, an answer per item, to begin from; empty: nothing yet.
            back: Whether the participant may go back to the page before.
        """

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Count down over the first frame of an episode. Raises EndSession."""

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Draw a frame, uint8[H, W, C], the original beside it if given; return when, monotonic nanoseconds."""

    def wait(self, until_ns: int) -> int:
        """Handle events until a monotonic time, moved by the length of any pause meanwhile.

        Return the nanoseconds spent paused, by which later deadlines move too. Raises EndSession.
        """

    def await_answer(self, gone: NDArray[np.uint8] | None = None, gone_ns: int = 0) -> int:
        """Handle events until a key of an action is pressed or its button clicked; return and raise as `wait`.

        Args:
            gone: Shown in the frame's place from some time on, uint8[H, W, C]; None for the frame until the answer.
            gone_ns: When, monotonic nanoseconds; pauses move it.
        """

    def mark(self, frames: Sequence[NDArray[np.uint8]], hud: Hud) -> tuple[PictureMark, ...]:
        """Show pictures together until the participant, who can mark them, goes on; raise as `wait`.

        Args:
            frames: 1 to 9, uint8[H, W, C] each.
            hud: What stands around them; its count is the first one's.
        """

    def close(self) -> None:
        """Give the screen back."""


class NoDisplay:
    """Shows nothing and never waits: simulated participants run as fast as the machine allows.

    Args:
        clock: Monotonic nanoseconds.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.listener: EventListener | None = None
        self._clock = clock

    def load(self, work: Callable[[], Result]) -> Result:
        """Do some work that a window would show that it waits for; return its result."""
        return work()

    def page(self, page: Page) -> None:
        """Go on at once."""

    def choose(self, page: Page, choices: tuple[str, ...]) -> int:
        """Choose the first."""
        return 0

    def ask(self, items: Sequence[Item], heading: str, answers: Sequence[str], back: bool) -> Reply:
        """Answer nothing, and rate everything with the first point."""
        return Reply(tuple("1" if item.kind == "scale" else "" for item in items))

    def countdown(self, hud: Hud, frame: NDArray[np.uint8], original: NDArray[np.uint8] | None = None) -> None:
        """Go on at once."""

    def show(self, frame: NDArray[np.uint8], hud: Hud, original: NDArray[np.uint8] | None = None) -> int:
        """Return the time."""
        return self._clock()

    def wait(self, until_ns: int) -> int:
        """Return at once."""
        return 0

    def await_answer(self, gone: NDArray[np.uint8] | None = None, gone_ns: int = 0) -> int:
        """Return at once: nobody sits there to answer."""
        return 0

    def mark(self, frames: Sequence[NDArray[np.uint8]], hud: Hud) -> tuple[PictureMark, ...]:
        """Mark nothing: nobody sits there."""
        now = self._clock()
        return tuple(PictureMark(False, now, now) for _ in frames)

    def close(self) -> None:
        """Do nothing."""
