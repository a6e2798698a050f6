from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import crossing
import pytest
from racing_builders import write_mask
from tiny_models import GREY, STILL, write_tiny_model
from typer import Typer
from typer.testing import CliRunner

from compression.model.latent_model import load_model
from racer.commands.rates import rates
from racer.engines import LocalEngine
from racer.errors import ConfigError
from racer.loop.episode import block_seeds
from racer.rates import provenance
from racer.rates.driving import drive_all
from racer.rates.grid import NULLS, RatesConfig, sweep_settings
from racer.rates.people import draw_person
from racer.rates.provenance import code_sha256
from racer.rates.sweep import Sweep, prepare_sweep, run_sweep
from racer.rates.write import write_rates

CODERS = ("random", "coarse", "predictive")
METRICS = ("distance", "home", "effort")


@pytest.fixture(scope="module", autouse=True)
def found() -> Iterator[None]:
    with crossing.installed():
        yield


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "grey", GREY)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "still", STILL)


def config(task: str = "crossing") -> RatesConfig:
    return RatesConfig(task, sweep_settings(task), 12, ("crossing:make",), bits=(2, 12), participants=2, episodes=2)


@pytest.fixture(scope="module")
def swept(grey: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, Path]:
    """A finished sweep of the crossing, and its folder."""
    out = tmp_path_factory.mktemp("rates")
    sweep = prepare_sweep(config(), CODERS, folder=grey)
    write_rates(sweep, run_sweep(sweep, out, LocalEngine(1)), out)
    return sweep, out


