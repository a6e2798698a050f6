"""Answers of a recording that belong to no questionnaire."""

from __future__ import annotations

from collections.abc import Iterable

from sessions import Answer

CONSENT, NOTE = "consent", "note"
"""Items: the answer to the consent page, and what the experimenter wrote."""
ACCEPTED, DECLINED = "accepted", "declined"


def declined(answers: Iterable[Answer]) -> bool:
    """Return whether the participant chose not to take part: their last word on the consent page counts."""
    consents = [answer.answer for answer in answers if answer.item == CONSENT]
    return consents[-1:] == [DECLINED]
