from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from racing_builders import Drive, scored
from report_builders import driven, evaluation

from racer.report.behaviour import attention, cohens_kappa, reference_of
from racer.report.recordings import EvaluatedEpisode, Person
from racer.report.study import StudyReport, report_study
from racer.report.wording import attention_lines


def report_of(folder: Path, *sittings: list[Drive]) -> StudyReport:
    """Write one sitting per list of episodes and report."""
    for number, drives in enumerate(sittings):
        evaluation(folder, f"p{number:02d}", drives, number)
    return report_study(folder)


def test_actions_are_compared_at_the_same_step_from_the_same_seed(tmp_path: Path) -> None:
    full = [driven("full", [1, 2, 0, 1], seed=1), driven("full", [2, 2], seed=2)]
    random = [driven("random", [2, 0], seed=2), driven("random", [1, 2, 2, 2, 2], seed=1)]
    (found,) = report_of(tmp_path, full + random).agreement
    # Seed 1: 2 of 4 (the fifth step has no counterpart); seed 2: 1 of 2.
    assert (found.condition, found.participants, found.steps) == ("random", 1, 6)
    assert found.equal == pytest.approx(3 / 6)
    assert found.equal_se is None


def test_a_seed_met_twice_is_paired_in_the_order_met(tmp_path: Path) -> None:
    full = [driven("full", [0, 0], seed=1), driven("full", [2, 1], seed=1)]
    pico = [driven("pico", [0, 0], seed=1), driven("pico", [2, 1], seed=1)]
    (found,) = report_of(tmp_path, full + pico).agreement
    assert (found.steps, found.equal, found.kappa) == (4, 1.0, pytest.approx(1.0))


def test_participants_are_averaged_after_their_own_agreement(tmp_path: Path) -> None:
    ann = [driven("full", [1, 2], seed=1), driven("pico", [1, 2], seed=1)]
    ben = [driven("full", [1, 2, 1, 2], seed=2), driven("pico", [2, 1, 1, 2], seed=2)]
    (found,) = report_of(tmp_path, ann, ben).agreement
    assert (found.equal, found.equal_se) == (pytest.approx(0.75), pytest.approx(0.25))
    assert (found.kappa, found.kappa_se) == (pytest.approx(0.5), pytest.approx(0.5))


def test_kappa_is_undefined_for_someone_who_always_does_the_same(tmp_path: Path) -> None:
    same = [driven("full", [1, 1], seed=1), driven("pico", [1, 1], seed=1)]
    (found,) = report_of(tmp_path / "one", same).agreement
    assert (found.equal, found.kappa, found.kappa_se, found.kappa_participants) == (1.0, None, None, 0)
    other = [driven("full", [1, 2], seed=2), driven("pico", [1, 2], seed=2)]
    (found,) = report_of(tmp_path / "two", same, other).agreement
    assert (found.participants, found.kappa, found.kappa_se, found.kappa_participants) == (2, 1.0, None, 1)


@pytest.mark.parametrize("others", [[], [driven("full", [1], seed=2)]], ids=["no full", "another seed"])
def test_there_is_no_agreement_without_full_from_the_same_seed(others: list[Drive], tmp_path: Path) -> None:
    assert report_of(tmp_path, [driven("random", [1], seed=1), *others]).agreement == []


@given(st.lists(st.integers(0, 30), min_size=9, max_size=9).filter(lambda counts: sum(counts) > 0))
def test_kappa_is_observed_less_expected_agreement_over_one_less_expected(counts: list[int]) -> None:
    table = np.array(counts).reshape(3, 3)
    shares = table / table.sum()
    expected = sum(shares[i].sum() * shares[:, i].sum() for i in range(3))
    kappa = cohens_kappa(table)
    if kappa is None:
        assert expected == pytest.approx(1)
    else:
        assert kappa == pytest.approx((np.trace(shares) - expected) / (1 - expected))


def test_blocks_are_counted_per_episode_then_person(tmp_path: Path) -> None:
    ann = [driven("random", [1, 1], mask=[0, 1]), driven("random", [1], mask=[0])]
    ben = [driven("random", [1], mask=[7])]
    (found,) = report_of(tmp_path, ann, ben).blocks
    assert found.condition == "random"
    assert found.sent == (0.5, 0.25, 0, 0, 0, 0, 0, 0.5)


def test_raw_sends_no_blocks(tmp_path: Path) -> None:
    assert report_of(tmp_path, [scored("raw", 0.5)]).blocks == []


def test_learning_is_by_the_number_within_the_condition_and_by_its_place(tmp_path: Path) -> None:
    ann = [scored("random", 0.1), scored("random", 0.3), scored("pico", 0.5)]
    ben = [scored("pico", 0.7), scored("random", 0.5)]
    report = report_of(tmp_path, ann, ben)
    assert [(p.condition, p.place, p.participants, round(p.value, 6)) for p in report.by_episode] == [
        ("random", 1, 2, 0.3),
        ("random", 2, 1, 0.3),
        ("pico", 1, 2, 0.6),
    ]
    assert [(p.condition, p.place, p.participants, round(p.value, 6)) for p in report.by_place] == [
        ("random", 1, 1, 0.2),
        ("random", 2, 1, 0.5),
        ("pico", 1, 1, 0.7),
        ("pico", 2, 1, 0.5),
    ]
    assert report.by_episode[0].se == pytest.approx(0.2)
    assert report.by_episode[1].se is None


# Single originals -----------------------------------------------------------------------------------------------------


def answered(phase: str, stimuli: list[int], actions: list[int], right: float = 1.0) -> EvaluatedEpisode:
    """Return a block of originals that were answered."""
    none = np.zeros(0)
    return EvaluatedEpisode(
        phase=phase,
        condition="raw",
        block=1,
        number=1,
        seed=stimuli[0],
        metrics={"correct": right},
        actions=np.array(actions, np.uint8),
        stimuli=np.array(stimuli),
        sent=none,
        durations_ms=none,
        stage_us=np.zeros((0, 4), np.uint32),
        bits=0.0,
        path=Path(),
        index=0,
    )


def answering(name: str, *singles: EvaluatedEpisode) -> Person:
    first = (answered("evaluation", [5, 6, 5], [1, 0, 0]),)
    return Person(name, None, first, (), singles)  # type: ignore[arg-type]


def test_repeats_are_compared_with_the_first_answer_and_catch_trials_are_right_or_not() -> None:
    ann = answering(
        "ann",
        answered("repeats", [5], [1]),
        answered("repeats", [6], [1]),
        answered("repeats", [7], [0]),
        answered("catch", [9], [0], 0.0),
        answered("catch", [8], [0]),
        answered("catch", [8], [0]),
        answered("catch", [8], [0]),
    )
    ben = answering("ben", answered("repeats", [6], [0]))
    found = attention((ann, ben), "correct")
    assert [(each.participant, each.catch, each.caught, each.repeats, each.alike) for each in found] == [
        ("ann", 4, 0.75, 2, 0.5),
        ("ben", 0, None, 1, 1.0),
    ]
    assert attention_lines(found)[1] == "ben: 0 catch trials, - right; 1 repeat, 100 % as before"


def test_nothing_is_said_of_attention_where_there_were_no_such_pictures() -> None:
    assert attention((answering("ann"),), "correct") == []


def test_answers_to_pictures_are_compared_with_those_to_the_originals() -> None:
    assert reference_of(False, ("raw", "full")) == "raw"
    assert {reference_of(False, ("full",)), reference_of(True, ("raw", "full"))} == {"full"}