def test_columns_and_figures_are_those_of_the_task(swept: tuple[Sweep, Path]) -> None:
    sweep, out = swept
    names = {path.name for path in out.glob("rates*")}
    assert {f"rates_{metric}.{kind}" for metric in METRICS for kind in ("png", "svg")} < names
    assert not any("progress" in name or "off_road" in name for name in names)
    with (out / "rates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(METRICS) | {"gust", "set_wind", "driver", "seed", "uplink_bits", "lost"} < set(rows[0])
    assert {row["set_wind"] for row in rows} == {"0.0", "0.5"}
    assert {row["uplink_bits"] for row in rows} == {"2"}
    assert len({row["distance"] for row in rows}) > 4, "equal numbers would show nothing"
    assert len(rows) == 2 * len(sweep.grid.cells)
    with (out / "rates_summary.csv").open() as file:
        assert {f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")} < set(next(csv.reader(file)))
    numbers = json.loads((out / "rates.json").read_bytes())
    assert [metric["name"] for metric in numbers["metrics"]] == list(METRICS)
    assert {curve["place"] for curve in numbers["curves"]} == {f"wind {wind}, crossing:make" for wind in ("0", "0.5")}


def test_shares_are_of_the_way_that_was_made(swept: tuple[Sweep, Path]) -> None:
    curves = json.loads((swept[1] / "rates.json").read_bytes())["curves"]
    for place in {curve["place"] for curve in curves}:
        own = [curve for curve in curves if curve["place"] == place]
        (raw,) = (curve["points"][0]["metrics"]["distance"]["value"] for curve in own if curve["coder"] == "raw")
        for curve in own:
            for point in curve["points"]:
                made = 80 - point["metrics"]["distance"]["value"]
                assert point["of_raw"]["value"] == pytest.approx(made / (80 - raw))


def test_a_finished_sweep_is_not_driven_again_and_another_model_is_refused(
    swept: tuple[Sweep, Path], tmp_path: Path
) -> None:
    sweep, out = swept
    assert run_sweep(sweep, out, LocalEngine(1)).driven == 0
    other = write_tiny_model(tmp_path / "other", GREY, seed=1)
    with pytest.raises(Exception, match="belongs to a sweep with other settings: model_sha256"):
        run_sweep(prepare_sweep(config(), CODERS, folder=other), out, LocalEngine(1))


def test_a_model_reaches_other_processes_by_its_content(grey: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(grey, tmp_path / "model")
    sweep = prepare_sweep(replace(config(), participants=1), CODERS, folder=folder)
    cells = sweep.grid.cells[:4]
    here = drive_all(sweep.plan, cells)
    shutil.rmtree(folder)
    assert drive_all(replace(sweep.plan, settings=()), cells) == here


def test_the_code_of_an_installed_task_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_sha256.__wrapped__("crossing")
    assert before != code_sha256("car-racing")
    sources = provenance._sources
    monkeypatch.setattr(provenance, "_sources", lambda module: [*sources(module), Path(__file__)])
    assert code_sha256.__wrapped__("crossing") != before


def test_coders_that_cannot_be_had_for_a_model_are_left_out_with_the_reason(
    grey: Path, still: Path, tmp_path: Path
) -> None:
    sweep = prepare_sweep(config("guess"), folder=still)
    reasons = {skipped.coder: skipped.reason for skipped in sweep.grid.skipped}
    assert {"raw", "full", "blind", "random", "coarse"} < set(sweep.grid.coders)
    assert "needs a world model" in reasons["zero-bits"]
    assert "predictive" not in sweep.grid.coders and reasons["predictive"]
    (tmp_path / "bare").mkdir()
    shutil.copy(grey / "model.safetensors", tmp_path / "bare")
    bare = prepare_sweep(config(), ("coarse", "random"), folder=tmp_path / "bare")
    assert bare.grid.coders == ("raw", "full", *NULLS)
    assert any(
        skipped.coder == "coarse" and "none comes with this latent model" in skipped.reason
        for skipped in bare.grid.skipped
    )


def test_a_coder_whose_package_is_not_installed_is_left_out_with_the_reason(
    grey: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "constriction.constriction", None)
    grid = prepare_sweep(config(), ("coarse", "rl-asc"), folder=grey).grid
    assert "coarse" in grid.coders and "rl-asc" not in grid.coders
    assert any(each.coder == "rl-asc" and "pip install 'racer[coding]'" in each.reason for each in grid.skipped)


def test_a_task_that_waits_for_answers_is_driven_in_blocks_of_trials(still: Path, tmp_path: Path) -> None:
    sweep = prepare_sweep(config("guess"), ("random",), folder=still)
    driven = run_sweep(sweep, tmp_path, LocalEngine(1))
    for score in driven.scores:
        assert [episode.steps for episode in score.episodes] == [12, 12]
        assert all(
            episode.metrics["correct"] * 12 == pytest.approx(round(episode.metrics["correct"] * 12))
            for episode in score.episodes
        )
    write_rates(sweep, driven, tmp_path)
    assert (tmp_path / "rates_correct.png").exists()


def test_a_block_of_trials_has_no_trial_that_something_was_fitted_to(still: Path, tmp_path: Path) -> None:
    seeds = block_seeds(max(draw_person(0, 0, 2).seeds), 13)
    last, after = (
        write_mask(tmp_path / f"{name}.safetensors", load_model(still), seeds=(seeds[later],))
        for name, later in (("last", 11), ("after", 12))
    )
    with pytest.raises(ConfigError, match=f"pico was fitted to a trial from seed {seeds[11]}"):
        prepare_sweep(replace(config("guess"), participants=1), ("pico",), [last], still)
    prepare_sweep(replace(config("guess"), participants=1), ("pico",), [after], still)


def test_a_model_of_other_sizes_is_refused_in_one_line(still: Path) -> None:
    with pytest.raises(ConfigError, match="for frames of 28x28x1, and task crossing has frames of 40x40") as refusal:
        prepare_sweep(config(), folder=still)
    assert len(str(refusal.value).splitlines()) == 1


def test_the_command_takes_any_task(grey: Path, tmp_path: Path) -> None:
    app = Typer()
    app.command()(rates)
    arguments = ["--task", "crossing", "--set", "wind=0,1", "--drivers", "crossing:make", "--model", str(grey)]
    arguments += ["--coders", "random", "--bits", "12", "--participants", "1", "--episodes", "1", "--jobs", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "wind 0, crossing:make, no noise" in result.stdout and "wind 1, crossing:make, no noise" in result.stdout
    assert "way left (m)  home (%)  effort" in result.stdout
    assert "way left: lower is better; home: higher is better; effort: lower is better" in result.stdout
    with (tmp_path / "out" / "rates.csv").open() as file:
        assert max(int(row["steps"]) for row in csv.DictReader(file)) == 12, "one and a half times the task's 8"
