from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_builders import SCORES, evaluation
from scipy import stats

from racer.report.answers import NASA_TLX, NASA_TLX_ITEMS, NASA_TLX_POINTS, TOTAL, Answers, Comment, Note
from racer.report.figures import questionnaires
from racer.report.page import Pictures, render_page
from racer.report.study import report_study
from racer.window.texts import english


def answers_of(folder: Path, *given: list[tuple[str, str]]) -> Answers:
    """Write one sitting per list of answers and return what the report makes of them."""
    for number, answers in enumerate(given):
        evaluation(folder, f"p{number:02d}", SCORES, number, answers=answers)
    return report_study(folder).answers


def test_ratings_are_averaged_per_item_and_condition_over_participants(tmp_path: Path) -> None:
    found = answers_of(
        tmp_path,
        [("evaluation/1/pico/driving/control", "6"), ("evaluation/2/random/driving/control", "2")],
        [("evaluation/1/random/driving/control", "4"), ("evaluation/2/pico/driving/control", "7")],
    )
    assert [(r.questionnaire, r.item, r.condition, r.participants, r.mean, r.se) for r in found.ratings] == [
        ("driving", "control", "random", 2, 3.0, pytest.approx(1.0)),
        ("driving", "control", "pico", 2, 6.5, pytest.approx(0.5)),
    ]
    assert found.comments == []


def test_the_last_answer_to_an_item_counts(tmp_path: Path) -> None:
    (rating,) = answers_of(tmp_path, [("start/0/-/trust/trust", "1"), ("start/0/-/trust/trust", "5")]).ratings
    assert (rating.phase, rating.condition, rating.participants, rating.mean, rating.se) == ("start", "-", 1, 5.0, None)


def test_an_item_that_someone_answered_in_words_is_no_scale(tmp_path: Path) -> None:
    found = answers_of(tmp_path, [("end/0/-/trust/why", "7")], [("end/0/-/trust/why", "seven")])
    assert found.ratings == []
    assert found.comments == [
        Comment("p00", "end", "trust", "why", "-", "7"),
        Comment("p01", "end", "trust", "why", "-", "seven"),
    ]


@pytest.mark.parametrize("answer", ["0", "22", "-1", "3.5", "1e3", "٣", "007"])
def test_what_is_no_point_of_a_scale_is_kept_as_words(answer: str, tmp_path: Path) -> None:
    found = answers_of(tmp_path, [("end/0/-/trust/trust", answer)])
    assert ([comment.text for comment in found.comments], found.ratings) == ([answer], [])


def test_an_unanswered_item_leaves_no_trace(tmp_path: Path) -> None:
    found = answers_of(tmp_path, [("end/0/-/trust/why", " ")])
    assert (found.ratings, found.comments) == ([], [])


def test_every_note_is_kept_and_the_last_word_on_consent(tmp_path: Path) -> None:
    found = answers_of(
        tmp_path,
        [("consent", "declined"), ("note", "late"), ("consent", "accepted"), ("note", "left-handed")],
        [("consent", "accepted")],
    )
    assert found.notes == [Note("p00", "late"), Note("p00", "left-handed")]
    assert found.consents == {"p00": "accepted", "p01": "accepted"}


def test_answers_of_another_shape_are_passed_over(tmp_path: Path) -> None:
    found = answers_of(tmp_path, [("control", "5"), ("a/b/c", "5"), ("a/b/c/d/e/f", "5")])
    assert found == Answers([], [], [], [], {})


def test_the_total_of_nasa_tlx_goes_from_0_to_100_and_takes_whole_answers_only(tmp_path: Path) -> None:
    def workload(points: list[str]) -> list[tuple[str, str]]:
        return [(f"end/0/-/nasa-tlx/{item}", point) for item, point in zip(NASA_TLX_ITEMS, points, strict=True)]

    (total,) = answers_of(
        tmp_path, workload(["1"] * 6), workload(["1", "1", "1", "21", "21", "21"]), workload([*["21"] * 5, ""])
    ).totals
    assert (total.phase, total.condition, total.participants) == ("end", "-", 2)
    assert (total.mean, total.se) == (25.0, pytest.approx(25.0))
    (scales,) = [each for each in english().questionnaires.values() if each.name == NASA_TLX]
    assert [(item.id, item.points) for item in scales.items] == [(name, NASA_TLX_POINTS) for name in NASA_TLX_ITEMS]


