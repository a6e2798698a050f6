from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import crossing
import numpy as np
import pytest
from racing_builders import STEP, TASK, Drive
from report_builders import CONDITIONS, CONFIG, SCORES, evaluation
from tiny_models import GREY, STILL, tiny_model

import sessions
from compression.model.latent_model import LatentModel
from racer.report.recordings import read_evaluations
from racer.report.study import StudyReport, report_study
from racer.report.terminal import print_report
from racer.report.write import Written, write_report
from racer.tasks.record import record_of
from racer.tasks.task import Task
from racer.training.sheets import traverse


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("models") / "grey", GREY)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("models") / "still", STILL)


def done(task: Task, model: LatentModel, condition: str, actions: Sequence[int], seed: int) -> Drive:
    """Return an episode that was really done, its latents apart; of a task that waits for answers a block."""
    sizes, paced = model.sizes, task.spec.paced
    empty = np.zeros(sizes.latents, np.float32)
    step = replace(STEP, latent=empty, received=empty, mask=np.arange(sizes.blocks) < 2, packet=bytes(4), bits=20)
    info = sessions.EpisodeInfo("evaluation", condition, seed, 20, "episode", "hold", 4, 0)
    steps, trial = [], task.start(seed)
    for number, action in enumerate(actions):
        outcome = trial.step(action)
        time = 100_000_000 * number
        row = replace(step, action=action, metrics=outcome.metrics, stimulus=seed, time_ns=time, response_ns=time)
        steps.append(row)
        if not paced:
            seed += 1
            trial = task.start(seed)
    return Drive(info, steps)


def study(folder: Path, task: Task, model: LatentModel, people: int = 3) -> Path:
    """Record sittings of a task, in which everybody does something else under every condition."""
    record, rng = record_of(task, model), np.random.default_rng(0)
    for number in range(people):
        drives = [
            done(task, model, condition, rng.integers(len(record.actions), size=6).tolist(), 11)
            for condition in CONDITIONS
        ]
        evaluation(folder, f"p{number}", drives, number, task=record, model_sha256=model.sha256)
    return folder


@pytest.fixture(scope="module", autouse=True)
def found() -> Iterator[None]:
    with crossing.installed():
        yield


@pytest.fixture(scope="module")
def written(grey: LatentModel, tmp_path_factory: pytest.TempPathFactory) -> Written:
    out = tmp_path_factory.mktemp("crossing")
    return write_report(study(out / "study", crossing.Crossing(), grey), out / "report.html", model=grey.folder)


def column(report: StudyReport, metric: str) -> list[float]:
    return [mean.metrics[metric].value for mean in report.conditions]


def test_the_page_speaks_of_the_task_and_of_nothing_else(written: Written) -> None:
    page = written.page.read_text()
    shown = " ".join(page.split("<body>")[1].split())
    for text in ("way left (m)", "home (%)", "effort", "Lower is better", "Higher is better", "stay, left, right, up"):
        assert text in shown, text
    assert "12 numbers (features) in 4 blocks of 3" in shown
    assert "All tests are of way left" in shown
    assert "Below the dashed line, pico served them better" in shown
    assert not any(word in shown for word in (" road", "track", " car ", "steer", "gust"))


