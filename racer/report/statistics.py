"""Tests and effect sizes on tables float64[participants, conditions]: what scipy and statsmodels have, and the rest.

Where differences do not vary at all, a test statistic would be infinite or undefined; it is None here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from racer.analysis import analysis

Table = NDArray[np.float64]

RESAMPLES = 10_000
CONFIDENCE = 0.95
BOOTSTRAP_SEED = 20210804
"""Any number will do; a fixed one makes the same recordings give the same interval."""
_MOST_EXACT = 20
"""People up to whom all flips are gone through; beyond, as many of them are drawn."""
_DRAWN = 2**17
_NO_VARIATION = 1e-12
"""Differences that vary less than this do not vary."""


@dataclass(frozen=True)
class Interval:
    """A 95 % percentile bootstrap interval over participants (Efron & Tibshirani, 1993, chapter 13)."""

    low: float
    high: float


@dataclass(frozen=True)
class Anova:
    """One-way repeated-measures analysis of variance."""

    conditions: tuple[str, ...]
    f: float | None
    """None where the conditions differ by the same amount for all participants; so are all that follow from it."""
    df_condition: float
    df_error: float
    p: float | None
    """p under sphericity."""
    epsilon: float | None = None
    """Greenhouse and Geisser's epsilon, in [1 / (k - 1), 1]; 1 for two conditions."""
    p_corrected: float | None = None
    """p with both degrees of freedom multiplied by `epsilon`."""
    mauchly_w: float | None = None
    """W of Mauchly's test of sphericity; None for two conditions or too few participants to test."""
    mauchly_chi2: float | None = None
    mauchly_df: int | None = None
    mauchly_p: float | None = None
    partial_eta_squared: float | None = None
    """SS condition / (SS condition + SS error)."""
    generalised_eta_squared: float | None = None
    """SS condition / (SS condition + SS participants + SS error) (Olejnik & Algina, 2003)."""


@dataclass(frozen=True)
class PairedDifference:
    """The primary metric under one condition less that under another, over participants."""

    minuend: str
    subtrahend: str
    mean: float
    se: float | None
    t: float | None
    """Statistic of the paired t-test; None where all participants differ by the same amount."""
    df: int
    p: float | None
    """Two-sided p of the paired t-test."""
    dz: float | None = None
    """Cohen's d_z: the mean difference in standard deviations of the differences."""
    interval: Interval | None = None
    """Confidence interval of the mean difference."""
    wilcoxon: float | None = None
    """Smaller sum of signed ranks; None where all differences are zero."""
    wilcoxon_p: float | None = None
    """Two-sided p of Wilcoxon's signed-rank test."""
    p_holm: float | None = None
    """`p` corrected for all pairs of the analysis (Holm, 1979)."""
    studentised: Interval | None = None
    """Studentised bootstrap interval of the mean difference; None where too many resamples do not vary."""
    p_flip: float | None = None
    """Two-sided, by flipping signs: leans on nothing but symmetry; exact up to 20 participants."""


@dataclass(frozen=True)
class Friedman:
    """Friedman's rank test over three or more conditions."""

    conditions: tuple[str, ...]
    chi2: float
    df: int
    p: float
    kendall_w: float
    """Agreement of the participants' rankings, in [0, 1]."""


def mean_se(values: NDArray[np.float64]) -> tuple[float, float | None]:
    """Return the mean of values, one per participant, and its standard error; None for a single one."""
    se = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), se


def repeated_anova(conditions: tuple[str, ...], table: Table) -> Anova:
    """Return the analysis of variance of two or more participants in two or more conditions."""
    from scipy import stats

    pd, fitted = analysis("pandas"), analysis("statsmodels.stats.anova")

    people, k = table.shape
    if np.ptp(table - table[:, :1], axis=0).max() <= _NO_VARIATION:
        return Anova(conditions, None, k - 1, (k - 1) * (people - 1), None)
    rows = [
        {"participant": person, "condition": condition, "value": value}
        for person, values in enumerate(table)
        for condition, value in zip(conditions, values, strict=True)
    ]
    found = fitted.AnovaRM(pd.DataFrame(rows), "value", "participant", within=["condition"]).fit().anova_table.iloc[0]
    f, df_condition, df_error = float(found["F Value"]), float(found["Num DF"]), float(found["Den DF"])
    epsilon = greenhouse_geisser(table)
    between_people = k * float(((table.mean(axis=1) - table.mean()) ** 2).sum())
    between_conditions = people * float(((table.mean(axis=0) - table.mean()) ** 2).sum())
    error = float(((table - table.mean()) ** 2).sum()) - between_people - between_conditions
    anova = Anova(
        conditions,
        f,
        df_condition,
        df_error,
        float(found["Pr > F"]),
        epsilon=epsilon,
        p_corrected=float(stats.f.sf(f, epsilon * df_condition, epsilon * df_error)),
        partial_eta_squared=between_conditions / (between_conditions + error),
        generalised_eta_squared=between_conditions / (between_conditions + between_people + error),
    )
    sphericity = mauchly(table)
    if sphericity is None:
        return anova
    w, chi2, df, p = sphericity
    return replace(anova, mauchly_w=w, mauchly_chi2=chi2, mauchly_df=df, mauchly_p=p)