def test_answers_are_tested_between_conditions_over_who_answered_under_all_of_them(tmp_path: Path) -> None:
    points = np.array([[2, 6, 7], [1, 5, 4], [3, 4, 6], [2, 2, 5]])  # of each person under each condition
    conditions = ("random", "pico", "full")

    def answers(row: np.ndarray) -> list[tuple[str, str]]:
        said = [
            (f"evaluation/1/{name}/driving/control", str(point)) for name, point in zip(conditions, row, strict=True)
        ]
        workload = [
            (f"evaluation/1/{name}/nasa-tlx/{item}", str(3 * point))
            for name, point in zip(conditions, row, strict=True)
            for item in NASA_TLX_ITEMS[: 6 if row[0] != 3 else 5]  # the third person does not answer all of it
        ]
        return [*said, *workload]

    tests = {each.item: each for each in answers_of(tmp_path, *map(answers, points), answers(points[0])[:1]).tests}
    assert set(tests) == {"control", TOTAL, *NASA_TLX_ITEMS}
    expected = stats.friedmanchisquare(*points.T)
    control = tests["control"]
    assert (control.participants, control.df) == (4, 2)
    assert (control.statistic, control.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert tests[TOTAL].participants == 3 and control.p < control.p_holm <= 1


def test_two_conditions_are_tested_by_signed_ranks(tmp_path: Path) -> None:
    for number, (one, other) in enumerate([(1, 5), (2, 4), (3, 6), (2, 7)]):
        said = [("evaluation/1/random/trust/trust", str(one)), ("evaluation/2/full/trust/trust", str(other))]
        evaluation(tmp_path, f"p{number:02d}", {"random": [0.5], "full": [0.6]}, number, answers=said)
    report = report_study(tmp_path)
    (test,) = report.answers.tests
    assert (test.statistic, test.df, test.p) == (0.0, None, pytest.approx(0.125))
    nothing = Pictures({}, {})
    page = render_page(report, nothing, "files", {})
    assert "Differences between the conditions" in page and "W = 0, p = 0.125" in page
    simulated = render_page(replace(report, simulated=True), nothing, "files", {})
    assert "W = 0, p" not in simulated, "p would say how many were simulated"


def test_choices_are_counted_and_numbers_averaged_as_the_study_asked_for_them(tmp_path: Path) -> None:
    items = [
        {"id": "sex", "kind": "choice", "options": {"f": "female", "m": "male"}},
        {"id": "plays", "kind": "choices", "options": {"cars": "Cars", "maze": "Mazes"}},
        {"id": "age", "kind": "number"},
    ]
    config = {"study": {"questionnaires": {"custom": [{"name": "you", "items": items}]}}}
    given = (
        [("start/0/-/you/sex", "m"), ("start/0/-/you/plays", "cars maze"), ("start/0/-/you/age", "20")],
        [("start/0/-/you/sex", "m"), ("start/0/-/you/plays", "maze"), ("start/0/-/you/age", "18")],
    )
    for number, answers in enumerate(given):
        evaluation(tmp_path, f"p{number:02d}", SCORES, number, answers=answers, config=config)
    found = report_study(tmp_path).answers
    assert [(each.item, each.words, each.chosen, each.participants) for each in found.choices] == [
        ("sex", "female", 0, 2),
        ("sex", "male", 2, 2),
        ("plays", "Cars", 1, 2),
        ("plays", "Mazes", 2, 2),
    ]
    assert [(each.item, each.mean, each.participants) for each in found.numbers] == [("age", 19.0, 2)]
    assert (found.ratings, found.comments) == ([], [])


def test_ratings_stand_on_axes_of_their_scale(tmp_path: Path) -> None:
    items = [{"id": "sure", "kind": "scale", "points": 3}, {"id": "glad", "kind": "scale"}]
    config = {"study": {"questionnaires": {"custom": [{"name": "mine", "items": items}]}}}
    answers = [
        (f"evaluation/1/pico/{item}", "2") for item in ("driving/control", "nasa-tlx/effort", "mine/sure", "mine/glad")
    ]
    evaluation(tmp_path, "p00", SCORES, 0, answers=answers, config=config)
    ratings = report_study(tmp_path).answers.ratings
    points = {rating.item: rating.points for rating in ratings}
    assert points == {"control": 7, "effort": 21, "sure": 3, "glad": 7}
    drawn = questionnaires(ratings)
    assert drawn is not None
    assert all(f"points chosen, of {each} (".encode() in drawn.svg for each in (3, 7, 21))
    assert {row[2]: row[-1] for row in drawn.rows} == points
