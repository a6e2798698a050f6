from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from compression.errors import CompressionError
from racer.commands.rates import rates
from racer.errors import ConfigError, RacerError
from racer.rates.grid import NULLS
from racer.rates.results import RESULTS, ResultsError

app = typer.Typer()
app.command()(rates)
TINY = [
    "--coders",
    "random,pico",
    "--bits",
    "3,5",
    "--participants",
    "1",
    "--episodes",
    "1",
    "--steps",
    "4",
    "--jobs",
    "1",
]


def run(folder: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*TINY, "--out", str(folder / "rates"), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_sweep_prints_what_it_left_out_what_it_found_and_what_it_wrote(tmp_path: Path) -> None:
    output = run(tmp_path, "--set", "speed=50")
    assert "left out random at 3 bits: it needs 4 bits or more" in output
    assert "speed 50, pursuit, no noise" in output
    assert "road progress (%)  time off the road (%)" in output
    assert "road progress: higher is better; time off the road: lower is better" in output
    assert "every action costs 2 bits on its way back" in output
    assert "Drove 9 cells\n" in output
    assert "pico was fitted to the driving of pursuit: there its rows, marked +, are no evidence for others" in output
    assert "normalised: from who sees nothing (0 %) to who sees the original frames (100 %)" in output
    assert f"Next: look at {tmp_path / 'rates' / 'rates_progress.png'}" in output
    names = {path.name for path in (tmp_path / "rates").iterdir() if not path.name.startswith(".")}
    pictures = {f"rates_{name}.{kind}" for name in ("progress", "off_road") for kind in ("svg", "png")}
    # In four steps nobody gets further with open eyes than with shut ones, so there is no figure of the normalised.
    assert names == {
        RESULTS,
        "rates.csv",
        "rates_summary.csv",
        "rates_coders.csv",
        "rates.json",
        "rates.html",
        *pictures,
    }
    found = json.loads(run(tmp_path, "--set", "speed=50", "--json"))
    assert (found["cells"], found["driven"], found["damaged_lines"]) == (9, 0, 0)
    assert [curve["coder"] for curve in found["curves"]] == ["raw", "full", *NULLS, "pico"]
    assert found["fitted_on_drivers"] == {"pico": ["pursuit"]}


def test_a_dry_run_says_how_much_there_is_and_writes_nothing(tmp_path: Path) -> None:
    arguments = ["--participants", "3", "--episodes", "2", "--noise", "erasures", "--noise-rate", "0.1", "--dry-run"]
    assert "90 cells, 180 episodes, 720 steps at most\nabout " in run(tmp_path, *arguments)
    found = json.loads(run(tmp_path, *arguments, "--json"))
    assert (found["cells"], found["episodes"], found["steps"]) == (90, 180, 720)
    assert 0 < found["seconds"] < 3600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bits", "3,five"], "--bits takes whole numbers with commas between, such as 3,12,85; got '3,five'"),
        (["--bits", "0"], "bits must lie between 1 and 4096; got 0"),
        (["--whole"], "--whole drives trials to their end: leave --steps out"),
        (["--margin", "1"], "--margin must lie above 0 and below 1; got 1"),
        (["--noise", "flips"], "--noise and --noise-rate belong together"),
        (["--noise-rate", "0.1"], "--noise and --noise-rate belong together"),
        (["--noise", "flips", "--noise-rate", "2"], "noise rate of flips must lie between 0 and 1; got 2"),
        (["--action-delay", "6"], "action delay must lie between 0 and 5 steps; got 6"),
        (["--set", "speed=nan"], "speed must be above 0"),
        (["--set", "speed=1,1.0"], "settings must be named once each"),
        (["--task", "car-raising"], "did you mean 'car-racing'?"),
        (["--drivers", "nobody"], "unknown driver 'nobody'"),
        (["--model", "nowhere"], "cannot read latent model nowhere"),
        (["--address", "auto"], "--address is that of a Ray cluster: add --engine ray"),
        (["--coders", "picco"], "did you mean 'pico'?"),
        (["--coders", "pico,pico"], "name each coder once"),
        (["--mask", "nowhere.safetensors"], "cannot read nowhere.safetensors"),
    ],
)
def test_what_cannot_be_driven_is_refused_in_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    with pytest.raises((RacerError, CompressionError)) as refusal:
        run(tmp_path, *arguments)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_files_that_no_sweep_wrote_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates" / "rates.csv").write_text("mine")
    with pytest.raises(ResultsError, match="it was left as it is; give another --out"):
        run(tmp_path)
    assert (tmp_path / "rates" / "rates.csv").read_text() == "mine"


def test_without_ray_its_engine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match="needs Ray, which is not installed"):
        run(tmp_path, "--engine", "ray")
