from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from racer.report.equivalence import kept
from racer.report.statistics import sign_flip

DIFFERENCES = np.array([0.8, -0.3, 1.1, 0.4, 0.9, -0.1, 0.6])
few = arrays.arrays(np.float64, st.integers(1, 9), elements=st.integers(-20, 20).map(float))


def p_of(values: np.ndarray, reference: np.ndarray, margin: float = 0.05) -> float:
    p = kept(values, reference, margin).p
    assert p is not None
    return p


def test_a_flip_of_all_signs_is_counted_as_by_hand() -> None:
    flipped = [float(np.dot(signs, DIFFERENCES)) for signs in product((-1, 1), repeat=len(DIFFERENCES))]
    expected = sum(total >= DIFFERENCES.sum() - 1e-9 for total in flipped) / len(flipped)
    assert sign_flip(DIFFERENCES) == pytest.approx(expected)
    assert sign_flip(np.ones(5)) == 1 / 32, "only all signs as they are reach as far"
    assert sign_flip(np.zeros(5)) == sign_flip(-np.ones(5)) == 1.0


def test_it_is_the_permutation_test_of_scipy() -> None:
    found = stats.permutation_test(
        (DIFFERENCES,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert sign_flip(DIFFERENCES) == pytest.approx(found.pvalue)


@given(few)
def test_it_is_a_probability_that_the_order_of_people_does_not_change(differences: np.ndarray) -> None:
    p = sign_flip(differences)
    assert 2.0 ** -len(differences) <= p <= 1
    assert sign_flip(differences[::-1]) == p
    assert p + sign_flip(-differences) >= 1, "both directions count the ties"


def test_of_many_people_flips_are_drawn_the_same_every_time() -> None:
    differences = np.random.default_rng(1).normal(0.4, 1, 30)
    p = sign_flip(differences)
    assert p == sign_flip(differences)
    assert p == pytest.approx(stats.ttest_1samp(differences, 0, alternative="greater").pvalue, abs=0.01)


def test_what_is_kept_within_the_margin_is_found_and_what_is_not_is_not() -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(0.8, 1.2, 12)
    near = reference * (1 + rng.normal(0, 0.02, 12))
    assert p_of(near, reference) < 0.01 > kept(near, reference, 0.05).p_flip
    assert p_of(0.9 * near, reference) > 0.9, "it keeps less"
    assert kept(1.1 * near, reference, 0.05).p_flip > 0.9, "it keeps more"
    assert p_of(0.93 * near, reference, 0.1) < 0.05, "a wider margin"
    assert p_of(reference, reference) < 1e-6


@pytest.mark.parametrize("people", [2, 4])
def test_of_people_who_do_not_differ_a_t_test_says_nothing(people: int) -> None:
    alike = np.ones(people)
    for values in (alike, alike / 2):
        assert kept(values, alike, 0.05).p is None
    assert kept(alike, alike, 0.05).p_flip == 2.0**-people
    assert kept(alike + 0.95 * np.arange(people), alike + np.arange(people), 0.05).p is None, "one side alone"


def test_the_claim_is_wrongly_made_as_seldom_as_it_should_be() -> None:
    rng = np.random.default_rng(3)
    reference = rng.uniform(0.9, 1.1, (400, 10))
    edge = 0.95 * reference + rng.normal(0, 0.01, reference.shape)  # on the very edge of the margin
    found = [kept(one, its, 0.05) for one, its in zip(edge, reference, strict=True)]
    for wrong in (
        np.mean([each.p is not None and each.p < 0.05 for each in found]),
        np.mean([each.p_flip <= 0.05 for each in found]),
    ):
        assert 0.02 < wrong < 0.08
