from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from racing_builders import TASK, scored
from report_builders import CONDITIONS, CONFIG, SCORES, evaluation, recorded, write_study
from scipy import stats

from racer.report.study import Mean, NothingToReportError, StudyReport, report_study

EXERCISE = np.array([[45, 50, 55], [42, 42, 45], [36, 41, 43], [39, 35, 40], [51, 55, 59], [44, 49, 56]])
"""A textbook's fitness of six people before, three and six months into an exercise programme (Laerd Statistics,
one-way repeated-measures ANOVA): F(2, 10) = 12.53, p = .002."""


def study(folder: Path, table: NDArray[Any], conditions: tuple[str, ...] = CONDITIONS) -> StudyReport:
    """Write one session per row, one episode per condition, and report."""
    return report_study(write_study(folder, table, conditions))


def one_way_anova(table: NDArray[np.float64]) -> tuple[float, float]:
    """Return F and p of a repeated-measures ANOVA by sums of squares: rows are people, columns conditions."""
    people, conditions = table.shape
    grand = table.mean()
    between_conditions = people * ((table.mean(axis=0) - grand) ** 2).sum()
    between_people = conditions * ((table.mean(axis=1) - grand) ** 2).sum()
    error = ((table - grand) ** 2).sum() - between_conditions - between_people
    df = conditions - 1, (conditions - 1) * (people - 1)
    f = (between_conditions / df[0]) / (error / df[1])
    return float(f), float(stats.f.sf(f, *df))


def test_each_persons_episodes_are_averaged_before_the_people_are(tmp_path: Path) -> None:
    evaluation(tmp_path, "ann", {"random": [0.1, 0.3], "pico": [0.5], "full": [0.5, 0.7]}, 0)
    evaluation(tmp_path, "ben", {"random": [0.3], "pico": [0.2, 0.4, 0.6], "full": [0.8]}, 1)
    report = report_study(tmp_path)
    assert report.participants == ("ann", "ben")
    assert [mean.condition for mean in report.conditions] == ["full", "random", "pico"]
    full, random, pico = report.conditions
    assert [mean.participants for mean in report.conditions] == [2, 2, 2]
    assert random.metrics["progress"].value == pytest.approx((0.2 + 0.3) / 2)
    assert pico.metrics["progress"].value == pytest.approx((0.5 + 0.4) / 2)
    assert full.metrics["progress"].value == pytest.approx((0.6 + 0.8) / 2)
    # Two people: the standard error is half their difference.
    assert [mean.metrics["progress"].se for mean in report.conditions] == pytest.approx([0.1, 0.05, 0.05])
    assert report.gap_closed == pytest.approx((0.45 - 0.25) / (0.70 - 0.25))
    assert report.excluded == {}


def test_time_off_the_road_is_the_fraction_of_steps(tmp_path: Path) -> None:
    off = [True, False, False, False]
    evaluation(tmp_path, "ann", [scored("random", 0.4, off), scored("random", 0.4), scored("pico", 0.4)], 0)
    evaluation(tmp_path, "ben", [scored("random", 0.4, [True, True]), scored("pico", 0.4)], 1)
    pico, random = sorted(report_study(tmp_path).conditions, key=lambda mean: mean.condition)
    assert random.metrics["off_road"].value == pytest.approx((0.125 + 1.0) / 2)
    assert random.metrics["off_road"].se == pytest.approx(0.875 / 2)
    assert pico.metrics["off_road"] == Mean(0.0, 0.0)


def test_an_episodes_score_is_its_progress_at_its_end(tmp_path: Path) -> None:
    evaluation(tmp_path, "ann", [scored("random", 0.4, [False] * 5)])
    assert report_study(tmp_path).conditions[0].metrics["progress"].value == pytest.approx(0.4)


