from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.masks import (
    FixedMask,
    MaskPolicy,
    RandomMasks,
    RotatingMasks,
    best_blocks,
    features_of,
    mask_index,
    mask_table,
)

LATENT = np.zeros(32, np.float32)


@pytest.mark.parametrize(("blocks", "sent"), [*((8, sent) for sent in range(1, 9)), (2, 1), (4, 2), (6, 5), (16, 8)])
def test_the_table_holds_every_mask_once_in_lexicographic_order(blocks: int, sent: int) -> None:
    table = mask_table(blocks, sent)
    assert table.shape == (comb(blocks, sent), blocks)
    assert (table.sum(axis=1) == sent).all()
    chosen = [tuple(np.flatnonzero(mask)) for mask in table]
    assert len(set(chosen)) == len(chosen)
    assert chosen == sorted(chosen)


def test_the_default_table_begins_and_ends_as_the_format_says() -> None:
    table = mask_table(8, 4)
    assert [np.flatnonzero(table[index]).tolist() for index in (0, 1, 69)] == [[0, 1, 2, 3], [0, 1, 2, 4], [4, 5, 6, 7]]


@pytest.mark.parametrize(("blocks", "sent"), [*((8, sent) for sent in range(1, 9)), (4, 2), (3, 3)])
def test_mask_index_is_the_inverse_of_the_table(blocks: int, sent: int) -> None:
    assert [mask_index(mask) for mask in mask_table(blocks, sent)] == list(range(comb(blocks, sent)))


def test_the_shared_table_cannot_be_written() -> None:
    with pytest.raises(ValueError):
        mask_table(8, 4)[0, 0] = False


def test_a_block_is_neighbouring_features() -> None:
    mask = np.zeros(8, bool)
    mask[[0, 5]] = True
    assert np.flatnonzero(features_of(mask, 4)).tolist() == [0, 1, 2, 3, 20, 21, 22, 23]
    assert np.flatnonzero(features_of(mask[:6], 1)).tolist() == [0, 5]


@pytest.mark.parametrize(
    ("scores", "sent", "expected"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 0], 4, [0, 1, 2, 3]),
        ([1, 2, 2, 2, 2, 0, 3, 0], 3, [1, 2, 6]),
        ([-5, -1, -4, -2, -3, -9, -8, -7], 2, [1, 3]),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        ([0, 2, 1], 1, [1]),
    ],
)
def test_best_blocks_takes_the_highest_and_of_equal_ones_the_first(
    scores: list[float], sent: int, expected: list[int]
) -> None:
    assert np.flatnonzero(best_blocks(np.array(scores, np.float32), sent)).tolist() == expected


def test_random_masks_are_equally_likely() -> None:
    policy = RandomMasks(8, np.random.default_rng(1))
    draws = 7000
    counts = np.bincount([mask_index(policy.choose(LATENT, 4)) for _ in range(draws)], minlength=70)
    expected = draws / 70
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 36 < chi_square < 111, "outside the central 99.8 % of chi-square with 69 degrees of freedom"


def test_random_masks_repeat_with_the_seed_and_differ_with_another() -> None:
    def draw(seed: int) -> list[int]:
        policy = RandomMasks(8, np.random.default_rng(seed))
        return [mask_index(policy.choose(LATENT, 4)) for _ in range(20)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


@pytest.mark.parametrize("blocks", [4, 8])
@pytest.mark.parametrize("sent", range(1, 5))
def test_every_policy_sends_as_many_blocks_as_it_is_asked_for(blocks: int, sent: int) -> None:
    policies: tuple[MaskPolicy, ...] = (
        RandomMasks(blocks, np.random.default_rng(0)),
        FixedMask(np.arange(blocks, dtype=np.float32)),
    )
    for policy in policies:
        assert all(policy.choose(LATENT, sent).sum() == sent for _ in range(5))
        assert policy.choose(LATENT, sent).shape == (blocks,)


def test_a_fixed_mask_sends_its_best_scores_whatever_the_latent() -> None:
    policy = FixedMask(np.array([0, 9, 1, 8, 2, 7, 3, 6], np.float32))
    for latent in (LATENT, LATENT + 5):
        assert np.flatnonzero(policy.choose(latent, 4)).tolist() == [1, 3, 5, 7]


@given(blocks=st.integers(1, 12), data=st.data())
def test_blocks_in_turn_are_all_sent_equally_often(blocks: int, data: st.DataObject) -> None:
    sent = data.draw(st.integers(1, blocks))
    policy = RotatingMasks(blocks)
    masks = [policy.choose(np.zeros(1, np.float32), sent) for _ in range(blocks)]
    assert all(mask.sum() == sent for mask in masks)
    assert (np.sum(masks, axis=0) == sent).all()
    assert masks[0][:sent].all()
