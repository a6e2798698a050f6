"""The primary outcome of a study: the one question that it is run for, said before anybody is asked.

Whatever else a report shows was explored: with enough tests something is found by chance, so one is named beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from racer.study.sections import Line, Name, Names, Section

Claim = Literal["differs", "keeps"]
LEVEL = 0.05
"""Significance level of the primary outcome's test."""
_CONTRAST = ("pico", "random")
"""What is compared where nobody says otherwise and both are shown: the paper's question."""


class Primary(Section):
    """The one outcome that the study is run for; everything else that its report shows is explored."""

    metric: Name = ""
    """A metric of the task with a direction; empty: the task's primary one."""
    contrast: Annotated[Names, Field(max_length=2)] = ()
    """Two conditions: the first less the second. Empty: `pico` less `random` where both are shown, or else the last
    condition less the first."""
    claim: Claim = "differs"
    """`differs`: the first is better or worse than the second. `keeps`: it lies within `margin` of the second."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the second condition's mean, above 0 and below 1: the smallest difference that would matter, or of
    `keeps` how much may be lost or gained."""
    exclusions: Annotated[tuple[Line, ...], Field(strict=False, max_length=20)] = ()
    """Whom the analysis will leave out besides those whom every report leaves out, a line each, up to 20."""
    stopping: Line = ""
    """When no more people are asked; empty: when as many have completed as `participants` says."""

    @model_validator(mode="after")
    def _compares_two(self) -> Primary:
        if self.contrast and len(set(self.contrast)) != 2:
            raise ValueError('contrast must name two conditions, as in ["pico", "random"]')
        return self

    def outcome(self, metric: str, conditions: Sequence[str]) -> Outcome | None:
        """Return the outcome that is meant; None where fewer than two conditions are shown.

        Args:
            metric: The task's primary one.
            conditions: That are shown, in the order of the study file.
        """
        pair = self.contrast
        if not pair and len(conditions) > 1:
            pair = _CONTRAST if set(_CONTRAST) <= set(conditions) else (conditions[-1], conditions[0])
        if not pair:
            return None
        return Outcome(self.metric or metric, pair[0], pair[1], self.claim, self.margin)


@dataclass(frozen=True)
class Outcome:
    """What is asked: whether a metric differs between two conditions, or is kept."""

    metric: str
    minuend: str
    subtrahend: str
    claim: Claim
    margin: float
    """Share of the subtrahend's mean."""

    def __str__(self) -> str:
        share = f"{100 * self.margin:g} % of {self.subtrahend}"
        if self.claim == "keeps":
            return f"{self.metric}: {self.minuend} lies within {share}"
        return f"{self.metric}: {self.minuend} differs from {self.subtrahend}; what matters begins at {share}"


def recorded_primary(config: Mapping[str, Any]) -> Primary | None:
    """Return the primary outcome that a session's configuration names; None where its study named none."""
    settings = config.get("study")
    said = settings.get("primary") if isinstance(settings, dict) else None
    try:
        return None if said is None else Primary.model_validate(said)
    except ValidationError:
        return None  # of another version