def test_the_anova_of_the_textbook_is_the_textbooks(tmp_path: Path) -> None:
    report = study(tmp_path, EXERCISE / 100)
    paired, whole = report.anova
    assert sorted(whole.conditions) == sorted(CONDITIONS)
    assert (whole.df_condition, whole.df_error) == (2, 10)
    f, p = one_way_anova(recorded(EXERCISE / 100))
    assert (round(f, 2), round(p, 3)) == (12.53, 0.002)
    assert whole.f == pytest.approx(f, rel=1e-6)
    assert whole.p == pytest.approx(p, rel=1e-6)
    f, p = one_way_anova(recorded(EXERCISE[:, :2] / 100))
    assert sorted(paired.conditions) == ["pico", "random"]
    assert paired.f == pytest.approx(f, rel=1e-6)
    assert paired.p == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_of_two_conditions_f_is_the_square_of_t(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    table = rng.uniform(0.05, 0.4, (12, 1)) + rng.normal(0, 0.02, (12, 2)) + [0, 0.02]
    report = study(tmp_path, table, ("random", "pico"))
    (anova,) = report.anova
    assert report.difference is not None
    differences = recorded(table)[:, 1] - recorded(table)[:, 0]
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(12))
    assert (report.difference.minuend, report.difference.subtrahend) == ("pico", "random")
    assert report.difference.mean == pytest.approx(differences.mean())
    assert report.difference.se == pytest.approx(differences.std(ddof=1) / np.sqrt(12))
    assert report.difference.df == 11
    assert report.difference.t == pytest.approx(t)
    assert (anova.df_condition, anova.df_error) == (1, 11)
    assert anova.f == pytest.approx(t**2)
    assert anova.p == pytest.approx(report.difference.p) == pytest.approx(2 * stats.t.sf(abs(t), 11))
    assert report.gap_closed is None


def test_differences_that_do_not_vary_have_no_test_instead_of_an_infinite_one(tmp_path: Path) -> None:
    report = study(tmp_path, np.array([[0.25, 0.5, 0.75], [0.125, 0.375, 0.625], [0.5, 0.75, 1.0]]))
    assert report.difference is not None
    assert (report.difference.mean, report.difference.t, report.difference.p) == (0.25, None, None)
    assert [(anova.f, anova.p) for anova in report.anova] == [(None, None)] * 2
    assert [(anova.df_condition, anova.df_error) for anova in report.anova] == [(1, 2), (2, 4)]


def test_equal_random_and_full_leave_no_gap_to_close(tmp_path: Path) -> None:
    assert study(tmp_path, np.array([[0.5, 0.6, 0.5], [0.25, 0.5, 0.25]])).gap_closed is None


def test_one_participant_gives_means_and_no_tests_and_still_valid_json(tmp_path: Path) -> None:
    report = study(tmp_path, np.array([[0.1, 0.2, 0.3]]))
    assert [round(mean.metrics["progress"].value, 6) for mean in report.conditions] == [0.3, 0.1, 0.2]
    assert (report.difference, report.anova) == (None, [])
    json.dumps(asdict(report), allow_nan=False)