def greenhouse_geisser(table: Table) -> float:
    """Return Greenhouse & Geisser's epsilon (Psychometrika 24, 1959): tr(M)^2 / (d tr(M^2)) of the contrasts' M."""
    m = _contrast_covariance(table)
    epsilon = float(np.trace(m) ** 2 / (len(m) * np.trace(m @ m)))
    return min(max(epsilon, 1 / len(m)), 1.0)  # rounding may lead out of its bounds


def mauchly(table: Table) -> tuple[float, float, int, float] | None:
    """Return W, chi2, its df and p of Mauchly's test of sphericity; None where it cannot be made.

    Mauchly (Annals of Mathematical Statistics 11, 1940); chi2 with Box's correction to the second order, as in
    `mauchly.test` of R.
    """
    m = _contrast_covariance(table)
    (people, k), d = table.shape, len(m)
    n = people - 1
    sign, log_determinant = np.linalg.slogdet(m)
    if d < 2 or n < d or sign <= 0:
        return None
    log_w = float(log_determinant - d * np.log(np.trace(m) / d))
    rho = 1 - (2 * d**2 + d + 2) / (6 * d * n)
    if rho <= 0 or log_w < -700:
        return None
    from scipy import stats

    second = (d + 2) * (d - 1) * (d - 2) * (2 * d**3 + 6 * d**2 + 3 * k + 2) / (288 * (n * d * rho) ** 2)
    df, chi2 = d * (d + 1) // 2 - 1, -n * rho * log_w
    tail = float(stats.chi2.sf(chi2, df))
    p = tail + second * (float(stats.chi2.sf(chi2, df + 4)) - tail)
    return math.exp(log_w), chi2, df, min(max(p, 0.0), 1.0)


def paired(minuend: str, subtrahend: str, differences: NDArray[np.float64]) -> PairedDifference:
    """Return the comparison of two conditions from the differences of two or more participants."""
    from scipy import stats

    mean, se = mean_se(differences)
    result = PairedDifference(
        minuend,
        subtrahend,
        mean,
        se,
        None,
        len(differences) - 1,
        None,
        interval=bootstrap(differences, np.asarray),
        studentised=studentised(differences),
        p_flip=min(2 * sign_flip(differences if mean > 0 else -differences), 1.0),
    )
    if np.ptp(differences) > _NO_VARIATION:
        test = stats.ttest_1samp(differences, 0.0)
        dz = mean / float(differences.std(ddof=1))
        result = replace(result, t=float(test.statistic), p=float(test.pvalue), dz=dz)
    if np.abs(differences).max() > _NO_VARIATION:
        # Differences of float32 scores: those that are equal must tie.
        signed = stats.wilcoxon(np.round(differences, 9))
        result = replace(result, wilcoxon=float(signed.statistic), wilcoxon_p=float(signed.pvalue))
    return result


def all_pairs(conditions: tuple[str, ...], table: Table) -> list[PairedDifference]:
    """Return every condition compared with every earlier one, the last first, p corrected by Holm's method."""
    pairs = [
        paired(conditions[i], conditions[j], table[:, i] - table[:, j])
        for i in reversed(range(len(conditions)))
        for j in reversed(range(i))
    ]
    tested = [pair for pair in pairs if pair.p is not None]
    corrected = iter(holm([pair.p for pair in tested if pair.p is not None]))
    return [pair if pair.p is None else replace(pair, p_holm=next(corrected)) for pair in pairs]


def holm(found: Sequence[float]) -> list[float]:
    """Return p of several tests, corrected by Holm's method."""
    if not found:
        return []
    multipletests = analysis("statsmodels.stats.multitest").multipletests
    return [float(p) for p in multipletests(found, method="holm")[1]]