def test_every_metric_has_its_panel_and_its_columns(written: Written) -> None:
    with (written.files / "figure6_bars.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [f"{metric}{end}" for metric in ("distance", "home", "effort") for end in ("", "_se")]
    assert list(rows[0]) == ["condition", "participants", *names]
    assert [float(row["distance"]) for row in rows] == column(written.report, "distance")
    svg = (written.files / "figure6_bars.svg").read_text()
    assert all(f"<!-- {text} -->" in svg for text in ("way left (m)", "home (%)", "effort", "lower is better"))
    numbers = json.loads((written.files / "report.json").read_text())["report"]
    assert numbers["task"]["name"] == "crossing"
    assert set(numbers["conditions"][0]["metrics"]) == {"distance", "home", "effort"}
    with (written.files / "blocks.csv").open(newline="") as file:
        assert {row["block"] for row in csv.DictReader(file)} == set("0123")


def test_pictures_are_of_the_model_that_is_named(written: Written, grey: LatentModel) -> None:
    assert written.left_out == {}
    assert traverse(grey).shape == (12, 5, 40, 40, 1)
    with (written.files / "traversals.csv").open(newline="") as file:
        assert [int(row["feature"]) for row in csv.DictReader(file)] == list(range(12))
    with (written.files / "figure6_strips.csv").open(newline="") as file:
        assert {row["condition"] for row in csv.DictReader(file)} == set(CONDITIONS)


def test_without_the_model_its_pictures_are_left_out_with_the_reason(written: Written, tmp_path: Path) -> None:
    folder = written.page.parent / "study"
    again = write_report(folder, tmp_path / "report.html")
    assert set(again.left_out) == {"figure6_strips", "traversals"}
    assert all("--model" in reason for reason in again.left_out.values())
    assert again.report == written.report


def test_a_task_that_is_not_installed_is_analysed_all_the_same(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("racer.tasks.registry._installed", dict)
    again = write_report(written.page.parent / "study", tmp_path / "report.html")
    assert again.report == written.report
    assert "task crossing is not installed" in again.left_out["traversals"]


def test_the_terminal_has_a_column_for_every_metric(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(written.report)
    out = capsys.readouterr().out
    assert out.splitlines()[2].split("  ")
    assert all(text in out for text in ("way left (m)", "home (%)", "effort"))
    assert "way left: lower is better; home: higher is better; effort: lower is better" in out
    assert " m of way left, paired t(2)" in out


def test_actions_of_any_number_are_compared(written: Written) -> None:
    uplink = {found.condition: found.uplink_bits for found in written.report.agreement}
    assert uplink == dict.fromkeys(("random", "pico"), 2.0), "a choice of four"
    with sessions.open(next((written.page.parent / "study").glob("*.h5"))) as session:
        assert max(int(episode.action.max()) for episode in session.episodes) == 3


def test_a_block_of_trials_comes_to_the_mean_of_its_trials(still: LatentModel, tmp_path: Path) -> None:
    task = crossing.Guess()
    drives = [done(task, still, "random", [3, 4, 0, 0], 3), done(task, still, "full", [3, 4, 5, 0], 3)]
    evaluation(tmp_path, "ann", drives, task=record_of(task, still), model_sha256=still.sha256)
    report = report_study(tmp_path)
    assert dict(zip([mean.condition for mean in report.conditions], column(report, "correct"), strict=True)) == {
        "full": 0.75,
        "random": 0.5,
    }
    (agreement,) = report.agreement
    assert (agreement.steps, agreement.equal) == (4, 0.75)
    (timing,) = report.timing
    assert (timing.paced, timing.median_ms) == (False, None)
    page = write_report(tmp_path, tmp_path / "report.html", model=still.folder).page.read_text()
    assert "The task waits for answers, so there is no beat to keep" in page


def test_sittings_of_different_tasks_do_not_mix(grey: LatentModel, tmp_path: Path) -> None:
    study(tmp_path, crossing.Crossing(), grey, people=2)
    other = evaluation(tmp_path, "car", SCORES, 9, task=TASK)
    windy = record_of(crossing.Crossing(wind=0.5), grey)
    drives = [done(crossing.Crossing(wind=0.5), grey, condition, [1, 2], 11) for condition in CONDITIONS]
    windy_one = evaluation(tmp_path, "windy", drives, 8, task=windy, model_sha256=grey.sha256, config=CONFIG)
    evaluations = read_evaluations(tmp_path)
    assert [person.name for person in evaluations.people] == ["p0", "p1"]
    assert evaluations.excluded == {
        other: "another task than in the first session",
        windy_one: "another setting of the task than in the first session",
    }
