from __future__ import annotations

import numpy as np
import pytest

from racer.training.relevance import explained

TRIALS = np.repeat(np.arange(8), 50)


def test_what_follows_from_the_truth_is_explained_and_nothing_else_is() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, (400, 2))
    noise, half = rng.standard_normal((2, 400))
    latents = np.stack(
        [truth[:, 0], 5 - 3 * truth[:, 1] ** 2, truth[:, 0] + truth[:, 0].std() * half, noise], axis=1
    ).astype(np.float32)
    shares = explained(latents, truth, TRIALS)
    assert np.all(shares[:2] > 0.9)
    assert shares[2] == pytest.approx(0.5, abs=0.12)
    assert shares[3] < 0.1


def test_what_merely_differs_between_trials_is_not_explained() -> None:
    rng = np.random.default_rng(1)
    offsets = np.repeat(rng.standard_normal(8), 50)
    shares = explained(offsets[:, None].astype(np.float32), rng.uniform(size=(400, 3)), TRIALS)
    assert shares[0] < 0.1


def test_a_feature_or_a_truth_that_never_changes_is_no_trouble() -> None:
    constant = np.ones((400, 1))
    assert explained(constant.astype(np.float32), constant, TRIALS).tolist() == [0.0]


@pytest.mark.parametrize(("count", "parts"), [(400, 9), (400, 1), (60, 2)])
def test_too_little_to_measure_is_refused(count: int, parts: int) -> None:
    trials = TRIALS[:: 400 // count][:count]
    with pytest.raises(ValueError, match="trials"):
        explained(np.zeros((count, 1), np.float32), np.zeros((count, 1)), trials, parts)


def test_a_feature_that_turns_round_from_trial_to_trial_is_explained_as_well() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(-1, 1, (400, 1))
    turned = truth * np.repeat([1, -1, 1, 1, -1, -1, 1, -1], 50)[:, None]
    brightness = np.repeat(rng.standard_normal(8), 50)[:, None]
    shares = explained(np.hstack([turned, turned + brightness]).astype(np.float32), truth, TRIALS, apart=5)
    assert shares[0] > 0.9
    assert shares[1] == pytest.approx(turned.var() / (turned + brightness).var(), abs=0.1)


def test_what_stays_in_sight_for_a_while_is_not_explained_by_a_truth_that_does_so_too() -> None:
    rng = np.random.default_rng(3)
    slow = np.stack([np.convolve(rng.standard_normal(819), np.ones(20), "valid") for _ in range(7)], axis=1)
    trials = np.repeat(np.arange(4), 200)
    near, far = (explained(slow[:, :1].astype(np.float32), slow[:, 1:], trials, apart=apart) for apart in (1, 40))
    assert far[0] < 0.15 < near[0]