def friedman(conditions: tuple[str, ...], table: Table) -> Friedman | None:
    """Return Friedman's test of three or more conditions; None where every participant scores alike in all."""
    from scipy import stats

    ranked = np.round(table, 9)
    if np.ptp(ranked, axis=1).max() == 0:
        return None
    test = stats.friedmanchisquare(*ranked.T)
    people, k = table.shape
    chi2 = float(test.statistic)
    return Friedman(conditions, chi2, k - 1, float(test.pvalue), chi2 / (people * (k - 1)))


def bootstrap(
    values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Interval | None:
    """Return the interval of a statistic of means over participants, who are drawn again with replacement.

    Args:
        values: float64[participants] or float64[participants, columns].
        statistic: Of resampled means, float64[RESAMPLES] or float64[RESAMPLES, columns]: float64[RESAMPLES].

    Returns:
        None where the statistic is undefined in some resample.
    """
    people = len(values)
    drawn = np.random.default_rng(BOOTSTRAP_SEED).multinomial(people, np.full(people, 1 / people), RESAMPLES)
    found = statistic(drawn @ values / people)
    if not np.isfinite(found).all():
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    return Interval(float(low), float(high))


def sign_flip(differences: NDArray[np.float64]) -> float:
    """Return p of the one-sided test that the mean difference, float64[people], is above zero.

    That is the share of all ways to flip the signs of the differences, the one observed included, whose mean is at
    least the observed one; of 21 people or more, of 131072 ways that are drawn.
    """
    differences = np.asarray(differences, np.float64)
    # Sums are exact to about this; whoever ties with the observation counts.
    least = differences.sum() - _NO_VARIATION * np.abs(differences).sum()
    if len(differences) <= _MOST_EXACT:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float((sums >= least).mean())
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    found = sum(
        int((rng.choice((-1.0, 1.0), (_DRAWN // 32, len(differences))) @ differences >= least).sum()) for _ in range(32)
    )
    return (found + 1) / (_DRAWN + 1)


def studentised(differences: NDArray[np.float64]) -> Interval | None:
    """Return the 95 % studentised bootstrap interval of a mean of float64[people], of two or more.

    It covers better than percentiles where people are few or skewed (T. C. Hesterberg, The American Statistician 69,
    2015, section 5). None where too many resamples do not vary, which have no t.
    """
    mean, se = mean_se(differences)
    if se is None or np.ptp(differences) <= _NO_VARIATION:
        return None
    people = len(differences)
    drawn = np.random.default_rng(BOOTSTRAP_SEED).multinomial(people, np.full(people, 1 / people), RESAMPLES) / people
    centred = differences - mean
    means = drawn @ centred
    spread = np.sqrt(np.maximum(drawn @ np.square(centred) - np.square(means), 0) / (people - 1))
    varies = spread > _NO_VARIATION * se
    t = np.where(varies, means / np.where(varies, spread, 1), np.copysign(np.inf, means))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(t, [tail, 1 - tail], method="inverted_cdf")
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return Interval(float(mean - high * se), float(mean - low * se))


def gap_closed(pico: Table, random: Table, full: Table) -> tuple[float | None, Interval | None]:
    """Return (pico - random) / (full - random) of the means, and its interval.

    It is the same whether more or less of the metric is better: both differences then change their signs.

    There is no interval where the gap's own includes zero: a ratio whose denominator may be zero has no bounded one
    (Fieller, 1954). There is no ratio where the gap is exactly zero.
    """
    columns = np.stack([pico - random, full - random], axis=1)
    gain, gap = columns.mean(axis=0)
    if abs(gap) <= _NO_VARIATION:
        return None, None
    gap_interval = bootstrap(columns[:, 1], np.asarray)
    if len(columns) < 2 or gap_interval is None or gap_interval.low <= 0 <= gap_interval.high:
        return float(gain / gap), None
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(gain / gap), bootstrap(columns, lambda means: means[:, 0] / means[:, 1])


def _contrast_covariance(table: Table) -> Table:
    """Return the covariance, float64[k - 1, k - 1], of orthonormal contrasts (Helmert's) of k conditions."""
    from scipy.linalg import helmert

    contrasts = helmert(table.shape[1])
    return np.atleast_2d(np.cov(table @ contrasts.T, rowvar=False))
