from __future__ import annotations

import csv
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from racing_builders import write_mask
from rates_builders import CODERS, CONFIG, SIZES, TINY

from compression.coders import BUILT_IN
from compression.coders.coder import find_coder
from compression.errors import CoderError
from compression.model.latent_model import LatentModel
from racer.drivers.driver import DriverError
from racer.engines import Engine, LocalEngine
from racer.errors import ConfigError
from racer.file_bundle import MixedVersionsError
from racer.loop.lockstep import LANES
from racer.rates.driving import drive, drive_all
from racer.rates.estimate import spread
from racer.rates.grid import NO_NOISE, NULLS, Noise, make_grid
from racer.rates.people import draw_person
from racer.rates.results import RESULTS, ResultsError
from racer.rates.sweep import Sweep, SweepResult, prepare_sweep, run_sweep
from racer.rates.write import EPISODES, NUMBERS, POINTS, write_rates

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent
NOISY = replace(TINY, noise=(Noise("erasures", 0.5),))
CELLS = 2 * (3 + 2 * 6)
"""Of NOISY: raw and two rows of no bits, and without noise and with it full, pico and four null rows; for each of two
people."""


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return prepare_sweep(NOISY, CODERS)


@pytest.fixture(scope="module")
def ran(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep, driven one after the other in this process."""
    out = tmp_path_factory.mktemp("rates")
    told: list[tuple[int, int]] = []
    driven = run_sweep(sweep, out, LocalEngine(1), lambda *now: told.append(now))
    assert (driven.driven, driven.damaged, driven.others) == (CELLS, 0, 0)
    assert told == [(done, CELLS) for done in range(CELLS + 1)]
    write_rates(sweep, driven, out)
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("rates*")}


def finish(sweep: Sweep, out: Path, engine: Engine | None = None) -> SweepResult:
    driven = run_sweep(sweep, out, engine or LocalEngine(1))
    write_rates(sweep, driven, out)
    return driven


def test_every_cell_is_driven_and_cars_go_different_ways(ran: Path, sweep: Sweep) -> None:
    with (ran / EPISODES).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == CELLS * NOISY.episodes
    assert {row["steps"] for row in rows} == {"80"}
    assert len({row["progress"] for row in rows}) > 4, "equal numbers would show nothing below"
    unslotted = {"raw": "0.0", "full": "170.0", "blind": "0.0", "zero-bits": "0.0"}
    assert {row["coder"]: row["bits_mean"] for row in rows if row["bits"] == "0"} == unslotted
    assert all(row["bits_mean"] == f"{row['bits']}.0" for row in rows if row["coder"] in CODERS)
    assert {row["uplink_bits"] for row in rows} == {"2"}
    assert {float(row["lost"]) > 0 for row in rows if row["noise"] == "erasures"} == {True}
    assert not any("time" in column or column.endswith("_ns") for column in rows[0])


def test_all_coders_are_driven_from_the_same_seeds_by_the_same_people(ran: Path) -> None:
    with (ran / EPISODES).open() as file:
        rows = list(csv.DictReader(file))
    for number in range(NOISY.participants):
        seeds = {int(row["seed"]) for row in rows if row["participant"] == str(number)}
        assert seeds == set(draw_person(NOISY.seed, number, NOISY.episodes).seeds)


def test_processes_in_parallel_give_the_same_bytes(ran: Path, sweep: Sweep, tmp_path: Path) -> None:
    finish(sweep, tmp_path, LocalEngine(2))
    assert contents(tmp_path) == contents(ran)


def test_a_finished_sweep_is_not_driven_again(ran: Path, sweep: Sweep) -> None:
    before, kept = contents(ran), (ran / RESULTS).read_bytes()
    assert finish(sweep, ran).driven == 0
    assert (contents(ran), (ran / RESULTS).read_bytes()) == (before, kept)


def test_another_order_of_coders_gives_the_same_table(ran: Path, tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_bytes((ran / RESULTS).read_bytes())
    assert finish(prepare_sweep(NOISY, ("pico", "full", "random")), tmp_path).driven == 0
    assert (tmp_path / EPISODES).read_bytes() == (ran / EPISODES).read_bytes()


def test_a_sweep_that_is_killed_in_the_middle_is_finished_by_the_next(ran: Path, sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from racer.engines import LocalEngine\n"
        "from racer.rates.sweep import prepare_sweep, run_sweep\n"
        "from test_rates_sweep import CODERS, NOISY\n"
        "if __name__ == '__main__':\n"
        "    run_sweep(prepare_sweep(NOISY, CODERS), Path('rates'), LocalEngine(2),\n"
        "        lambda done, total: done == 5 and os.kill(os.getpid(), 9))\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{FOLDER}{os.pathsep}{FOLDER.parent}"}
    result = subprocess.run([sys.executable, "killed.py"], cwd=tmp_path, env=environment)
    assert result.returncode == -9
    out = tmp_path / "rates"
    lines = (out / RESULTS).read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 5
    (out / RESULTS).write_bytes(b"".join(lines) + lines[-1][:40])  # as if it had been writing
    assert finish(sweep, out).driven == CELLS - 5
    assert (out / RESULTS).read_bytes().splitlines(keepends=True)[:6] == lines, "what was finished is not touched"
    assert contents(out) == contents(ran)


def test_damaged_lines_are_driven_again_and_the_table_is_the_same(ran: Path, sweep: Sweep, tmp_path: Path) -> None:
    lines = (ran / RESULTS).read_bytes().splitlines(keepends=True)
    (tmp_path / RESULTS).write_bytes(
        b"".join([*lines[:3], b"\xff\x00garbage\n", lines[3].replace(b'"steps":80', b'"steps":79'), *lines[4:]])
    )
    driven = finish(sweep, tmp_path)
    assert (driven.driven, driven.damaged) == (1, 2)
    assert contents(tmp_path) == contents(ran)


def test_a_sweep_grows_and_shrinks_without_driving_anything_twice(ran: Path, tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_bytes((ran / RESULTS).read_bytes())
    other = finish(prepare_sweep(replace(TINY, bits=(5, 12)), ("pico",)), tmp_path)
    assert (other.driven, len(other.scores)) == (10, 2 * 14), "five coders at 12 bits are new to two people"
    assert other.others == CELLS + 10 - len(other.scores)
    again = finish(prepare_sweep(NOISY, CODERS), tmp_path)
    assert (again.driven, again.others) == (0, 10)
    assert contents(tmp_path) == contents(ran)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"seed": 1}, r"seed 0 \(now 1\)"), ({"steps": 8}, r"steps 80 \(now 8\)"), ({"fill": "prior"}, "fill hold")],
)
def test_a_sweep_with_other_settings_is_refused_and_says_what_differs(
    ran: Path, change: dict[str, int], told: str
) -> None:
    before = (ran / RESULTS).read_bytes()
    with pytest.raises(ResultsError, match=f"belongs to a sweep with other settings: {told}"):
        run_sweep(prepare_sweep(replace(NOISY, **change), ("random",)), ran, LocalEngine(1))  # type: ignore[arg-type]
    assert (ran / RESULTS).read_bytes() == before


def test_results_from_other_seeds_than_follow_from_the_seed_are_refused(
    ran: Path, sweep: Sweep, tmp_path: Path
) -> None:
    import zlib

    lines = (ran / RESULTS).read_bytes().splitlines(keepends=True)
    fields = json.loads(lines[1])
    del fields["crc32"]
    fields["episodes"][0]["seed"] += 1
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    (tmp_path / RESULTS).write_bytes(lines[0] + body + b',"crc32":"%08x"}\n' % zlib.crc32(body))
    with pytest.raises(ResultsError, match="from other seeds than follow from --seed"):
        run_sweep(sweep, tmp_path, LocalEngine(1))


# Fitted files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path: Path, model: LatentModel) -> Path:
    """A mask of one's own, which sends other blocks than the shipped one."""
    return write_mask(tmp_path / "mine.safetensors", model, first=(5, 6))


def test_results_of_a_coder_with_another_fitted_file_are_refused(ran: Path, mine: Path) -> None:
    with pytest.raises(ResultsError, match="holds results of pico and pursuit with another fitted file"):
        run_sweep(prepare_sweep(NOISY, CODERS, [mine]), ran, LocalEngine(1))


def test_a_fitted_file_reaches_other_processes_by_its_content(mine: Path, tmp_path: Path) -> None:
    sweep = prepare_sweep(replace(TINY, participants=1, steps=8), ("pico",), [mine])
    here = drive_all(sweep.plan, sweep.grid.cells)
    mine.unlink()
    there = run_sweep(sweep, tmp_path / "rates", LocalEngine(2))
    assert sorted(here, key=lambda score: score.cell.order) == list(there.scores)


def test_a_coder_is_not_driven_from_seeds_that_it_was_fitted_to(tmp_path: Path, model: LatentModel) -> None:
    (seed,) = draw_person(0, 0, 1).seeds
    path = write_mask(tmp_path / "seen.safetensors", model, seeds=(7, seed, 2**31 - 1))
    with pytest.raises(ConfigError, match=f"pico was fitted to a trial from seed {seed}, which this sweep has too"):
        prepare_sweep(TINY, ("pico",), [path])
    prepare_sweep(replace(TINY, seed=1), ("pico",), [path])


def test_a_coder_that_lacks_its_fitted_file_is_left_out_with_the_reason_even_if_it_is_named() -> None:
    sweep = prepare_sweep(TINY, ("perceptual", "random"))
    assert sweep.grid.coders == ("raw", "full", *NULLS)
    (skipped,) = sweep.grid.skipped
    assert (skipped.coder, skipped.bits) == ("perceptual", (5,))
    assert "it needs a file fitted to perceptual, and none comes with this latent model" in skipped.reason


def test_a_coder_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(CoderError, match="did you mean 'pico'"):
        prepare_sweep(TINY, ("picco",))


# Driving -------------------------------------------------------------------------------------------------------------


def test_a_cell_does_not_depend_on_what_is_driven_beside_it(ran: Path, sweep: Sweep) -> None:
    together = {score.cell: score for score in run_sweep(sweep, ran, LocalEngine(1)).scores}
    cells = [cell for cell in sweep.grid.cells if cell.participant == 0 and cell.point.bits]
    assert len(cells) == 10
    for cell in cells[1:3]:
        assert list(drive(sweep.plan, [cell])) == [together[cell]]


def test_raw_is_spared_by_noise_and_other_points_are_not(ran: Path, sweep: Sweep) -> None:
    of = {score.cell: score for score in run_sweep(sweep, ran, LocalEngine(1)).scores}
    silent = {cell.point.noise for cell in of if cell.point.coder in ("raw", "blind", "zero-bits")}
    assert silent == {NO_NOISE}
    noisy = [cell for cell in of if cell.point.noise != NO_NOISE]
    clean = [replace(cell, point=replace(cell.point, noise=NO_NOISE)) for cell in noisy]
    assert any(of[one].episodes != of[other].episodes for one, other in zip(noisy, clean, strict=True))


def test_a_process_with_another_racer_refuses_to_take_part(sweep: Sweep) -> None:
    settings = tuple((name, "0.0.0" if name == "racer" else value) for name, value in sweep.plan.settings)
    plan = replace(sweep.plan, settings=settings)
    with pytest.raises(MixedVersionsError, match="has another racer; what was finished is kept") as refused:
        drive_all(plan, sweep.grid.cells[:1])
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value), "as another process hears it"