def test_a_study_of_people_is_not_simulated_and_the_two_kinds_are_not_mixed(tmp_path: Path) -> None:
    evaluation(tmp_path / "people", "ann", SCORES, 0)
    assert report_study(tmp_path / "people").simulated is False
    evaluation(tmp_path / "machines", "robot", SCORES, 0, driver="simulated")
    assert report_study(tmp_path / "machines").simulated is True
    odd = evaluation(tmp_path / "people", "robot", SCORES, 1, driver="simulated")
    report = report_study(tmp_path / "people")
    assert (report.simulated, report.participants) == (False, ("ann",))
    assert "kind of driver" in report.excluded[str(odd)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "pilot"}, "a pilot user's session, for training"),
        ({"trial_run": True}, "a trial run (--trial)"),
        ({"status": "aborted"}, "not completed (aborted)"),
        ({"participant": "p00"}, "second session of the same participant"),
        ({"model_sha256": "12" * 32}, "another latent model"),
        ({"fitted_sha256": "34" * 32}, "another fitted file"),
        ({"driver": "simulated"}, "kind of driver"),
        ({"config": CONFIG | {"channel_format": 2}}, "packet format"),
        ({"config": CONFIG | {"study_settings_sha256": "ef" * 32}}, "study file"),
        ({"config": CONFIG | {"channel": {"bits": 20}}}, "use of the channel"),
        ({"task": replace(TASK, settings=TASK.settings | {"speed": 60.0})}, "another setting of the task"),
        ({"config": CONFIG | {"protocol": CONFIG["protocol"] | {"steps": 50}}}, "steps per episode"),
        ({"config": CONFIG | {"protocol": CONFIG["protocol"] | {"evaluation": 3}}}, "episodes per condition"),
        ({"config": CONFIG | {"protocol": CONFIG["protocol"] | {"conditions": ["raw"]}}}, "set of conditions"),
        ({"task": replace(TASK, name="lunar-lander")}, "another task than"),
        ({"task": replace(TASK, actions=("port", "ahead", "starboard"))}, "another version of the task"),
        ({"config": {}}, "than in the first session"),
        ({"config": CONFIG | {"protocol": "evaluation"}}, "than in the first session"),
        ({"config": CONFIG | {"protocol": {"conditions": 5}}}, "than in the first session"),
        ({"drives": {"random": [0.9], "pico": [0.9]}}, "conditions are not those of the first session"),
        ({"drives": []}, "no evaluation episode"),
        ({"drives": [replace(scored("random", 0.9), status="aborted")]}, "no evaluation episode"),
        ({"drives": [scored("random", 0.9, phase="practice")]}, "no evaluation episode"),
        ({"drives": [scored("from_the_future", 0.9)]}, "no evaluation episode"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_belong_is_left_out_with_its_reason(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    table = np.array([[0.1, 0.2, 0.3], [0.2, 0.4, 0.5]])
    alone = study(tmp_path, table)
    settings: dict[str, Any] = {"participant": "odd", "drives": SCORES, "number": 30} | changes
    odd = evaluation(tmp_path, **settings)
    report = report_study(tmp_path)
    assert list(report.excluded) == [str(odd)]
    assert reason in report.excluded[str(odd)]
    assert replace(report, excluded={}) == alone


def test_an_unreadable_file_is_left_out_with_its_reason(tmp_path: Path) -> None:
    alone = study(tmp_path, np.array([[0.1, 0.2, 0.3], [0.2, 0.4, 0.5]]))
    torn = tmp_path / "p09_evaluation_20260131T150000Z_0a1b2c.h5"
    torn.write_bytes(b"torn")
    report = report_study(tmp_path)
    assert list(report.excluded) == [str(torn)]
    assert replace(report, excluded={}) == alone


@pytest.mark.parametrize("changes", [{"drives": [], "fitted_sha256": ""}, {"drives": [scored("raw", 0.5, phase="x")]}])
def test_an_empty_first_session_does_not_decide_what_the_others_must_be(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    evaluation(tmp_path, "empty", number=0, model_sha256="12" * 32, **changes)
    for number in (1, 2):
        evaluation(tmp_path, f"p{number:02d}", SCORES, number)
    report = report_study(tmp_path)
    assert report.participants == ("p01", "p02")
    assert len(report.excluded) == 1


@pytest.mark.parametrize("with_pilot", [False, True])
def test_nothing_to_report_is_one_line_with_the_reason_and_what_to_do(with_pilot: bool, tmp_path: Path) -> None:
    if with_pilot:
        evaluation(tmp_path, "ann", SCORES, protocol="pilot")
    with pytest.raises(NothingToReportError) as refusal:
        report_study(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1
    assert ("a pilot user's session" if with_pilot else "no recordings") in str(refusal.value)
    assert "racer session start NAME --protocol evaluation" in str(refusal.value)


def test_a_folder_that_does_not_exist_has_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(NothingToReportError, match=r"there is no folder .*; check the name"):
        report_study(tmp_path / "nowhere")


def test_a_rejected_episode_counts_nowhere(tmp_path: Path) -> None:
    drives = [scored("random", 0.9), scored("random", 0.1), scored("pico", 0.2)]
    evaluation(tmp_path, "ann", drives, rejected=[0])
    report = report_study(tmp_path)
    assert [(score.condition, score.episodes, round(score.metrics["progress"], 6)) for score in report.scores] == [
        ("random", 1, 0.1),
        ("pico", 1, 0.2),
    ]
    assert [(point.condition, point.place) for point in report.by_episode] == [("random", 1), ("pico", 1)]


def test_a_resumed_sitting_counts_as_one_with_the_episodes_of_both_files(tmp_path: Path) -> None:
    cut = replace(scored("pico", 0.9), status="aborted")
    evaluation(tmp_path, "ann", [scored("random", 0.1), scored("pico", 0.2), cut], 1, "aborted")
    evaluation(tmp_path, "ann", [scored("pico", 0.4), scored("full", 0.5)], 2, resumes="000001")
    report = report_study(tmp_path)
    assert report.excluded == {}
    assert [
        (score.condition, score.block, score.episodes, round(score.metrics["progress"], 6)) for score in report.scores
    ] == [
        ("full", 3, 1, 0.5),
        ("random", 1, 1, 0.1),
        ("pico", 2, 2, 0.3),
    ]


def test_a_resumed_sitting_that_was_never_finished_is_left_out_with_both_files(tmp_path: Path) -> None:
    write_study(tmp_path, np.array([[0.1, 0.2, 0.3]]))
    paths = [evaluation(tmp_path, "ann", SCORES, 1, "aborted")]
    paths.append(evaluation(tmp_path, "ann", SCORES, 2, "aborted", resumes="000001"))
    report = report_study(tmp_path)
    assert report.excluded == {str(path): "not completed (aborted)" for path in paths}


def test_a_sitting_resumed_with_other_settings_is_left_out(tmp_path: Path) -> None:
    write_study(tmp_path, np.array([[0.1, 0.2, 0.3]]))
    evaluation(tmp_path, "ann", SCORES, 1, "aborted")
    evaluation(tmp_path, "ann", SCORES, 2, resumes="000001", fitted_sha256="ef" * 32)
    report = report_study(tmp_path)
    assert report.participants == ("p00",)
    assert set(report.excluded.values()) == {"another fitted file than in the first session"}
    assert len(report.excluded) == 2


@pytest.mark.parametrize(
    "conditions", [("raw",), ("random", "full"), ("raw", "full", "perceptual"), ("pico", "raw"), ("random", "pico")]
)
def test_any_set_of_conditions_is_compared_as_far_as_it_goes(conditions: tuple[str, ...], tmp_path: Path) -> None:
    table = np.random.default_rng(0).uniform(0.1, 0.5, (4, len(conditions)))
    report = study(tmp_path, table, conditions)
    assert {mean.condition for mean in report.conditions} == set(conditions)
    assert len(report.pairs) == len(conditions) * (len(conditions) - 1) // 2
    assert (report.difference is not None) == ({"random", "pico"} <= set(conditions))
    assert len(report.anova) == (len(conditions) > 1)
    assert report.gap_closed is None
    assert (report.friedman is not None) == (len(conditions) > 2)
    json.dumps(asdict(report), allow_nan=False)


def test_the_title_is_that_of_all_recordings_or_none(tmp_path: Path) -> None:
    evaluation(tmp_path, "ann", SCORES, 0, study="Bends")
    assert report_study(tmp_path).study == "Bends"
    evaluation(tmp_path, "ben", SCORES, 1, study="Other bends")
    assert report_study(tmp_path).study == ""


def test_versions_that_differ_are_named_with_their_counts(tmp_path: Path) -> None:
    for number, version in enumerate(["1.0", "1.0", "2.0"]):
        evaluation(tmp_path, f"p{number}", SCORES, number, software={"torch": version, "numpy": "2.4"})
    found = {one.name: one for one in report_study(tmp_path).provenance}
    assert (found["software: torch"].values, found["software: torch"].differs) == ({"1.0": 2, "2.0": 1}, True)
    assert (found["software: numpy"].values, found["software: numpy"].differs) == ({"2.4": 3}, False)
    assert found["latent model (SHA-256)"].values == {"ab" * 32: 3}
