"""Tests of the claim that something keeps a share of a score: a margin is set first, and doubt counts against it.

That a difference was not found proves nothing. Two one-sided tests turn the burden of proof round (D. J. Schuirmann,
Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): the claim stands where both "it keeps less" and "it keeps
more" are rejected. Tests by t lean on the normal distribution; those by flipping signs on nothing but symmetry (Fisher,
The Design of Experiments, 1935), and are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.report.statistics import sign_flip

MARGIN = 0.05
"""Equivalence margin, as a share of the score on raw frames; a narrower one needs more people."""
_ROUNDING = 1e-12

Values = NDArray[np.float64]


@dataclass(frozen=True)
class EquivalenceTest:
    """Whether values lie within a margin of a reference, paired person by person."""

    margin: float
    """Share of the mean reference that they may fall short of it or exceed it by."""
    p: float | None
    """The larger p of the two one-sided t-tests; None where what one of them asks about is alike for all people."""
    p_flip: float
    """The same of two one-sided sign-flip tests."""


def kept(values: Values, reference: Values, margin: float) -> EquivalenceTest:
    """Return the two one-sided tests that the mean of values lies within a margin of the mean reference.

    A ratio of means is tested by a difference: that it exceeds 1 - margin is that values - (1 - margin) * reference
    has a mean above zero, whatever the reference varies.

    Args:
        values: float64[people], two or more.
        reference: float64[people].
        margin: Above 0.
    """
    short, beyond = values - (1 - margin) * reference, (1 + margin) * reference - values
    either = [p for p in (_above_zero(short), _above_zero(beyond)) if p is not None]
    return EquivalenceTest(margin, max(either) if len(either) == 2 else None, max(sign_flip(short), sign_flip(beyond)))


def _above_zero(differences: Values) -> float | None:
    """Return p of the one-sided t-test that a mean is above zero; None where nothing varies, which says nothing."""
    from scipy import stats

    if np.ptp(differences) <= _ROUNDING * np.abs(differences).max():
        return None
    return float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