def test_a_process_with_another_fitted_file_refuses_to_take_part(sweep: Sweep) -> None:
    hashes = tuple((name, "ab" * 32 if name == "coder pico" else brought) for name, brought in sweep.plan.hashes)
    with pytest.raises(MixedVersionsError, match="has another coder pico; what was finished is kept"):
        drive_all(replace(sweep.plan, hashes=hashes), sweep.grid.cells[:1])


def test_an_estimate_drives_every_kind_of_coder(sweep: Sweep) -> None:
    for participants in (1, 4, 12):
        grid = make_grid(replace(CONFIG, participants=participants), [find_coder(name) for name in BUILT_IN], SIZES)
        sampled = spread(grid)
        assert len({cell.point for cell in sampled}) == len(sampled) == LANES
        assert len({cell.point.coder for cell in sampled}) >= 6
    assert {cell.point for cell in spread(sweep.grid)} == {cell.point for cell in sweep.grid.cells}


def test_a_mask_for_another_use_of_the_channel_is_left_out_or_refused() -> None:
    config = replace(TINY, mask_interval="step")
    with pytest.raises(ConfigError, match="the pico mask was trained with a mask per episode"):
        prepare_sweep(config, CODERS)
    swept = prepare_sweep(config)
    assert "pico" not in swept.grid.coders and "predictive" in swept.grid.coders
    assert any(skipped.coder == "pico" and "another mask interval" in skipped.reason for skipped in swept.grid.skipped)


