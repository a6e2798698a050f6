"""All of an episode at once: what was done, which keys were held, which blocks were sent, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pygame
from numpy.typing import NDArray
from pygame import Rect, Surface

from racer.window.canvas import Canvas, Color
from racer.window.palette import BLUE, EDGE, GROUND, INK, ORANGE, PANEL, QUIET, YELLOW
from sessions import Episode, Event, Session

_NAMES, _PAD, _BAR, _LANE, _GAP, _KNOB, _TEXT = 120, 24, 26, 15, 6, 8, 13
"""Lengths in pixels of a 960 x 720 window."""
_MOST_ACTIONS, _MOST_KEYS = 8, 6
_TALLEST: Final = 0.4
"""Share of the window's height that a timeline may take."""

Span = tuple[float, float]
"""From and to, in steps from the first."""


@dataclass(frozen=True)
class Lane:
    """A line of the timeline: when something was so."""

    name: str
    color: Color
    spans: tuple[Span, ...]


def lanes_of(session: Session, episode: Episode) -> list[Lane]:
    """Return the lanes of an episode: its actions, the keys held, and the blocks sent, as far as there are any.

    Of very many actions or keys those are left out that were met last.

    Raises:
        RecordingError: If they cannot be read.
    """
    done = dict.fromkeys(episode.action.tolist())
    found = [
        Lane(name, BLUE, _runs(episode.action == index))
        for index, name in enumerate(session.info.task.actions)
        if index in list(done)[:_MOST_ACTIONS]
    ]
    held = _held((event for event in session.events() if event.episode == episode.index), episode.time_ns)
    found += [Lane(f"key {name}", ORANGE, spans) for name, spans in list(held.items())[:_MOST_KEYS]]
    if episode.mask.any():
        found += [Lane(f"block {block}", YELLOW, _runs(sent)) for block, sent in enumerate(episode.mask.T)]
    return found


def _runs(so: NDArray[np.bool_]) -> tuple[Span, ...]:
    """Return from where to where a bool[n_steps] is true."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], so, [False]]).astype(np.int8)))
    return tuple((float(first), float(end)) for first, end in changes.reshape(-1, 2).tolist())


def _held(events: Iterable[Event], times_ns: NDArray[np.int64]) -> dict[str, tuple[Span, ...]]:
    """Return when each key was held, in steps; `times_ns` is when each step began, int64[n_steps]."""
    count = len(times_ns)
    held: dict[str, list[Span]] = {}
    since: dict[str, float] = {}

    def let_go(name: str, at: float) -> None:
        # One that was held before the episode began is told of by its release alone.
        if name in since or name not in held:
            held.setdefault(name, []).append((since.pop(name, 0.0), at))

    for event in events:
        at = float(np.interp(event.time_ns, times_ns, np.arange(count), right=count))
        if event.kind == "key_down":
            since.setdefault(event.detail, at)
            held.setdefault(event.detail, [])
        elif event.kind == "key_up":
            let_go(event.detail, at)
        elif event.kind == "focus_lost":
            for name in list(since):
                let_go(name, at)
    for name in list(since):
        let_go(name, float(count))
    return {name: tuple(spans) for name, spans in held.items() if spans}


class Timeline:
    """Draws lanes at the foot of a window below a bar to drag; make a new one when the size has changed.

    Args:
        canvas: The whole window.
        lanes: What to draw.
        n_steps: Steps of the episode.
        left: Where there is room for it, from this pixel to the window's right edge.
    """

    area: Rect
    """What it takes of the window."""

    def __init__(self, canvas: Canvas, lanes: list[Lane], n_steps: int, left: int = 0) -> None:
        self._canvas, self._steps = canvas, n_steps
        px = canvas.px
        room = max(round(_TALLEST * canvas.height) - px(_BAR) - px(_PAD), 1)
        lane = min(px(_LANE), room // max(len(lanes), 1))
        height = px(_BAR) + lane * len(lanes) + px(_PAD)
        self.area = Rect(left, canvas.height - height, canvas.width - left, height)
        names = px(_PAD) + px(_NAMES)
        self._track = Rect(left + names, self.area.top, max(self.area.width - names - px(_PAD), 1), px(_BAR))
        self._drawn = Surface(self.area.size, 0, canvas.screen)
        self._draw_lanes(lanes, lane)

    def step_at(self, x: int) -> int:
        """Return the step whose place is nearest to a pixel from the window's left edge."""
        share = (x - self._track.left) / self._track.width
        return min(max(int(share * self._steps), 0), self._steps - 1)

    def x_of(self, step: float) -> int:
        """Return the pixel, from the window's left edge, at which a step begins."""
        return self._track.left + round(self._track.width * step / self._steps)

    def draw(self, step: int) -> None:
        """Draw it with a step marked."""
        screen, px = self._canvas.screen, self._canvas.px
        screen.blit(self._drawn, self.area)
        x = self.x_of(step + 0.5)
        pygame.draw.line(screen, INK, (x, self._track.centery), (x, self.area.bottom - px(_PAD)), max(px(1), 1))
        pygame.draw.circle(screen, INK, (x, self._track.centery), px(_KNOB))

    def _draw_lanes(self, lanes: list[Lane], height: int) -> None:
        canvas, px, surface = self._canvas, self._canvas.px, self._drawn
        surface.fill(GROUND)
        bar = Rect(0, 0, self._track.width, px(_GAP))
        bar.midleft = (self._track.left - self.area.left, self._track.height // 2)
        surface.fill(EDGE, bar)
        for number, lane in enumerate(lanes):
            top = self._track.height + number * height
            row = Rect(bar.left, top, bar.width, max(height - 1, 1))
            surface.fill(PANEL, row)
            for first, end in lane.spans:
                left, right = self.x_of(first) - self.area.left, self.x_of(end) - self.area.left
                surface.fill(lane.color, Rect(left, top, max(right - left, 1), row.height).clip(row))
            if height >= canvas.text_px(_TEXT) - 1:
                name = canvas.fitted(lane.name, canvas.text_px(_TEXT) - 1, QUIET, px(_NAMES) - px(_GAP))
                surface.blit(name, name.get_rect(midright=(bar.left - px(_GAP), row.centery)))
