"""The primary outcome, tested: what the study was run for, apart from all that was explored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.report.equivalence import EquivalenceTest, kept
from racer.report.statistics import PairedDifference, paired
from racer.study.outcome import LEVEL, Outcome


@dataclass(frozen=True)
class PrimaryResult:
    """What came of the primary outcome."""

    outcome: Outcome
    declared: bool
    """Whether the study file named it; by default it is the task's primary metric, and what comes first to mind."""
    difference: PairedDifference | None
    """Minuend less subtrahend, in the metric's unit; None for a single participant."""
    share: float | None
    """The difference as a share of the subtrahend's mean, its sign kept; None where that is zero."""
    kept: EquivalenceTest | None
    """The two one-sided tests of the claim `keeps`; None for the other claim, and for a single participant."""

    @property
    def p(self) -> float | None:
        """Decides: of the paired t-test, two-sided, or the larger one of the two one-sided; by flipping signs where
        nothing varies, and there is no t. None for a single participant."""
        if self.kept is not None:
            return self.kept.p_flip if self.kept.p is None else self.kept.p
        if self.difference is None or self.outcome.claim == "keeps":
            return None
        return self.difference.p_flip if self.difference.p is None else self.difference.p

    @property
    def shown(self) -> bool | None:
        """Whether the claim stands at the 5 % level; None where it was not tested."""
        return None if self.p is None else self.p < LEVEL


def primary_result(outcome: Outcome, declared: bool, column: Mapping[str, NDArray[np.float64]]) -> PrimaryResult | None:
    """Return what came of an outcome; None where one of its conditions was not shown.

    Args:
        outcome: What is asked.
        declared: Whether the study file named it.
        column: Of the outcome's metric, float64[participants] by condition.
    """
    if not {outcome.minuend, outcome.subtrahend} <= set(column):
        return None
    values, reference = column[outcome.minuend], column[outcome.subtrahend]
    tested, mean = len(values) > 1, float(reference.mean())
    sign = -1.0 if mean < 0 else 1.0  # within a margin of a negative mean is within that of its mirror image
    return PrimaryResult(
        outcome,
        declared,
        paired(outcome.minuend, outcome.subtrahend, values - reference) if tested else None,
        float((values - reference).mean()) / abs(mean) if mean else None,
        kept(sign * values, sign * reference, outcome.margin) if tested and outcome.claim == "keeps" else None,
    )
