from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from rates_builders import CODERS, TINY

from racer.errors import ConfigError, RacerError
from racer.rates.driving import MixedVersionsError
from racer.rates.engines import LocalEngine, RayEngine
from racer.rates.results import RESULTS
from racer.rates.sweep import Sweep, prepare_sweep, run_sweep
from racer.rates.write import write_rates


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    pytest.importorskip("ray", reason="Ray is not installed")
    engine = RayEngine(jobs=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return prepare_sweep(replace(TINY, participants=1), CODERS)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("rates*")}


def test_a_ray_cluster_gives_the_same_bytes_as_this_process_and_resumes_what_it_began(
    engine: RayEngine, sweep: Sweep, tmp_path: Path
) -> None:
    assert engine.workers == 2
    here, there = tmp_path / "here", tmp_path / "there"
    write_rates(sweep, run_sweep(sweep, here, LocalEngine(1)), here)
    there.mkdir()
    begun = (here / RESULTS).read_bytes().splitlines(keepends=True)[:2]
    (there / RESULTS).write_bytes(b"".join(begun))
    driven = run_sweep(sweep, there, engine)
    assert driven.driven == len(sweep.grid.cells) - 1
    write_rates(sweep, driven, there)
    assert contents(there) == contents(here)


def test_without_an_address_ray_is_on_this_machine_alone(engine: RayEngine) -> None:
    assert [node["NodeManagerAddress"] for node in engine._ray.nodes()] == ["127.0.0.1"]


def kill_workers() -> int:
    """Kill the processes that drive cells at this moment, and return how many."""
    killed = 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "cmdline").read_bytes().startswith(b"ray::drive_all"):
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_cells_are_driven_again_when_the_process_that_drives_them_is_killed(engine: RayEngine) -> None:
    sweep = prepare_sweep(replace(TINY, participants=4), CODERS)
    killed, scores = 0, []
    for score in engine.drive(sweep.plan, sweep.grid.cells):
        scores.append(score)
        killed = killed or kill_workers()
    assert killed, "nothing was under way after the first cells"
    assert sorted(scores, key=lambda score: score.cell.order) == sorted(
        LocalEngine(1).drive(sweep.plan, sweep.grid.cells), key=lambda score: score.cell.order
    )


def test_what_goes_wrong_on_the_cluster_is_said_as_if_it_went_wrong_here(engine: RayEngine, sweep: Sweep) -> None:
    settings = tuple((name, "0.0.0" if name == "torch" else value) for name, value in sweep.plan.settings)
    with pytest.raises(MixedVersionsError, match="a process that takes part in the sweep has another torch"):
        list(engine.drive(replace(sweep.plan, settings=settings), sweep.grid.cells))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_said_at_once(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(RacerError, match=f"cannot reach a Ray cluster at {address}: .*; start one by") as refusal:
        RayEngine(address)
    assert len(str(refusal.value).splitlines()) == 1


def test_without_ray_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"needs Ray, which is not installed: pip install 'racer\[cluster\]'"):
        RayEngine()