def test_numbers_are_written_with_what_they_follow_from(ran: Path, sweep: Sweep) -> None:
    numbers = json.loads((ran / NUMBERS).read_bytes())
    assert numbers["settings"] == dict(sweep.plan.settings)
    assert numbers["config"]["noise"] == [{"kind": "erasures", "rate": 0.5}]
    assert {curve["coder"] for curve in numbers["curves"]} == {"raw", "full", "pico", *NULLS}
    assert numbers["fitted_on"] == {"pico": ["pursuit"]} and numbers["worst_families"] == []
    assert numbers["config"]["settings"] == [{"handling": "stock", "skip_zoom": True, "speed": 100.0}]
    assert (numbers["settings"]["task"], numbers["uplink_bits"]) == ("car-racing", 2)
    assert [metric["name"] for metric in numbers["metrics"]] == ["progress", "off_road"]


def test_whether_rows_are_held_out_is_empty_where_a_file_does_not_say_whom_it_was_fitted_on(
    ran: Path, sweep: Sweep, tmp_path: Path
) -> None:
    driven = run_sweep(sweep, ran, LocalEngine(1))
    silent = replace(sweep, fitted_on=(("pico", ()),))
    write_rates(silent, driven, tmp_path)
    with (tmp_path / POINTS).open() as file:
        told = {row["coder"]: row["held_out"] for row in csv.DictReader(file)}
    assert told == dict.fromkeys(("raw", "full", *NULLS), "1") | {"pico": ""}
    curves = json.loads((tmp_path / NUMBERS).read_bytes())["curves"]
    assert {curve["coder"]: curve["held_out"] for curve in curves}["pico"] is None
    assert silent.unfair == {}
    drivers = ("mine:slow", "mine:fast", "two-point:7")
    own = replace(sweep.plan, config=replace(sweep.plan.config, drivers=drivers))
    named = replace(sweep, plan=own, fitted_on=(("pico", ("mine:slow", "two-point")),))
    assert named.unfair == {"pico": ("mine:slow", "two-point:7")}


