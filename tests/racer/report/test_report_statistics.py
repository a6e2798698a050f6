from __future__ import annotations

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from racer.report.statistics import (
    all_pairs,
    bootstrap,
    friedman,
    gap_closed,
    greenhouse_geisser,
    mauchly,
    mean_se,
    paired,
    repeated_anova,
)

EXPOSURES = ("1 s", "2 s", "5 s")
LOFTUS_MASSON = np.array(
    [
        [10, 13, 13],
        [6, 8, 8],
        [11, 14, 14],
        [22, 23, 25],
        [16, 18, 20],
        [15, 17, 17],
        [1, 1, 4],
        [12, 15, 17],
        [9, 12, 12],
        [8, 9, 12],
    ],
    np.float64,
)
"""Words recalled of 20 by ten subjects after three exposures: G. R. Loftus and M. E. J. Masson, Using confidence
intervals in within-subject designs, Psychonomic Bulletin & Review 1 (1994) 476-490, table 2."""


def long(table: NDArray[np.float64]) -> pd.DataFrame:
    """Return a row per participant and condition, as pingouin wants it."""
    people, conditions = table.shape
    return pd.DataFrame(
        {
            "person": np.repeat(np.arange(people), conditions),
            "condition": np.tile(np.arange(conditions), people),
            "score": table.ravel(),
        }
    )


def tables(people: int = 12, conditions: int = 4) -> list[NDArray[np.float64]]:
    """Return tables whose conditions vary unequally, so that sphericity does not hold."""
    rng = np.random.default_rng(7)
    spread = np.linspace(0.5, 3, conditions)
    return [LOFTUS_MASSON, rng.normal(0, 2, (people, 1)) + rng.normal(spread, spread, (people, conditions))]


def test_the_papers_anova_is_the_papers() -> None:
    anova = repeated_anova(EXPOSURES, LOFTUS_MASSON)
    assert (anova.df_condition, anova.df_error) == (2, 18)
    assert anova.f == pytest.approx(42.51, abs=0.005)


@pytest.mark.parametrize("table", tables(), ids=["Loftus and Masson", "four conditions"])
def test_the_anova_agrees_with_pingouin(table: NDArray[np.float64]) -> None:
    names = tuple(map(str, range(table.shape[1])))
    anova = repeated_anova(names, table)
    for effsize, own in (("np2", anova.partial_eta_squared), ("ng2", anova.generalised_eta_squared)):
        row = pingouin.rm_anova(
            long(table), dv="score", within="condition", subject="person", correction=True, effsize=effsize
        ).iloc[0]
        assert own == pytest.approx(row[effsize], abs=1e-6)
    names_of = {name.replace("-", "_").lower(): name for name in row.index}
    assert anova.f == pytest.approx(row["F"], abs=1e-6)
    assert (anova.df_condition, anova.df_error) == (row["ddof1"], row["ddof2"])
    assert anova.p == pytest.approx(row[names_of["p_unc"]], abs=1e-6)
    assert anova.epsilon == pytest.approx(row["eps"], abs=1e-6)
    assert anova.p_corrected == pytest.approx(row[names_of["p_gg_corr"]], abs=1e-6)
    found = pingouin.sphericity(long(table), dv="score", within="condition", subject="person")
    assert anova.mauchly_w == pytest.approx(found.W, abs=1e-6)
    assert anova.mauchly_chi2 == pytest.approx(found.chi2, abs=1e-6)
    assert anova.mauchly_df == found.dof
    assert anova.mauchly_p == pytest.approx(found.pval, abs=1e-6)


@pytest.mark.parametrize("table", tables(), ids=["Loftus and Masson", "four conditions"])
def test_pairs_agree_with_pingouin_and_with_scipy(table: NDArray[np.float64]) -> None:
    names = tuple(map(str, range(table.shape[1])))
    for pair in all_pairs(names, table):
        first, second = table[:, int(pair.minuend)], table[:, int(pair.subtrahend)]
        row = pingouin.ttest(first, second, paired=True).iloc[0]
        p = row["p_val"] if "p_val" in row.index else row["p-val"]
        assert (pair.t, pair.p) == (pytest.approx(row["T"], abs=1e-6), pytest.approx(p, abs=1e-6))
        assert pair.df == row["dof"]
        opinion = stats.ttest_rel(first, second)
        assert (pair.t, pair.p) == (pytest.approx(opinion.statistic), pytest.approx(opinion.pvalue))
        # Lakens (2013), equation 7: dz = t / sqrt(n).
        assert pair.dz == pytest.approx(row["T"] / np.sqrt(len(table)), abs=1e-6)
        ranks = pingouin.wilcoxon(first, second, correction=False).iloc[0]
        p = ranks["p_val"] if "p_val" in ranks.index else ranks["p-val"]
        assert (pair.wilcoxon, pair.wilcoxon_p) == (
            pytest.approx(ranks.iloc[0], abs=1e-6),
            pytest.approx(p, abs=1e-6),
        )


