"""Every word that the window itself says, in one place, so that it can say them in another language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Texts:
    """What the window says; pages bring their own words."""

    left: str = "left"
    right: str = "right"
    or_left: str = "or A"
    or_right: str = "or D"
    more: str = "Press SPACE to read on"
    original: str = "original"
    shown: str = "shown"
    time: str = "Time"
    road: str = "Road"
    get_ready: str = "Get ready"
    paused: str = "Paused"
    paused_by_key: str = "Time stands still. Take as long as you like."
    paused_by_focus: str = "Another window took the keyboard, so time stands still. Nothing is lost."
    resume: str = "Resume"
    end: str = "End session"
    end_question: str = "End the session?"
    end_answer: str = "Everything so far is saved."
    keep_going: str = "Keep going"
    menu_hint: str = "Up and down choose, Enter confirms"


ENGLISH = Texts()
