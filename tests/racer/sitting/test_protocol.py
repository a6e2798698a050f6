from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from racer.errors import ConfigError
from racer.loop.episode import block_seeds
from racer.sitting.protocol import (
    EVALUATED,
    PILOT_SEEDS,
    SESSION_SEEDS,
    EpisodePlan,
    ProtocolConfig,
    condition_order,
    plan_episodes,
)
from racer.tasks.task import MOST_SEED

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
CONDITIONS = ("raw", "full", "random", "perceptual", "pico")
EVALUATION = ProtocolConfig("evaluation", practice=2, evaluation=3, steps=40)


def trial_seeds(plan: list[EpisodePlan], phase: str, condition: str | None = None) -> list[int]:
    return [episode.seed for episode in plan if episode.phase == phase and condition in (None, episode.condition)]


def test_a_pilot_practises_calibrates_and_explores_as_often_as_asked() -> None:
    config = ProtocolConfig("pilot", practice=2, calibration=3, exploration=4, steps=60)
    plan = plan_episodes(config, "p01", 0, 0)
    assert [(episode.phase, episode.condition) for episode in plan] == (
        [("practice", "full")] * 2 + [("calibration", "full")] * 3 + [("exploration", "random")] * 4
    )
    assert {episode.steps for episode in plan} == {60}


def test_a_second_round_explores_under_the_mask_of_the_first_on_other_seeds_than_it_calibrates() -> None:
    plan = plan_episodes(ProtocolConfig("pilot", explore="pico"), "p01", 1, 0)
    assert {episode.condition for episode in plan if episode.phase == "exploration"} == {"pico"}
    assert set(trial_seeds(plan, "exploration")).isdisjoint(trial_seeds(plan, "calibration"))


def test_the_defaults_are_the_papers_numbers() -> None:
    pilot = Counter(episode.phase for episode in plan_episodes(ProtocolConfig(), "p01", 0, 0))
    assert pilot == {"practice": 5, "calibration": 10, "exploration": 15}
    evaluation = plan_episodes(ProtocolConfig("evaluation"), "p01", 0, 0)
    assert Counter(episode.condition for episode in evaluation if episode.phase == "evaluation") == {
        "random": 15,
        "pico": 15,
        "full": 15,
    }
    assert {episode.steps for episode in evaluation} == {100}


@pytest.mark.parametrize("order", range(6))
def test_an_evaluation_drives_each_condition_in_one_block_in_the_order_given(order: int) -> None:
    plan = plan_episodes(EVALUATION, "p01", 0, order)
    blocks = [episode.condition for episode in plan if episode.phase == "evaluation"]
    assert blocks == [condition for condition in condition_order(EVALUATED, order) for _ in range(3)]
    assert [(episode.phase, episode.condition) for episode in plan[:2]] == [("practice", "full")] * 2


@given(participant=NAMES, seed=st.integers(0, 2**70), order=st.integers(0, 100))
def test_every_condition_is_met_on_the_same_seeds_and_none_of_them_was_practised(
    participant: str, seed: int, order: int
) -> None:
    plan = plan_episodes(EVALUATION, participant, seed, order)
    driven = {condition: trial_seeds(plan, "evaluation", condition) for condition in EVALUATED}
    assert driven["random"] == driven["pico"] == driven["full"]
    everything = trial_seeds(plan, "practice") + driven["full"]
    assert len(set(everything)) == 5
    assert all(0 <= each < SESSION_SEEDS for each in everything)


@given(participant=NAMES, seed=st.integers(0, 2**70))
def test_a_pilot_never_meets_a_seed_twice(participant: str, seed: int) -> None:
    plan = plan_episodes(ProtocolConfig("pilot"), participant, seed, 0)
    assert len({episode.seed for episode in plan}) == len(plan) == 30


def test_the_order_of_conditions_does_not_change_the_seeds() -> None:
    plans = [plan_episodes(EVALUATION, "p01", 0, order) for order in range(6)]
    assert len({tuple(trial_seeds(plan, "evaluation", "pico")) for plan in plans}) == 1
    assert len({tuple(plan) for plan in plans}) == 6


def test_seeds_of_trials_follow_from_name_and_seed_and_differ_between_participants_and_between_seeds() -> None:
    plans = {
        (name, seed): plan_episodes(EVALUATION, name, seed, 0) for name in ("p01", "p02", "p03") for seed in (0, 1, 2)
    }
    seen = [set(trial_seeds(plan, "evaluation")) for plan in plans.values()]
    assert all(one.isdisjoint(other) for i, one in enumerate(seen) for other in seen[:i])
    assert all(plan == plan_episodes(EVALUATION, *key, 0) for key, plan in plans.items())


@given(participant=NAMES, shunned_count=st.integers(1, 5))
def test_seeds_that_a_mask_was_trained_on_are_left_out(participant: str, shunned_count: int) -> None:
    wanted = [episode.seed for episode in plan_episodes(EVALUATION, participant, 0, 0)]
    shunned = frozenset(wanted[:shunned_count])
    avoided = plan_episodes(EVALUATION, participant, 0, 0, shunned)
    assert shunned.isdisjoint(episode.seed for episode in avoided)
    assert len(avoided) == len(wanted)


def test_named_seeds_are_gone_through_in_turn_by_every_phase_whoever_sits_there_and_whatever_is_shunned() -> None:
    config = ProtocolConfig("evaluation", practice=2, evaluation=5, conditions=("raw", "full"), seeds=(31, 7, 12))
    for participant, seed, shunned in (("p01", 0, frozenset[int]()), ("p02", 9, frozenset({7}))):
        plan = plan_episodes(config, participant, seed, 0, shunned)
        assert trial_seeds(plan, "practice") == [31, 7]
        assert trial_seeds(plan, "evaluation", "raw") == trial_seeds(plan, "evaluation", "full") == [31, 7, 12, 31, 7]