def test_simulated_is_the_family_that_the_task_names() -> None:
    named = [prepare_sweep(replace(TINY, drivers=(driver,)), CODERS) for driver in ("simulated", "pursuit")]
    assert named[0] == named[1]
    (driver,) = prepare_sweep(replace(TINY, drivers=("simulated:7",)), CODERS).plan.config.drivers
    assert driver == "pursuit:7"
    with pytest.raises(DriverError, match="unknown driver 'keybord'"):
        prepare_sweep(replace(TINY, drivers=("keybord",)), CODERS)


def test_every_driver_has_cells_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "class Still:\n    def reset(self): ...\n    def act(self, frame): return 1\n\ndef make(seed): return Still()\n"
    )
    (tmp_path / "still_driver.py").write_text(source)
    config = replace(TINY, drivers=("simulated", "still_driver:make"), participants=1, steps=8)
    sweep = prepare_sweep(config, ("random",))
    driven = run_sweep(sweep, tmp_path / "rates", LocalEngine(1))
    assert {score.cell.point.driver for score in driven.scores} == {"pursuit", "still_driver:make"}
    assert len(driven.scores) == 2 * (2 + len(NULLS))
    (tmp_path / "still_driver.py").write_text(source.replace("return 1", "return 0"))
    with pytest.raises(ResultsError, match="holds results of raw and still_driver:make with another fitted file or"):
        run_sweep(prepare_sweep(config, ("random",)), tmp_path / "rates", LocalEngine(1))
    del sys.modules["still_driver"]
