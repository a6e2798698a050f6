from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from racer.commands.rates import rates
from racer.errors import ConfigError, RacerError
from racer.rates.people import FIRST_SEALED, LAST_SEED, draw_person
from racer.rates.sealed import SealError, read_sealed
from racer.tasks.task import MOST_SEED

app = typer.Typer()
app.command()(rates)
TINY = ["--bits", "5", "--participants", "1", "--episodes", "1", "--steps", "3", "--jobs", "1", "--set", "speed=50"]


def run(folder: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*TINY, "--out", str(folder / "rates"), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def sealed(folder: Path, family: str = "two-point") -> Path:
    path = folder / "sealed.json"
    run(folder, "--seal", str(path), "--drivers", family, "--seed", "7")
    return path


def test_sealed_people_and_tracks_are_nobody_elses() -> None:
    open_one, sealed_one = draw_person(7, 0, 50), draw_person(7, 0, 50, sealed=True)
    assert max(open_one.seeds) < LAST_SEED == FIRST_SEALED <= min(sealed_one.seeds)
    assert max(sealed_one.seeds) < MOST_SEED - 500_000, "a block of trials goes no further than there are seeds"
    assert open_one.seed != sealed_one.seed and set(open_one.dice).isdisjoint(sealed_one.dice)


def test_it_opens_once_and_the_table_says_when(tmp_path: Path) -> None:
    path = sealed(tmp_path)
    assert not (tmp_path / "rates").exists() and read_sealed(path).opened_utc is None
    output = run(tmp_path, "--sealed", str(path), "--coders", "random")
    opened = read_sealed(path)
    assert opened.opened_utc is not None
    assert f"opened {opened.opened_utc}; drivers two-point" in output
    numbers = json.loads((tmp_path / "rates" / "rates.json").read_text(encoding="utf-8"))
    assert numbers["sealed"] == {
        "family": "two-point",
        "sealed_utc": opened.sealed_utc,
        "opened_utc": opened.opened_utc,
    }
    assert {curve["driver"] for curve in numbers["curves"]} == {"two-point"}
    # The same again is no tuning; anything else is.
    before = path.read_bytes()
    assert "Drove 0 cells" in run(tmp_path, "--sealed", str(path), "--coders", "random")
    for other in (["--coders", "coarse"], ["--coders", "random", "--bits", "12"]):
        with pytest.raises(SealError, match="and opens once"):
            run(tmp_path / "other", "--sealed", str(path), *other)
    assert path.read_bytes() == before and not (tmp_path / "other").exists()


def test_what_was_fitted_on_the_family_stays_out(tmp_path: Path) -> None:
    path = sealed(tmp_path, "pursuit")
    with pytest.raises(SealError, match="pico was fitted on pursuit"):
        run(tmp_path, "--sealed", str(path), "--coders", "pico")
    assert read_sealed(path).opened_utc is None, "it was not opened for that"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--dry-run"], "the sealed set, which opens only once"),
        (["--drivers", "satisficing"], "says who drives and where"),
        (["--seed", "8"], "says who drives and where"),
        (["--task", "lunar-lander"], "is of car-racing"),
    ],
)
def test_what_does_not_go_with_a_sealed_set_is_refused(tmp_path: Path, arguments: list[str], told: str) -> None:
    path = sealed(tmp_path)
    with pytest.raises(ConfigError, match=told):
        run(tmp_path, "--sealed", str(path), *arguments)
    assert read_sealed(path).opened_utc is None


def test_a_file_that_is_no_sealed_set_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "sealed.json"
    with pytest.raises(SealError, match="make one with --seal"):
        read_sealed(path)
    for damage in (b"", b"{}", b"\xff", b"[" * 5000, b"x" * 20_000):
        path.write_bytes(damage)
        with pytest.raises(SealError, match="is not a sealed set, or is damaged") as refusal:
            read_sealed(path)
        assert len(str(refusal.value).splitlines()) == 1
        with pytest.raises(SealError, match="exists and was left as it is"):
            run(tmp_path, "--seal", str(path), "--drivers", "two-point")
        assert path.read_bytes() == damage
    with pytest.raises(RacerError, match="takes one family"):
        run(tmp_path, "--seal", str(tmp_path / "two.json"), "--drivers", "two-point,pursuit")