def test_holms_correction_agrees_with_pingouin() -> None:
    table = tables()[1]
    pairs = all_pairs(tuple("abcd"), table)
    _, corrected = pingouin.multicomp([pair.p for pair in pairs], method="holm")
    assert [pair.p_holm for pair in pairs] == pytest.approx(list(corrected), abs=1e-12)


@pytest.mark.parametrize("table", tables(), ids=["Loftus and Masson", "four conditions"])
def test_friedmans_test_agrees_with_pingouin(table: NDArray[np.float64]) -> None:
    test = friedman(tuple(map(str, range(table.shape[1]))), table)
    row = pingouin.friedman(long(table), dv="score", within="condition", subject="person").iloc[0]
    assert test is not None
    p = row["p_unc"] if "p_unc" in row.index else row["p-unc"]
    assert (test.chi2, test.df) == (pytest.approx(row["Q"], abs=1e-6), row["ddof1"])
    assert test.p == pytest.approx(p, abs=1e-6)
    assert test.kendall_w == pytest.approx(row["W"], abs=1e-6)


def test_two_conditions_are_spherical_by_themselves() -> None:
    anova = repeated_anova(("a", "b"), LOFTUS_MASSON[:, :2])
    assert (anova.epsilon, anova.mauchly_w) == (pytest.approx(1.0), None)
    assert anova.p_corrected == pytest.approx(anova.p)


def test_too_few_participants_for_mauchlys_test_still_get_an_epsilon() -> None:
    assert mauchly(LOFTUS_MASSON[:2]) is None
    assert 0.5 <= greenhouse_geisser(LOFTUS_MASSON[:2]) <= 1.0


@given(st.integers(2, 20), st.integers(2, 5), st.integers(0, 2**32))
def test_epsilon_lies_between_its_bounds(people: int, conditions: int, seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=(people, conditions))
    assert 1 / (conditions - 1) <= greenhouse_geisser(table) <= 1


def test_the_bootstrap_interval_holds_95_percent_of_resampled_means_and_repeats() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.02, 0.01, 12)
    own = bootstrap(values, np.asarray)
    low, high = np.percentile([rng.choice(values, 12).mean() for _ in range(10_000)], [2.5, 97.5])
    assert own is not None
    # Two sets of 10,000 resamples: their ends differ by chance, by far less than the interval's length.
    assert own.low == pytest.approx(low, abs=0.03 * (high - low))
    assert own.high == pytest.approx(high, abs=0.03 * (high - low))
    assert bootstrap(values, np.asarray) == own


def test_the_gap_closed_is_a_ratio_of_means_inside_its_interval() -> None:
    rng = np.random.default_rng(5)
    random = rng.normal(0.10, 0.01, 12)
    full = random + rng.normal(0.04, 0.004, 12)
    pico = random + rng.normal(0.03, 0.004, 12)
    gap, interval = gap_closed(pico, random, full)
    assert gap == pytest.approx((pico.mean() - random.mean()) / (full.mean() - random.mean()))
    assert interval is not None
    assert interval.low < gap < interval.high


def test_a_gap_that_may_be_zero_has_no_interval() -> None:
    rng = np.random.default_rng(5)
    random, full, pico = rng.normal(0.1, 0.02, (3, 12))
    gap, interval = gap_closed(pico, random, full)
    assert gap is not None
    assert interval is None
    assert gap_closed(pico, random, random) == (None, None)


def test_one_participant_has_a_mean_and_no_error() -> None:
    assert mean_se(np.array([0.25])) == (0.25, None)


def test_equal_differences_have_an_effect_on_ranks_and_no_t() -> None:
    pair = paired("a", "b", np.full(6, 0.5))
    assert (pair.t, pair.p, pair.dz) == (None, None, None)
    assert pair.wilcoxon_p == pytest.approx(2 / 2**6)
    nothing = paired("a", "b", np.zeros(6))
    assert (nothing.t, nothing.wilcoxon, nothing.wilcoxon_p) == (None, None, None)


def test_scores_alike_under_all_conditions_have_no_rank_test() -> None:
    assert friedman(EXPOSURES, np.full((4, 3), 0.25)) is None