def test_the_first_three_orders_of_three_conditions_are_a_latin_square_and_six_use_each_once() -> None:
    orders = [condition_order(EVALUATED, number) for number in range(12)]
    for place in range(3):
        assert {order[place] for order in orders[:3]} == set(EVALUATED)
    assert len(set(orders[:6])) == 6
    assert orders[6:] == orders[:6]


@given(size=st.integers(1, 5), start=st.integers(0, 50))
def test_as_many_participants_as_conditions_put_each_condition_in_each_place_once(size: int, start: int) -> None:
    conditions = CONDITIONS[:size]
    orders = [condition_order(conditions, start * size + number) for number in range(size)]
    for place in range(size):
        assert sorted(order[place] for order in orders) == sorted(conditions)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_after_a_full_round_every_condition_followed_every_other_equally_often(size: int) -> None:
    conditions = CONDITIONS[:size]
    rounds = size if size % 2 == 0 else 2 * size
    orders = [condition_order(conditions, number) for number in range(rounds)]
    assert len(set(orders)) == rounds
    followed = Counter(pair for order in orders for pair in pairwise(order))
    assert len(followed) == size * (size - 1)
    assert len(set(followed.values())) == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"protocol": "trial"}, "'trial'"),
        ({"practice": -1}, "practice episodes must lie between 0 and 1000; got -1"),
        ({"calibration": 1001}, "calibration episodes"),
        ({"exploration": -3}, "exploration episodes"),
        ({"evaluation": 2000}, "evaluation episodes"),
        ({"steps": 0}, "steps per episode must lie between 1 and 100000; got 0"),
        ({"steps": 100_001}, "steps per episode"),
        ({"explore": "full"}, "explore must be one of random, pico, perceptual; got 'full'"),
        ({"conditions": ()}, "at least one"),
        ({"conditions": ("pico", "pico")}, "once each"),
        ({"seeds": (3, -1)}, "seeds of trials must lie between 0 and"),
        ({"seeds": (MOST_SEED + 1,)}, "seeds of trials"),
    ],
)
def test_a_protocol_that_cannot_run_is_refused_in_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        ProtocolConfig(**settings)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("alone", "mixed"), [(True, False), (False, True)])
def test_where_it_is_to_chance_decides_what_a_pilot_is_shown_next(alone: bool, mixed: bool) -> None:
    config = ProtocolConfig("pilot", practice=2, calibration=20, exploration=20, mixed=mixed)
    plans = [plan_episodes(config, name, 0, 0, alone=alone) for name in ("pilot01", "pilot02")]
    for plan in plans:
        assert [episode.number for episode in plan] == list(range(42))
        assert [episode.phase for episode in plan[:2]] == ["practice"] * 2
        phases = [episode.phase for episode in plan[2:]]
        assert sorted(phases) == ["calibration"] * 20 + ["exploration"] * 20
        assert 8 < sum(one != other for one, other in pairwise(phases)) < 32
        assert len({episode.seed for episode in plan}) == 42
        assert not alone or max(episode.seed for episode in plan) < PILOT_SEEDS
    assert [each.phase for each in plans[0]] != [each.phase for each in plans[1]]
    assert plans[0] == plan_episodes(config, "pilot01", 0, 0, alone=alone)
    assert min(each.seed for each in plan_episodes(EVALUATION, "p01", 0, 0, alone=True)) >= PILOT_SEEDS


# Single originals among the evaluation --------------------------------------------------------------------------------

SINGLES = replace(EVALUATION, conditions=("raw", "random", "pico"), evaluation=2, steps=5, catch=6, repeats=8)


@pytest.mark.parametrize("order", range(6))
def test_catch_trials_are_originals_that_were_not_met_and_repeats_come_behind_what_they_repeat(order: int) -> None:
    plans = plan_episodes(SINGLES, "p01", 3, order, alone=True)
    assert [each.number for each in plans] == list(range(len(plans)))
    assert plans == plan_episodes(SINGLES, "p01", 3, order, alone=True)
    without = plan_episodes(replace(SINGLES, catch=0, repeats=0), "p01", 3, order, alone=True)
    blocks = [each for each in plans if each.phase not in ("catch", "repeats")]
    assert [(each.condition, each.seed, each.steps) for each in blocks] == [
        (each.condition, each.seed, each.steps) for each in without
    ]
    singles = [each for each in plans if each.phase in ("catch", "repeats")]
    assert sorted(each.phase for each in singles) == ["catch"] * 6 + ["repeats"] * 8
    assert {(each.condition, each.steps) for each in singles} == {("raw", 1)}
    met: set[int] = set()
    for each in plans:
        if each.phase == "repeats":
            assert each.seed in met
        elif each.phase == "catch":
            assert each.seed not in {seed for block in blocks for seed in block_seeds(block.seed, block.steps)}
        elif each.condition == "raw":
            met |= set(block_seeds(each.seed, each.steps))


def test_tasks_that_move_on_have_no_single_originals() -> None:
    assert plan_episodes(SINGLES, "p01", 0, 0) == plan_episodes(replace(SINGLES, catch=0, repeats=0), "p01", 0, 0)


def test_repeats_take_originals_to_be_compared_with() -> None:
    with pytest.raises(ConfigError, match="add 'raw' to the conditions"):
        replace(SINGLES, conditions=("random", "pico"))
